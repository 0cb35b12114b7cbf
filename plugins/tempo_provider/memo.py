"""The 32-byte memo that assigns a transfer to a payment and cannot be guessed.

All 32 bytes are filled, because wallets pad a shorter memo on either side: 16 bytes are the
payment's id, 16 a keyed MAC over it. The memo is stored with its payment and found by equality,
so that neither a new key nor a restored backup loses a payment. A bare id is understood, too.
"""

import hashlib
import hmac
from uuid import UUID

_ID_BYTES = 16
_NOTHING = bytes(_ID_BYTES)
_PURPOSE = b"payd tempo memo 1"


def memo_of(payment_id: UUID, key: str) -> str:
    """Compute a payment's memo as 0x-hex; the same id and key give the same memo."""
    mac = hmac.new(key.encode(), _PURPOSE + payment_id.bytes, hashlib.sha256).digest()
    return "0x" + (payment_id.bytes + mac[:_ID_BYTES]).hex()


def spellings(memo: str) -> tuple[str, str, str]:
    """Every memo that names the same payment: the memo itself, the bare id right and left."""
    bare = memo[2:34]
    return memo, f"0x{bare}{'0' * 32}", f"0x{'0' * 32}{bare}"


def reference_of(memo: str) -> str:
    """Reference of a memo: a bare id's payment id, empty for zeros, otherwise the memo itself."""
    raw = bytes.fromhex(memo[2:])
    head, tail = raw[:_ID_BYTES], raw[_ID_BYTES:]
    if tail == _NOTHING:
        return str(UUID(bytes=head)) if head != _NOTHING else ""
    if head == _NOTHING:
        return str(UUID(bytes=tail))
    return memo

"""The 32-byte memo that assigns a transfer to a payment and cannot be guessed.

It is text that a person can type: the payment's id and a keyed MAC over it. The memo is stored with
its payment and found by equality, so that neither a new key nor a restored backup loses a payment.
Older memos (16 bytes of id, 16 of a MAC) are found in the same way. A bare id is understood, too:
its 16 bytes, padded on either side, or its 32 hexadecimal digits as text.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from uuid import UUID

from tempo_provider.typed_memo import (
    Mark,
    Typed,
    mac_text,
    one_mistake_away,
    read_typed,
    text_of,
)

_ID_BYTES = 16
_NOTHING = bytes(_ID_BYTES)
_PURPOSE = b"payd tempo memo 2"
_ID_TEXT = re.compile(r"[0-9A-F]{32}")


def memo_of(payment_id: UUID, key: str) -> str:
    """Compute a payment's memo as 0x-hex; the same id and key give the same memo."""
    return Typed(Mark.PAYMENT, payment_id, _mac(payment_id, key)).memo


def reference_of(memo: str) -> str:
    """Reference of a memo, which names a payment only if payd has stored it.

    A bare id's payment id, empty for zeros, a typed memo in the spelling that payd stores,
    otherwise the memo itself.
    """
    raw = bytes.fromhex(memo[2:])
    head, tail = raw[:_ID_BYTES], raw[_ID_BYTES:]
    if tail == _NOTHING:
        return str(UUID(bytes=head)) if head != _NOTHING else ""
    if head == _NOTHING:
        return str(UUID(bytes=tail))
    text = text_of(memo)
    typed = read_typed(text)
    if typed is not None:
        return typed.memo
    return str(UUID(text)) if _ID_TEXT.fullmatch(text) else memo


class Corrections:
    """Finds the payments that mistyped memos were meant for.

    The MAC makes a coincidence improbable (1 in a million), and yet it is only advice: what a
    person meant is for a person to decide.
    """

    #: A search takes some milliseconds, and anybody can send many wrong memos in one block.
    SEARCHES_MAX = 10

    def __init__(self, keys: Iterable[str]) -> None:
        """Keep the keys with which memos were made."""
        self._keys = tuple(keys)
        self._left = self.SEARCHES_MAX

    def meant_payment(self, memo: str) -> UUID | None:
        """The payment whose memo this is but for one mistake; None without a mistake."""
        text = text_of(memo)
        if not self._left or _proven(text, self._keys) is not None:
            return None
        near = one_mistake_away(text)
        self._left -= bool(near)
        found = {one for other in near if (one := _proven(other, self._keys)) is not None}
        return found.pop() if len(found) == 1 else None


def _proven(text: str, keys: Iterable[str]) -> UUID | None:
    typed = read_typed(text)
    if typed is None or typed.mark is not Mark.PAYMENT:
        return None
    return typed.id if any(_mac(typed.id, key) == typed.mac for key in keys) else None


def _mac(payment_id: UUID, key: str) -> str:
    return mac_text(hmac.digest(key.encode(), _PURPOSE + payment_id.bytes, hashlib.sha256))

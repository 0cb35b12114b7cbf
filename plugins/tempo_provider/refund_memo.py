"""The memo that assigns an outgoing transfer to a refund, and that nobody without the key can make.

Its 32 bytes are text, so that a person can type them: 26 characters of the refund's id and 6 of a
keyed MAC over id and destination, in Crockford's base 32. A transfer that bears it and goes
elsewhere is therefore not the refund.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_ID_CHARS, _MAC_CHARS, _BITS = 26, 6, 5
#: 26 characters have 130 bits. The first two, beside the id's 128, mark the memo of a refund.
_MARK = 0b10 << 128
_PURPOSE = b"payd tempo refund memo 1"


class Named(NamedTuple):
    """The refund that a memo names."""

    refund_id: UUID
    #: Whether the memo was made with one of the keys for this destination.
    is_proven: bool


def refund_memo_of(refund_id: UUID, destination: str, key: str) -> str:
    """Compute a refund's memo as 0x-hex; `destination` is an address."""
    text = _written(_MARK | refund_id.int, _ID_CHARS) + _mac(refund_id, destination, key)
    return "0x" + text.encode().hex()


def refund_of(memo: str, receiver: str, keys: Iterable[str]) -> Named | None:
    """Read the memo of a transfer to `receiver`; None if it is no refund's.

    Lower case is understood: some wallets change what a person types.
    """
    text = bytes.fromhex(memo[2:]).decode("ascii", "replace").upper()
    if len(text) != _ID_CHARS + _MAC_CHARS or not all(one in _VALUES for one in text):
        return None
    number = 0
    for character in text[:_ID_CHARS]:
        number = number << _BITS | _VALUES[character]
    if number >> 128 != _MARK >> 128:
        return None
    refund_id, mac = UUID(int=number ^ _MARK), text[_ID_CHARS:].encode()
    made = [_mac(refund_id, receiver, key).encode() for key in keys]
    return Named(refund_id, any(hmac.compare_digest(mac, one) for one in made))


def _mac(refund_id: UUID, destination: str, key: str) -> str:
    meant = _PURPOSE + refund_id.bytes + bytes.fromhex(destination[2:])
    digest = hmac.new(key.encode(), meant, hashlib.sha256).digest()
    return _written(int.from_bytes(digest[:4]) >> 2, _MAC_CHARS)


def _written(number: int, length: int) -> str:
    places = range(_BITS * (length - 1), -1, -_BITS)
    return "".join(_ALPHABET[number >> place & 31] for place in places)

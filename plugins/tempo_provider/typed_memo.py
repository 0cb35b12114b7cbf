"""Memos that a person can type: 32 characters, of which 26 are an id and 6 a keyed MAC.

They are written in Crockford's base 32 and fill all 32 bytes, because wallets pad a shorter memo on
either side. Reading takes either case, O for 0, and I or L for 1.
"""

import enum
from typing import NamedTuple
from uuid import UUID

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ALLOWED = frozenset(ALPHABET)
#: To the digits that Python's `int` reads in base 32.
_DIGITS = str.maketrans(ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_ALIKE = str.maketrans("OIL", "011")
_ID_CHARS, _MAC_CHARS, _BITS = 26, 6, 5
LENGTH = _ID_CHARS + _MAC_CHARS
#: 26 characters have 130 bits: the mark stands before the id's 128.
_ID_BITS = 128


class Mark(enum.IntEnum):
    """What a memo names. Text of 32 hexadecimal digits, such as a UUID's, has another mark."""

    PAYMENT = 0b01
    REFUND = 0b10


_MARKS = frozenset(Mark)


class Typed(NamedTuple):
    """A memo as it was read."""

    mark: Mark
    id: UUID
    #: The last 6 characters; whether they are right is not known yet.
    mac: str

    @property
    def memo(self) -> str:
        """The memo's 32 bytes as 0x-hex, in the spelling in which payd stores it."""
        text = _written(self.mark << _ID_BITS | self.id.int, _ID_CHARS) + self.mac
        return "0x" + text.encode().hex()


def mac_text(digest: bytes) -> str:
    """The first 30 bits of a keyed hash, as the end of a memo."""
    return _written(int.from_bytes(digest[:4]) >> 2, _MAC_CHARS)


def text_of(memo: str) -> str:
    """The text of a memo (0x-hex), as payd would have written it; any text, or none."""
    text = bytes.fromhex(memo[2:]).decode("ascii", "replace")
    return text.upper().translate(_ALIKE)


def read_typed(text: str) -> Typed | None:
    """Read a text from `text_of`; None if it does not have the form of a memo."""
    if len(text) != LENGTH or not _ALLOWED.issuperset(text):
        return None
    number = int(text[:_ID_CHARS].translate(_DIGITS), 32)
    mark = number >> _ID_BITS
    if mark not in _MARKS:
        return None
    return Typed(Mark(mark), UUID(int=number & (1 << _ID_BITS) - 1), text[_ID_CHARS:])


def one_mistake_away(text: str) -> set[str]:
    """Texts of which `text` may be a misspelling: one character wrong or missing, or two swapped.

    A wallet pads what is too short with zero bytes, and takes nothing that is too long.
    """
    typed = text.strip("\0 ")
    if sum(one not in _ALLOWED for one in typed) > 1:
        return set()
    if len(typed) == LENGTH:
        ends = [(typed[:at], typed[at + 1 :]) for at in range(LENGTH)]
        pairs = zip(ends, typed, typed[1:], strict=False)
        swapped = {before + second + first + after[1:] for (before, after), first, second in pairs}
    elif len(typed) == LENGTH - 1:
        ends = [(typed[:at], typed[at:]) for at in range(LENGTH)]
        swapped = set()
    else:
        return set()
    return {before + one + after for before, after in ends for one in ALPHABET} | swapped


def _written(number: int, length: int) -> str:
    places = range(_BITS * (length - 1), -1, -_BITS)
    return "".join(ALPHABET[number >> place & 31] for place in places)

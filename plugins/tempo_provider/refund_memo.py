"""The memo that assigns an outgoing transfer to a refund, and that nobody without the key can make.

It is text that a person can type: the refund's id and a keyed MAC over id and destination. A
transfer that bears it and goes elsewhere is therefore not the refund.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from tempo_provider.typed_memo import Mark, Typed, mac_text, read_typed, text_of

_PURPOSE = b"payd tempo refund memo 1"


class Named(NamedTuple):
    """The refund that a memo names."""

    refund_id: UUID
    #: Whether the memo was made with one of the keys for this destination.
    is_proven: bool


def refund_memo_of(refund_id: UUID, destination: str, key: str) -> str:
    """Compute a refund's memo as 0x-hex; `destination` is an address."""
    return Typed(Mark.REFUND, refund_id, _mac(refund_id, destination, key)).memo


def refund_of(memo: str, receiver: str, keys: Iterable[str]) -> Named | None:
    """Read the memo of a transfer to `receiver`; None if it is no refund's."""
    typed = read_typed(text_of(memo))
    if typed is None or typed.mark is not Mark.REFUND:
        return None
    made = [_mac(typed.id, receiver, key).encode() for key in keys]
    return Named(typed.id, any(hmac.compare_digest(typed.mac.encode(), one) for one in made))


def _mac(refund_id: UUID, destination: str, key: str) -> str:
    meant = _PURPOSE + refund_id.bytes + bytes.fromhex(destination[2:])
    return mac_text(hmac.digest(key.encode(), meant, hashlib.sha256))

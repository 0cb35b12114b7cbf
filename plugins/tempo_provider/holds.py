"""Which transactions are with the sponsor, so that one balance is promised to one payment only."""

from collections.abc import Hashable
from typing import Final
from uuid import UUID

import attrs
import trio

from tempo_provider.envelope import NotSponsored

#: Seconds for which a payment's transaction keeps others out: it is in a block by then.
HOLD_S: Final = 60.0
#: Most transactions to remember.
_HELD_MAX: Final = 4096


@attrs.define(kw_only=True, eq=False)
class Hold:
    """One transaction, for a payment and a sender. Times are seconds of a monotonic clock."""

    raw: bytes
    keys: tuple[Hashable, ...]
    #: Requests that wait for the sponsor's answer.
    asking: int = 0
    #: Whether the sponsor has signed it, or may have.
    is_taken: bool = False
    until: dict[Hashable, float] = attrs.field(factory=dict)


class Holds:
    """The transactions of payments and senders."""

    def __init__(self) -> None:
        self._held: dict[Hashable, Hold] = {}

    def take(self, payment_id: UUID, sender: str, raw: bytes, valid_s: float) -> Hold:
        """Hold payment and sender for this transaction, which may be repeated. Raises NotSponsored.

        A payment is held for a minute. A sender is held until its transaction ends: one balance
        passes for many payments, and all but the first transfer would fail on the chain.
        """
        now = trio.current_time()
        hold = self._same(payment_id, "the payment", raw, now)
        hold = self._same(sender, "the account", raw, now) or hold
        if hold is None:
            self._make_room(now)
            hold = Hold(raw=raw, keys=(payment_id, sender))
        hold.until = {payment_id: now + HOLD_S, sender: now + valid_s}
        self._held |= dict.fromkeys(hold.keys, hold)
        hold.asking += 1
        return hold

    def give_back(self, hold: Hold, *, may_be_signed: bool) -> None:
        """End a request. One that the sponsor took in no request keeps nobody out."""
        hold.asking -= 1
        hold.is_taken = hold.is_taken or may_be_signed
        if not hold.is_taken and not hold.asking:
            self._forget(hold)

    def _same(self, key: Hashable, what: str, raw: bytes, now: float) -> Hold | None:
        hold = self._held.get(key)
        if hold is None or hold.raw == raw:
            return hold
        if (left_s := hold.until[key] - now) > 0:
            raise NotSponsored(f"{what} has another one: try again in {left_s:.0f} s")
        return None

    def _make_room(self, now: float) -> None:
        if len(self._held) < 2 * _HELD_MAX:
            return
        ended = [key for key, hold in self._held.items() if hold.until[key] <= now]
        for key in ended:
            del self._held[key]
        if not ended:
            raise NotSponsored("too many wait for a block: try again later")

    def _forget(self, hold: Hold) -> None:
        for key in hold.keys:
            if self._held.get(key) is hold:
                del self._held[key]

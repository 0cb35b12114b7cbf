"""Sums of a payment's receipts: a decision costs the same, however many receipts there are.

Whether money came in time decides what it does to a payment, so each sum is kept in three parts: in
time (up to the payment's expiry), late (up to the end of the late window) and later. The end of the
window moves once, when a payment is closed before its expiry. Sums cannot follow it; the store
computes them anew from the receipts when it next reads the payment.
"""

from collections.abc import Iterable
from datetime import datetime

import attrs

from payd.domain.evidence import Receipt, ReceiptState

#: In time, late, later.
ByTime = tuple[int, int, int]

_NOTHING: ByTime = (0, 0, 0)


class StaleSums(Exception):
    """The sums were made for another end of the late window: read the payment again."""


@attrs.frozen(kw_only=True)
class ReceiptSums:
    """Sums by state and time of the receipts that count: seen, or confirmed."""

    #: End of the late window that divides late from later; None while nothing is summed.
    late_end: datetime | None = None
    seen: ByTime = _NOTHING
    confirmed: ByTime = _NOTHING

    def replace(
        self, old: Receipt | None, new: Receipt, expire_time: datetime, late_end: datetime
    ) -> "ReceiptSums":
        """Count `new` in place of `old`. `late_end` applies to the first receipt only."""
        late_end = self.late_end or late_end
        sums = {ReceiptState.SEEN: [*self.seen], ReceiptState.CONFIRMED: [*self.confirmed]}
        for receipt, sign in ((old, -1), (new, 1)):
            if receipt is not None and receipt.state in sums:
                part = _part(receipt.time, expire_time, late_end)
                sums[receipt.state][part] += sign * receipt.amount
        (in_time, late, later), (in_time_final, late_final, later_final) = sums.values()
        seen, confirmed = (in_time, late, later), (in_time_final, late_final, later_final)
        if seen == confirmed == _NOTHING:
            return ReceiptSums()
        return ReceiptSums(late_end=late_end, seen=seen, confirmed=confirmed)

    def confirmed_by(self, late_end: datetime) -> int:
        """Confirmed amount that moved by the end of the late window. Raises StaleSums."""
        self._fit(late_end)
        return self.confirmed[0] + self.confirmed[1]

    def has_moved_after(self, late_end: datetime) -> bool:
        """Whether money, final or not, moved after the late window. Raises StaleSums."""
        self._fit(late_end)
        return self.seen[2] + self.confirmed[2] > 0

    def _fit(self, late_end: datetime) -> None:
        if self.late_end not in (None, late_end):
            raise StaleSums


def sum_receipts(
    receipts: Iterable[Receipt], expire_time: datetime, late_end: datetime
) -> ReceiptSums:
    """The sums of a full list."""
    sums = ReceiptSums()
    for receipt in receipts:
        sums = sums.replace(None, receipt, expire_time, late_end)
    return sums


def _part(time: datetime, expire_time: datetime, late_end: datetime) -> int:
    if time > late_end:
        return 2
    return 0 if time <= expire_time else 1

"""What payd makes of all reports: the payment must hold exactly what was paid, by every channel.

Each check causes something at the remote side, reads every channel, and folds the reports by payd's
own rules: each channel alone, and all of them in many orders, with repetitions and in batches.
"""

import itertools
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

import attrs

from payd.domain.attention import Attention
from payd.domain.decide import Rules
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundStatus
from payd.plugins import currency_exponent
from payd.plugins.testing.bench import Bench
from payd.plugins.testing.checks.followed import Followed, Following, follow
from payd.plugins.testing.checks.refunding import known
from payd.plugins.testing.checks.refunds import sends
from payd.plugins.testing.registry import Failed, Level, check
from payd.plugins.testing.remote import CannotHappen, NotScripted

#: Payments that one event reports together.
_TOGETHER = 3
#: A zone far from UTC, in POSIX's form: nine hours ahead.
_ZONE = "PAYD-9"
#: Amounts of which a check takes some that binary fractions make smaller, and some larger.
_SMALL = range(1, 2_000)
_SOME = 2
#: Longer than clocks are apart.
_A_LITTLE = timedelta(minutes=5)


# -- one payment, by every channel -----------------------------------------------------------------


@check(
    Level.MONEY,
    "Money that two channels report under two ids, or in two amounts, completes a payment that"
    " was not paid.",
)
async def all_reports_make_the_payment_that_was_paid(bench: Bench) -> None:
    following = await follow(bench)
    one = await following.open()
    await following.pay_in_parts(one, one.due // 2, one.due // 4)
    for way in bench.assets()[1:]:
        other = await following.open(way=way)
        await following.pay(other, other.due)
    await following.gather(last=True)
    following.compare()


@check(Level.MONEY, "What is paid too much is the customer's, by whichever channel it is reported.")
async def all_reports_make_the_excess_that_was_paid(bench: Bench) -> None:
    following = await follow(bench)
    one = await following.open()
    await following.pay(one, one.due + 1)
    await following.gather(last=True)
    following.compare()


@check(
    Level.MONEY,
    "If only the first payment of a report is read, a customer has paid and gets nothing.",
)
async def payments_in_one_report_each_get_their_money(bench: Bench) -> None:
    following = await follow(bench)
    payments = [
        await following.open(minor_units=bench.remote.amounts[0] - number)
        for number in range(_TOGETHER)
    ]
    await pay_together(following, payments)
    await following.gather(last=True)
    following.compare()


async def pay_together(following: Following, payments: Sequence[Followed]) -> None:
    """Let all of them be paid in one report."""
    refs, amounts = [one.ref for one in payments], [one.due for one in payments]
    begin = following.bench.clock.now()
    await following.bench.remote.pay_together(refs, amounts)
    await following.bench.settled()
    for one in payments:
        following.has_moved(one, one.due, begin)


@check(
    Level.MONEY,
    "Money that is not final may vanish again; final money that looks unfinal never completes.",
)
async def money_completes_a_payment_when_it_is_final(bench: Bench) -> None:
    following = await follow(bench)
    one = await following.open()
    begin = bench.clock.now()
    await bench.remote.pay_unfinal(one.ref, one.due)
    one.happened(unfinal=one.due)
    following.has_moved(one, 0, begin)
    await following.gather()
    following.compare()
    begin = bench.clock.now()
    await bench.remote.finalize(one.ref)
    await bench.settled()
    one.happened(unfinal=0)
    following.has_moved(one, one.due, begin)
    await following.gather(last=True)
    following.compare()


@check(Level.MONEY, "A service would be given away for money of another kind.")
async def money_in_another_asset_does_not_count(bench: Bench) -> None:
    following = await follow(bench)
    one = await following.open()
    begin = bench.clock.now()
    await bench.remote.pay_in_another_asset(one.ref, one.due)
    await bench.settled()
    one.happened(other_asset=True)
    following.has_moved(one, 0, begin)
    await following.gather()
    following.compare()


# -- time ------------------------------------------------------------------------------------------


@check(
    Level.MONEY,
    "The time at which money moved decides whether it was late; a wrong zone is hours wrong.",
)
async def money_has_the_time_at_which_it_moved(bench: Bench) -> None:
    following = await follow(bench)
    with _FAR_FROM_UTC:
        one = await following.open()
        held = False
        with suppress(NotScripted, CannotHappen):
            await bench.remote.hold_reports(one.ref)
            held = True
        begin = bench.clock.now()
        await bench.remote.pay(one.ref, one.due)
        following.has_moved(one, one.due, begin)
        if not bench.clock.is_real:
            await bench.passed(_later(one))
        if held:
            await bench.remote.release_reports()
        await following.gather(last=True)
        following.compare()


@check(
    Level.MONEY,
    "What a look calls confirmed counts as paid in time, so that late money would complete a"
    " payment that has expired.",
)
async def late_money_is_late_by_every_channel(bench: Bench) -> None:
    for beyond_the_window in (False, True):
        following = await follow(bench)
        one = await following.open()
        left = one.operation.expire_time - bench.clock.now() + bench.remote.time_resolution
        window = Rules().late_window
        if not bench.clock.is_real:
            await bench.passed((left + window if beyond_the_window else left) + _A_LITTLE)
        begin = bench.clock.now()
        await bench.remote.pay_late(one.ref, one.due)
        if bench.clock.is_real:
            raise NotScripted("the kit cannot move the clock of this remote side to the expiry")
        await bench.settled()
        following.has_moved(one, one.due, begin)
        await following.gather(last=True)
        for how, payment, rest in following.folded(one):
            rules = following.rules(one)
            _is_late(one, payment, how, rules, beyond_the_window=beyond_the_window, **rest)
        following.compare_times()


def _is_late(
    one: Followed,
    payment: Payment,
    how: str,
    rules: Rules,
    *,
    beyond_the_window: bool,
    partial: bool = False,
    one_channel: bool = False,
) -> None:
    """Raise Failed unless late money is treated as late; one channel may not know of it."""
    made = f"{how}, payd's payment is {payment.status.value}"
    paid = f"{one.due} were paid after the expiry"
    if payment.status is Status.COMPLETED and not payment.late:
        raise Failed(
            f"{paid}; but {made}, as if they were paid in time: confirmed of a snapshot must not"
            " contain money that came after expire_time; report it as a receipt with its time"
        )
    completes = rules.late_payments_complete and not beyond_the_window
    if payment.status is Status.COMPLETED and not completes:
        raise Failed(f"{paid}, and too late for it to count; but {made}")
    if partial or one_channel:
        return
    if completes and payment.status is not Status.COMPLETED:
        raise Failed(f"{paid}, and may still complete the payment; but {made}")
    if not completes and Attention.PAID_AFTER_CLOSE not in payment.attention:
        raise Failed(f"{paid}; but {made}, without PAID_AFTER_CLOSE: nobody would see the money")


def _later(one: Followed) -> timedelta:
    """Some time that is shorter than the payment's, and longer than clocks are apart."""
    return (one.operation.expire_time - one.operation.create_time) / 3


@attrs.define
class _FarFromUtc:
    """Lets the local time differ from UTC by hours, as on many machines.

    It is the whole process's, so the last of the checks that want it puts it back.
    """

    _wanted: int = 0
    _before: str | None = None

    def __enter__(self) -> None:
        if not self._wanted:
            self._before = os.environ.get("TZ")
            self._set(_ZONE)
        self._wanted += 1

    def __exit__(self, *_error: object) -> None:
        self._wanted -= 1
        if not self._wanted:
            self._set(self._before)

    def _set(self, zone: str | None) -> None:
        if zone is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = zone
        time.tzset()


_FAR_FROM_UTC = _FarFromUtc()


# -- amounts ---------------------------------------------------------------------------------------


@check(
    Level.MONEY,
    "29 hundredths are 28.999999999999996 in binary fractions: one unit is lost or added.",
)
async def amounts_that_binary_fractions_miss_are_exact(bench: Bench) -> None:
    following = await follow(bench)
    for way in bench.ways():
        for minor_units in missed(currency_exponent(way.currency), way.takes):
            one = await following.open(minor_units=minor_units, way=way)
            await following.pay(one, one.due)
    with suppress(NotScripted, CannotHappen):
        one = await following.open()
        for part in missed(bench.ways()[0].decimals, lambda part: part < one.due // 8):
            await following.pay(one, part)
    await following.gather(last=True)
    following.compare()


def missed(decimals: int, takes: Callable[[int], bool]) -> Sequence[int]:
    """Some amounts that a float with so many decimals makes smaller and larger, in turn."""
    scale = 10**decimals
    down = [n for n in _SMALL if n / scale * scale < n and takes(n)]
    up = [n for n in _SMALL if n / scale * scale > n and takes(n)]
    pairs = itertools.zip_longest((*down[:_SOME], *down[-1:]), (*up[:_SOME], *up[-1:]))
    return [one for one in dict.fromkeys(itertools.chain.from_iterable(pairs)) if one is not None]


# -- money back ------------------------------------------------------------------------------------


@check(
    Level.MONEY,
    "A refund that is reported as a total, or under two names, is counted twice.",
)
async def refunds_without_payd_are_the_same_by_every_channel(bench: Bench) -> None:
    following = await follow(bench)
    one = await following.open()
    await following.pay(one, one.due)
    small = missed(bench.ways()[0].decimals, lambda part: part < one.due // 8)[:_SOME]
    amounts = (one.due // 2, *small)
    with _FAR_FROM_UTC:
        for amount in (*amounts, one.due - sum(amounts)):
            await following.refund_outside(one, amount)
            if not bench.clock.is_real:
                await bench.passed(_A_LITTLE)
            await following.gather(last=amount not in small)
            following.compare()


@check(
    Level.MONEY,
    "A refund on its way that looks arrived is never looked after; one that failed is owed.",
    sends,
)
async def a_refund_of_payd_is_the_same_by_every_channel(bench: Bench) -> None:
    for fails in (False, True):
        following = await follow(bench)
        one = await following.open()
        await following.pay(one, one.due)
        await following.gather()
        await bench.remote.slow_refunds(one.ref)
        payment = await known(bench, one.operation, one.ref, one.created)
        refund = payment.refund(payment.due)
        following.request_refund(one, refund)
        begin = bench.clock.now()
        said = await payment.send(refund)
        one.has_refunded(begin, bench.clock.now())
        following.answered(one, said, refund)
        one.happened(refunds=((refund.amount, RefundStatus.PENDING),))
        await following.gather()
        following.compare()
        await bench.remote.end_refund(payment.ref_of(refund, said), failed=fails)
        one.has_refunded(begin, bench.clock.now())
        if not bench.clock.is_real:
            await bench.passed(_A_LITTLE)
        status = RefundStatus.FAILED if fails else RefundStatus.SUCCEEDED
        one.happened(refunds=((refund.amount, status),))
        following.answered(one, await payment.found(refund, said), refund)
        await following.gather(last=True)
        following.compare()


@check(Level.MONEY, "While a dispute is open, nothing may be refunded: the bank takes it back.")
async def a_dispute_is_the_same_by_every_channel(bench: Bench) -> None:
    following = await follow(bench)
    one = await following.open()
    await following.pay(one, one.due)
    await bench.remote.dispute(one.ref)
    one.happened(disputes=(one.due,))
    await following.gather(last=True)
    following.compare()

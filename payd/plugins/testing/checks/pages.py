"""Pages of a scan: the money of every payment is counted, and not only its name."""

from collections.abc import Sequence

from payd.plugins import SupportsScan
from payd.plugins.testing.bench import Bench
from payd.plugins.testing.checks.followed import Followed, follow
from payd.plugins.testing.folding import fold
from payd.plugins.testing.registry import Failed, Level, check, supports
from payd.plugins.testing.remote import CannotHappen, NotScripted

#: Payments beyond a page: an odd and an even number, so that the page ends at other events.
_BEYOND = (5, 6)


@check(
    Level.SCAN,
    "Some events name a payment, others have its money: one lost between two pages may be it.",
    supports(SupportsScan),
)
async def every_page_of_a_scan_has_its_money(bench: Bench) -> None:
    for beyond in _BEYOND:
        following = await follow(bench)
        number = bench.remote.events_per_page + beyond
        payments = [await following.open() for _ in range(number)]
        await _pay(bench, payments)
        await following.read_scan()
        now, short = bench.clock.now(), list[str]()
        for one in payments:
            made = fold(one.payment, following.pieces(one), now, following.rules(one))
            if made.confirmed != one.due:
                short.append(f"{made.confirmed} of {one.due}")
        if short:
            raise Failed(
                f"{number} payments were paid; but the scan alone has too little or too much money"
                f" for {len(short)} of them: {', '.join(short[:3])}"
            )


async def _pay(bench: Bench, payments: Sequence[Followed]) -> None:
    """Pay all that is due, at once where the remote side can do it."""
    try:
        refs, amounts = [one.ref for one in payments], [one.due for one in payments]
        await bench.remote.pay_together(refs, amounts)
    except (NotScripted, CannotHappen):
        for one in payments:
            await bench.remote.pay(one.ref, one.due)
    await bench.settled()

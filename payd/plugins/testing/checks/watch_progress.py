"""How far a watch has read: fetch says no more than that, and says more when it has read more."""

from datetime import datetime, timedelta

from payd.plugins import PaymentRef, ProviderError, SupportsWatch
from payd.plugins.testing.bench import Bench
from payd.plugins.testing.checks.watch import watch_until_quiet
from payd.plugins.testing.operations import due, names
from payd.plugins.testing.registry import Failed, Level, check, supports
from payd.plugins.testing.remote import CannotHappen

#: Longer than clocks are apart, and shorter than anything lives.
_MEANWHILE = timedelta(minutes=5)


@check(
    Level.WATCH,
    "payd ends a payment when a look after its expiry shows no money: money that is paid and not"
    " yet read would be late.",
    supports(SupportsWatch),
    alone=True,
)
async def fetch_knows_no_more_than_the_watch_has_read(bench: Bench) -> None:
    if not bench.remote.needs_watch:
        raise CannotHappen("fetch asks the remote side itself")
    sink = bench.sink()
    first = await bench.opened()
    second = await bench.opened()
    await bench.remote.pay(first[1], due(first[0]))
    await watch_until_quiet(bench, sink, names(first[0], first[2]))
    if sink.at is None:
        raise CannotHappen("the watch stores no cursor that fetch could read")
    await bench.passed(_MEANWHILE)
    begin = bench.clock.now()
    await bench.remote.pay(second[1], due(second[0]))
    await bench.remote.rest()
    # No watch has stored anything in this sink since.
    unread, received = await _looked(bench, second[1])
    if received >= due(second[0]):
        raise CannotHappen("fetch asks the remote side itself")
    if unread is not None and unread >= begin:
        raise Failed(
            f"as_of is {unread.isoformat()}, but the watch has not read what was paid at"
            f" {begin.isoformat()}: return the time up to which its stored cursor has read"
        )
    await watch_until_quiet(bench, sink, names(second[0], second[2]))
    read, _ = await _looked(bench, second[1])
    if read is None or (unread is not None and read <= unread):
        raise Failed(
            f"the watch has reported what was paid at {begin.isoformat()}, but as_of is"
            f" {read.isoformat() if read else 'unknown'} as before: payd would never know that an"
            " expired payment is unpaid"
        )


async def _looked(bench: Bench, ref: PaymentRef) -> tuple[datetime | None, int]:
    """The time of a look and what it has received; None while the provider does not say."""
    try:
        snapshot = (await bench.found(ref)).snapshot
    except ProviderError:
        return None, 0
    return snapshot.as_of, snapshot.received

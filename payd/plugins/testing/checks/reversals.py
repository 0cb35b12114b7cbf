"""Money that goes back: told in total, beside what came and not taken off it."""

from payd.plugins import (
    Observation,
    PaymentRef,
    ProviderEvent,
    Reversal,
    Snapshot,
    SupportsEvents,
    SupportsScan,
    SupportsWebhooks,
)
from payd.plugins.testing.bench import Bench, due
from payd.plugins.testing.checks.scan import read
from payd.plugins.testing.checks.webhooks import verified
from payd.plugins.testing.registry import Failed, Level, check


@check(
    Level.BASIC,
    "A refund that payd is not told of leaves a service running that nobody pays for.",
)
async def money_that_went_back_is_told(bench: Bench) -> None:
    operation, ref, _ = await bench.paid()
    cursor = (await read(bench, None))[1] if isinstance(bench.provider, SupportsScan) else None
    gone = 0
    for amount in (due(operation) // 2, due(operation) - due(operation) // 2):
        await bench.remote.refund(ref, amount)
        await bench.settled()
        gone += amount
        looked = (await bench.found(ref)).snapshot
        reports = await _reports(bench, ref, cursor)
        if isinstance(bench.provider, SupportsEvents) and not any(map(_refunded, reports)):
            raise Failed(f"{gone} went back, and no event says so")
        told = max([looked.refunded, *map(_refunded, reports)])
        if told != gone:
            raise Failed(f"{gone} went back in all, {told} is told")
        if looked.received != due(operation):
            raise Failed(
                f"{due(operation)} came and {gone} went back: received is {looked.received},"
                " and is to stay what came"
            )


async def _reports(bench: Bench, ref: PaymentRef, cursor: str | None) -> list[Observation]:
    """What its events say since then, by both ways."""
    provider: object = bench.provider
    events: list[ProviderEvent] = []
    if not isinstance(provider, SupportsEvents):
        return []
    if isinstance(provider, SupportsWebhooks):
        events.append(verified(bench, bench.remote.webhook(ref, bench.clock.now())))
    if isinstance(provider, SupportsScan):
        events += (await read(bench, cursor))[0].values()
    return [one for event in events for one in provider.translate(event)]


def _refunded(report: Observation) -> int:
    return report.fact.refunded if isinstance(report.fact, Reversal | Snapshot) else 0

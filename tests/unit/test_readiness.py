"""How the daemon stands: a watch that halted shows, and stops nothing else."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked
from unit.domain.builders import NOW
from unit.providers.toys import (
    CREATED,
    REFUNDS,
    CollectingSink,
    OnlyToy,
    RefundingToy,
    a_refund,
    fenced,
    says,
)

from payd.adapters import bridge
from payd.daemon.builders import Adapters
from payd.daemon.readiness import ReadinessProbe
from payd.plugins import Misconfigured, Sink, WatchHalted
from payd.providers.fence import Fence
from payd.providers.loader import LoadReport, OpenProviders
from payd.providers.methods import MethodMap
from payd.telemetry import Metrics


class Away:
    """The adapters' own numbers."""

    def usage(self) -> tuple[int, int]:
        return 8, 3

    async def ping(self) -> None:
        return None

    def state(self) -> object:
        return SimpleNamespace(connected=True, problem=None, shared=True)

    def identity_expire_time(self) -> None:
        return None

    async def count_unmatched(self) -> int:
        return 5


class Queue:
    """An outbox or an inbox with a fixed answer to `depth`."""

    def __init__(self, depth: object) -> None:
        self._depth = depth

    async def depth(self) -> object:
        return self._depth


def probe_of(fence: Fence) -> ReadinessProbe:
    away = Away()
    adapters = SimpleNamespace(
        database=away,
        stream=away,
        limiter=away,
        receipts=away,
        outbox=Queue((2, 0.5)),
        inbox=Queue(4),
        sending=SimpleNamespace(is_held=False, hold_time=None),
    )
    opened = OpenProviders(
        methods=MethodMap(()), fences=(fence,), report=LoadReport(loaded=(), failed=())
    )
    probe = ReadinessProbe(adapters=cast(Adapters, adapters), providers=opened, stop=trio.Event())
    probe.schema_is_current.set()
    return probe


async def watch_halts(sink: Sink) -> None:
    raise WatchHalted("block 7 has another hash")


async def watch_runs(sink: Sink) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("watch", "halted", "leads"), [(watch_halts, 1, 0), (watch_runs, 0, 1)], ids=["halts", "runs"]
)
async def test_a_halted_watch_is_reported_and_the_daemon_stays_ready(
    watch: Callable[[Sink], Any], halted: int, leads: int
) -> None:
    metrics = Metrics("1")
    toy = OnlyToy(says=says(CREATED), watches=watch)
    async with fenced(toy) as fence, trio.open_nursery() as nursery:
        await nursery.start(fence.run_watch, CollectingSink())
        await wait_all_tasks_blocked()
        probe = probe_of(fence)
        async with bridge.open_loop(lambda message, error: None):
            readiness = await probe.check()
            assert (await probe.sample(metrics)).ready, "payments work without the watch"
        await fence.stop()

    check = readiness.checks["provider:toy"]
    assert (check.ok, check.required) == (not halted, False)
    assert ("watch halted: block 7 has another hash" in check.detail) == bool(halted)
    value, labels = metrics.registry.get_sample_value, {"provider": "toy"}
    assert value("payd_provider_watch_halted", labels) == halted
    assert value("payd_provider_watch_leader", labels) == leads
    assert value("payd_unmatched_receipts") == 5


async def test_refused_refunds_show_and_the_daemon_stays_ready() -> None:
    refusal = says(Misconfigured("the key may not write refunds"))
    toy = RefundingToy(says=says(CREATED), refunds=refusal, finds_refund=refusal)
    async with fenced(toy, capabilities={"refunds": REFUNDS}) as fence:
        await fence.check_health()
        await fence.refund(a_refund())
        async with bridge.open_loop(lambda message, error: None):
            readiness = await probe_of(fence).check()
    check = readiness.checks["provider:toy"]
    assert check.ok
    assert "may not refund: the key may not write refunds" in check.detail


async def test_sending_that_was_held_shows_as_released() -> None:
    """The gauge of a check that went away would keep its last value."""
    metrics = Metrics("1")
    shown = list[float | None]()
    async with fenced(OnlyToy(says=says(CREATED), watches=watch_runs)) as fence:
        probe = probe_of(fence)
        sending: Any = probe.adapters.sending
        async with bridge.open_loop(lambda message, error: None):
            for hold_time, is_held in ((None, False), (NOW, True), (NOW, False)):
                sending.hold_time, sending.is_held = hold_time, is_held
                assert (await probe.sample(metrics)).ready, "payments can be read"
                labels = {"dependency": "sending"}
                shown.append(metrics.registry.get_sample_value("payd_dependency_up", labels))
    assert shown == [None, 0, 1]

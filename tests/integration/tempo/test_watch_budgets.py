"""Endpoints that count requests: nothing is missed, and the pace keeps within what they allow."""

from functools import partial

import pytest
import trio
from integration.tempo.watching import MemorySink, Watch, a_chain, pay, reads_all, watching
from tempo_provider.companion.scripted.chain import ScriptedChain
from tempo_provider.companion.scripted.node import Limit, Says, open_node, open_nodes
from trio.testing import MockClock

#: The usual poll of two seconds, and timeouts that a busy machine does not reach.
USUAL = {"poll_interval_s": 2.0, "request_timeout_s": 60}
#: Payments, and the seconds between two of them.
PAYMENTS, APART_S = 8, 31.0


@pytest.fixture
def clock() -> MockClock:
    """It jumps to the next deadline when neither the watch nor a node has anything to do."""
    return MockClock(autojump_threshold=0.01)


@pytest.fixture
def chain() -> ScriptedChain:
    return a_chain()


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


async def sells(chain: ScriptedChain, watch: Watch) -> None:
    """Four minutes with a payment now and then, each of which is read."""
    await watch.sink.reaches(3)
    for number in range(1, PAYMENTS + 1):
        paid_at = trio.current_time()
        pay(chain, number)
        chain.settle(2)
        await watch.sink.until(partial(_has_read, watch.sink, number))
        await trio.sleep_until(paid_at + APART_S)
        chain.settle(50)
    await reads_all(watch, chain, *range(1, PAYMENTS + 1))


def _has_read(sink: MemorySink, amount: int) -> bool:
    return amount in sink.amounts


async def test_twenty_requests_a_minute_are_enough_and_are_never_exceeded(
    clock: MockClock, chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node:
        node.limit = Limit(requests=20)
        async with watching([node], sink, **USUAL) as watch:
            await sells(chain, watch)
        assert node.refused == 0


async def test_each_of_three_endpoints_has_a_budget_of_its_own(
    clock: MockClock, chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_nodes(chain, 3) as nodes:
        for node in nodes:
            node.limit = Limit(requests=20)
        async with watching(nodes, sink, **USUAL) as watch:
            await sells(chain, watch)
        assert [node.refused for node in nodes] == [0, 0, 0]


async def test_an_endpoint_with_a_small_budget_does_not_slow_down_the_others(
    clock: MockClock, chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_nodes(chain, 3) as nodes:
        nodes[0].limit = Limit(requests=3)
        async with watching(nodes, sink, **USUAL) as watch:
            await sells(chain, watch)
            assert watch.figures.gauges["poll_interval_seconds"] < 2.5


@pytest.mark.parametrize("status", [402, 429])
@pytest.mark.parametrize("tells_wait", [True, False], ids=["with Retry-After", "without"])
async def test_a_limit_that_shows_only_in_refusals_is_learned(
    clock: MockClock, chain: ScriptedChain, sink: MemorySink, status: int, tells_wait: bool
) -> None:
    """Its pace is found by refusals, which must stay few: an endpoint may ban who is refused."""
    async with open_node(chain) as node:
        node.limit = Limit(requests=20, tells=False, tells_wait=tells_wait, status=status)
        async with watching([node], sink, **USUAL) as watch:
            await sells(chain, watch)
        answered = sum(node.asked.values())
        assert 0 < node.refused < answered / 10


async def test_catching_up_keeps_within_the_limit(
    clock: MockClock, chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node:
        async with watching([node], sink, **USUAL):
            await sink.reaches(3)
        for amount in (1, 2, 3):
            pay(chain, amount)
            chain.settle(400)
        node.limit = Limit(requests=20)
        async with watching([node], sink, range_blocks_max=100, **USUAL) as watch:
            await reads_all(watch, chain, 1, 2, 3)
        assert node.refused == 0


#: Steps of a watch that are compared with its requests.
STEPS = 20


async def test_head_and_logs_are_one_request(
    clock: MockClock, chain: ScriptedChain, sink: MemorySink
) -> None:
    """While the chain grows, each step of a limited watch is one request."""
    async with open_node(chain) as node:
        node.limit = Limit(requests=20)
        async with watching([node], sink, **USUAL):
            await sink.reaches(3)
            # On a busy machine a step takes longer than the clock's four seconds.
            for _ in range(100):
                chain.settle(2)
                await trio.sleep(4)
                if len(sink.puts) >= STEPS:
                    break
            steps = len(sink.puts)
            used = node.asked["eth_getLogs"] / 3
            assert steps >= STEPS
            assert used <= steps + 2


# -- lists of requests -----------------------------------------------------------------------------

REFUSED = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}}'
NO_LISTS = {
    "HTTP 400": Says(status=400, body=b"bad request"),
    "HTTP 400 with JSON": Says(status=400, body=REFUSED),
    "HTTP 400 without a word": Says(status=400),
    "HTTP 405": Says(status=405, body=b""),
    "an invalid request": Says(body=REFUSED),
    "by name": Says(
        body=b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"batch is disabled"}}'
    ),
}


@pytest.mark.parametrize("refusal", NO_LISTS.values(), ids=NO_LISTS)
async def test_an_endpoint_without_lists_of_requests_is_asked_one_by_one(
    chain: ScriptedChain, sink: MemorySink, refusal: Says
) -> None:
    async with open_node(chain) as node:
        node.no_batches = refusal
        async with watching([node], sink) as watch:
            await sink.reaches(3)
            for number in (1, 2, 3):
                pay(chain, number)
                chain.settle(5)
            await reads_all(watch, chain, 1, 2, 3)
            assert watch.figures.counts["watch_failures_total"] == 0


async def test_endpoints_with_and_without_lists_agree(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_nodes(chain, 3) as nodes:
        nodes[0].no_batches = NO_LISTS["HTTP 400"]
        async with watching(nodes, sink) as watch:
            await sink.reaches(3)
            for number in (1, 2, 3):
                pay(chain, number)
                chain.settle(70)
            await reads_all(watch, chain, 1, 2, 3)
            assert watch.figures.counts["rpc_disagreements_total"] == 0

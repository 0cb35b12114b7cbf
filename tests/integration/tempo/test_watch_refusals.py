"""Endpoints that refuse, hang, limit or lag: waited for or passed over, and nothing is missed."""

from collections.abc import Callable

import pytest
import trio
from integration.tempo.watching import (
    MEMO,
    PAYER,
    US,
    USDC,
    MemorySink,
    a_chain,
    pay,
    reads_all,
    watching,
)
from tempo_provider.companion.scripted import lies
from tempo_provider.companion.scripted.chain import Json, ScriptedChain
from tempo_provider.companion.scripted.events import transfer
from tempo_provider.companion.scripted.node import (
    Cuts,
    Drips,
    Floods,
    Hangs,
    Manner,
    Says,
    open_node,
    open_nodes,
)
from trio.testing import MockClock

from payd.plugins import Misconfigured

LOGS = "eth_getLogs"
BLOCKS = "eth_getBlockByNumber"


#: How it may be said.
MANNERS: dict[str, Manner] = {
    "HTTP 503": Says(status=503),
    "HTTP 403": Says(status=403, body=b"<html>blocked</html>"),
    "HTTP 301": Says(status=301, headers={"location": "http://127.0.0.1:1/"}),
    "no JSON": Says(body=b"<html>welcome</html>"),
    "JSON of another kind": Says(body=b"[1, 2, 3]"),
    "a number": Says(body=b"7"),
    "nothing": Says(body=b""),
    "no text": Says(body=b"\xff\xfe\x00\x01" * 10),
    "a deep list": Says(body=b"[" * 5_000),
    "more than can be read": Floods(size=40 * 1024 * 1024),
    "a cut connection": Cuts(),
    "silence": Hangs(),
}

all_manners = pytest.mark.parametrize("manner", MANNERS.values(), ids=MANNERS)


@pytest.fixture
def chain() -> ScriptedChain:
    return a_chain()


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


# -- garbage, refusals, silence ----------------------------------------------------------------


@all_manners
async def test_another_endpoint_takes_over(
    chain: ScriptedChain, sink: MemorySink, manner: Manner
) -> None:
    async with open_nodes(chain, 2) as nodes, watching(nodes, sink, rpc_quorum=1) as watch:
        await sink.reaches(3)
        nodes[0].behaves(manner)
        pay(chain)
        chain.settle()
        await sink.reaches(4)
        assert sink.amounts == [149]
        nodes[0].heals()
        await reads_all(watch, chain, 149)


@all_manners
async def test_one_alone_is_waited_for(
    chain: ScriptedChain, sink: MemorySink, manner: Manner
) -> None:
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(3)
        node.behaves(manner)
        pay(chain)
        chain.settle()
        await watch.figures.until_more("watch_failures_total", times=2)
        assert sink.block == 3
        node.heals()
        await reads_all(watch, chain, 149)


async def test_an_answer_that_never_ends_holds_nobody_up(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    """A byte now and then is no silence."""
    async with open_nodes(chain, 3) as nodes, watching(nodes, sink) as watch:
        await sink.reaches(3)
        nodes[0].behaves(Drips())
        pay(chain)
        chain.settle()
        with trio.fail_after(30):
            await reads_all(watch, chain, 149)


@pytest.mark.parametrize("method", [LOGS, BLOCKS])
async def test_what_fails_in_the_middle_of_a_pass_is_repeated(
    chain: ScriptedChain, sink: MemorySink, method: str
) -> None:
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(3)
        pay(chain)
        node.behaves(Says(status=503), method)
        chain.settle()
        await watch.figures.until_more("watch_failures_total")
        node.heals()
        await reads_all(watch, chain, 149)


class TestWhenItIsToldToSlowDown:
    """429, and 402 where the bill is meant."""

    @pytest.fixture
    def clock(self) -> MockClock:
        return MockClock(rate=1.0)

    @pytest.mark.parametrize("status", [402, 429])
    async def test_it_leaves_the_endpoint_alone_for_as_long_as_asked(
        self, clock: MockClock, chain: ScriptedChain, sink: MemorySink, status: int
    ) -> None:
        async with open_nodes(chain, 2) as nodes, watching(nodes, sink, rpc_quorum=1) as watch:
            await sink.reaches(3)
            first, second = nodes
            first.behaves(Says(status=status, headers={"retry-after": "60"}))
            await watch.figures.until_more("rpc_failures_total", times=1)
            first.heals()
            asked = sum(first.asked.values())
            pay(chain)
            chain.settle()
            await sink.reaches(4)
            await second.until_asked_again(times=5)
            assert sum(first.asked.values()) == asked

            clock.jump(61)
            await first.until_asked_again(times=1)
            await reads_all(watch, chain, 149)

    @pytest.mark.parametrize(
        "retry_after", ["", "soon", "-5", "0.5", "9" * 400, "Mon, 21 Sep 2026 12:00:00 GMT"]
    )
    async def test_whatever_it_says_for_how_long_it_is_asked_again_some_day(
        self, clock: MockClock, chain: ScriptedChain, sink: MemorySink, retry_after: str
    ) -> None:
        async with open_node(chain) as node, watching([node], sink) as watch:
            await sink.reaches(3)
            node.behaves(Says(status=429, headers={"retry-after": retry_after}))
            await watch.figures.until_more("watch_failures_total", times=1)
            node.heals()
            pay(chain)
            chain.settle()
            clock.jump(301)
            await reads_all(watch, chain, 149)

    async def test_an_error_that_means_429_is_heeded(
        self, clock: MockClock, chain: ScriptedChain, sink: MemorySink
    ) -> None:
        async with open_nodes(chain, 2) as nodes, watching(nodes, sink, rpc_quorum=1) as watch:
            await sink.reaches(3)
            first, second = nodes
            first.lies(lies.fails(BLOCKS, -32005, "daily request count exceeded"))
            await watch.figures.until_more("rpc_failures_total", times=1)
            first.heals()
            asked = sum(first.asked.values())
            await second.until_asked_again(times=5)
            assert sum(first.asked.values()) == asked
            clock.jump(301)
            pay(chain)
            chain.settle()
            await first.until_asked_again(times=1)
            await reads_all(watch, chain, 149)


# -- lag ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("silently", [False, True], ids=["refuses", "says that nothing happened"])
async def test_a_lagging_node_among_three_holds_nobody_up_and_hides_nothing(
    chain: ScriptedChain, sink: MemorySink, silently: bool
) -> None:
    chain.settle(30)
    async with open_nodes(chain, 3) as nodes, watching(nodes, sink) as watch:
        await sink.reaches(33)
        nodes[0].lags(20, silently=silently)
        pay(chain)
        chain.settle()
        await sink.reaches(34)
        await reads_all(watch, chain, 149)


@pytest.mark.parametrize("silently", [False, True], ids=["refuses", "says that nothing happened"])
async def test_of_two_the_slower_one_says_how_far_it_goes(
    chain: ScriptedChain, sink: MemorySink, silently: bool
) -> None:
    async with open_nodes(chain, 2) as nodes, watching(nodes, sink) as watch:
        await sink.reaches(3)
        nodes[0].lags(5, silently=silently)
        pay(chain)
        chain.settle(10)
        await sink.reaches(8)
        await nodes[1].until_asked_again()
        assert sink.block == 8
        nodes[0].heals()
        await reads_all(watch, chain, 149)


async def test_a_balancer_that_answers_from_two_nodes_hides_nothing(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    """The final block is the faster one's, the logs are the slower one's, which are empty."""
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(3)

        def of_the_slower_one(asked: Json, answer: Json) -> Json:
            is_of_future = "result" in answer and asked["method"] == LOGS
            return answer | {"result": []} if is_of_future else answer

        node.lies(lies.about_ranges(of_the_slower_one))
        pay(chain)
        chain.settle()
        await watch.figures.until_more("watch_failures_total")
        assert sink.block == 3
        node.heals()
        await reads_all(watch, chain, 149)


# -- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("range_max", "apart"), [(1000, 40), (100, 40), (64, 40), (10, 20), (1, 3), (0, 3)]
)
async def test_whatever_range_an_endpoint_allows_it_is_caught_up_with(
    chain: ScriptedChain, sink: MemorySink, range_max: int, apart: int
) -> None:
    async with open_node(chain) as node:
        async with watching([node], sink):
            await sink.reaches(3)
        for amount in (1, 2, 3):
            pay(chain, amount)
            chain.mine(apart)
        chain.finalize()
        node.view.range_max = range_max
        async with watching([node], sink) as watch:
            await reads_all(watch, chain, 1, 2, 3)


async def test_a_limit_of_results_is_kept_by_its_own_advice(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node:
        async with watching([node], sink):
            await sink.reaches(3)
        for _ in range(20):
            chain.send(*(transfer(USDC, PAYER, US, 1, MEMO) for _ in range(20)))
            chain.mine(20)
        chain.finalize()
        node.view.results_max = 100
        async with watching([node], sink) as watch:
            await reads_all(watch, chain, *[1] * 400)


async def test_one_of_three_that_finds_every_range_too_long_holds_nobody_up(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_nodes(chain, 3) as nodes, watching(nodes, sink) as watch:
        await sink.reaches(3)
        nodes[0].lies(lies.fails(LOGS, -32602, "query exceeds max block range 0"))
        pay(chain)
        chain.settle()
        await reads_all(watch, chain, 149)


# -- the chain and version that endpoints report -----------------------------------------------


async def test_too_many_endpoints_of_another_chain_are_a_mistake_in_the_settings(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_nodes(chain, 3) as nodes:
        for node in nodes[1:]:
            node.lies(lies.says("eth_chainId", "0x1079"))
        with pytest.RaisesGroup(Misconfigured, flatten_subgroups=True, allow_unwrapped=True):
            async with watching(nodes, sink):
                pass


def looks_forged(chain: ScriptedChain) -> None:
    chain.tokens[USDC].is_tip20 = False


def has_18_decimals(chain: ScriptedChain) -> None:
    chain.tokens[USDC].decimals = 18


def is_in_euros(chain: ScriptedChain) -> None:
    chain.tokens[USDC].currency = "EUR"


def is_nowhere(chain: ScriptedChain) -> None:
    del chain.tokens[USDC]


@pytest.mark.parametrize("change", [looks_forged, has_18_decimals, is_in_euros, is_nowhere])
async def test_a_token_that_is_not_what_it_should_be_is_refused_at_the_start(
    chain: ScriptedChain, sink: MemorySink, change: Callable[[ScriptedChain], None]
) -> None:
    change(chain)
    async with open_node(chain) as node:
        with pytest.RaisesGroup(Misconfigured, flatten_subgroups=True, allow_unwrapped=True):
            async with watching([node], sink):
                pass


async def test_it_starts_without_the_chain_and_begins_when_it_is_there(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node:
        node.behaves(Says(status=503))
        async with watching([node], sink) as watch:
            assert watch.lines.named("chain_away_at_start")
            assert sink.stored is None
            node.heals()
            await sink.reaches(3)
            pay(chain)
            chain.settle()
            await reads_all(watch, chain, 149)

"""A chain that changes its mind: above the final block as it likes, below it never unnoticed."""

import pytest
from integration.tempo.watching import MemorySink, a_chain, balanced, pay, watching
from tempo_provider.companion.scripted.chain import ScriptedChain
from tempo_provider.companion.scripted.node import open_node, open_nodes


@pytest.fixture(params=[None, "0x58e21090"], ids=["to the account", "over an address"])
def chain(request: pytest.FixtureRequest) -> ScriptedChain:
    return a_chain(master_id=request.param)


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


async def test_a_reorganisation_above_the_final_block_changes_nothing(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(3)
        pay(chain)
        chain.mine(4)
        await node.until_asked_again()
        chain.reorg(4)
        chain.finalize()
        await sink.reaches(7)
        assert sink.amounts == []
        assert watch.failure is None
        assert await balanced(watch, chain)


async def test_money_that_comes_again_after_a_reorganisation_counts_once(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(3)
        pay(chain)
        chain.mine(4)
        chain.reorg(4, keep=True)
        chain.finalize()
        await sink.reaches(7)
        assert sink.amounts == [149]
        assert await balanced(watch, chain)


async def test_another_hash_at_the_cursor_halts_it_by_name(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(3)
        was = chain.head.hash
        chain.reorg(1)
        reason = await watch.halts()
        assert "block 3" in reason
        assert was in reason
        assert chain.head.hash in reason
        assert watch.figures.counts["finality_violations_total"] == 1


@pytest.mark.parametrize("behind", [1, 64, 65, 200])
async def test_a_chain_that_went_on_from_another_block_halts_it_before_anything_is_credited(
    chain: ScriptedChain, sink: MemorySink, behind: int
) -> None:
    async with open_node(chain) as node:
        async with watching([node], sink):
            await sink.reaches(3)
        chain.reorg(2)
        pay(chain)
        chain.settle(behind)
        async with watching([node], sink) as watch:
            assert "block 3" in await watch.halts()
        assert sink.amounts == []
        assert sink.block == 3


async def test_money_that_was_final_and_is_gone_is_never_taken_back_in_silence(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(3)
        pay(chain)
        chain.settle()
        await sink.until(lambda: sink.amounts == [149])
        chain.reorg(1)
        chain.settle()
        await watch.halts()


async def test_it_goes_on_when_the_chain_is_again_as_it_was(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node:
        async with watching([node], sink):
            await sink.reaches(3)
        other = chain.fork()
        other.reorg(1)
        other.settle()
        node.follows(other)
        async with watching([node], sink) as watch:
            await watch.halts()
        node.heals()
        pay(chain)
        chain.settle()
        async with watching([node], sink) as watch:
            await sink.until(lambda: sink.amounts == [149])
            assert await balanced(watch, chain)


async def test_one_of_three_on_a_chain_of_its_own_halts_nothing(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_nodes(chain, 3) as nodes, watching(nodes, sink) as watch:
        await sink.reaches(3)
        other = chain.fork()
        other.reorg(2)
        other.settle(3)
        nodes[0].follows(other)
        pay(chain)
        chain.settle(3)
        await sink.reaches(6)
        assert sink.amounts == [149]
        assert watch.failure is None


async def test_one_of_two_on_a_chain_of_its_own_stops_the_watch_and_halts_nothing(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_nodes(chain, 2) as nodes, watching(nodes, sink) as watch:
        await sink.reaches(3)
        other = chain.fork()
        other.reorg(2)
        other.settle(3)
        nodes[0].follows(other)
        pay(chain)
        chain.settle(3)
        await watch.figures.until_more("watch_failures_total")
        assert sink.amounts == []
        assert watch.failure is None

        nodes[0].heals()
        await sink.until(lambda: sink.amounts == [149])


async def test_a_final_block_that_goes_back_is_waited_for(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    """A balancer with a slower node behind it."""
    async with open_node(chain) as node, watching([node], sink) as watch:
        chain.settle(5)
        await sink.reaches(8)
        chain.finalize(6)
        await node.until_asked_again()
        assert sink.block == 8
        assert watch.failure is None
        pay(chain)
        chain.settle()
        await sink.until(lambda: sink.amounts == [149])


@pytest.mark.parametrize("stored", ["", "null", "{}", '{"block": 3}'])
async def test_a_cursor_that_cannot_be_read_halts_it(
    chain: ScriptedChain, sink: MemorySink, stored: str
) -> None:
    sink.stored = stored
    async with open_node(chain) as node, watching([node], sink) as watch:
        assert "cannot be read" in await watch.halts()

"""What the watch reads: everything of ours once, up to the final block, from where it had come."""

from collections import Counter

import pytest
from integration.tempo.watching import (
    FORGED,
    MEMO,
    PAYER,
    STRANGER,
    US,
    USDC,
    USDT,
    MemorySink,
    a_chain,
    balanced,
    pay,
    watching,
)
from tempo_provider import watcher
from tempo_provider.companion.scripted.chain import Json, ScriptedChain
from tempo_provider.companion.scripted.events import (
    blocked,
    burn,
    claim,
    fee,
    forged,
    mint,
    to_virtual,
    transfer,
)
from tempo_provider.companion.scripted.lies import drops
from tempo_provider.companion.scripted.node import open_node, open_nodes
from tempo_provider.contracts import topic_of
from tempo_provider.virtual import virtual_address
from trio.testing import MockClock

from payd.plugins import ReceiptState


@pytest.fixture
def chain() -> ScriptedChain:
    return a_chain()


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


# -- virtual addresses -------------------------------------------------------------------------


async def test_money_to_virtual_addresses_is_read_once_with_its_sender_and_memo(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    one, other = (virtual_address("0x58e21090", tag) for tag in (1, 2))
    foreign = virtual_address("0x01020304", 1)
    chain.send(
        to_virtual(USDC, PAYER, one, US, 149),
        transfer(USDC, PAYER, US, 7, MEMO),
        to_virtual(USDC, STRANGER, other, US, 149, MEMO),
        to_virtual(USDC, PAYER, foreign, STRANGER, 1000),
        to_virtual(USDC, US, one, US, 5),
    )
    chain.settle()
    async with (
        open_nodes(chain, 2) as nodes,
        watching(nodes, sink, start_block=3) as watch,
    ):
        await sink.until(lambda: sorted(sink.amounts) == [7, 149, 149])
        assert await balanced(watch, chain)
    found = {observation.reference: observation for observation in sink.observations.values()}
    assert found.keys() == {one, MEMO, other}
    assert found[other].also == MEMO
    assert [receipt.details["sender"] for receipt in sink.receipts] == [PAYER, PAYER, STRANGER]
    assert sink.outflows == {}


async def test_nothing_from_an_address_holds_nobody_up(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    """Anyone can let the token log it, also where payments have no addresses."""
    for master_id in ("0x58e21090", "0x01020304"):
        address = virtual_address(master_id, 1)
        chain.send(transfer(USDC, address, US, 0), transfer(USDC, address, US, 0, MEMO))
        chain.send(to_virtual(USDC, PAYER, address, US, 0))
    chain.settle()
    async with open_node(chain) as node, watching([node], sink, start_block=3) as watch:
        chain.send(to_virtual(USDC, PAYER, virtual_address("0x58e21090", 2), US, 149))
        chain.settle()
        await sink.until(lambda: sink.amounts == [149])
        assert await balanced(watch, chain)


async def test_many_addresses_are_read_in_a_few_requests(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    addresses = [virtual_address("0x58e21090", tag) for tag in range(450)]
    for address in addresses:
        chain.send(to_virtual(USDC, PAYER, address, US, 1))
        chain.mine()
    chain.finalize()
    async with open_node(chain) as node, watching([node], sink, start_block=3) as watch:
        await sink.until(lambda: len(sink.amounts) == 450)
        assert await balanced(watch, chain)
    assert {one.reference for one in sink.observations.values()} == {*addresses}


async def test_dust_to_one_address_is_asked_for_once(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    """However many transfers there are, no log comes twice."""
    filters: set[tuple[str, ...]] = set()

    def keep(asked: Json, answer: Json) -> Json:
        if asked["method"] == "eth_getLogs":
            receivers = asked["params"][0]["topics"][2:]
            filters.update(tuple(those) for those in receivers if topic_of(US) not in those)
        return answer

    addresses = [virtual_address("0x58e21090", tag) for tag in range(201)]
    dust = [addresses[0]] * 450
    for address in [*addresses, *dust]:
        chain.send(to_virtual(USDC, PAYER, address, US, 1))
    chain.settle()
    async with open_node(chain) as node, watching([node], sink, start_block=3) as watch:
        node.lies(keep)
        await sink.until(lambda: len(sink.amounts) == 651)
        assert await balanced(watch, chain)
    asked_for = Counter(one for those in filters for one in those)
    assert {topic_of(one) for one in addresses} <= asked_for.keys()
    assert set(asked_for.values()) == {1}
    assert max(map(len, filters)) == 200


async def test_a_node_that_hides_who_paid_is_not_believed(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    address = virtual_address("0x58e21090", 1)
    async with open_nodes(chain, 3) as nodes, watching(nodes, sink) as watch:
        await sink.reaches(3)
        nodes[0].lies(drops(lambda log: log["topics"][2].endswith(address[2:])))
        chain.send(to_virtual(USDC, PAYER, address, US, 149, MEMO))
        chain.settle()
        await sink.until(lambda: sink.amounts == [149])
        assert watch.figures.counts["rpc_failures_total"] > 0
    [receipt] = sink.receipts
    assert receipt.details["sender"] == PAYER


# -- the beginning -----------------------------------------------------------------------------


async def test_the_first_start_begins_at_the_final_block_of_that_moment(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    chain.mine(5)
    async with open_node(chain) as node, watching([node], sink):
        await sink.reaches(3)
        assert sink.position is not None
        assert sink.position.point.hash == chain.blocks[3].hash
        assert sink.position.chain_id == chain.chain_id


async def test_money_from_before_the_first_start_is_the_opening_balance_and_no_receipt(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    pay(chain, 1000)
    chain.settle()
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(4)
        pay(chain, 5)
        chain.settle()
        await sink.until(lambda: sink.amounts == [5])
        assert sink.position is not None
        opened = {one.token: one.units for one in sink.position.openings}
        assert opened == {USDC: 1000, USDT: 0}
        assert await balanced(watch, chain)


async def test_an_operator_may_say_where_it_begins(chain: ScriptedChain, sink: MemorySink) -> None:
    pay(chain, 1)
    chain.settle(2)
    pay(chain, 2)
    chain.settle()
    async with open_node(chain) as node, watching([node], sink, start_block=4) as watch:
        await sink.reaches(6)
        assert sink.amounts == [2], "the block itself is the opening"
        assert await balanced(watch, chain)


async def test_it_goes_on_where_it_had_come_to(chain: ScriptedChain, sink: MemorySink) -> None:
    async with open_node(chain) as node:
        async with watching([node], sink):
            await sink.reaches(3)
        pay(chain, 7)
        chain.settle(100)
        async with watching([node], sink) as watch:
            await sink.reaches(103)
            assert sink.amounts == [7]
            assert await balanced(watch, chain)


async def test_a_new_account_begins_later_where_the_endpoint_lacks_old_state(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    """As anvil after a restart, and most public endpoints after a day."""
    async with open_node(chain) as node:
        async with watching([node], sink):
            await sink.reaches(3)
        pay(chain, 1)
        chain.settle(200)
        node.view.state_blocks = 64
        async with watching([node], sink, receiver_address=STRANGER) as watch:
            await sink.until(lambda: bool(sink.position and len(sink.position.accounts) == 2))
            assert sink.amounts == [1], "what was watched already is read first"
            chain.send(transfer(USDC, PAYER, STRANGER, 2))
            chain.settle()
            await sink.until(lambda: sink.amounts == [1, 2])
            assert await balanced(watch, chain)


async def test_an_account_of_before_is_watched_for_good(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node:
        async with watching([node], sink):
            await sink.reaches(3)
        async with watching([node], sink, receiver_address=STRANGER) as watch:
            await sink.until(lambda: bool(sink.position and len(sink.position.accounts) == 2))
            pay(chain, 1)
            chain.send(transfer(USDC, PAYER, STRANGER, 2))
            chain.send(transfer(USDC, US, STRANGER, 1))
            chain.settle()
            await sink.reaches(4)
            assert sorted(sink.amounts) == [1, 2]
            assert not sink.outflows
            assert await balanced(watch, chain)


async def test_a_cursor_of_another_chain_halts_it(chain: ScriptedChain, sink: MemorySink) -> None:
    async with open_node(chain) as node:
        async with watching([node], sink):
            await sink.reaches(3)
        assert sink.stored is not None
        sink.stored = sink.stored.replace('"chain_id":1337', '"chain_id":4217')
        async with watching([node], sink) as watch:
            assert "4217" in await watch.halts()


# -- what is read ------------------------------------------------------------------------------


async def test_nothing_above_the_final_block_is_believed(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node, watching([node], sink):
        await sink.reaches(3)
        pay(chain)
        chain.mine(10)
        await node.until_asked_again(times=10)
        assert sink.amounts == []
        assert sink.block == 3

        chain.finalize(4)
        await sink.until(lambda: sink.amounts == [149])
        assert sink.block == 4


async def test_every_case_of_money_keeps_the_books_right(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(3)
        twice = transfer(USDC, PAYER, US, 10, MEMO)
        chain.send(twice, twice, fee(USDC, PAYER, 1))
        chain.send(transfer(USDT, PAYER, US, 20), transfer(USDC, PAYER, US, 0, MEMO))
        chain.mine()
        chain.send(mint(USDC, US, 40, MEMO), burn(USDC, US, 3, MEMO), burn(USDC, PAYER, 9, MEMO))
        chain.send(transfer(USDC, US, STRANGER, 5), fee(USDC, US, 1), transfer(USDC, US, US, 7))
        chain.settle()
        await sink.reaches(5)
        assert sorted(sink.amounts) == [10, 10, 20, 40]
        assert sorted(one.amount for one in sink.outflows.values()) == [1, 3, 5]
        assert await balanced(watch, chain)


async def test_the_same_log_of_another_contract_is_ignored(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(3)
        chain.send(forged(transfer(USDC, PAYER, US, 149, MEMO), FORGED))
        chain.settle()
        await sink.reaches(4)
        assert sink.amounts == []
        assert await balanced(watch, chain)


async def test_what_the_guard_keeps_is_held_until_it_is_claimed(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(3)
        chain.send(blocked(USDC, PAYER, US, 149, MEMO))
        chain.settle()
        await sink.reaches(4)
        assert [one.state for one in sink.receipts] == [ReceiptState.HELD]
        assert await balanced(watch, chain)

        chain.send(claim(USDC, US, 149))
        chain.settle()
        await sink.reaches(5)
        assert [one.state for one in sink.receipts] == [ReceiptState.HELD, ReceiptState.CONFIRMED]
        assert await balanced(watch, chain)


async def test_a_receipt_has_the_time_of_its_block(chain: ScriptedChain, sink: MemorySink) -> None:
    async with open_node(chain) as node:
        async with watching([node], sink):
            await sink.reaches(3)
        pay(chain)
        chain.settle(200)
        async with watching([node], sink):
            await sink.reaches(203)
    assert sink.receipts[0].time.timestamp() == chain.blocks[4].time_ms // 1000


# -- the cursor --------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["dies_before", "dies_after"])
async def test_dying_anywhere_repeats_and_never_skips(
    chain: ScriptedChain, sink: MemorySink, when: str
) -> None:
    async with open_node(chain) as node:
        async with watching([node], sink):
            await sink.reaches(3)
        for amount in range(1, 5):
            pay(chain, amount)
            chain.settle()
            setattr(sink, when, True)
            async with watching([node], sink) as watch:
                await watch.dies()
            before = when == "dies_before"
            assert sink.block == 3 + amount - before, "the cursor moves with its receipts alone"
            assert sink.amounts == list(range(1, amount + 1 - before))
            if before:
                async with watching([node], sink):
                    await sink.reaches(3 + amount)
        async with watching([node], sink) as watch:
            chain.settle()
            await sink.reaches(8)
            assert sink.amounts == [1, 2, 3, 4]
            assert await balanced(watch, chain)


async def test_thousands_of_blocks_are_caught_up_with(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_nodes(chain, 2) as nodes:
        async with watching(nodes, sink):
            await sink.reaches(3)
        paid = list(range(1, 51))
        for amount in paid:
            pay(chain, amount)
            chain.mine(100)
        chain.finalize()
        async with watching(nodes, sink) as watch:
            await sink.reaches(5003)
            assert sink.amounts == paid
            assert await balanced(watch, chain)
        assert nodes[0].asked["eth_getLogs"] < 100, "in ranges"


async def test_a_crowded_range_is_stored_in_bites_that_cut_no_block(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node:
        async with watching([node], sink):
            await sink.reaches(3)
        for _ in range(4):
            chain.send(*(transfer(USDC, PAYER, US, n, MEMO) for n in range(1, 401)))
            chain.mine()
        chain.finalize()
        sink.puts.clear()
        async with watching([node], sink) as watch:
            await sink.reaches(7)
            assert sink.puts == [800, 800]
            assert await balanced(watch, chain)


async def test_a_block_that_is_too_large_for_one_bite_moves_the_cursor_with_its_last(
    chain: ScriptedChain, sink: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "PART_MAX", 100)
    async with open_node(chain) as node:
        async with watching([node], sink):
            await sink.reaches(3)
        chain.send(*(transfer(USDC, PAYER, US, n, MEMO) for n in range(1, 251)))
        chain.settle()
        sink.puts.clear()
        sink.dies_after = True
        async with watching([node], sink) as watch:
            await watch.dies()
        assert (sink.puts, sink.block) == ([100], 3)
        async with watching([node], sink) as watch:
            await sink.reaches(4)
            assert sink.puts == [100, 100, 100, 50]
            assert await balanced(watch, chain)


async def test_what_a_node_had_left_out_is_found_in_the_blocks_that_are_read_again(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    """The overlap: a node's index may be behind its own head."""
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(3)
        pay(chain)
        node.lies(drops())
        chain.settle()
        await sink.reaches(4)
        assert sink.amounts == []

        node.heals()
        chain.settle()
        await sink.until(lambda: sink.amounts == [149])
        assert await balanced(watch, chain)


async def test_the_overlap_stores_nothing_twice(chain: ScriptedChain, sink: MemorySink) -> None:
    async with open_node(chain) as node, watching([node], sink):
        await sink.reaches(3)
        pay(chain)
        for block in range(4, 24):
            chain.settle()
            await sink.reaches(block)
        assert sink.amounts == [149]
        assert sum(sink.puts) == 1, "nor does it report it again"


class TestAfterAnHour:
    """What is older than the overlap is read again now and then."""

    @pytest.fixture
    def clock(self) -> MockClock:
        return MockClock(rate=1.0)

    async def test_it_finds_what_was_left_out_for_longer_than_the_overlap(
        self, clock: MockClock, chain: ScriptedChain, sink: MemorySink
    ) -> None:
        async with open_node(chain) as node, watching([node], sink, overlap_blocks=2) as watch:
            await sink.reaches(3)
            pay(chain)
            node.lies(drops())
            for block in range(4, 10):
                chain.settle()
                await sink.reaches(block)
            node.heals()
            chain.settle()
            await sink.reaches(10)
            assert sink.amounts == []

            clock.jump(3601)
            await sink.until(lambda: sink.amounts == [149])
            assert sink.block == 10, "what is found late moves no cursor"
            assert await balanced(watch, chain)

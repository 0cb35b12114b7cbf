"""Endpoints with wrong or garbled data: nothing is credited or missed, and the watch continues."""

import pytest
from integration.tempo.watching import (
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
    reads_all,
    watching,
)
from tempo_provider.companion.scripted import lies
from tempo_provider.companion.scripted.chain import Json, ScriptedChain
from tempo_provider.companion.scripted.events import TRANSFER, TRANSFER_WITH_MEMO, transfer, word
from tempo_provider.companion.scripted.node import (
    Lie,
    open_node,
    open_nodes,
)

LOGS = "eth_getLogs"
BLOCKS = "eth_getBlockByNumber"


@pytest.fixture(params=[None, "0x58e21090"], ids=["to the account", "over an address"])
def chain(request: pytest.FixtureRequest) -> ScriptedChain:
    return a_chain(master_id=request.param)


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


def a_false_log(block: Json) -> list[Json]:
    """A payment that never was, in a block that is."""
    place = {
        "address": USDC,
        "data": word(1_000_000),
        "blockNumber": block["number"],
        "blockHash": block["hash"],
        "transactionHash": "0x" + "99" * 32,
        "transactionIndex": "0x7",
        "removed": False,
    }
    topics = [word(PAYER), word(US)]
    return [
        place | {"topics": [TRANSFER, *topics], "logIndex": "0x70"},
        place | {"topics": [TRANSFER_WITH_MEMO, *topics, MEMO], "logIndex": "0x71"},
    ]


#: What may be said of logs instead of the truth.
LOG_LIES: dict[str, Lie] = {
    "drops all": lies.drops(),
    "drops the memo": lies.drops(lambda log: len(log["topics"]) == 4),
    "drops the money": lies.drops(lambda log: len(log["topics"]) == 3),
    "repeats": lies.repeats(),
    "alters the amount": lies.alters("data", word(1_000_000)),
    "alters the token": lies.alters("address", USDT),
    "alters the transaction": lies.alters("transactionHash", "0x" + "88" * 32),
    "alters the block": lies.alters("blockNumber", "0x1"),
    "alters the block's hash": lies.alters("blockHash", "0x" + "88" * 32),
    "a place beyond all": lies.alters("logIndex", "0x" + "f" * 8000),
    "says that it was removed": lies.alters("removed", True),
    "no topics": lies.alters("topics", []),
    "no data": lies.alters("data", "0x"),
    "null for logs": lies.says(LOGS, None),
    "an object for logs": lies.says(LOGS, {}),
    "a list of null": lies.says(LOGS, [None]),
}

#: What may be said of blocks.
BLOCK_LIES: dict[str, Lie] = {
    "another hash": lies.says_of_blocks("hash", "0x" + "88" * 32),
    "another parent": lies.says_of_blocks("parentHash", "0x" + "88" * 32),
    "another number": lies.says_of_blocks("number", "0x1"),
    "a number that is none": lies.says_of_blocks("number", "many"),
    "no hash": lies.says_of_blocks("hash", None),
    "no time": lies.says_of_blocks("timestamp", None),
    "null for blocks": lies.says(BLOCKS, None),
    "a list for blocks": lies.says(BLOCKS, []),
    "a far future": lies.says_of_blocks("number", "0xffffffffffff"),
    "a number beyond all": lies.says_of_blocks("number", "0x" + "f" * 8000),
    "a number below zero": lies.says_of_blocks("number", "-0x1"),
    "a time beyond all": lies.says_of_blocks("timestamp", "0x" + "f" * 8000),
}

#: What may be said of anything.
PROTOCOL_LIES: dict[str, Lie] = {
    "null for everything": lies.is_null,
    "another's id": lies.answers_another,
    "an error": lies.fails(LOGS, -32000, "internal error"),
    "an error that is a word": lambda asked, answer: {"id": asked["id"], "error": "oops"},
}

all_lies = pytest.mark.parametrize(
    "lie", (FAULTS := LOG_LIES | BLOCK_LIES | PROTOCOL_LIES).values(), ids=FAULTS
)


# -- lies --------------------------------------------------------------------------------------


@all_lies
async def test_a_liar_among_three_is_overruled(
    chain: ScriptedChain, sink: MemorySink, lie: Lie
) -> None:
    async with open_nodes(chain, 3) as nodes, watching(nodes, sink) as watch:
        await sink.reaches(3)
        nodes[0].lies(lie)
        pay(chain)
        chain.settle()
        await sink.reaches(4)
        assert sink.amounts == [149]
        nodes[0].heals()
        await reads_all(watch, chain, 149)


@all_lies
async def test_two_that_do_not_say_the_same_are_not_believed(
    chain: ScriptedChain, sink: MemorySink, lie: Lie
) -> None:
    async with open_nodes(chain, 2) as nodes, watching(nodes, sink) as watch:
        await sink.reaches(3)
        nodes[1].lies(lie)
        pay(chain)
        chain.settle()
        await nodes[1].until_asked_again(times=4)
        assert sink.amounts == []
        assert sink.block == 3
        nodes[1].heals()
        await reads_all(watch, chain, 149)


async def test_a_payment_that_never_was_needs_two_liars(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_nodes(chain, 3) as nodes, watching(nodes, sink) as watch:
        await sink.reaches(3)
        chain.settle()
        nodes[0].lies(lies.adds(*a_false_log(chain.head.header())))
        chain.settle()
        await sink.reaches(5)
        assert sink.amounts == []
        assert watch.figures.counts["rpc_disagreements_total"] > 0
        assert await balanced(watch, chain)


@pytest.mark.parametrize("quorum", [2, 3])
async def test_the_operator_says_how_many_must_agree(
    chain: ScriptedChain, sink: MemorySink, quorum: int
) -> None:
    async with (
        open_nodes(chain, 3) as nodes,
        watching(nodes, sink, rpc_quorum=quorum) as watch,
    ):
        await sink.reaches(3)
        nodes[2].lies(lies.drops())
        pay(chain)
        chain.settle()
        if quorum == 3:
            await watch.figures.until_more("watch_failures_total")
            assert sink.block == 3
            nodes[2].heals()
        await reads_all(watch, chain, 149)


LONELY = {
    name: LOG_LIES[name]
    for name in LOG_LIES
    if name not in ("repeats", "drops all", "alters the amount", "alters the token")
    and name not in ("drops the memo", "alters the transaction")
}


@pytest.mark.parametrize("lie", (LONELY | BLOCK_LIES).values(), ids=LONELY | BLOCK_LIES)
async def test_one_alone_is_not_believed_what_cannot_be(
    chain: ScriptedChain, sink: MemorySink, lie: Lie
) -> None:
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(3)
        node.lies(lie)
        pay(chain)
        chain.settle()
        await node.until_asked_again()
        assert sink.amounts == []
        assert sink.block == 3
        node.heals()
        await reads_all(watch, chain, 149)


async def test_a_single_endpoint_cannot_leave_out_what_its_own_headers_show(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    """The bloom filter says yes: the block is asked for by its hash."""
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(3)
        node.lies(lies.about_ranges(lies.drops()))
        pay(chain)
        chain.settle()
        await watch.figures.until_more("watch_failures_total")
        assert sink.block == 3
        node.heals()
        await reads_all(watch, chain, 149)


async def test_a_filter_that_says_yes_for_nothing_holds_nothing_up(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    """Unrelated transfers and one of zero set all bits of our filter."""
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(3)
        chain.send(transfer(USDC, PAYER, STRANGER, 5), transfer(USDC, US, STRANGER, 0))
        chain.settle()
        await reads_all(watch, chain)


# -- what would end the watch itself -----------------------------------------------------------

DEADLY: dict[str, Lie] = {
    "a list for an id": lambda asked, answer: answer | {"id": []},
    "a list for a block's hash in logs": lies.alters("blockHash", []),
    "a list for a place": lies.alters("logIndex", []),
    "a time of no calendar": lies.says_of_blocks("timestamp", "0x" + "f" * 60),
    "a time before all times": lies.says_of_blocks("timestamp", "-0x" + "f" * 12),
    "a negative number": lies.says_of_blocks("number", "-0x1"),
    "a number of a thousand digits": lies.says_of_blocks("number", "0x" + "f" * 1000),
    "a filter that is a list": lies.says_of_blocks("logsBloom", []),
    "a block that is a word": lies.says(BLOCKS, "block"),
    "topics that are an object": lies.alters("topics", {}),
    "a result that is a word": lies.says(LOGS, "logs"),
}


@pytest.mark.parametrize("lie", DEADLY.values(), ids=DEADLY)
@pytest.mark.parametrize("endpoints", [1, 3])
async def test_no_answer_ends_the_watch(
    chain: ScriptedChain, sink: MemorySink, lie: Lie, endpoints: int
) -> None:
    async with open_nodes(chain, endpoints) as nodes, watching(nodes, sink) as watch:
        await sink.reaches(3)
        nodes[0].lies(lie)
        pay(chain)
        chain.settle()
        await nodes[0].until_asked_again(times=4)
        assert set(sink.amounts) <= {149}
        nodes[0].heals()
        await reads_all(watch, chain, 149)

"""What the provider answers on a scripted chain: offers, looks, last looks, holdings, health."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
import httpx
import pytest
import trio
from integration.tempo.watching import (
    PAYER,
    US,
    USDC,
    USDT,
    ChainClock,
    MemorySink,
    Watch,
    a_chain,
    pay,
    reads_all,
    watching,
)
from support.plain_http import NO_TLS
from tempo_provider.companion.scripted import lies
from tempo_provider.companion.scripted.chain import ScriptedChain, Token
from tempo_provider.companion.scripted.events import transfer, word
from tempo_provider.companion.scripted.node import (
    Hangs,
    Limit,
    Says,
    ScriptedNode,
    open_node,
    open_nodes,
)
from tempo_provider.rpc import Endpoint
from tempo_provider.tokens import FRESH_S, read_standings
from trio.testing import MockClock

from payd.plugins import (
    Absent,
    Created,
    CreateOperation,
    CryptoTransfer,
    Found,
    Misconfigured,
    Money,
    NotAttempted,
    PaymentRef,
    ProviderStatus,
    TokenTerms,
)

PAYMENT_ID = UUID("01890000-0000-4000-8000-000000000001")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def chain() -> ScriptedChain:
    return a_chain()


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def clock() -> MockClock:
    """Time that a test can move."""
    return MockClock(rate=1.0)


def an_operation(watch: Watch, **overrides: Any) -> CreateOperation:
    """149 base units of USDC, with the parameters that the provider prepares."""
    fields: dict[str, Any] = {
        "operation_id": "op-1",
        "payment_id": PAYMENT_ID,
        "method": "crypto",
        "amount": Money(currency_code="USD", minor_units=14900),
        "crypto": TokenTerms(
            currency="USDC", chain_id=1337, token_address=USDC, decimals=6, due_base_units=149
        ),
        "items": (),
        "customer_id": "user-1",
        "create_time": NOON,
        "expire_time": NOON + timedelta(minutes=30),
        "return_url": "",
        "cancel_url": "",
        "metadata": {},
    }
    operation = CreateOperation(**(fields | overrides))
    return attrs.evolve(operation, parameters=watch.provider.prepare(operation))


async def offered(watch: Watch) -> tuple[PaymentRef, str]:
    """A payment that waits, and its memo."""
    created = await watch.provider.create(an_operation(watch))
    ref = PaymentRef(
        operation_id="op-1",
        payment_id=PAYMENT_ID,
        reference=created.reference,
        asset=USDC,
        create_time=NOON,
    )
    return ref, created.reference


async def test_an_offer_is_a_function_of_the_payment(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node, watching([node], sink) as watch:
        operation = an_operation(watch)
        first = await watch.provider.create(operation)

        assert first == await watch.provider.create(operation)
        assert isinstance(first, Created)
        action = first.next_action
        assert isinstance(action, CryptoTransfer)
        assert (action.receiver_address, action.amount_base_units) == (US, 149)
        assert first.reference == action.memo
        assert action.memo_text.isalnum()
        assert str(action.payment_uri).endswith(action.memo)


async def test_nothing_is_offered_before_the_watch_has_begun(chain: ScriptedChain) -> None:
    class Never(MemorySink):
        async def cursor(self) -> str | None:
            return None

    async with open_node(chain) as node, watching([node], Never()) as watch:
        with pytest.raises(NotAttempted, match="the watch has not begun"):
            await watch.provider.create(an_operation(watch))


async def test_a_paused_token_is_not_offered(chain: ScriptedChain, sink: MemorySink) -> None:
    chain.tokens[USDC] = Token(is_paused=True)
    async with open_node(chain) as node, watching([node], sink) as watch:
        with pytest.raises(NotAttempted, match="paused by its issuer"):
            await watch.provider.create(an_operation(watch))
        [line] = watch.lines.named("token_unusable")
        assert (line["currency"], line["reason"]) == ("USDC", "is paused by its issuer")
        assert watch.figures.gauges["tokens_unusable"] == 1
        await watch.provider.health()


async def test_a_token_whose_policy_does_not_let_us_receive_is_not_offered(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    chain.tokens[USDC] = Token(policy_id=7)
    chain.may_receive = {(7, US): False}
    async with open_node(chain) as node, watching([node], sink) as watch:
        with pytest.raises(NotAttempted, match="its transfer policy 7"):
            await watch.provider.create(an_operation(watch))


async def test_a_token_that_is_released_is_offered_again(
    clock: MockClock, chain: ScriptedChain, sink: MemorySink
) -> None:
    chain.tokens[USDC] = Token(policy_id=7)
    chain.may_receive = {(7, US): False}
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(3)
        chain.may_receive = {(7, PAYER): False}
        clock.jump(FRESH_S)
        await watch.provider.health()
        created = await watch.provider.create(an_operation(watch))
        assert created.reference
        assert watch.figures.gauges["tokens_unusable"] == 0


async def test_tokens_for_prices_in_euros_stand_for_euros(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    euros = {"tokens": {"USDC": USDC}, "eur_tokens": {"EURC": USDT}}
    async with open_node(chain) as node:
        with pytest.raises(Misconfigured, match=r"EURC .* stands for 'USD', not EUR"):
            async with watching([node], sink, **euros):
                pass
        chain.tokens[USDT] = Token(currency="EUR")
        async with watching([node], sink, **euros) as watch:
            await watch.provider.health()


async def test_a_watched_token_that_does_not_exist_yet_holds_nobody_up(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    """A network's list may name a token that this chain, or an old block of it, does not have."""
    absent = "0x20c0000000000000000000000000000000007777"
    async with (
        open_node(chain) as node,
        watching([node], sink, watched_tokens=[absent]) as watch,
    ):
        await sink.reaches(3)
        chain.tokens[absent] = Token()
        pay(chain, 5, token=absent)
        chain.settle()
        await reads_all(watch, chain, 5)


async def test_the_checks_of_all_tokens_are_one_request(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    """They are repeated each minute, and an endpoint may allow twenty requests a minute."""
    async with open_node(chain) as node, httpx.AsyncClient(verify=NO_TLS) as http:
        node.limit = Limit(requests=1000)
        endpoint = Endpoint(node.url, http, ChainClock(chain), timeout_s=5)
        found = await read_standings(endpoint, [USDC, USDT], US)
        assert set(found) == {USDC, USDT}
        assert node.used == 1


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (Token(is_tip20=False), "is not a TIP-20 token"),
        (Token(decimals=18), "has 18 decimals"),
        (Token(currency="EUR"), "stands for 'EUR'"),
    ],
)
async def test_a_token_that_is_none_of_ours_stops_the_start(
    chain: ScriptedChain, sink: MemorySink, token: Token, why: str
) -> None:
    chain.tokens[USDC] = token
    async with open_node(chain) as node:
        with pytest.raises(Misconfigured, match=why):
            async with watching([node], sink):
                pass


async def test_an_endpoint_of_another_chain_is_reported_and_left_out(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_nodes(chain, 3) as nodes:
        nodes[0].lies(lies.says("eth_chainId", "0x1"))
        async with watching(nodes, sink) as watch:
            assert "is of chain 1" in str(watch.lines.named("endpoints_of_another_chain"))
            await watch.provider.health()


@pytest.mark.parametrize("answer", ["0x", None, "nonsense", 7, [], "0x" + "ff" * 4], ids=repr)
async def test_an_unreadable_word_about_tokens_is_no_reason_to_stop(
    chain: ScriptedChain, sink: MemorySink, answer: Any
) -> None:
    async with open_nodes(chain, 3) as nodes:
        nodes[0].lies(lies.says("eth_call", answer))
        async with watching(nodes, sink) as watch:
            await sink.reaches(3)
            await watch.provider.health()


async def test_a_chain_that_does_not_answer_does_not_hold_up_the_start(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node:
        node.behaves(Hangs())
        with trio.fail_after(30):
            async with watching([node], sink, request_timeout_s=60) as watch:
                assert watch.lines.named("chain_away_at_start")


# -- looks -----------------------------------------------------------------------------------


async def test_a_look_says_how_far_the_chain_was_read_and_asks_nobody(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node, watching([node], sink) as watch:
        ref, _ = await offered(watch)
        await sink.reaches(3)
        assert sink.position is not None

        found = await watch.provider.fetch(ref)

        assert isinstance(found, Found)
        assert (found.snapshot.status, found.snapshot.received) == (ProviderStatus.OPEN, 0)
        assert found.snapshot.as_of < sink.position.point.time
        assert sink.position.point.time - found.snapshot.as_of <= timedelta(milliseconds=1)


async def test_what_was_never_offered_is_absent(chain: ScriptedChain, sink: MemorySink) -> None:
    async with open_node(chain) as node, watching([node], sink) as watch:
        ref, _ = await offered(watch)
        assert await watch.provider.fetch(attrs.evolve(ref, reference=None)) == Absent()


async def look_last(
    chain: ScriptedChain, node: ScriptedNode, memo_of: Callable[[str], str]
) -> tuple[ProviderStatus, int]:
    """Money becomes final in a block that the watch, by its cursor, has not read yet."""
    sink = Standing()
    async with watching([node], sink) as watch:
        await sink.reaches(3)
        ref, memo = await offered(watch)
        sink.stands_at = sink.stored
        chain.send(transfer(USDC, PAYER, US, 40, memo_of(memo)))
        chain.settle(1)

        snapshot = await watch.provider.cancel(ref)

        return snapshot.status, snapshot.received


class Standing(MemorySink):
    """A sink whose cursor a test can set back."""

    stands_at: str | None = None

    async def cursor(self) -> str | None:
        """Return the cursor that the test has set, or the stored one."""
        return self.stands_at or self.stored


async def test_the_last_look_sees_what_the_watch_has_not_read_yet(chain: ScriptedChain) -> None:
    async with open_node(chain) as node:
        seen = await look_last(chain, node, lambda memo: memo)
    assert seen == (ProviderStatus.PROCESSING, 40)


async def test_the_last_look_sees_a_memo_that_was_typed_in_lower_case(
    chain: ScriptedChain,
) -> None:
    def typed(memo: str) -> str:
        return "0x" + bytes.fromhex(memo[2:]).lower().hex()

    async with open_node(chain) as node:
        seen = await look_last(chain, node, typed)
    assert seen == (ProviderStatus.PROCESSING, 40)


async def test_the_last_look_sees_the_bare_id(chain: ScriptedChain) -> None:
    async with open_node(chain) as node:
        seen = await look_last(chain, node, lambda memo: f"0x{PAYMENT_ID.hex}{'0' * 32}")
    assert seen == (ProviderStatus.PROCESSING, 40)


async def test_the_last_look_at_an_unpaid_one_is_up_to_the_final_block(
    chain: ScriptedChain,
) -> None:
    async with open_node(chain) as node:
        seen = await look_last(chain, node, lambda memo: "0x" + "77" * 32)
    assert seen == (ProviderStatus.OPEN, 0)


async def test_the_last_look_believes_no_sum_that_no_token_can_have(
    chain: ScriptedChain,
) -> None:
    """Twelve times the largest amount has more digits than the database keeps."""
    largest = word(2**256 - 1)
    async with open_node(chain) as node:
        node.lies(
            lies.about(
                "eth_getLogs",
                lambda logs: [log | {"data": largest} for log in logs] * 12,
            )
        )
        sink = Standing()
        async with watching([node], sink) as watch:
            await sink.reaches(3)
            ref, memo = await offered(watch)
            sink.stands_at = sink.stored
            chain.send(transfer(USDC, PAYER, US, 40, memo))
            chain.settle(1)
            with pytest.raises(NotAttempted, match="cannot be read"):
                await watch.provider.cancel(ref)


async def test_the_last_look_needs_a_chain_that_answers(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node, watching([node], sink) as watch:
        ref, _ = await offered(watch)
        node.lies(lies.fails("eth_getBlockByNumber", -32000, "internal error"))
        with pytest.raises(NotAttempted, match="cannot be read"):
            await watch.provider.cancel(ref)


# -- holdings --------------------------------------------------------------------------------


async def test_holdings_are_those_of_the_cursors_block(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(3)
        pay(chain, 40)
        chain.settle(1)
        await sink.until(lambda: sink.amounts == [40])
        at = sink.stored
        assert at is not None
        pay(chain, 2)
        chain.settle(1)
        await sink.until(lambda: sink.amounts == [40, 2])

        held = {one.asset: one for one in await watch.provider.holdings(at)}

        assert (held[USDC].opening, held[USDC].balance) == (0, 40)
        assert held[USDC].at.startswith("block ")


# -- the fork ----------------------------------------------------------------------------------


async def test_the_start_logs_the_fork_that_the_chain_runs(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    chain.fork_name = "T12"
    async with open_node(chain) as node, watching([node], sink) as watch:
        assert watch.lines.named("chain_fork") == [{"fork": "T12"}]
        assert watch.lines.named("chain_fork_untested") == []


async def test_a_fork_that_was_never_tested_is_warned_of(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    chain.fork_name = "T99"
    async with open_node(chain) as node, watching([node], sink) as watch:
        [line] = watch.lines.named("chain_fork_untested")
        assert line["fork"] == "T99"
        assert "T12" in line["tested"]


async def test_a_node_that_knows_no_forks_is_read_all_the_same(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    chain.fork_name = None
    async with open_node(chain) as node, watching([node], sink) as watch:
        assert len(watch.lines.named("chain_fork_unknown")) == 1
        await sink.reaches(3)


async def test_another_endpoint_is_asked_where_the_first_knows_no_forks(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    chain.fork_name = "T12"
    async with open_nodes(chain, 2) as nodes:
        nodes[0].behaves(Says(status=503), "tempo_forkSchedule")
        async with watching(nodes, sink) as watch:
            assert watch.lines.named("chain_fork") == [{"fork": "T12"}]


async def test_a_node_that_never_reports_its_forks_does_not_delay_the_start(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node:
        node.behaves(Hangs(), "tempo_forkSchedule")
        async with watching([node], sink, request_timeout_s=60) as watch:
            assert watch.lines.named("chain_away_at_start") == []
            assert len(watch.lines.named("chain_fork_unknown")) == 1
            await sink.reaches(3)


@pytest.mark.parametrize(
    "answer", [None, "T12", [], {}, {"active": 12}, {"active": "T12\n[error] forged"}]
)
async def test_a_schedule_that_is_none_is_not_believed(
    chain: ScriptedChain, sink: MemorySink, answer: Any
) -> None:
    async with open_node(chain) as node:
        node.lies(lies.about("tempo_forkSchedule", lambda response: answer))
        async with watching([node], sink) as watch:
            assert len(watch.lines.named("chain_fork_unknown")) == 1


# -- the chain's id ------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["0x" + "f" * 8000, "-0x539", "0x5_39", 1337, None])
async def test_an_endpoint_without_a_readable_chain_id_is_passed_over(
    chain: ScriptedChain, sink: MemorySink, answer: Any
) -> None:
    async with open_nodes(chain, 3) as nodes:
        nodes[0].lies(lies.about("eth_chainId", lambda response: answer))
        async with watching(nodes, sink) as watch:
            assert watch.lines.named("chain_away_at_start") == []
            await sink.reaches(3)

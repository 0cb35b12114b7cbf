"""What the provider tells a person to send back, and how the watch knows the transfer again."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import attrs
import pytest
from integration.tempo.watching import (
    CHAIN_ID,
    PAYER,
    STRANGER,
    US,
    USDC,
    USDT,
    MemorySink,
    Watch,
    a_chain,
    balanced,
    pay,
    watching,
)
from tempo_provider.companion.scripted.chain import ScriptedChain
from tempo_provider.companion.scripted.events import transfer
from tempo_provider.companion.scripted.node import open_nodes
from tempo_provider.contracts import transfer_calldata
from tempo_provider.refund_memo import Named, refund_of

from payd.plugins import (
    Absent,
    Conflict,
    CryptoTransfer,
    InvalidRequest,
    NotAttempted,
    Observation,
    RefundOperation,
    RefundRef,
    RefundSnapshot,
)

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
REFUND_ID = UUID("01890000-0000-7000-8000-00000000000f")
OPERATION = RefundOperation(
    operation_id=f"payd:{REFUND_ID}:refund:v1",
    refund_id=REFUND_ID,
    payment_id=UUID("01890000-0000-4000-8000-000000000001"),
    reference="0x" + "5a" * 32,
    aliases=(),
    amount=40,
    asset=USDC,
    is_all=False,
    reason="broken",
    destination=PAYER,
    create_time=NOON,
)


@pytest.fixture
def chain() -> ScriptedChain:
    return a_chain()


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


async def asked(watch: Watch, **changes: Any) -> CryptoTransfer:
    """The transfer that the provider asks for."""
    await watch.sink.reaches(0)
    said = await watch.provider.refund(attrs.evolve(OPERATION, **changes))
    assert isinstance(said.next_action, CryptoTransfer)
    return said.next_action


async def sent(
    watch: Watch, chain: ScriptedChain, action: CryptoTransfer, **changes: Any
) -> list[Observation]:
    """Transfer as asked, but for the changes; what the watch says of it beside the outflow."""
    how = {
        "token": action.token_address,
        "to": action.receiver_address,
        "amount": action.amount_base_units,
        **changes,
    }
    before = watch.sink.observations.keys() | set()
    chain.send(transfer(sender=US, memo=action.memo, **how))
    chain.settle()
    await watch.sink.reaches(chain.finalized)
    return [one for key, one in watch.sink.observations.items() if key not in before]


async def test_the_instructions_are_all_that_a_wallet_needs(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_nodes(chain, 2) as nodes, watching(nodes, sink) as watch:
        action = await asked(watch)
        assert (action.currency, action.chain_id, action.decimals) == ("USDC", CHAIN_ID, 6)
        assert (action.token_address, action.receiver_address) == (USDC, PAYER)
        assert action.amount_base_units == 40
        assert refund_of(action.memo, PAYER, ["key"]) == Named(REFUND_ID, True)
        assert action.calldata == transfer_calldata(PAYER, 40, action.memo)
        assert action.payment_uri.endswith(f"address={PAYER}&uint256=40&bytes32={action.memo}")
        assert await asked(watch) == action


async def test_the_transfer_is_the_refund_and_the_books_balance(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_nodes(chain, 2) as nodes, watching(nodes, sink) as watch:
        action = await asked(watch)
        pay(chain, 149)
        [report] = [one for one in await sent(watch, chain, action) if _is_refund(one)]
        [outflow] = watch.sink.outflows.values()
        assert report.reference == str(REFUND_ID)
        assert isinstance(report.fact, RefundSnapshot)
        assert (report.fact.reference, report.fact.amount) == (outflow.id, 40)
        assert await balanced(watch, chain)


async def test_another_amount_and_another_token_are_reported_as_they_are(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    """What they mean for the refund is for payd to decide."""
    async with open_nodes(chain, 2) as nodes, watching(nodes, sink) as watch:
        action = await asked(watch)
        chain.granted[USDT, US] = 0
        pay(chain, 149)
        pay(chain, 149, token=USDT)
        for changes, expected in (
            ({"amount": 39}, (USDC, 39)),
            ({"token": USDT}, (USDT, 40)),
        ):
            [fact] = [
                one.fact for one in await sent(watch, chain, action, **changes) if _is_refund(one)
            ]
            assert isinstance(fact, RefundSnapshot)
            assert (fact.asset, fact.amount, fact.refund_id) == (*expected, REFUND_ID)
        assert await balanced(watch, chain)


async def test_a_transfer_to_another_address_contradicts_the_refund(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_nodes(chain, 2) as nodes, watching(nodes, sink) as watch:
        action = await asked(watch)
        pay(chain, 149)
        reports = await sent(watch, chain, action, to=STRANGER)
        [report] = [one for one in reports if not isinstance(one.fact, tuple)]
        assert report.reference == str(REFUND_ID)
        assert isinstance(report.fact, Conflict)
        assert await balanced(watch, chain)


@pytest.mark.parametrize(
    ("destination", "why"),
    [
        ("", "not an address"),
        ("0x" + "cd" * 19, "not an address"),
        ("cd" * 20, "not an address"),
        ("0x" + "cg" * 20, "not an address"),
        ("0x52908400098527886E0F7030069857D2E4169Ee7", "mistyped"),
        (US, "our own account"),
        ("0x" + US[2:].upper(), "our own account"),
        ("0x" + "0" * 40, "no key for it can exist"),
        (USDC, "a TIP-20 token"),
        ("0xfeec000000000000000000000000000000000000", "the FeeManager"),
    ],
)
async def test_money_is_not_sent_to_where_it_would_be_lost(
    destination: str, why: str, chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_nodes(chain, 2) as nodes, watching(nodes, sink) as watch:
        await watch.sink.reaches(0)
        with pytest.raises(InvalidRequest, match=why) as refused:
            await watch.provider.refund(attrs.evolve(OPERATION, destination=destination))
        assert refused.value.field == "destination"


@pytest.mark.parametrize(
    "destination",
    ["0x52908400098527886E0F7030069857D2E4169EE7", "0xde709f2102306220921060314715629080e2fb77"],
)
async def test_an_address_is_taken_in_every_spelling(
    destination: str, chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_nodes(chain, 2) as nodes, watching(nodes, sink) as watch:
        action = await asked(watch, destination=f" {destination} ")
        assert action.receiver_address == destination.lower()


async def test_a_token_that_nobody_watches_cannot_be_refunded(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    """payd would never see the transfer."""
    async with open_nodes(chain, 2) as nodes, watching(nodes, sink) as watch:
        await watch.sink.reaches(0)
        with pytest.raises(NotAttempted, match="watch has not begun"):
            await watch.provider.refund(attrs.evolve(OPERATION, asset="0x20c0" + "0" * 35 + "9"))


async def test_instructions_leave_nothing_to_find(chain: ScriptedChain, sink: MemorySink) -> None:
    ref = RefundRef(
        operation_id=OPERATION.operation_id,
        refund_id=REFUND_ID,
        reference=None,
        payment_id=OPERATION.payment_id,
        payment_reference=OPERATION.reference,
        aliases=(),
        asset=USDC,
        amount=40,
        create_time=NOON,
    )
    async with open_nodes(chain, 2) as nodes, watching(nodes, sink) as watch:
        await asked(watch)
        assert await watch.provider.fetch_refund(ref) == Absent()


def _is_refund(report: Observation) -> bool:
    return isinstance(report.fact, RefundSnapshot)

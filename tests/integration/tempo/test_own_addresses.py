"""The provider with an address for each payment, on a scripted chain."""

from typing import Any

import attrs
import pytest
from integration.tempo.test_provider_on_chain import NOON, PAYMENT_ID, an_operation
from integration.tempo.watching import (
    PAYER,
    STRANGER,
    US,
    USDC,
    MemorySink,
    Watch,
    a_chain,
    watching,
)
from tempo_provider.companion.scripted.chain import ScriptedChain
from tempo_provider.companion.scripted.events import to_virtual, transfer
from tempo_provider.companion.scripted.node import Says, open_node
from tempo_provider.virtual import virtual_address

from payd.plugins import (
    Created,
    CreateOperation,
    CryptoTransfer,
    InvalidRequest,
    Misconfigured,
    NotAttempted,
    PaymentRef,
    ProviderStatus,
    RefundOperation,
)

MASTER_ID = "0x58e21090"
OWN = virtual_address(MASTER_ID, 7)


@pytest.fixture
def chain() -> ScriptedChain:
    chain = a_chain()
    chain.masters[MASTER_ID] = US
    return chain


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


def tagged(watch: Watch, tag: int | None = 7) -> CreateOperation:
    """An operation as payd sends it: prepared with a tag, and sent without."""
    operation = attrs.evolve(an_operation(watch), parameters={}, tag=tag)
    return attrs.evolve(operation, parameters=watch.provider.prepare(operation), tag=None)


def reference_of(created: Created) -> PaymentRef:
    """As payd passes it to `cancel`."""
    return PaymentRef(
        operation_id="op-1",
        payment_id=PAYMENT_ID,
        reference=created.reference,
        asset=USDC,
        create_time=NOON,
        aliases=created.aliases,
    )


async def test_a_payment_has_an_address_that_a_plain_transfer_can_pay(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node, watching([node], sink, master_id=MASTER_ID) as watch:
        created = await watch.provider.create(tagged(watch))
    action = created.next_action
    assert isinstance(action, CryptoTransfer)
    assert created.aliases == (OWN,)
    assert action.receiver_address == OWN
    assert action.payment_uri == f"ethereum:{USDC}@1337/transfer?address={OWN}&uint256=149"
    assert action.memo_text.isalnum(), "a memo may be added"


@pytest.mark.parametrize(("master_id", "tag"), [(None, 7), (MASTER_ID, None)])
async def test_without_a_master_or_a_tag_the_account_is_the_receiver(
    chain: ScriptedChain, sink: MemorySink, master_id: str | None, tag: int | None
) -> None:
    async with open_node(chain) as node, watching([node], sink, master_id=master_id) as watch:
        created = await watch.provider.create(tagged(watch, tag))
    action = created.next_action
    assert isinstance(action, CryptoTransfer)
    assert (action.receiver_address, created.aliases) == (US, ())


async def test_a_payment_keeps_its_address_whatever_the_settings_say_later(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node:
        async with watching([node], sink, master_id=MASTER_ID) as watch:
            await sink.reaches(3)
            operation = tagged(watch)
        async with watching([node], sink) as watch:
            assert (await watch.provider.create(operation)).aliases == (OWN,)


async def test_what_arrives_at_the_address_stops_a_cancellation(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node, watching([node], sink, master_id=MASTER_ID) as watch:
        await sink.reaches(3)
        created = await watch.provider.create(tagged(watch))
        at = sink.stored
        assert (await watch.provider.cancel(reference_of(created))).status is ProviderStatus.OPEN

        chain.send(to_virtual(USDC, PAYER, OWN, US, 100))
        chain.send(transfer(USDC, PAYER, US, 20, created.reference))
        chain.send(to_virtual(USDC, PAYER, virtual_address(MASTER_ID, 8), US, 5))
        chain.settle()
        await sink.reaches(4)
        sink.stored = at
        snapshot = await watch.provider.cancel(reference_of(created))
        assert (snapshot.status, snapshot.received) == (ProviderStatus.PROCESSING, 120)


@pytest.mark.parametrize(
    ("masters", "why"),
    [({}, "is not registered"), ({MASTER_ID: STRANGER}, f"is of {STRANGER}, not of {US}")],
)
async def test_a_master_that_is_not_ours_stops_the_start(
    chain: ScriptedChain, sink: MemorySink, masters: dict[str, str], why: str
) -> None:
    chain.masters = masters
    async with open_node(chain) as node:
        with pytest.raises(Misconfigured, match=why):
            async with watching([node], sink, master_id=MASTER_ID):
                pass


async def test_a_node_that_is_away_does_not_stop_the_start_and_is_not_ready(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node:
        node.behaves(Says(status=503))
        async with watching([node], sink, master_id=MASTER_ID) as watch:
            with pytest.raises(NotAttempted):
                await watch.provider.health()
            node.heals()
            await watch.provider.health()


async def test_no_refund_goes_to_an_address_of_ours(chain: ScriptedChain, sink: MemorySink) -> None:
    async with open_node(chain) as node, watching([node], sink, master_id=MASTER_ID) as watch:
        refund: Any = attrs.make_class("Asked", ["destination", "asset"])(OWN, USDC)
        operation: RefundOperation = refund
        with pytest.raises(InvalidRequest, match="our own account"):
            await watch.provider.refund(operation)

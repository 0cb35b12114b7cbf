"""The provider with an address for each payment, on a scripted chain."""

from uuid import UUID

import attrs
import pytest
from integration.tempo.test_provider_on_chain import NOON, PAYMENT_ID, an_operation
from integration.tempo.watching import (
    CHAIN_ID,
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
from tempo_provider.cursor import Cursor, Opening, Point
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
OTHER_MASTER_ID = "0x00c0ffee"
OWN = virtual_address(MASTER_ID, 7)
FOREIGN = virtual_address("0x01020304", 7)
REFUND_ID = UUID("01890000-0000-7000-8000-00000000000f")


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


def a_refund(destination: str) -> RefundOperation:
    """Of 40 base units."""
    return RefundOperation(
        operation_id="op-2",
        refund_id=REFUND_ID,
        payment_id=PAYMENT_ID,
        reference="0x" + "5a" * 32,
        aliases=(),
        amount=40,
        asset=USDC,
        is_all=False,
        reason="broken",
        destination=destination,
        create_time=NOON,
    )


@pytest.mark.parametrize("master_id", [MASTER_ID, OTHER_MASTER_ID, None])
async def test_no_refund_goes_to_an_address_of_ours(
    chain: ScriptedChain, sink: MemorySink, master_id: str | None
) -> None:
    """Whichever id of our account's the settings name."""
    chain.masters[OTHER_MASTER_ID] = US
    async with open_node(chain) as node, watching([node], sink, master_id=master_id) as watch:
        await sink.reaches(3)
        with pytest.raises(InvalidRequest, match="our own account"):
            await watch.provider.refund(a_refund(OWN))


async def test_no_refund_goes_to_an_account_of_the_past(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node:
        async with watching([node], sink):
            await sink.reaches(3)
        async with watching([node], sink, receiver_address=STRANGER) as watch:
            for ours in (US, OWN):
                with pytest.raises(InvalidRequest, match="our own account"):
                    await watch.provider.refund(a_refund(ours))


async def test_a_refund_waits_while_nobody_says_whose_an_address_is(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    async with open_node(chain) as node, watching([node], sink) as watch:
        await sink.reaches(3)
        node.behaves(Says(status=503), "eth_call")
        with pytest.raises(NotAttempted, match="the chain cannot be read"):
            await watch.provider.refund(a_refund(FOREIGN))


async def test_a_refund_to_a_customers_own_address_carries_its_memo(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    """An exchange's deposit address: the memo tells our refund from other transfers."""
    chain.masters[FOREIGN[:10]] = STRANGER
    async with open_node(chain) as node, watching([node], sink, master_id=MASTER_ID) as watch:
        await sink.reaches(3)
        action = (await watch.provider.refund(a_refund(FOREIGN))).next_action
    assert isinstance(action, CryptoTransfer)
    assert action.receiver_address == FOREIGN
    assert "/transferWithMemo?" in action.payment_uri
    assert action.payment_uri.endswith(f"&bytes32={action.memo}")


async def test_the_account_is_no_name_of_a_payment_even_if_it_is_virtual(
    chain: ScriptedChain, sink: MemorySink
) -> None:
    """Older settings may have named one: all payments would have it."""
    block = chain.blocks[3]
    point = Point(number=3, hash=block.hash, time=NOON)
    opening = Opening(account=OWN, token=USDC, block=3, units=0)
    sink.stored = Cursor(chain_id=CHAIN_ID, point=point, openings=(opening,)).dumps()
    async with open_node(chain) as node, watching([node], sink) as watch:
        operation = an_operation(watch)
        prepared = {**operation.parameters, "receiver_address": OWN, "account": OWN}
        created = await watch.provider.create(attrs.evolve(operation, parameters=prepared))
        assert created.aliases == ()
        assert isinstance(created.next_action, CryptoTransfer)
        assert "/transferWithMemo?" in created.next_action.payment_uri

        at = sink.stored
        chain.send(to_virtual(USDC, PAYER, OWN, US, 100))
        chain.settle()
        await sink.reaches(4)
        sink.stored = at
        older = attrs.evolve(reference_of(created), aliases=(OWN,))
        assert (await watch.provider.cancel(older)).received == 0

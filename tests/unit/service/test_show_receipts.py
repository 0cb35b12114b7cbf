"""The receipts in an answer about one payment, and what lists and events leave out."""

from datetime import timedelta
from typing import Any

import attrs
import pytest
from payd_client.proto import payment_pb2 as pb
from unit.service.situations import in_tokens, on_a_chain, receipt, received
from unit.service.world import CALLER, USDC, World

from payd.domain.evidence import ProviderStatus, Receipt, ReceiptState
from payd.domain.payment import Payment, Status
from payd.plugins.interface import CryptoCurrency
from payd.service import show_receipts
from payd.service.show_receipts import (
    RECEIPTS_MAX,
    ShowReceipts,
    token_of,
    transaction_page,
    web_address,
)
from payd.transport.grpc.handlers import Handlers
from payd.transport.grpc.one_call import Call

HASH = "0x" + "9f" * 32
EXPLORED = attrs.evolve(USDC, transaction_url="https://explore.example/tx/{transaction}")
CALL = Call(origin=CALLER, wait_s=1.0, budget_s=1.0)


@pytest.fixture
def chain() -> World:
    return on_a_chain()


async def asked(world: World, payment: Payment) -> pb.Payment:
    request = pb.GetPaymentRequest(payment_id=str(payment.id))
    return (await Handlers(world.services).get_payment(request, CALL)).payment


async def test_an_answer_has_the_arrivals_of_the_money_oldest_first(chain: World) -> None:
    payment = await in_tokens(chain)
    details = {"transaction": HASH, "sender": "0x" + "5e" * 20}
    first = receipt(chain, "0xaa:1", 70_000_000, details=details)
    second = receipt(chain, "0xbb:1", 79_000_001, details={})
    for one in (second, attrs.evolve(first, time=second.time - timedelta(seconds=1))):
        await received(chain, payment, one)

    answer = await asked(chain, payment)
    arrived, other = answer.receipts
    assert (arrived.id, arrived.transaction, arrived.sender) == (first.id, HASH, details["sender"])
    assert (arrived.asset, arrived.state) == (USDC.token_address, pb.RECEIPT_STATE_CONFIRMED)
    assert (other.id, other.transaction, other.sender, other.explorer_url) == (
        second.id,
        "",
        "",
        "",
    )
    assert other.amount == pb.Money(currency_code="USD", minor_units=7900)
    assert other.amount_base_units == "79000001"
    assert answer.receipts_total == 2


async def test_a_list_of_payments_and_an_event_leave_receipts_out(chain: World) -> None:
    payment = await in_tokens(chain)
    await received(chain, payment, receipt(chain, "0xaa:1", 149_000_000))

    listed = await Handlers(chain.services).list_payments(pb.ListPaymentsRequest(), CALL)
    await chain.settle_and_publish()
    [event] = chain.publisher.published
    assert not listed.payments[0].receipts
    assert not listed.payments[0].HasField("receipts_total")
    assert b"0xaa:1" not in event.body
    assert b"receipts_total" not in event.body


async def test_a_payment_that_only_waits_costs_no_look_into_the_ledger(world: World) -> None:
    unreadable: Any = None
    show = ShowReceipts(receipts=unreadable, providers=world.providers)
    assert (await show.receipts_of(await world.initiate())).total == 0


@pytest.mark.parametrize(
    ("changes", "may_have"),
    [
        ({"version": 1, "status": Status.CREATING}, False),
        ({"version": 2}, False),
        # Its first change was a report: money, or the object itself.
        ({"version": 2, "status": Status.CREATING}, True),
        ({"version": 2, "provider_status": ProviderStatus.OPEN}, True),
        ({"version": 2, "status": Status.COMPLETED}, True),
        ({"version": 3}, True),
    ],
)
async def test_only_a_payment_without_reports_has_surely_no_receipts(
    world: World, changes: dict[str, Any], may_have: bool
) -> None:
    payment = await world.initiate()
    assert attrs.evolve(payment, **changes).may_have_receipts is may_have


async def test_of_a_flood_the_newest_are_shown_and_all_are_counted(chain: World) -> None:
    payment = await in_tokens(chain)
    start = receipt(chain, "r", 1).time
    for number in range(RECEIPTS_MAX + 5):
        one = receipt(chain, f"r{number:03}", 1, time=start + timedelta(seconds=number))
        await received(chain, payment, one)

    answer = await asked(chain, payment)
    assert answer.receipts_total == RECEIPTS_MAX + 5
    assert [one.id for one in answer.receipts] == [
        f"r{number:03}" for number in range(5, RECEIPTS_MAX + 5)
    ]


async def test_the_newest_receipts_are_read_where_they_are_not_given(
    chain: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show_receipts, "RECEIPTS_MAX", 2)
    payment = await in_tokens(chain)
    show = ShowReceipts(receipts=chain.store.ledger, providers=chain.providers)
    for number in range(3):
        await received(chain, payment, receipt(chain, f"r{number}", 1))
    shown = await show.receipts_of(await chain.newest(payment))
    assert ([one.id for one in shown.newest], shown.total) == (["r1", "r2"], 3)


# -- the page in an explorer -----------------------------------------------------------------------


def paid_by(transaction: str) -> Receipt:
    return Receipt(
        id="r1",
        asset=USDC.token_address,
        amount=1,
        state=ReceiptState.CONFIRMED,
        time=on_a_chain().clock.now(),
        details={"transaction": transaction} if transaction else {},
    )


@pytest.mark.parametrize(
    ("token", "transaction", "page"),
    [
        (EXPLORED, HASH, f"https://explore.example/tx/{HASH}"),
        (EXPLORED, "", ""),
        (EXPLORED, "../../login?next=//evil", ""),
        (USDC, HASH, ""),
        (None, HASH, ""),
        (attrs.evolve(EXPLORED, transaction_url="javascript:{transaction}"), HASH, ""),
        (attrs.evolve(EXPLORED, transaction_url="http://[{transaction}"), HASH, ""),
    ],
)
def test_only_a_page_of_the_web_is_linked(
    token: CryptoCurrency | None, transaction: str, page: str
) -> None:
    assert transaction_page(token, paid_by(transaction)) == page


@pytest.mark.parametrize(
    ("url", "is_web"),
    [
        ("https://a.example/x", True),
        ("http://a.example/x", True),
        ("https:///x", False),
        ("ftp://a.example/x", False),
    ],
)
def test_a_web_address_has_a_scheme_of_the_web_and_a_host(url: str, is_web: bool) -> None:
    assert web_address(url) == (url if is_web else "")


async def test_a_payment_in_no_token_has_no_explorer(chain: World) -> None:
    registered = chain.providers.by_method("crypto")
    assert registered is not None
    assert token_of(await chain.initiate(), registered.method) is None


async def test_the_link_is_that_of_the_token_that_is_due(chain: World) -> None:
    payment = await in_tokens(chain)
    details = {"transaction": HASH}
    await received(chain, payment, receipt(chain, "0xaa:1", 149_000_000, details=details))
    registered = chain.providers.by_method("crypto")
    assert registered is not None

    def offered(*tokens: CryptoCurrency) -> Any:
        method = attrs.evolve(registered.method, crypto_currencies=tokens)
        return type(chain.providers)(attrs.evolve(registered, method=method))

    async def page(*tokens: CryptoCurrency) -> str:
        show = ShowReceipts(receipts=chain.store.ledger, providers=offered(*tokens))
        return (await show.receipts_of(await chain.newest(payment))).pages.get("0xaa:1", "")

    assert await page(EXPLORED) == f"https://explore.example/tx/{HASH}"
    upper = EXPLORED.token_address.upper()
    assert await page(attrs.evolve(EXPLORED, token_address=upper)) != ""
    assert await page(attrs.evolve(EXPLORED, chain_id=1), EXPLORED) != ""
    assert await page(attrs.evolve(EXPLORED, chain_id=1)) == ""
    assert await page() == ""

    chain.providers.disabled = True
    show = ShowReceipts(receipts=chain.store.ledger, providers=chain.providers)
    shown = await show.receipts_of(await chain.newest(payment))
    assert (shown.total, shown.pages) == (1, {})

"""The kit's folding: payd's own rules make the payment, in every order, and it is compared."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest

from payd.domain.decide import Rules
from payd.domain.evidence import Created, ProviderStatus, Receipt, ReceiptState, Snapshot
from payd.domain.money import Money
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundSnapshot, RefundState, RefundStatus
from payd.plugins import CreateOperation
from payd.plugins.testing.folding import Piece, Truth, compare, fold, orders, stored
from payd.plugins.testing.registry import Failed
from payd.service.operation import create_operation

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PAYMENT_ID = UUID(int=7)
OPERATION = CreateOperation(
    operation_id=f"payd:{PAYMENT_ID}:create:v1",
    payment_id=PAYMENT_ID,
    method="acme",
    amount=Money(currency_code="USD", minor_units=14_900),
    crypto=None,
    items=(),
    customer_id="customer-1",
    create_time=NOW,
    expire_time=NOW + timedelta(minutes=30),
    return_url="",
    cancel_url="",
    metadata={"order": "1"},
)


def piece(evidence: Any, channel: str = "the scan") -> Piece:
    return Piece(channel=channel, evidence=evidence)


def receipt(name: str, amount: int, **other: Any) -> Receipt:
    usual = {"asset": "USD", "state": ReceiptState.CONFIRMED, "time": NOW}
    return Receipt(id=name, amount=amount, **{**usual, **other})


def snapshot(received: int, **other: Any) -> Snapshot:
    status = ProviderStatus.PAID if received >= 14_900 else ProviderStatus.OPEN
    usual = {"status": status, "asset": "USD", "confirmed": received, "as_of": NOW}
    return Snapshot(received=received, **{**usual, **other})


def folded(*evidence: Any, now: datetime = NOW, batch: int = 1) -> Payment:
    created = Created(reference="ch_1", next_action=None)
    pieces = [piece(one) for one in (created, *evidence)]
    return fold(stored(OPERATION, "acme"), pieces, now, Rules(), batch)


def test_the_payment_is_the_one_that_payd_sends_the_operation_of() -> None:
    assert create_operation(stored(OPERATION, "acme")) == OPERATION


@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_parts_are_added_up_however_many_are_decided_on_at_once(batch: int) -> None:
    parts = [(receipt("a", 10_000),), (receipt("a", 10_000),), (receipt("b", 4_900),)]
    payment = folded(*parts, batch=batch)
    assert (payment.status, payment.confirmed) == (Status.COMPLETED, 14_900)


def test_receipts_are_summed_again_when_the_payment_was_closed_early() -> None:
    first = receipt("a", 100, state=ReceiptState.SEEN)
    dropped = attrs.evolve(first, state=ReceiptState.DROPPED)
    later = NOW + timedelta(minutes=1)
    closed = snapshot(0, status=ProviderStatus.CANCELED, as_of=later)
    evidence = ((first,), (receipt("b", 50),), (dropped,), closed, (receipt("c", 14_850),))
    payment = folded(*evidence, now=later)
    assert (payment.status, payment.confirmed) == (Status.COMPLETED, 14_900)


def test_a_few_reports_are_folded_in_every_order_and_many_in_some() -> None:
    few = [piece((receipt(name, 1),)) for name in "abc"]
    found = {
        tuple(one.evidence[0].id for one in order)  # type: ignore[index]  # receipts
        for _, order, _ in orders(few)
    }
    assert len([order for order in found if len(order) == 3]) == 6
    assert any(len(order) == 6 for order in found), "with repetitions"
    many = [piece((receipt(str(number), 1),)) for number in range(20)]
    drawn = list(orders(many))
    assert 20 < len(drawn) < 50
    assert all(
        {one.evidence for one in order} == {one.evidence for one in many} for _, order, _ in drawn
    )


def test_the_worst_mistake_is_seen() -> None:
    """100.00 of 149.00 under two ids completes a payment with 200.00."""
    paid = Truth(due=14_900, confirmed=10_000)
    good = folded((receipt("pm_1", 10_000),), (receipt("pm_1", 10_000),))
    compare(good, paid, "by all")
    bad = folded((receipt("hook-1", 10_000),), (receipt("pm_1", 10_000),))
    assert bad.status is Status.COMPLETED
    with pytest.raises(Failed, match=r"10000 of 14900 were paid; but by all, .* COMPLETED"):
        compare(bad, paid, "by all")


@pytest.mark.parametrize(
    ("evidence", "truth"),
    [
        ((receipt("a", 14_900, state=ReceiptState.SEEN),), Truth(due=14_900, confirmed=14_900)),
        ((receipt("a", 14_900),), Truth(due=14_900, unfinal=14_900)),
        ((receipt("a", 14_900, asset="EUR"),), Truth(due=14_900, confirmed=14_900)),
        (snapshot(100, due=14_900), Truth(due=14_900, confirmed=101)),
        (snapshot(14_900, due=15_000), Truth(due=14_900, confirmed=14_900)),
    ],
)
def test_what_is_not_true_is_refused(evidence: Any, truth: Truth) -> None:
    with pytest.raises(Failed):
        compare(folded(evidence), truth, "by the scan")


def test_a_contradiction_says_what_came_and_what_it_means() -> None:
    bad = folded(snapshot(0, status=ProviderStatus.PAID))
    with pytest.raises(Failed) as failed:
        compare(bad, Truth(due=14_900, confirmed=14_900), "by fetch alone")
    said = str(failed.value)
    assert said.startswith("14900 of 14900 were paid; but by fetch alone, payd's payment is ")
    assert "with AMOUNT_MISMATCH (paid with 0), expected no contradiction: " in said
    assert said.endswith("or is PAID with less confirmed than is due")


def test_one_channel_may_know_less_and_never_more() -> None:
    truth = Truth(due=14_900, confirmed=14_900)
    compare(folded(), truth, "by fetch alone", partial=True, one_channel=True)
    with pytest.raises(Failed):
        compare(folded(), truth, "by all")
    more = folded(snapshot(14_901))
    with pytest.raises(Failed, match="confirmed 14901"):
        compare(more, truth, "by fetch alone", partial=True, one_channel=True)


def test_refunds_are_compared_one_by_one() -> None:
    refund = RefundSnapshot(
        reference="re_1", state=RefundState.SUCCEEDED, asset="USD", amount=100, time=NOW
    )
    payment = folded(snapshot(14_900), refund)
    done = Truth(due=14_900, confirmed=14_900, refunds=((100, RefundStatus.SUCCEEDED),))
    compare(payment, done, "by all")
    on_its_way = attrs.evolve(done, refunds=((100, RefundStatus.PENDING),))
    for one_channel in (False, True):
        with pytest.raises(Failed, match=r"the refunds are 100 PENDING; but .* 100 SUCCEEDED"):
            compare(payment, on_its_way, "by all", one_channel=one_channel)
    total = attrs.evolve(refund, reference="re_2", amount=300)
    two = attrs.evolve(done, refunds=(*done.refunds, (200, RefundStatus.SUCCEEDED)))
    with pytest.raises(Failed, match="300 SUCCEEDED"):
        compare(folded(snapshot(14_900), refund, total), two, "by all")

"""Payments and evidence with defaults, so that a test names only what matters to it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs

from payd.domain.decide import Rules, decide
from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.evidence import Created, Evidence, ProviderStatus, Receipt, ReceiptState, Snapshot
from payd.domain.money import Money, TokenTerms
from payd.domain.next_action import Redirect
from payd.domain.outcome import Asking, Failure
from payd.domain.payment import Customer, LineItem, Payment, Status
from payd.domain.refund import Refund, RefundSnapshot, RefundState, RefundStatus
from payd.domain.sums import sum_receipts

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
EXPIRY = NOW + timedelta(minutes=30)
DUE = 500
USD = Money(currency_code="USD", minor_units=DUE)
TOKEN = "0x" + "c0" * 20
TERMS = TokenTerms(
    currency="USDC", chain_id=1, token_address=TOKEN, decimals=6, due_base_units=5_000_000
)


def at(minutes: float) -> datetime:
    """So long after the creation."""
    return NOW + timedelta(minutes=minutes)


def a_payment(status: Status = Status.CREATING, **overrides: Any) -> Payment:
    """A payment as it comes to stand in a status by the ordinary way."""
    defaults: dict[str, Any] = {
        "id": UUID(int=1),
        "idempotency_key": "key",
        "request_hash": bytes(32),
        "customer": Customer(id="user"),
        "method": "card",
        "provider": "mock",
        "amount": USD,
        "items": (LineItem(chain_profile_id="c", node_type="n", duration="d", unit_price=USD),),
        "pricing_version": "v",
        "create_time": NOW,
        "update_time": NOW,
        "expire_time": EXPIRY,
        "status": status,
    }
    if status is not Status.CREATING:
        defaults |= {"provider_reference": "ref", "asking": Asking.ANSWERED}
    if status is Status.COMPLETED:
        defaults |= {"snapshot_received": DUE, "snapshot_confirmed": DUE, "complete_time": NOW}
    if status in (Status.CANCELED, Status.EXPIRED, Status.FAILED):
        defaults |= {"close_time": NOW}
    return Payment(**(defaults | overrides))


def a_snapshot(
    status: ProviderStatus = ProviderStatus.OPEN, *, minutes: float = 1, **overrides: Any
) -> Snapshot:
    """The provider's object at some minute; PAID has the due sum confirmed."""
    paid = DUE if status is ProviderStatus.PAID else 0
    defaults: dict[str, Any] = {
        "asset": "USD",
        "received": paid,
        "confirmed": paid,
        "as_of": at(minutes),
    }
    return Snapshot(status=status, **(defaults | overrides))


def a_receipt(id: str = "r1", amount: int = DUE, **overrides: Any) -> Receipt:
    """One confirmed arrival."""
    defaults: dict[str, Any] = {"asset": "USD", "state": ReceiptState.CONFIRMED, "time": at(1)}
    return Receipt(id=id, amount=amount, **(defaults | overrides))


def a_refund(status: RefundStatus = RefundStatus.CREATING, **overrides: Any) -> Refund:
    """A refund of 100 as it comes to stand in a status by the ordinary way."""
    asked = status not in (RefundStatus.CREATING, RefundStatus.AWAITING_APPROVAL)
    defaults: dict[str, Any] = {
        "id": UUID(int=9),
        "status": status,
        "amount": 100,
        "idempotency_key": "refund-key",
        "requester": "main-app",
        "create_time": NOW,
        "update_time": NOW,
        "asking": Asking.ANSWERED if asked else Asking.NOT_ATTEMPTED,
    }
    if status in (RefundStatus.PENDING, RefundStatus.SUCCEEDED, RefundStatus.FAILED):
        defaults |= {"provider_reference": "re_1"}
    if status is RefundStatus.AWAITING_TRANSFER:
        defaults |= {"next_action": Redirect(url="https://send.example")}
    if status is RefundStatus.SUCCEEDED:
        defaults |= {"complete_time": NOW}
    if status is RefundStatus.FAILED:
        defaults |= {"failure": Failure(code="expired_card", message="No.")}
    return Refund(**(defaults | overrides))


def refunded(*refunds: Refund, **overrides: Any) -> Payment:
    """A completed payment with these refunds."""
    return a_payment(Status.COMPLETED, refunds=refunds, **overrides)


def a_report(
    state: RefundState = RefundState.SUCCEEDED, reference: str = "re_1", **overrides: Any
) -> RefundSnapshot:
    """The provider's report of the refund of 100."""
    defaults: dict[str, Any] = {
        "asset": "USD",
        "amount": 100,
        "time": at(1),
        "refund_id": UUID(int=9),
    }
    return RefundSnapshot(reference=reference, state=state, **(defaults | overrides))


def a_dispute(
    status: DisputeStatus = DisputeStatus.NEEDS_RESPONSE, *, minutes: float = 1, **overrides: Any
) -> Dispute:
    """A dispute of all the money, as reported at some minute."""
    defaults: dict[str, Any] = {"id": "dp_1", "asset": "USD", "amount": DUE, "open_time": NOW}
    return Dispute(status=status, as_of=at(minutes), **(defaults | overrides))


def created(reference: str = "ref", **overrides: Any) -> Created:
    """The provider's answer."""
    return Created(
        reference=reference, next_action=Redirect(url="https://pay.example"), **overrides
    )


def reread(payment: Payment, rules: Rules | None = None) -> Payment:
    """The payment as a store reads it: with sums for the late window that it has now."""
    late_end = payment.late_end((rules or Rules()).late_window)
    return attrs.evolve(payment, sums=sum_receipts(payment.receipts, payment.expire_time, late_end))


def after(
    payment: Payment, *evidence: Evidence, minutes: float = 2, rules: Rules | None = None
) -> Payment:
    """The payment when all of it was believed, in this order."""
    for piece in evidence:
        decision = decide(reread(payment, rules), piece, at(minutes), rules)
        payment = decision.payment if decision else payment
    return payment


def facts(payment: Payment) -> tuple[Any, ...]:
    """What must not depend on the order of reports."""
    return (
        payment.received,
        payment.confirmed,
        payment.refunded,
        payment.receipts,
        payment.provider_status,
        payment.provider_status_time,
    )


def without(payment: Payment, *fields: str) -> Payment:
    """For comparing all but some fields."""
    defaults: dict[str, Any] = {field.name: field.default for field in attrs.fields(Payment)}
    return attrs.evolve(payment, **{name: defaults[name] for name in fields})

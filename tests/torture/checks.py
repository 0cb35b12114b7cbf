"""The history checker: compares what each side has; names are those of the payment model."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
from torture.evidence import Evidence
from torture.record import Deal, Record, status_of

_LIVE_REFUNDS = ("pending", "requires_action", "succeeded")


@attrs.frozen(kw_only=True)
class History:
    """Both sides of it."""

    record: Record
    evidence: Evidence
    #: Payment → how payd shows it in the end.
    last: Mapping[str, Any]

    @property
    def answered(self) -> Iterator[tuple[Deal, Any]]:
        """Each wanted payment that payd has, as it stands."""
        for deal in self.record.deals:
            if deal.id in self.last:
                yield deal, self.last[deal.id]


def problems(history: History) -> list[str]:
    """Every rule that is broken."""
    return [f"{check.__name__}: {text}" for check in CHECKS for text in check(history)]


def i1_money_at_stripe_is_known(history: History) -> Iterator[str]:
    for deal, payment in history.answered:
        paid = sum(
            session["amount_total"]
            for session in history.evidence.sessions[deal.id]
            if session["payment_status"] == "paid"
        )
        if payment.provider == "stripe" and payment.received.minor_units != paid:
            yield f"Stripe has {paid} for {deal}, payd {payment.received.minor_units}"
        if paid and status_of(payment) != "COMPLETED" and not payment.attention:
            yield f"{deal} is paid, and {status_of(payment)}"


def i1_money_on_the_chain_is_known(history: History) -> Iterator[str]:
    for deal, payment in history.answered:
        if not deal.memo:
            continue
        came = history.evidence.transfers[deal.memo]
        known = int(payment.crypto.confirmed_base_units)
        if came != known:
            yield f"{came} came on the chain for {deal}, payd has {known}"
        is_paid = came >= int(payment.crypto.due_base_units)
        if is_paid != (status_of(payment) == "COMPLETED"):
            yield f"{came} came on the chain for {deal}, which is {status_of(payment)}"


def i2_one_object_a_payment(history: History) -> Iterator[str]:
    for deal, payment in history.answered:
        usable = [s for s in history.evidence.sessions[deal.id] if s["status"] != "expired"]
        if len(usable) > 1:
            yield f"{deal} has {len(usable)} sessions, and is {status_of(payment)}"


def i3_one_event_of_a_completion(history: History) -> Iterator[str]:
    announced = {
        (message.headers["ce-id"], message.body["id"])
        for message in history.evidence.stream
        if message.subject == "payment.completed"
    }
    counts = Counter(payment_id for _, payment_id in announced)
    for deal, payment in history.answered:
        times = counts[deal.id]
        if times != (status_of(payment) == "COMPLETED"):
            yield f"{deal}, {status_of(payment)}, was announced as completed {times} times"


def i4_completed_is_paid(history: History) -> Iterator[str]:
    for deal, payment in history.answered:
        has, due = payment.received.minor_units, payment.amount.minor_units
        if status_of(payment) == "COMPLETED" and has < due:
            yield f"{deal} is completed with {has} of {due}"


def i8_each_version_has_its_audit_row(history: History) -> Iterator[str]:
    for row in history.evidence.payments.values():
        if row["version"] != row["audit_rows"]:
            yield f"{row['id']} has version {row['version']} and {row['audit_rows']} audit rows"


def i9_what_is_for_nobody_is_unmatched(history: History) -> Iterator[str]:
    memos = {deal.memo for deal in history.record.deals}
    came = sum(units for memo, units in history.evidence.transfers.items() if memo not in memos)
    unmatched = history.evidence.unmatched
    stored = sum(row["amount"] for row in unmatched if row["provider"] == "tempo")
    if came != stored:
        yield f"{came} came without a payment, and the ledger has {stored}"
    yield from (f"unmatched: {dict(row)}" for row in unmatched if row["provider"] != "tempo")


def i11_closed_is_not_payable(history: History) -> Iterator[str]:
    for deal, payment in history.answered:
        is_open = any(s["status"] == "open" for s in history.evidence.sessions[deal.id])
        if is_open and status_of(payment) in ("CANCELED", "EXPIRED", "FAILED"):
            yield f"{deal} is {status_of(payment)}, and its session can be paid"


def i15_one_key_one_payment(history: History) -> Iterator[str]:
    for deal in history.record.deals:
        if len(deal.ids) != 1:
            yield f"{deal} was answered with {deal.ids or 'nothing'}"
    wanted = {deal.key: deal.id for deal in history.record.deals}
    for row in history.evidence.payments.values():
        if wanted.get(row["idempotency_key"]) != row["id"]:
            yield f"{row['id']} is stored, and was not what its key was answered with"
    for deal in history.record.deals:
        if deal.ids and deal.id not in history.evidence.payments:
            yield f"{deal} was answered, and is not stored"


def i18_one_refund_a_key(history: History) -> Iterator[str]:
    stored = {row["idempotency_key"]: row for row in history.evidence.refunds}
    at_stripe = Counter(one["metadata"].get("refund_id") for one in history.evidence.stripe_refunds)
    for deal in history.record.deals:
        for key, amount in deal.refunds.items():
            row = stored.pop(key, None)
            if row is None or row["amount"] != amount:
                yield f"the refund {key} of {deal} is stored as {row}"
            elif at_stripe[str(row["id"])] != 1:
                yield f"Stripe has the refund {row['id']} {at_stripe[str(row['id'])]} times"
    yield from (f"nobody wanted the refund {key}" for key in stored)


def i19_refunded_is_what_stripe_refunded(history: History) -> Iterator[str]:
    gone: dict[str, int] = defaultdict(int)
    for one in history.evidence.stripe_refunds:
        if one["status"] in _LIVE_REFUNDS:
            gone[one["metadata"].get("payment_id", "")] += one["amount"]
    for deal, payment in history.answered:
        if payment.refunded.minor_units != gone[deal.id]:
            yield f"Stripe refunded {gone[deal.id]} of {deal}, payd {payment.refunded.minor_units}"


def the_callers_saw_one_history(history: History) -> Iterator[str]:
    for payment_id, versions in history.record.versions.items():
        for version, statuses in versions.items():
            if len(statuses) > 1:
                yield f"version {version} of {payment_id} was seen as {sorted(statuses)}"
        order = [status for version in sorted(versions) for status in versions[version]]
        if "COMPLETED" in order and set(order[order.index("COMPLETED") :]) != {"COMPLETED"}:
            yield f"{payment_id} was seen as {order}"
        last = history.last.get(payment_id)
        if last is not None and last.version < max(versions):
            yield f"{payment_id} is at version {last.version} after {max(versions)}"


def the_stream_has_every_event_in_order(history: History) -> Iterator[str]:
    came: dict[str, list[str]] = defaultdict(list)
    for message in history.evidence.stream:
        ids = came[message.body["id"]]
        if message.headers["ce-id"] not in ids:
            ids.append(message.headers["ce-id"])
    stored: dict[str, list[str]] = defaultdict(list)
    for row in history.evidence.outbox:
        stored[row["payment"]].append(row["id"])
    for payment_id in came.keys() | stored.keys():
        if came[payment_id] != stored[payment_id]:
            yield f"{payment_id} has the events {stored[payment_id]}, sent were {came[payment_id]}"


def every_payment_ended_as_it_had_to(history: History) -> Iterator[str]:
    for deal, payment in history.answered:
        status, wanted = status_of(payment), _ENDS[deal.kind]
        if status not in wanted and not _was_never_sent(history, deal, payment):
            yield f"{deal} ended as {status}, not {' or '.join(wanted)}"
        allowed = _ATTENTION.get(deal.kind, set()) | _attention_of_expiry(history, deal, status)
        if strange := set(payment.attention) - allowed:
            yield f"{deal} has the attention {sorted(strange)}"


def _was_never_sent(history: History, deal: Deal, payment: Any) -> bool:
    """Whether payd gave up sending, as after a step of the clock, and the provider has nothing."""
    is_given_up = payment.failure.code == "not_attempted" and payment.provider == "stripe"
    return is_given_up and not history.evidence.sessions[deal.id]


def _attention_of_expiry(history: History, deal: Deal, status: str) -> set[str]:
    """Money that came for a payment, and was too little when its time ended."""
    came = history.evidence.transfers[deal.memo] if deal.memo else 0
    return {"UNDERPAID"} if status == "EXPIRED" and came else set()


#: Kind → statuses in which such a payment may end.
_ENDS = {
    "mock": ("COMPLETED",),
    "declined": ("FAILED",),
    "mock, canceled": ("CANCELED",),
    "card": ("COMPLETED",),
    "card, refunded": ("COMPLETED",),
    "card, canceled": ("CANCELED",),
    "card, paid and canceled at once": ("COMPLETED", "CANCELED"),
    # A transfer may be lost with a reorganization or a frozen node; what the chain has in the end
    # is compared above. A payment that is not paid expires after half an hour.
    "tokens": ("COMPLETED", "PENDING", "PROCESSING", "EXPIRED"),
    "tokens, too many": ("COMPLETED", "PENDING", "EXPIRED"),
    "tokens, too few": ("PENDING", "PROCESSING", "EXPIRED"),
}
_ATTENTION = {"tokens, too many": {"OVERPAID"}}

CHECKS: tuple[Callable[[History], Iterator[str]], ...] = (
    i1_money_at_stripe_is_known,
    i1_money_on_the_chain_is_known,
    i2_one_object_a_payment,
    i3_one_event_of_a_completion,
    i4_completed_is_paid,
    i8_each_version_has_its_audit_row,
    i9_what_is_for_nobody_is_unmatched,
    i11_closed_is_not_payable,
    i15_one_key_one_payment,
    i18_one_refund_a_key,
    i19_refunded_is_what_stripe_refunded,
    the_callers_saw_one_history,
    the_stream_has_every_event_in_order,
    every_payment_ended_as_it_had_to,
)

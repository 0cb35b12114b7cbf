"""Check the invariants of the payment model on what a drill has observed. Pure.

Each check names the payments that break it. Those that nothing of a running system can show are
listed with the place that checks them.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from uuid import UUID

import attrs

from payd.domain.decide import EventType
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundState
from payd.drills.observed import Observed
from payd.plugins import ProviderStatus, RemoteObject


@attrs.frozen(kw_only=True)
class Finding:
    """One break of an invariant."""

    invariant: str
    #: None where it is about no single payment.
    payment_id: UUID | None
    text: str


@attrs.frozen(kw_only=True)
class Checked:
    """One invariant, and what breaks it."""

    invariant: str
    rule: str
    findings: Sequence[Finding] = ()
    #: Where it is checked instead; empty if it was checked here.
    elsewhere: str = ""

    @property
    def holds(self) -> bool:
        """Whether it was checked here, and nothing breaks it."""
        return not self.findings and not self.elsewhere


#: A payment and what is wrong with it.
_Broken = Iterator[tuple[UUID | None, str]]


def check_invariants(seen: Observed) -> Sequence[Checked]:
    """Check I1 to I22."""
    checked = []
    for name, (rule, check) in _INVARIANTS.items():
        if isinstance(check, str):
            checked.append(Checked(invariant=name, rule=rule, elsewhere=check))
            continue
        found = tuple(
            Finding(invariant=name, payment_id=payment_id, text=text)
            for payment_id, text in check(seen)
        )
        checked.append(Checked(invariant=name, rule=rule, findings=found))
    return checked


def _money_is_never_lost(seen: Observed) -> _Broken:
    payments = seen.stored.payments
    for _, one in seen.objects:
        payment = payments.get(one.payment_id) if one.payment_id else None
        if one.payment_id is None or one.found.snapshot.status is not ProviderStatus.PAID:
            continue
        if payment is None:
            yield one.payment_id, f"{_name(one)} is paid, and the database has no such payment"
        elif not _is_placed(payment):
            yield payment.id, f"{_name(one)} is paid, and the payment is {payment.status.value}"
    listed = {one.payment_id for _, one in seen.objects}
    for made in seen.made:
        if not made.was_paid or made.payment_id is None or made.payment_id in listed:
            continue
        payment = payments.get(made.payment_id)
        if payment is None:
            yield made.payment_id, "the customer paid, and the database has no such payment"
        elif not _is_placed(payment):
            yield made.payment_id, f"the customer paid, and the payment is {payment.status.value}"


def _is_placed(payment: Payment) -> bool:
    return payment.status is Status.COMPLETED or bool(payment.attention)


def _one_object(seen: Observed) -> _Broken:
    payable = Counter(
        one.payment_id
        for _, one in seen.objects
        if one.payment_id and one.found.snapshot.status is ProviderStatus.OPEN
    )
    for payment_id, count in payable.items():
        if count > 1:
            yield payment_id, f"{count} objects can be paid"
    by_key = _by_key(seen)
    for made in seen.made:
        stored = by_key.get(made.key)
        if made.payment_id is None or stored is None or stored.id == made.payment_id:
            continue
        if payable[made.payment_id] and payable[stored.id]:
            yield stored.id, f"can be paid, and so can {made.payment_id} of the same key"


def _one_completion(seen: Observed) -> _Broken:
    completed = defaultdict[UUID, set[str]](set)
    for event in seen.events:
        if event.subject == EventType.COMPLETED.value:
            completed[UUID(event.body["id"])].add(event.body["event_id"])
    for payment_id, ids in completed.items():
        if len(ids) > 1:
            yield payment_id, f"payment.completed has {len(ids)} ids in the stream"
        payment = seen.stored.payments.get(payment_id)
        if payment is not None and payment.status is not Status.COMPLETED:
            yield payment_id, f"was announced as completed, and is {payment.status.value}"
    for payment in seen.stored.payments.values():
        if payment.status is Status.COMPLETED and not completed[payment.id]:
            yield payment.id, "is completed, and the stream has no event of it"


def _completed_is_paid(seen: Observed) -> _Broken:
    for payment in seen.stored.payments.values():
        if payment.status is Status.COMPLETED and payment.confirmed < payment.due:
            yield payment.id, f"is completed with {payment.confirmed} of {payment.due}"


def _facts_only_grow(seen: Observed) -> _Broken:
    most = defaultdict[UUID, int](int)
    for event in seen.events:
        id_ = UUID(event.body["id"])
        most[id_] = max(most[id_], int(event.body["received"].get("minor_units", 0)))
    for made in seen.made:
        if made.seen is not None:
            most[made.seen.id] = max(most[made.seen.id], made.seen.received.minor_units)
    for payment_id, units in most.items():
        payment = seen.stored.payments.get(payment_id)
        if payment is None or payment.received * payment.amount.minor_units < units * payment.due:
            now = "no such payment" if payment is None else f"received {payment.received}"
            if units:
                yield payment_id, f"had received {units} minor units; the database has {now}"


def _failed_is_not_payable(seen: Observed) -> _Broken:
    yield from _payable(seen, (Status.FAILED,))


def _closed_is_not_payable(seen: Observed) -> _Broken:
    yield from _payable(seen, (Status.CANCELED, Status.EXPIRED))
    for _, one in seen.objects:
        if _is_open(one) and one.payment_id and one.payment_id not in seen.stored.payments:
            yield one.payment_id, f"{_name(one)} can be paid, and the database has no such payment"


def _payable(seen: Observed, statuses: Sequence[Status]) -> _Broken:
    for _, one in seen.objects:
        payment = seen.stored.payments.get(one.payment_id) if one.payment_id else None
        if payment is not None and payment.status in statuses and _is_open(one):
            yield payment.id, f"is {payment.status.value}, and {_name(one)} can be paid"


def _a_row_for_each_change(seen: Observed) -> _Broken:
    published = {UUID(event.body["event_id"]) for event in seen.events}
    written = {row.event_id for row in seen.stored.outbox}
    for payment in seen.stored.payments.values():
        versions = seen.stored.versions.get(payment.id, ())
        if list(versions) != [*range(1, payment.version + 1)]:
            yield payment.id, f"version {payment.version} has the audit rows {list(versions)}"
    for row in seen.stored.outbox:
        if row.is_published and row.event_id not in published:
            yield row.payment_id, f"{row.subject} {row.event_id} is not in the stream"
        elif not row.is_published:
            yield row.payment_id, f"{row.subject} {row.event_id} waits to be published"
    for event in seen.events:
        if UUID(event.body["event_id"]) not in written:
            text = f"{event.subject} {event.body['event_id']} is in the stream only"
            yield UUID(event.body["id"]), text


def _the_ledger_is_complete(seen: Observed) -> _Broken:
    booked = defaultdict[UUID, int](int)
    for receipt in seen.stored.receipts:
        if receipt.payment_id and receipt.state == "CONFIRMED":
            booked[receipt.payment_id] += receipt.amount
    paid_on_chain = [
        made for made in seen.made if made.was_paid and made.kind.method == "crypto" and made.seen
    ]
    unmatched = [one for one in seen.stored.receipts if one.payment_id is None]
    for made in paid_on_chain:
        due = made.seen.crypto.due_base_units if made.seen and made.seen.crypto else 0
        if made.seen is None or booked[made.seen.id] >= due:
            continue
        if any(one.amount == due for one in unmatched):
            yield made.seen.id, f"{due} base units wait as an unmatched receipt"
        else:
            yield made.seen.id, f"{due} base units were sent; the ledger has {booked[made.seen.id]}"


def _the_trail_gives_the_rows(seen: Observed) -> _Broken:
    for payment in seen.stored.payments.values():
        replayed = seen.stored.replayed.get(payment.id)
        if replayed is None or _essence(replayed) != _essence(payment):
            yield payment.id, "replaying its audit trail gives another payment"


def _essence(payment: Payment) -> tuple[object, ...]:
    return (
        *(payment.version, payment.status, payment.provider_reference, payment.confirmed),
        *(payment.refunded, payment.attention, payment.expire_time),
    )


def _reports_are_settled(seen: Observed) -> _Broken:
    for (provider, event_id), is_settled in seen.stored.inbox.items():
        if not is_settled:
            yield (
                None,
                f"report {event_id} of {provider} waits to be settled",
            )


def _one_key_one_payment(seen: Observed) -> _Broken:
    stored = _by_key(seen)
    for made in seen.made:
        if made.payment_id is None:
            continue
        payment = stored.get(made.key)
        if payment is None:
            yield made.payment_id, f"its key {made.key} is unknown: a repeated call pays twice"
        elif payment.id != made.payment_id:
            yield made.payment_id, f"its key {made.key} now gives {payment.id}"


def _no_secret_escapes(seen: Observed) -> _Broken:
    yield from ((None, leak) for leak in seen.leaks)


def _no_refund_beyond_the_money(seen: Observed) -> _Broken:
    for _, one in seen.objects:
        back = _refunded(one, (RefundState.PENDING, RefundState.SUCCEEDED))
        if back > one.found.snapshot.received:
            yield one.payment_id, f"{back} of {one.found.snapshot.received} went back"


def _one_refund_a_key(seen: Observed) -> _Broken:
    for _, one in seen.objects:
        counts = Counter(refund.refund_id for refund in one.found.snapshot.refunds)
        for refund_id, count in counts.items():
            if refund_id and count > 1:
                yield one.payment_id, f"refund {refund_id} was sent {count} times"
    for made in seen.made:
        payment = seen.stored.payments.get(made.payment_id) if made.payment_id else None
        known = {one.idempotency_key: one.id for one in payment.refunds} if payment else {}
        for key, refund_id in made.refunds.items():
            if key not in known:
                yield made.payment_id, f"its refund key {key} is unknown: a repeated call refunds"
            elif known[key] != refund_id:
                yield made.payment_id, f"its refund key {key} now gives {known[key]}"


def _refunded_as_the_provider_says(seen: Observed) -> _Broken:
    for _, one in seen.objects:
        payment = seen.stored.payments.get(one.payment_id) if one.payment_id else None
        back = _refunded(one, (RefundState.SUCCEEDED,))
        if payment is not None and payment.refunded != back:
            yield payment.id, f"shows {payment.refunded} refunded, the provider {back}"
        elif payment is None and back:
            yield one.payment_id, f"{back} went back, and the database has no such payment"


def _the_price_is_charged(seen: Observed) -> _Broken:
    for _, one in seen.objects:
        payment = seen.stored.payments.get(one.payment_id) if one.payment_id else None
        due = one.found.snapshot.due
        if payment is not None and due not in (None, payment.due):
            yield payment.id, f"{_name(one)} charges {due}, the price was {payment.due}"
    for made in seen.made:
        payment = seen.stored.payments.get(made.payment_id) if made.payment_id else None
        seen_units = made.seen.amount.minor_units if made.seen else None
        if payment is not None and seen_units not in (None, payment.amount.minor_units):
            yield payment.id, f"costs {payment.amount}, and its customer saw another price"


def _the_chain_verifies(seen: Observed) -> _Broken:
    if seen.stored.audit is None:
        yield None, seen.stored.audit_problem


def _by_key(seen: Observed) -> Mapping[str, Payment]:
    return {payment.idempotency_key: payment for payment in seen.stored.payments.values()}


def _is_open(one: RemoteObject) -> bool:
    return one.found.snapshot.status is ProviderStatus.OPEN


def _name(one: RemoteObject) -> str:
    return one.found.created.reference


def _refunded(one: RemoteObject, states: Sequence[RefundState]) -> int:
    return sum(refund.amount for refund in one.found.snapshot.refunds if refund.state in states)


_PROPERTIES = "tests/unit/domain, on random histories"
#: Name → what it says, and its check or the place of its check.
_INVARIANTS: Mapping[str, tuple[str, Callable[[Observed], _Broken] | str]] = {
    "I1": ("money that came ends in COMPLETED or in attention", _money_is_never_lost),
    "I2": ("a payment has at most one object that can be paid", _one_object),
    "I3": ("a payment is announced as completed exactly once", _one_completion),
    "I4": ("COMPLETED has its whole sum", _completed_is_paid),
    "I5": ("decisions do not depend on order and repetition", _PROPERTIES),
    "I6": ("sums that were known do not shrink", _facts_only_grow),
    "I7": ("FAILED cannot be paid", _failed_is_not_payable),
    "I8": ("each change has its audit row and its event", _a_row_for_each_change),
    "I9": ("the ledger has what was sent on the chain", _the_ledger_is_complete),
    "I10": ("a crash changes no result", "make campaign, and the other checks of this drill"),
    "I11": ("CANCELED, EXPIRED and unknown payments cannot be paid", _closed_is_not_payable),
    "I12": ("replaying the audit trail gives the stored payments", _the_trail_gives_the_rows),
    "I13": ("accepted reports are settled, or parked for an unknown payment", _reports_are_settled),
    "I14": ("a return in the browser changes nothing", "tests/browser"),
    "I15": ("an idempotency key gives the same payment for ever", _one_key_one_payment),
    "I16": ("no secret is in a log or an event", _no_secret_escapes),
    "I17": ("no more goes back than came", _no_refund_beyond_the_money),
    "I18": ("a refund key has one refund at the provider", _one_refund_a_key),
    "I19": ("refunded is what the provider refunded", _refunded_as_the_provider_says),
    "I20": ("the price that was shown is charged", _the_price_is_charged),
    "I21": ("the signed audit chain verifies", _the_chain_verifies),
    "I22": ("no degraded mode costs without bound", "tests/integration/degraded"),
}

"""What must hold when a history has come to rest; the names are those of the payment model."""

from collections import Counter
from collections.abc import Callable, Iterator

from simulation import trail_checkers
from simulation.history import History, name_of

from payd.domain.attention import Attention
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundState
from payd.plugins import ProviderStatus, ReceiptState


def problems(history: History) -> list[str]:
    """Every rule that is broken, each with its number in the payment model."""
    return [f"{check.__name__}: {text}" for check in CHECKERS for text in check(history)]


def shown(payment: Payment) -> set[Attention]:
    """The reasons for which a person was asked to look, also those that an operator has ended."""
    return {record.reason for record in payment.attention_records}


def i1_money_is_never_lost(history: History) -> Iterator[str]:
    for thing in history.rail.things.values():
        payment = _payment(history, thing.operation.payment_id)
        if thing.status is not ProviderStatus.PAID:
            continue
        if payment.status is not Status.COMPLETED and not shown(payment):
            yield f"{thing.reference} is paid, and {name_of(payment)} neither completed nor shown"


def i1_chain_money_is_never_lost(history: History) -> Iterator[str]:
    for payment in history.payments:
        came = history.chain.received(payment.id)
        if came and payment.status is not Status.COMPLETED and not shown(payment):
            yield f"{came} came on the chain, and {name_of(payment)} neither completed nor shown"


def i2_one_object_a_payment(history: History) -> Iterator[str]:
    counts = Counter(t.operation.payment_id for t in history.rail.things.values())
    yield from (f"{id_} has {count} objects" for id_, count in counts.items() if count > 1)


def i3_one_event_of_a_completion(history: History) -> Iterator[str]:
    completed = {
        row.event_id: row.payment_id
        for row in history.stream.published
        if row.subject == "payment.completed"
    }
    for payment in history.payments:
        events = [*completed.values()].count(payment.id)
        if events != (payment.status is Status.COMPLETED):
            yield f"{name_of(payment)} was announced as completed {events} times"


def i4_completed_is_paid(history: History) -> Iterator[str]:
    for payment in history.payments:
        if payment.status is Status.COMPLETED and payment.confirmed < payment.due:
            yield f"{name_of(payment)} has {payment.confirmed} of {payment.due}"


def i4_no_money_is_invented(history: History) -> Iterator[str]:
    for payment in history.payments:
        thing = history.rail.thing_of(payment.id)
        came = thing.received if thing else history.chain.received(payment.id)
        if payment.confirmed > came:
            yield f"{name_of(payment)} counts money that never came"


def i6_received_is_what_the_provider_received(history: History) -> Iterator[str]:
    for thing in history.rail.things.values():
        payment = _payment(history, thing.operation.payment_id)
        if payment.received != thing.received:
            yield f"{name_of(payment)} shows {payment.received}, the provider {thing.received}"
        if Attention.PAID_AFTER_CLOSE in payment.attention and not thing.received:
            yield f"{name_of(payment)} asks a person for money that never came"


def i7_failed_is_not_payable(history: History) -> Iterator[str]:
    for payment in history.payments:
        thing = history.rail.thing_of(payment.id)
        has_failed = payment.status is Status.FAILED
        if has_failed and thing is not None and thing.status is not ProviderStatus.DECLINED:
            yield f"{name_of(payment)} has the object {thing.reference}"


def i8_each_version_has_its_audit_row(history: History) -> Iterator[str]:
    for payment in history.payments:
        versions = [row.version for row in history.trails[payment.id]]
        if versions != [*range(1, payment.version + 1)]:
            yield f"{name_of(payment)} has the audit rows {versions}"


def i9_the_ledger_has_what_the_chain_has(history: History) -> Iterator[str]:
    final = [one for one in history.chain.transfers if not one.is_dropped]
    stored = history.receipts
    for one in final:
        if one.refund_id:
            if history.store.ledger.outflow("chain", one.id) is None:
                yield f"{one.id} left, and the ledger has no outflow"
            continue
        receipt = stored.get(one.id)
        if receipt is None or receipt.receipt.state is not ReceiptState.CONFIRMED:
            yield f"{one.id} came, and the ledger has {receipt}"
        elif str(receipt.payment_id or "") != one.owner or not one.attached <= {one.owner}:
            wanted = ", ".join([one.memo or "nobody", *sorted(one.attached)])
            yield f"{one.id} is for {wanted}, and was given to {receipt.payment_id}"
    counted = {id_ for id_, one in stored.items() if one.receipt.state is ReceiptState.CONFIRMED}
    yield from (
        f"{name} is booked, and never came" for name in sorted(counted - {t.id for t in final})
    )


def i9_the_last_audit_agrees(history: History) -> Iterator[str]:
    """In an earlier one a report may have waited, which the ledger has only when it is settled."""
    audits = [one for one in history.results.results if one.provider == "chain"]
    yield from (finding["detail"] for result in audits[-1:] for finding in result.findings)
    if history.plan.has_chain and not audits:
        yield "nobody has audited the chain"


def only_the_leader_stores_what_its_watch_reports(history: History) -> Iterator[str]:
    yield from history.usurped


def i11_closed_is_not_payable(history: History) -> Iterator[str]:
    for payment in history.payments:
        thing = history.rail.thing_of(payment.id)
        closed = payment.status in (Status.CANCELED, Status.EXPIRED)
        if closed and thing is not None and thing.status is ProviderStatus.OPEN:
            yield f"{name_of(payment)} can still be paid"


def i13_an_accepted_report_is_stored(history: History) -> Iterator[str]:
    yield from (f"{name} was accepted, and was not stored" for name in history.unstored)


def i15_one_key_one_payment(history: History) -> Iterator[str]:
    for key, answers in history.answers.items():
        if len({answer.id for answer in answers}) > 1:
            yield f"{key} gave several"
    keys = Counter(payment.idempotency_key for payment in history.payments)
    yield from (f"{key} has {count} payments" for key, count in keys.items() if count > 1)
    yield from (f"{key} was answered to a request with other contents" for key in history.reused)


def i17_no_refund_beyond_what_was_left(history: History) -> Iterator[str]:
    for thing in history.rail.things.values():
        states = (RefundState.PENDING, RefundState.SUCCEEDED)
        back = sum(one.amount for one in thing.refunds.values() if one.state in states)
        payment = _payment(history, thing.operation.payment_id)
        # What a person refunds at the provider, payd can neither know before nor prevent.
        is_shown = Attention.CONFLICTING_EVIDENCE in shown(payment)
        if back > thing.received and not ("by hand" in thing.refunds and is_shown):
            yield f"{back} of {thing.received} went back for {thing.reference}"


def i18_one_refund_a_key(history: History) -> Iterator[str]:
    for payment in history.payments:
        thing = history.rail.thing_of(payment.id)
        refunds = thing.refunds.values() if thing else ()
        counts = Counter(one.refund_id for one in refunds if one.refund_id)
        if any(count > 1 for count in counts.values()):
            yield f"{name_of(payment)} has one refund twice"


def i19_refunded_is_what_the_provider_refunded(history: History) -> Iterator[str]:
    for payment in history.payments:
        thing = history.rail.thing_of(payment.id)
        refunds = thing.refunds.values() if thing else ()
        gone = sum(one.amount for one in refunds if one.state is RefundState.SUCCEEDED)
        gone += history.chain.refunded(payment.id)
        if payment.refunded != gone:
            yield f"{name_of(payment)} shows {payment.refunded} refunded, the provider {gone}"


def i20_the_price_is_charged(history: History) -> Iterator[str]:
    for thing in history.rail.things.values():
        payment = _payment(history, thing.operation.payment_id)
        if thing.operation.amount != payment.amount:
            yield f"{thing.reference} charges {thing.due} for {name_of(payment)}"


def every_dispute_is_known(history: History) -> Iterator[str]:
    for thing in history.rail.things.values():
        stored = {one.status for one in _payment(history, thing.operation.payment_id).disputes}
        expected = {thing.dispute.status} if thing.dispute else set()
        if stored != expected:
            yield f"the dispute of {thing.reference} is stored as {stored}"


def liveness_nothing_stays_open(history: History) -> Iterator[str]:
    yield from history.open_work()


def liveness_every_daemon_serves(history: History) -> Iterator[str]:
    yield from history.unserved


def the_consumer_sees_what_is_stored(history: History) -> Iterator[str]:
    order: dict[object, list[int]] = {}
    seen = set()
    for row in history.stream.published:
        is_late = row.event_id in history.stream.lost
        if row.event_id not in seen:
            seen.add(row.event_id)
        if not is_late and row.id not in order.get(row.payment_id, ()):
            order.setdefault(row.payment_id, []).append(row.id)
    for payment_id, ids in order.items():
        if ids != sorted(ids):
            yield f"the events of {payment_id} came as {ids}"
    written = {held.row.event_id for held in history.store.outbox.rows.values()}
    if seen != written:
        yield f"{len(written - seen)} events never came"


def _payment(history: History, payment_id: object) -> Payment:
    [found] = [one for one in history.payments if one.id == payment_id]
    return found


CHECKERS: tuple[Callable[[History], Iterator[str]], ...] = (
    i1_money_is_never_lost,
    i1_chain_money_is_never_lost,
    i2_one_object_a_payment,
    i3_one_event_of_a_completion,
    i4_completed_is_paid,
    i4_no_money_is_invented,
    i6_received_is_what_the_provider_received,
    i7_failed_is_not_payable,
    i8_each_version_has_its_audit_row,
    i9_the_ledger_has_what_the_chain_has,
    i9_the_last_audit_agrees,
    only_the_leader_stores_what_its_watch_reports,
    i11_closed_is_not_payable,
    i13_an_accepted_report_is_stored,
    i15_one_key_one_payment,
    i17_no_refund_beyond_what_was_left,
    i18_one_refund_a_key,
    i19_refunded_is_what_the_provider_refunded,
    i20_the_price_is_charged,
    every_dispute_is_known,
    liveness_nothing_stays_open,
    liveness_every_daemon_serves,
    the_consumer_sees_what_is_stored,
    *trail_checkers.CHECKERS,
)

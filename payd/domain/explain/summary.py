"""The one sentence that says how a payment stands."""

from datetime import datetime

from payd.domain.attention import Attention
from payd.domain.dispute import DisputeStatus
from payd.domain.evidence import ProviderStatus
from payd.domain.explain.attempts import attempts
from payd.domain.explain.money_back import first_amount, lost, not_refunded, why_not_refunded
from payd.domain.explain.moves import money_on_its_way
from payd.domain.explain.past import came_after_close, undone, was_canceling
from payd.domain.explain.reasons import was_paid_wrongly
from payd.domain.explain.reported import reported
from payd.domain.explain.words import in_asset, listing, money, of_due, sentence, when
from payd.domain.history import Circumstances, History
from payd.domain.outcome import Asking
from payd.domain.payment import Payment, Status
from payd.domain.refund import Refund, RefundStatus
from payd.domain.refunds import taken


def summary(history: History, around: Circumstances) -> str:
    """The status in words, then what else is open."""
    payment = history.payment
    parts = [
        _status(history, around),
        *_of_refunds(history, around.now),
        *_of_disputes(payment),
        *_of_unmatched(history),
    ]
    if history.waiting:
        parts.append(reported(history))
    for_a_person = payment.attention - _only_waiting(payment)
    if for_a_person:
        names = listing(sorted(reason.value for reason in for_a_person))
        parts.append(f"a person has to look at {names}")
    waiting = [event.subject for event in history.events if event.publish_time is None]
    if waiting:
        parts.append(f"the main app has not been sent {listing(waiting)} yet")
    return f"{_cut_off(payment, around)}{'; '.join(parts)}."


def _only_waiting(payment: Payment) -> set[Attention]:
    """Reasons about which nobody can do anything yet: a bank or chain has to decide first."""
    found = set()
    if payment.received > payment.confirmed:
        found |= {Attention.PAID_AFTER_CLOSE, Attention.UNDERPAID}
    if not any(one.status is DisputeStatus.NEEDS_RESPONSE for one in payment.disputes):
        found.add(Attention.DISPUTED)
    return found


def cannot_find_out(payment: Payment, around: Circumstances) -> bool:
    """Whether asking is of no use: only the provider's own report tells what became of it."""
    is_unknown = payment.asking is Asking.UNKNOWN and payment.provider_reference is None
    is_over = payment.status.is_open and around.now >= payment.expire_time
    return is_unknown and is_over and not around.can_look_up


def is_cut_off(payment: Payment, around: Circumstances) -> bool:
    """Whether payd would have to ask a provider that is not enabled."""
    is_open = payment.status.is_open or any(one.status.is_open for one in payment.refunds)
    return is_open and not around.is_enabled


def _cut_off(payment: Payment, around: Circumstances) -> str:
    if not is_cut_off(payment, around):
        return ""
    name = payment.provider
    return (
        f"payd cannot tell how this payment stands, because {name} is not enabled here."
        f" Last known: "
    )


def _status(history: History, around: Circumstances) -> str:
    payment = history.payment
    match payment.status:
        case Status.CREATING:
            return _creating(payment, around)
        case Status.PENDING:
            return _pending(history, around)
        case Status.PROCESSING:
            late = "Canceling was requested and was not done, because the customer was already"
            head = f"{late} paying. " if was_canceling(history) else ""
            return f"{head}Not complete yet: {_unfinished(payment, around)}"
        case Status.COMPLETED:
            return _completed(payment)
        case Status.CANCELING if cannot_find_out(payment, around):
            return (
                f"Canceling was requested, but payd cannot find out whether {payment.provider} has"
                f" the payment of {money(payment, payment.due)}"
            )
        case Status.CANCELING if payment.provider_reference is None:
            return (
                f"Canceling was requested; payd carries it out when it knows whether"
                f" {payment.provider} has the payment of {money(payment, payment.due)}"
            )
        case Status.CANCELING:
            return (
                f"Canceling was requested, and {payment.provider} has not confirmed yet that the"
                f" payment of {money(payment, payment.due)} can no longer be paid"
            )
        case Status.CANCELED:
            still = "" if around.can_close else "; money can still be sent to its address"
            return f"Canceled{_at_close(payment)}{_with_money(history)}{still}"
        case Status.EXPIRED:
            return f"Expired{_at_close(payment)}{_with_money(history)}"
    return f"Failed{_at_close(payment)}{_with_money(history)}{_why_failed(history)}"


def _why_failed(history: History) -> str:
    payment = history.payment
    if payment.failure is None:
        return ""
    why = f": {sentence(payment.failure.message)}"
    if payment.provider_reference is None and payment.asking is Asking.NOT_ATTEMPTED:
        return f"{why}: no request for it arrived at {payment.provider} in {attempts(history)}"
    return why


def _creating(payment: Payment, around: Circumstances) -> str:
    due, provider = money(payment, payment.due), payment.provider
    if payment.ask_deadline is not None and payment.ask_deadline > around.now:
        return f"payd is asking {provider} for the payment of {due}"
    if payment.asking is Asking.NOT_ATTEMPTED:
        return f"The payment of {due} has not reached {provider} yet; payd tries again"
    for record in payment.attention_records:
        if record.reason is Attention.OUTCOME_UNKNOWN and not record.is_open and record.note:
            return (
                f"{record.resolved_by} looked whether {provider} has the payment of {due}, and"
                f' wrote: "{record.note}"'
            )
    keeps = "cannot look it up there" if cannot_find_out(payment, around) else "keeps asking"
    return (
        f"Whether {provider} has the payment of {due} is not known, because the request got no"
        f" readable answer; payd {keeps}"
    )


def _pending(history: History, around: Circumstances) -> str:
    payment = history.payment
    due, time = money(payment, payment.due), when(payment.expire_time)
    if history.waiting:
        return f"{due} by {payment.method} is due by {time}"
    if around.now < payment.expire_time:
        if gone := undone(history):
            return (
                f"{money(payment, gone[0])} was seen, and was undone at {when(gone[1])} before it"
                f" was final: {due} by {payment.method} is still due by {time}"
            )
        return f"The customer has not paid yet: {due} by {payment.method} is due by {time}"
    if Attention.STUCK in payment.attention:
        silent = f"{payment.provider} does not say whether it was paid"
        return f"The time to pay {due} ended at {time}, and {silent}"
    if around.can_close:
        return f"The customer had not paid {due} by {time}; payd is about to close the payment"
    return (
        f"The time to pay {due} ended at {time}. payd has not yet seen everything at"
        f" {payment.provider} up to then; when it has, and no money turns up, the payment becomes"
        f" EXPIRED; there is nothing to do"
    )


def _unfinished(payment: Payment, around: Circumstances) -> str:
    known, is_over = money_on_its_way(payment), around.now >= payment.expire_time
    ended = f"the time to pay ended at {when(payment.expire_time)}"
    if payment.received > payment.confirmed or payment.provider_status is ProviderStatus.PROCESSING:
        stays = f"; {ended}, but the payment stays open, because money is on its way"
        return f"{known}{stays if is_over else ''}"
    return f"{known}, {f'and {ended}' if is_over else f'to be paid by {when(payment.expire_time)}'}"


def _completed(payment: Payment) -> str:
    time = f" at {when(payment.complete_time)}" if payment.complete_time else ""
    late = ""
    if payment.late:
        late = f", late (after {when(payment.expire_time)}, but within the late window)"
    confirmed, gone = money(payment, payment.confirmed), lost(payment)
    if gone:
        what = listing(f"{amount} was lost in dispute {name}" for name, amount in gone)
        return f"Paid{time}{late}, but {what}; {confirmed} had been confirmed"
    due = money(payment, payment.due)
    if payment.confirmed == payment.due:
        return f"Paid{time}{late}: {confirmed} is confirmed"
    return f"Paid{time}{late}: {due} was due, and {confirmed} is confirmed by now"


def _at_close(payment: Payment) -> str:
    return f" at {when(payment.close_time)}" if payment.close_time else ""


def _with_money(history: History) -> str:
    payment = history.payment
    if payment.received == 0:
        return _without_money(payment)
    if time := came_after_close(history):
        if payment.confirmed < payment.received:
            seen = money(payment, payment.received - payment.confirmed)
            final = f"; {money(payment, payment.confirmed)} is final" if payment.confirmed else ""
            late = f"{seen} was seen afterwards, first at {when(time)}, and is not final yet"
            return f" without money; {late}{final}"
        came = money(payment, payment.confirmed)
        return f" without money; {came} came afterwards, at {when(time)}, and does not complete it"
    if payment.confirmed == payment.received:
        return f" with {of_due(payment, payment.confirmed)} confirmed"
    more = money(payment, payment.received - payment.confirmed)
    final = of_due(payment, payment.confirmed)
    return f" with {final} confirmed; {more} more was seen and is not final yet"


def _without_money(payment: Payment) -> str:
    if not was_paid_wrongly(payment):
        return " without money"
    if Attention.AMOUNT_MISMATCH not in payment.attention:
        return " without money that counts"
    return (
        f" without money that counts: the customer paid another amount at {payment.provider}, which"
        f" has to be refunded there"
    )


def _of_refunds(history: History, now: datetime) -> list[str]:
    payment, parts = history.payment, []
    if payment.refunded:
        parts.append(_gone_back(history))
    if taken(payment) > payment.confirmed:
        more = money(payment, taken(payment) - payment.confirmed)
        parts.append(f"{more} more was taken back than was paid")
    parts += [
        f"a refund of {money(payment, refund.amount)} {_going(payment, refund, now)}"
        for refund in payment.refunds
        if refund.status.is_open
    ]
    return parts + [why_not_refunded(payment, refund) for refund in not_refunded(payment)]


def _gone_back(history: History) -> str:
    """What went back; both totals where a refund was reported with two amounts."""
    payment = history.payment
    counts = money(payment, payment.refunded)
    differs = sum(
        refund.amount - first_amount(history, refund)
        for refund in payment.refunds
        if refund.status is RefundStatus.SUCCEEDED
    )
    if differs and Attention.CONFLICTING_EVIDENCE in payment.attention:
        first = money(payment, payment.refunded - differs)
        return f"{first} or {counts} has gone back to the customer; payd counts {counts}"
    return f"{counts} has gone back to the customer"


def _going(payment: Payment, refund: Refund, now: datetime) -> str:
    match refund.status:
        case RefundStatus.AWAITING_APPROVAL:
            return "waits for approval"
        case RefundStatus.AWAITING_TRANSFER:
            return "has to be sent by a person"
        case RefundStatus.PENDING:
            return "is on its way"
    if refund.asking is Asking.NOT_ATTEMPTED:
        return f"has not reached {payment.provider} yet; payd sends it again"
    if refund.ask_deadline is not None and refund.ask_deadline > now:
        return "is being sent"
    asked = f"requested at {when(refund.create_time)}"
    return f"{asked} got no readable answer, so it is not known whether {payment.provider} sends it"


def _of_disputes(payment: Payment) -> list[str]:
    parts = []
    for dispute in payment.disputes:
        amount = in_asset(payment, dispute.asset, dispute.amount)
        match dispute.status:
            case DisputeStatus.NEEDS_RESPONSE:
                due = dispute.evidence_due_time
                time = f" by {when(due)}" if due else ""
                parts.append(f"the customer's bank disputes {amount}, to be answered{time}")
            case DisputeStatus.UNDER_REVIEW:
                parts.append(f"the customer's bank decides on its dispute of {amount}")
            case DisputeStatus.INQUIRY:
                parts.append(f"the customer's bank asks about {amount}")
    return parts


def _of_unmatched(history: History) -> list[str]:
    payment = history.payment
    return [
        f"{money(payment, receipt.amount)} that belongs to no payment (receipt {receipt.id}) may be"
        f" meant for this one"
        for receipt in history.unmatched
        if payment.is_asset(receipt.asset)
    ]

"""The one sentence that says how a payment stands."""

from payd.domain.attention import Attention
from payd.domain.dispute import DisputeStatus
from payd.domain.evidence import ProviderStatus
from payd.domain.explain.moves import money_on_its_way
from payd.domain.explain.words import listing, money, of_due, sentence, when
from payd.domain.history import Circumstances, History
from payd.domain.outcome import Asking
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundStatus


def summary(history: History, around: Circumstances) -> str:
    """The status in words, then what else is open."""
    payment = history.payment
    parts = [_status(payment, around), *_of_refunds(payment), *_of_disputes(payment)]
    if history.waiting:
        parts.append("a report of the provider waits to be settled")
    if payment.attention:
        names = listing(sorted(reason.value for reason in payment.attention))
        parts.append(f"a person has to look at {names}")
    waiting = [event.subject for event in history.events if event.publish_time is None]
    if waiting:
        parts.append(f"the main app has not been sent {listing(waiting)} yet")
    return f"{'; '.join(parts)}."


def _status(payment: Payment, around: Circumstances) -> str:
    match payment.status:
        case Status.CREATING:
            return _creating(payment, around)
        case Status.PENDING:
            return _pending(payment, around)
        case Status.PROCESSING:
            return f"Not complete yet: {_unfinished(payment, around)}"
        case Status.COMPLETED:
            return _completed(payment)
        case Status.CANCELING:
            return (
                f"Cancelling was requested, and {payment.provider} has not confirmed yet that the"
                f" payment of {money(payment, payment.due)} can no longer be paid"
            )
        case Status.CANCELED:
            return f"Canceled{_at_close(payment)}{_with_money(payment)}"
        case Status.EXPIRED:
            return f"Expired{_at_close(payment)}{_with_money(payment)}"
    why = f": {sentence(payment.failure.message)}" if payment.failure else ""
    return f"Failed{_at_close(payment)}{_with_money(payment)}{why}"


def _creating(payment: Payment, around: Circumstances) -> str:
    due, provider = money(payment, payment.due), payment.provider
    if payment.ask_deadline is not None and payment.ask_deadline > around.now:
        return f"payd is asking {provider} for the payment of {due}"
    if payment.asking is Asking.NOT_ATTEMPTED:
        return f"The payment of {due} has not reached {provider} yet; payd tries again"
    return (
        f"Whether {provider} has the payment of {due} is not known, because the request got no"
        f" readable answer; payd keeps asking"
    )


def _pending(payment: Payment, around: Circumstances) -> str:
    due, until = money(payment, payment.due), when(payment.expire_time)
    if around.now < payment.expire_time:
        return f"The customer has not paid yet: {due} by {payment.method} is due until {until}"
    if Attention.STUCK in payment.attention:
        silent = f"{payment.provider} does not say whether it was paid"
        return f"The time to pay {due} ended at {until}, and {silent}"
    return f"The customer did not pay {due} until {until}; payd is about to close the payment"


def _unfinished(payment: Payment, around: Circumstances) -> str:
    known = money_on_its_way(payment)
    is_moving = (
        payment.received > payment.confirmed or payment.provider_status is ProviderStatus.PROCESSING
    )
    if is_moving or around.now < payment.expire_time:
        until = "" if is_moving else f", to be paid until {when(payment.expire_time)}"
        return f"{known}{until}"
    return f"{known}, and the time to pay ended at {when(payment.expire_time)}"


def _completed(payment: Payment) -> str:
    time = f" at {when(payment.complete_time)}" if payment.complete_time else ""
    late = ", late" if payment.late else ""
    due = money(payment, payment.due)
    wanted = "" if payment.confirmed == payment.due else f", and {due} was due"
    return f"Paid{time}{late}: {money(payment, payment.confirmed)} is confirmed{wanted}"


def _at_close(payment: Payment) -> str:
    return f" at {when(payment.close_time)}" if payment.close_time else ""


def _with_money(payment: Payment) -> str:
    if payment.received == 0:
        return " without money"
    if payment.confirmed == payment.received:
        return f" with {of_due(payment, payment.confirmed)} confirmed"
    return f" with {of_due(payment, payment.received)} seen"


def _of_refunds(payment: Payment) -> list[str]:
    parts = []
    if payment.refunded:
        parts.append(f"{money(payment, payment.refunded)} has gone back to the customer")
    going = [refund for refund in payment.refunds if refund.status.is_open]
    if going:
        amount = money(payment, sum(refund.amount for refund in going))
        states = listing(dict.fromkeys(_REFUND_STATES[refund.status] for refund in going))
        parts.append(f"a refund of {amount} {states}")
    return parts


_REFUND_STATES = {
    RefundStatus.AWAITING_APPROVAL: "waits for approval",
    RefundStatus.CREATING: "is being sent",
    RefundStatus.PENDING: "is on its way",
    RefundStatus.AWAITING_TRANSFER: "has to be sent by a person",
}


def _of_disputes(payment: Payment) -> list[str]:
    statuses = {one.status for one in payment.disputes}
    if any(status.is_open for status in statuses):
        return ["the customer's bank disputes it"]
    if DisputeStatus.INQUIRY in statuses:
        return ["the customer's bank asks about it"]
    return []

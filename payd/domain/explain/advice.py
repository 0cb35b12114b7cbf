"""What a person can do about a payment, with the exact command.

A command is only advised where payd would take it: a refund only where `grant` would grant it.
"""

from collections.abc import Iterator
from datetime import timedelta

from payd.domain.attention import Attention
from payd.domain.dispute import DisputeStatus
from payd.domain.explain.case import NOTE, Case
from payd.domain.explain.reason_advice import on_reasons
from payd.domain.explain.refund_advice import on_refunds
from payd.domain.explain.summary import is_cut_off
from payd.domain.explain.waiting import next_look_time
from payd.domain.explain.words import in_asset, money, when
from payd.domain.explanation import Advice
from payd.domain.history import Circumstances, History
from payd.domain.payment import Status

#: An event that waits for longer does not wait for its turn.
_SOON = timedelta(minutes=1)


def advice_of(history: History, around: Circumstances) -> tuple[Advice, ...]:
    """What helps, most pressing first. Nothing for a time that is past."""
    if not around.is_present:
        return ()
    case = Case(history=history, around=around)
    return (
        *_provider(case),
        *_reports(case),
        *_unmatched(case),
        *on_refunds(case),
        *_inquiries(case),
        *on_reasons(case),
        *_look(case),
        *_end(case),
        *_events(case),
    )


def _provider(case: Case) -> Iterator[Advice]:
    if is_cut_off(case.payment, case.around):
        yield Advice(
            text=f"Enable {case.provider} and restart payd. To see which providers are enabled:",
            command="payd providers",
        )


def _reports(case: Case) -> Iterator[Advice]:
    if case.history.waiting:
        yield Advice(
            text="payd processes the report by itself. Do not cancel the payment, and do not ask"
            " the customer to pay again, before it has. If it does not, see what is wrong:",
            command="payd doctor",
        )


def _unmatched(case: Case) -> Iterator[Advice]:
    payment = case.payment
    for receipt in case.history.unmatched:
        amount = in_asset(payment, receipt.asset, receipt.amount, case.around.tokens)
        sender = receipt.details.get("sender")
        by = f" from {sender}" if sender else ""
        if payment.is_asset(receipt.asset):
            memo = receipt.details.get("memo")
            carried = (
                f"the memo {memo}, which payd knows of no payment"
                if memo
                else "no memo or reference of a payment"
            )
            is_likely = receipt.details.get("likely_payment") == str(payment.id)
            why = (
                "its memo is that of this payment with one mistake"
                if is_likely
                else "the amount fits"
            )
            yield Advice(
                text=f"Receipt {receipt.id} of {amount}{by}, moved at {when(receipt.time)}, belongs"
                f" to no payment: it carried {carried}. It is shown here because {why}."
                f" If it was meant for this payment, attach it.",
                command=f"payd receipts attach {receipt.id} {payment.id} {NOTE}",
            )


def _inquiries(case: Case) -> Iterator[Advice]:
    for dispute in case.payment.disputes:
        if dispute.status is DisputeStatus.INQUIRY:
            due = dispute.evidence_due_time
            time = f" by {when(due)}" if due else ""
            yield Advice(
                text=f"Answer inquiry {dispute.id} in the dashboard of {case.provider}{time}. That"
                f" is not required, but without a good answer it may become a dispute."
            )


def _look(case: Case) -> Iterator[Advice]:
    time = next_look_time(case.payment, case.around.now)
    if time is not None and case.around.is_enabled:
        yield Advice(
            text=f"payd asks {case.provider} again at {when(time)}. To ask now:",
            command=f"payd payments sync {case.payment.id}",
        )


def _end(case: Case) -> Iterator[Advice]:
    payment, around = case.payment, case.around
    match payment.status:
        case Status.CREATING | Status.PENDING:
            is_blind = bool(case.history.waiting) or not around.is_enabled
            may_cancel = around.now < payment.expire_time and not is_blind
            if may_cancel and Attention.AMOUNT_MISMATCH not in payment.attention:
                yield Advice(
                    text="If it is not wanted any more, cancel it.",
                    command=f"payd cancel {payment.id}",
                )
        case Status.CANCELED if payment.received == 0 and not around.can_close:
            yield Advice(
                text=f"Tell the customer not to pay any more: {case.provider} cannot close the"
                f" address. Money that still comes does not complete the payment; it raises"
                f" PAID_AFTER_CLOSE, for a person to send it back."
            )
        case Status.FAILED | Status.EXPIRED if payment.received == 0:
            due = money(payment, payment.due)
            yield Advice(
                text=f"If the customer still wants to pay {due}, such as by another card, the main"
                f" app has to create a new payment."
            )


def _events(case: Case) -> Iterator[Advice]:
    """Only when an event waits for long: each one waits for a moment."""
    waiting = [event for event in case.history.events if event.publish_time is None]
    now = case.around.now
    if any(event.last_error or now - event.create_time > _SOON for event in waiting):
        yield Advice(
            text="payd publishes the waiting events by itself once NATS answers. To see what is"
            " wrong:",
            command="payd doctor",
        )

"""What a person can do about a payment, with the exact command.

A command is only advised where payd would take it: a refund only where `grant` would grant it.
"""

from collections.abc import Iterator
from functools import reduce

from payd.domain.attention import Attention
from payd.domain.decide import EventType
from payd.domain.dispute import DisputeStatus
from payd.domain.evidence import ProviderStatus, Receipt
from payd.domain.explain.case import NOTE, Case
from payd.domain.explain.past import undone, was_canceling
from payd.domain.explain.reason_advice import on_reasons
from payd.domain.explain.refund_advice import on_ended_refunds, on_refunds
from payd.domain.explain.summary import is_cut_off
from payd.domain.explain.waiting import next_look_time
from payd.domain.explain.words import listing, memo_in_words, money, when
from payd.domain.explanation import Advice
from payd.domain.history import Circumstances, History
from payd.domain.next_action import Show
from payd.domain.outcome import Asking
from payd.domain.payment import Payment, Status
from payd.domain.refund import Refund, RefundStatus

#: While these are open, canceling needs more care than its command says.
_NOT_TO_CANCEL = frozenset({Attention.AMOUNT_MISMATCH, Attention.CONFLICTING_EVIDENCE})


def advice_of(history: History, around: Circumstances) -> tuple[Advice, ...]:
    """What helps, most pressing first. Nothing for a time that is past."""
    if not around.is_present:
        return ()
    case = Case(history=history, around=around)
    reasons = tuple(on_reasons(case))
    return (
        *_provider(case),
        *_reports(case),
        *_unmatched(case),
        *on_refunds(case),
        *_inquiries(case),
        *reasons,
        *on_ended_refunds(reduce(Case.after, reasons, case)),
        *_look(case),
        *_end(case),
        *_events(case),
    )


def _provider(case: Case) -> Iterator[Advice]:
    if is_cut_off(case.payment, case.around):
        open_at = case.payment.status.is_open and case.payment.provider_reference is not None
        pays = (
            f" The customer can still pay at {case.provider} meanwhile. payd counts that money when"
            f" {case.provider} is enabled again. Until then do not let the customer pay by a new"
            f" payment."
        )
        yield Advice(
            text=f"Enable {case.provider} and restart payd.{pays if open_at else ''} To see which"
            f" providers are enabled:",
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
        sender = receipt.details.get("sender")
        by = f" from {sender}" if sender else ""
        if payment.is_asset(receipt.asset):
            amount = money(payment, receipt.amount)
            yield Advice(
                text=f"Receipt {receipt.id} of {amount}{by}, moved at {when(receipt.time)}, belongs"
                f" to no payment: {_why_unmatched(payment, receipt)}"
                f" {_then_missing(case, receipt)}",
                command=f"payd receipts attach {receipt.id} {payment.id} {NOTE}",
            )


def _why_unmatched(payment: Payment, receipt: Receipt) -> str:
    memo = memo_in_words(receipt.details.get("memo", ""))
    if receipt.details.get("likely_payment") == str(payment.id):
        its_memo = f"its memo {memo}" if memo else "its memo"
        return (
            f"no payment has {its_memo}. It differs from this payment's memo by one mistake, such"
            f" as a wrong character, so it was probably meant for this one."
        )
    carried = (
        f"the memo {memo}, which payd knows of no payment"
        if memo
        else "no memo or reference of a payment"
    )
    return f"it carried {carried}. It is shown here because the amount fits."


def _then_missing(case: Case, receipt: Receipt) -> str:
    payment = case.payment
    rest = payment.due - payment.confirmed - receipt.amount
    missing = f"{money(payment, rest)} is" if rest > 0 else "nothing is"
    sender = receipt.details.get("sender")
    is_likely = receipt.details.get("likely_payment") == str(payment.id)
    proof = "a memo with a mistake" if is_likely else "the amount alone"
    of_sender = f" whether they sent it from {sender}" if sender else ""
    return (
        f"Ask the customer{of_sender}: {proof} is no proof. If it was meant for this one,"
        f" attach it; {missing} missing then. If not, leave it."
    )


def _inquiries(case: Case) -> Iterator[Advice]:
    for dispute in case.payment.disputes:
        if dispute.status is DisputeStatus.INQUIRY:
            due = dispute.evidence_due_time
            time = f" by {when(due)}" if due else ""
            yield Advice(
                text=f"Answer inquiry {dispute.id} {case.looks}{time}. That"
                f" is not required, but without a good answer it may become a dispute."
            )


def _look(case: Case) -> Iterator[Advice]:
    unsent = [one for one in case.payment.refunds if _is_unsent(one)]
    sends = min((one.next_check_time for one in unsent if one.next_check_time), default=None)
    time = sends or next_look_time(case.payment, case.around)
    if time is not None and case.around.is_enabled:
        is_due = time <= case.around.now
        asks = f"is about to ask {case.provider}" if is_due else f"asks {case.provider} again at"
        text = f"payd {asks}{'' if is_due else f' {when(time)}'}. To ask now:"
        if sends is not None:
            amounts = listing(money(case.payment, one.amount) for one in unsent)
            act = "is about to send" if is_due else "sends"
            again = "" if is_due else f" again at {when(time)}"
            text = (
                f"payd {act} the refund{again}. Do not send {amounts} back in another way"
                f" meanwhile, or it is paid twice. To send now:"
            )
        yield Advice(text=text, command=f"payd payments sync {case.payment.id}")


def _is_unsent(refund: Refund) -> bool:
    return refund.status is RefundStatus.CREATING and refund.asking is Asking.NOT_ATTEMPTED


def _end(case: Case) -> Iterator[Advice]:
    payment, around = case.payment, case.around
    match payment.status:
        case Status.CREATING | Status.PENDING:
            yield from _to_read(payment)
            is_blind = bool(case.history.waiting) or not around.is_enabled
            may_cancel = around.now < payment.expire_time and not is_blind
            if may_cancel and undone(case.history):
                yield Advice(
                    text=f"Tell the customer that the transfer was undone, and that"
                    f" {money(payment, payment.due)} has to be sent again by"
                    f" {when(payment.expire_time)}."
                )
            if may_cancel and not payment.attention & _NOT_TO_CANCEL:
                yield Advice(text=_why_cancel(payment), command=f"payd cancel {payment.id}")
        case Status.PROCESSING if _may_pay_the_rest(case):
            missing = money(payment, payment.due - payment.confirmed)
            yield Advice(
                text=f"Tell the customer that {missing} is missing, to be paid by"
                f" {when(payment.expire_time)}. A payment with money cannot be canceled."
            )
        case Status.PROCESSING if was_canceling(case.history):
            yield Advice(
                text=f"If the money is not wanted, wait until the payment is complete, and then"
                f" refund it {_where_refunded(case)}."
            )
        case Status.CANCELED if payment.received == 0 and not around.can_close:
            yield Advice(
                text=f"Tell the customer not to pay any more: {case.provider} cannot close the"
                f" address. Money that still comes does not complete the payment; it raises"
                f" PAID_AFTER_CLOSE, for a person to send it back."
            )
        case Status.FAILED | Status.EXPIRED if payment.received == 0:
            yield _pay_again(case)
        case Status.COMPLETED if payment.late and _was_over_for_the_main_app(case.history):
            yield Advice(
                text="The main app was told that the payment had ended unpaid. Make sure that it"
                " delivers, and that the customer has not paid a second time by a new payment."
            )


def _was_over_for_the_main_app(history: History) -> bool:
    ends = {EventType.CANCELED.value, EventType.FAILED.value}
    return any(event.publish_time for event in history.events if event.subject in ends)


def _pay_again(case: Case) -> Advice:
    """How the customer can pay after a payment that ended without money, and not pay both."""
    payment, rules = case.payment, case.around.rules
    due = money(payment, payment.due)
    if payment.provider_reference is None and payment.asking is Asking.NOT_ATTEMPTED:
        return Advice(
            text=f"The customer and the card are not the cause: {case.provider} could not be"
            f" reached. Until it can, a new payment of {due} fails the same way; then the main app"
            f" has to create one. To see how it stands:",
            command="payd providers",
        )
    if not case.around.can_close:
        return Advice(
            text=f"If the customer still wants to pay {due}, ask first whether they have sent"
            f" anything. If not, the main app has to create a new payment; nothing more may be sent"
            f" to the old address or memo."
        )
    again = f"If the customer still wants to pay {due}, the main app has to create a new payment."
    end = payment.late_end(rules.late_window)
    if not payment.provider_reference or not rules.late_payments_complete or case.around.now > end:
        return Advice(text=again)
    return Advice(
        text=f"{again} Until {when(end)} money that was already under way still completes this one:"
        f" ask the customer first whether the first attempt was charged."
    )


def _why_cancel(payment: Payment) -> str:
    if payment.asking is Asking.UNKNOWN and payment.provider_reference is None:
        return (
            "If it is not wanted any more, or the customer is to pay by a new payment, cancel it,"
            " and let the customer wait until it is CANCELED: until then both can be paid."
        )
    return "If it is not wanted any more, cancel it."


def _may_pay_the_rest(case: Case) -> bool:
    is_in_time = case.around.is_enabled and case.around.now < case.payment.expire_time
    is_moving = case.payment.provider_status is ProviderStatus.PROCESSING
    is_partial = case.payment.confirmed > 0 and case.pending == 0 and not is_moving
    return is_partial and is_in_time and not case.history.waiting


def _to_read(payment: Payment) -> Iterator[Advice]:
    if isinstance(payment.next_action, Show):
        yield Advice(text="To read the instructions:", command=f"payd get {payment.id}")


def _where_refunded(case: Case) -> str:
    return "with `payd refund`" if case.around.refund_terms else f"at {case.provider}"


def _events(case: Case) -> Iterator[Advice]:
    if any(event.publish_time is None for event in case.history.events):
        yield Advice(
            text="payd publishes the waiting events by itself, as soon as NATS takes them. If one"
            " still waits after a minute, see what is wrong:",
            command="payd doctor",
        )

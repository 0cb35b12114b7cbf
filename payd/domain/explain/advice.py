"""What a person can do about a payment, with the exact command.

A refund is only advised where `grant` would grant it.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

from payd.domain.attention import Attention
from payd.domain.dispute import DisputeStatus
from payd.domain.errors import PaydError
from payd.domain.evidence import RefundRequested
from payd.domain.explain.reasons import open_reason
from payd.domain.explain.waiting import next_look_time
from payd.domain.explain.words import in_asset, listing, minor_units, money, when
from payd.domain.explanation import Advice
from payd.domain.history import Circumstances, History
from payd.domain.payment import Payment, Status
from payd.domain.refund import Refund, RefundStatus
from payd.domain.refund_reports import SAME_REFUND, SETTLED
from payd.domain.refunds import grant, left

_NOTE = "--note 'what was done'"
#: An event that waits for longer does not wait for its turn.
_SOON = timedelta(minutes=1)


def advice_of(history: History, around: Circumstances) -> tuple[Advice, ...]:
    """What helps, most pressing first. Nothing for a time that is past."""
    if not around.is_present:
        return ()
    payment = history.payment
    return (
        *_provider(payment, around),
        *_unmatched(history),
        *_refunds(payment),
        *_reasons(payment, around),
        *_look(payment, around),
        *_end(payment, around),
        *_events(history, around),
    )


def _provider(payment: Payment, around: Circumstances) -> Iterator[Advice]:
    if not around.is_enabled:
        yield Advice(
            text=f"This daemon does not run {payment.provider}, so that it cannot ask about the"
            f" payment: enable it.",
            command="payd providers",
        )


def _unmatched(history: History) -> Iterator[Advice]:
    payment = history.payment
    for receipt in history.unmatched:
        amount = in_asset(payment, receipt.asset, receipt.amount)
        sender = receipt.details.get("sender")
        by = f" from {sender}" if sender else ""
        if payment.is_asset(receipt.asset):
            yield Advice(
                text=f"Receipt {receipt.id} of {amount}{by}, moved at {when(receipt.time)}, belongs"
                f" to no payment. If it was meant for this one, attach it.",
                command=f"payd receipts attach {receipt.id} {payment.id} {_NOTE}",
            )
        else:
            yield Advice(
                text=f"Receipt {receipt.id} of {amount}{by} names this payment, but is in"
                f" another token: it belongs to no payment and does not count.",
            )


def _look(payment: Payment, around: Circumstances) -> Iterator[Advice]:
    time = next_look_time(payment, around.now)
    if time is not None and around.is_enabled:
        yield Advice(
            text=f"payd asks {payment.provider} again at {when(time)}. To ask now:",
            command=f"payd payments sync {payment.id}",
        )


def _end(payment: Payment, around: Circumstances) -> Iterator[Advice]:
    is_payable = payment.status in (Status.CREATING, Status.PENDING)
    if is_payable and around.now < payment.expire_time:
        yield Advice(
            text="If it is not wanted any more, cancel it.", command=f"payd cancel {payment.id}"
        )


def _events(history: History, around: Circumstances) -> Iterator[Advice]:
    """Only when an event waits for long: each one waits for a moment."""
    waiting = [event for event in history.events if event.publish_time is None]
    if any(event.last_error or around.now - event.create_time > _SOON for event in waiting):
        yield Advice(
            text="payd publishes the waiting events by itself once NATS answers. To see what is"
            " wrong:",
            command="payd doctor",
        )


# -- refunds that a person has to do something about ----------------------------------------------


def _refunds(payment: Payment) -> Iterator[Advice]:
    for refund in payment.refunds:
        yield from _refund(payment, refund)


def _refund(payment: Payment, refund: Refund) -> Iterator[Advice]:
    amount = money(payment, refund.amount)
    match refund.status:
        case RefundStatus.AWAITING_APPROVAL:
            yield Advice(
                text=f"Approve the refund of {amount}; not with the certificate"
                f" {refund.requester}.",
                command=f"payd refunds approve {refund.id}",
            )
            yield Advice(text="Or withdraw it.", command=f"payd refunds cancel {refund.id} {_NOTE}")
        case RefundStatus.AWAITING_TRANSFER:
            yield Advice(
                text=f"Send {amount} exactly as the refund says; payd recognises the transfer.",
                command=f"payd refunds get {refund.id}",
            )
            yield Advice(
                text="If it was sent so that payd cannot recognise it, say so.",
                command=f"payd refunds settle {refund.id} --succeeded {_NOTE}",
            )
        case RefundStatus.CREATING if Attention.STUCK in payment.attention:
            yield Advice(
                text=f"Look for payd:{refund.id}:refund:v1 at {payment.provider}. If it is there:",
                command=f"payd refunds settle {refund.id} --succeeded --reference ID {_NOTE}",
            )
            yield Advice(
                text="If it is not there, and never will be:",
                command=f"payd refunds settle {refund.id} --failed {_NOTE}",
            )


# -- reasons for attention -----------------------------------------------------------------------


def _reasons(payment: Payment, around: Circumstances) -> Iterator[Advice]:
    for record in payment.attention_records:
        if record.is_open:
            said = open_reason(payment, record)
            what, commands = ADVICE[record.reason](payment, around)
            yield Advice(
                text=f"{record.reason.value}, since {when(record.since)}: {said} {what}",
                command=commands[0] if commands else "",
            )
            yield from (Advice(text="Or:", command=command) for command in commands[1:])
    resolvable = sorted(reason.value for reason in payment.attention - _BY_ITSELF)
    if resolvable:
        yield Advice(
            text=f"When that is done, resolve {listing(resolvable)}.",
            command=f"payd attention resolve {payment.id} {' '.join(resolvable)} {_NOTE}",
        )


_Counsel = tuple[str, list[str]]


def _refund_command(payment: Payment, around: Circumstances, amount: int, reason: str) -> list[str]:
    """The command that sends this much back; none where payd would refuse it."""
    terms = around.refund_terms
    if terms is None:
        return []
    draft = Refund(
        id=UUID(int=0),
        status=RefundStatus.CREATING,
        amount=amount,
        destination="ADDRESS",
        create_time=around.now,
        update_time=around.now,
    )
    try:
        grant(payment, RefundRequested(refund=draft, terms=terms), around.now)
    except PaydError:
        return []
    some = "" if amount == left(payment) else f" --amount {minor_units(payment, amount)}"
    to = " --to ADDRESS" if terms.needs_destination else ""
    return [f"payd refund {payment.id}{some} --reason '{reason}'{to}"]


def _outcome_unknown(payment: Payment, around: Circumstances) -> _Counsel:
    where = f"Look at {payment.provider} for payd:{payment.id}:create:v1."
    return f"{where} payd finds it by itself as soon as {payment.provider} answers.", []


def _underpaid(payment: Payment, around: Circumstances) -> _Counsel:
    return (
        "Ask the customer for the rest with a new payment, deliver all the same, or send it back.",
        _refund_command(payment, around, left(payment), "underpaid"),
    )


def _overpaid(payment: Payment, around: Circumstances) -> _Counsel:
    if Attention.DUPLICATE_PAYMENT in payment.attention:
        return "It was paid twice, see there.", []
    surplus = min(left(payment), payment.confirmed - payment.due)
    return "Send the surplus back.", _refund_command(payment, around, surplus, "overpaid")


def _paid_after_close(payment: Payment, around: Circumstances) -> _Counsel:
    if payment.status is Status.CANCELED:
        why = ""
    elif around.rules.late_payments_complete:
        end = payment.late_end(around.rules.late_window)
        why = f"It moved after the late window, which ended at {when(end)}. "
    else:
        why = "With this method, money that comes late always waits for a person. "
    return (
        f"{why}Deliver all the same, or send it back.",
        _refund_command(payment, around, left(payment), "paid after close"),
    )


def _duplicate(payment: Payment, around: Circumstances) -> _Counsel:
    surplus = min(left(payment), payment.confirmed - payment.due)
    return (
        "Send back what is too much.",
        _refund_command(payment, around, surplus, "paid twice"),
    )


def _mismatch(payment: Payment, around: Circumstances) -> _Counsel:
    reference = payment.provider_reference or "the object"
    what = f"Look at {reference} at {payment.provider}: find out what it charged"
    return f"{what}, and settle it with the customer there.", []


def _wrong_token(payment: Payment, around: Circumstances) -> _Counsel:
    return "Send it back to the customer, from the account that received it.", []


def _conflict(payment: Payment, around: Circumstances) -> _Counsel:
    reference = payment.provider_reference or f"payd:{payment.id}:create:v1"
    return f"Compare it with what {payment.provider} shows for {reference}.", []


def _refunded_externally(payment: Payment, around: Circumstances) -> _Counsel:
    return "Find out who refunded it, and whether the main app has to know.", []


def _refund_failed(payment: Payment, around: Circumstances) -> _Counsel:
    failed = sum(
        refund.amount
        for refund in payment.refunds
        if refund.status is RefundStatus.FAILED
        and refund.failure is not None
        and refund.failure.code not in (SAME_REFUND, SETTLED)
    )
    return (
        "Agree on another way with the customer, or try again.",
        _refund_command(payment, around, min(failed, left(payment)), "refund failed before"),
    )


def _disputed(payment: Payment, around: Circumstances) -> _Counsel:
    if any(one.status is DisputeStatus.NEEDS_RESPONSE for one in payment.disputes):
        return f"Answer it at {payment.provider}; it ends with the bank's decision.", []
    return "It ends with the bank's decision.", []


def _lost_dispute(payment: Payment, around: Circumstances) -> _Counsel:
    return "Decide whether what was delivered is taken back.", []


def _stuck(payment: Payment, around: Circumstances) -> _Counsel:
    return f"See whether {payment.provider} answers.", ["payd providers"]


#: Reason → what to do, and the commands for it.
ADVICE: dict[Attention, Callable[[Payment, Circumstances], _Counsel]] = {
    Attention.OUTCOME_UNKNOWN: _outcome_unknown,
    Attention.UNDERPAID: _underpaid,
    Attention.OVERPAID: _overpaid,
    Attention.PAID_AFTER_CLOSE: _paid_after_close,
    Attention.DUPLICATE_PAYMENT: _duplicate,
    Attention.AMOUNT_MISMATCH: _mismatch,
    Attention.WRONG_TOKEN: _wrong_token,
    Attention.CONFLICTING_EVIDENCE: _conflict,
    Attention.REFUNDED_EXTERNALLY: _refunded_externally,
    Attention.REFUND_FAILED: _refund_failed,
    Attention.DISPUTED: _disputed,
    Attention.LOST_DISPUTE: _lost_dispute,
    Attention.STUCK: _stuck,
}
#: They end with an answer; a person need not resolve them.
_BY_ITSELF = frozenset({Attention.OUTCOME_UNKNOWN, Attention.STUCK, Attention.DISPUTED})

"""What a person has to do about refunds: approve, send, look one up, or refund again."""

from collections.abc import Iterator

from payd.domain.actors import CONSOLE
from payd.domain.attention import Attention
from payd.domain.decide import EventType
from payd.domain.explain.case import NOTE, Case
from payd.domain.explain.main_app import main_app_knows
from payd.domain.explain.money_back import (
    code_of,
    held_by_dispute,
    may_be_sent,
    not_refunded,
    nothing_more,
    still_owed,
    taken_back,
)
from payd.domain.explain.transfers import how_to_send
from payd.domain.explain.words import money, when
from payd.domain.explanation import Advice
from payd.domain.money import Money, written
from payd.domain.next_action import CryptoTransfer
from payd.domain.refund import Refund, RefundStatus
from payd.domain.refund_reports import SETTLED
from payd.domain.refunds import taken


def on_refunds(case: Case) -> Iterator[Advice]:
    """Advice about each refund that waits for a person, or that the customer did not get."""
    for refund in case.payment.refunds:
        match refund.status:
            case RefundStatus.AWAITING_APPROVAL:
                yield from _approve(case, refund)
            case RefundStatus.AWAITING_TRANSFER:
                yield from _send(case, refund)
            case RefundStatus.CREATING if may_be_sent(refund):
                if Attention.STUCK in case.payment.attention:
                    yield from _look_up(case, refund)
                else:
                    yield Advice(
                        text=f"Do not refund {money(case.payment, refund.amount)} again before payd"
                        f" knows what became of refund {refund.id}, or it may be paid twice."
                    )


def on_ended_refunds(case: Case) -> Iterator[Advice]:
    """Advice about the refunds that the customer did not get, and of which no reason speaks."""
    refunds = [
        refund
        for refund in not_refunded(case.payment)
        if refund.status is RefundStatus.CANCELED or code_of(refund) == SETTLED
    ]
    for refund in refunds:
        advice = _again(case, refund)
        yield advice
        case = case.after(advice)


def _approve(case: Case, refund: Refund) -> Iterator[Advice]:
    amount = money(case.payment, refund.amount)
    if held := held_by_dispute(case.payment, refund.amount):
        yield Advice(
            text=f"Refund {refund.id} waits for approval. {held} To withdraw it:",
            command=f"payd refunds cancel {refund.id} {NOTE}",
        )
        return
    yield Advice(
        text=f"Approve the refund of {amount}; {_not_by(refund.requester)}.{_size(case)}",
        command=f"payd refunds approve {refund.id}",
    )
    yield Advice(text="Or withdraw it.", command=f"payd refunds cancel {refund.id} {NOTE}")


def _not_by(requester: str) -> str:
    """Name the requester, who may not approve: in the console, or by a certificate."""
    place, _, name = requester.partition("/")
    if place == CONSOLE and name:
        return f"in the console as another operator than {name}"
    return f"not with the certificate {requester}"


def _size(case: Case) -> str:
    terms, code = case.around.refund_terms, case.payment.amount.currency_code
    if terms is None or terms.approval_from is None:
        return ""
    least = written(Money(currency_code=code, minor_units=terms.approval_from))
    return f" Refunds of {least} or more need a second person (setting refunds.approval_from)."


def _send(case: Case, refund: Refund) -> Iterator[Advice]:
    payment = case.payment
    what = how_to_send(payment, refund)
    amount = money(payment, refund.amount)
    if taken(payment) > payment.confirmed:
        yield Advice(
            text=f"Do not send {amount} for refund {refund.id}: with it, more goes back than was"
            f" paid ({taken_back(payment)})."
        )
    elif held := held_by_dispute(payment, refund.amount):
        yield Advice(text=held)
    else:
        yield Advice(
            text=f"{what[0].upper()}{what[1:]}. Without {_mark(refund)} payd does not notice the"
            f" transfer. To read all of the instructions:",
            command=f"payd refunds get {refund.id}",
        )
    yield Advice(
        text=f"If you have sent it without {_mark(refund)}, payd cannot see it: tell payd with this"
        f" command. Add --reference and the transaction's id if there is one.",
        command=f"payd refunds settle {refund.id} --succeeded {NOTE}",
    )
    yield Advice(
        text="If it is not to be sent, and nothing was sent, withdraw it.",
        command=f"payd refunds cancel {refund.id} {NOTE}",
    )


def _mark(refund: Refund) -> str:
    has_memo = isinstance(refund.next_action, CryptoTransfer) and bool(refund.next_action.memo)
    return "that memo" if has_memo else "the memo or reference that its instructions name"


def _look_up(case: Case, refund: Refund) -> Iterator[Advice]:
    reference = case.payment.provider_reference or "the payment"
    from_time = refund.create_time + case.around.refund_settle_after
    early = f" payd takes that from {when(from_time)} on." if case.around.now < from_time else ""
    yield Advice(
        text=f"Open {reference} {case.looks} and look at its refunds: this one is of"
        f" {money(case.payment, refund.amount)} and carries payd's id of it, {refund.id} (such as"
        f" in its metadata, refund_id). Do not refund it again before this is settled. If it is"
        f" there and pending, wait until it has ended. If it is there and has succeeded, say so; ID"
        f" is {case.provider}'s id of the refund, such as re_….{early}",
        command=f"payd refunds settle {refund.id} --succeeded --reference ID {NOTE}",
    )
    yield Advice(
        text="If it failed or was canceled, or is not there and never will be, say so; the money"
        " can then be refunded again.",
        command=f"payd refunds settle {refund.id} --failed {NOTE}",
    )


def _again(case: Case, refund: Refund) -> Advice:
    """The customer did not get it, and no reason for attention says so."""
    payment = case.payment
    amount = still_owed(payment, [refund])
    if refund.is_withdrawn:
        knows = (
            f"payd sends the main app no event about the withdrawn refund {refund.id}; GetRefund"
            f" shows it as CANCELED."
        )
    else:
        knows = main_app_knows(case.history, EventType.REFUND_FAILED, about=str(refund.id))
    if amount == 0:
        return Advice(text=f"{knows} {nothing_more(payment)}")
    text = f"If the customer is still owed {money(payment, amount)}, refund it again."
    return case.refund(text, amount, refund.reason or "refund again", first=knows)

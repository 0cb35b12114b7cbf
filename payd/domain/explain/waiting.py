"""What a payment waits for: what must happen next, who must do it, and when payd looks next.

It asks `decide` what a status check would do, and reads the times that `decide` has set.
"""

from collections.abc import Callable
from datetime import datetime

import attrs

from payd.domain.attention import Attention
from payd.domain.decide import decide, next_check_time
from payd.domain.dispute import DisputeStatus
from payd.domain.disputes import is_disputed
from payd.domain.evidence import ProviderStatus, Snapshot
from payd.domain.explain.attempts import status_checks
from payd.domain.explain.facts_changed import WHERE_ERRORS_ARE
from payd.domain.explain.money_back import code_of, not_refunded, taken_back
from payd.domain.explain.moves import money_on_its_way
from payd.domain.explain.reasons import open_reason
from payd.domain.explain.reported import contents
from payd.domain.explain.summary import cannot_find_out, is_cut_off
from payd.domain.explain.transfers import how_to_send
from payd.domain.explain.words import listing, money, price_of, when
from payd.domain.explanation import Actor, WaitingFor
from payd.domain.history import Circumstances, History
from payd.domain.next_action import CryptoTransfer, Redirect, Show
from payd.domain.outcome import Asking
from payd.domain.payment import Payment, Status
from payd.domain.refund import Refund, RefundStatus
from payd.domain.refunds import NOTHING_LEFT, taken

#: Reasons for which an open payment does not go on without a person, and what that person does.
_BLOCKED: dict[Attention, Callable[[Payment], str]] = {
    Attention.OUTCOME_UNKNOWN: lambda p: (
        f"A person has to look whether {p.provider} has this payment: the customer may still be"
        f" able to pay it there (OUTCOME_UNKNOWN)."
    ),
    Attention.AMOUNT_MISMATCH: lambda p: (
        f"A person has to act on AMOUNT_MISMATCH: {_open_reason(p, Attention.AMOUNT_MISMATCH)}"
    ),
    Attention.STUCK: lambda p: (
        f"A person has to find out why {p.provider} does not say what became of"
        f" {p.provider_reference or 'the payment'} (STUCK); payd keeps asking."
    ),
}


def _open_reason(payment: Payment, reason: Attention) -> str:
    [record] = (one for one in payment.attention_records if one.reason is reason)
    return open_reason(payment, record)


def waiting_for(history: History, around: Circumstances) -> WaitingFor:
    """The first of these that is the case."""
    payment = history.payment
    return (
        _cut_off(payment, around)
        or _reports(history)
        or (_open(payment, around) if payment.status.is_open else None)
        or _refunds(payment)
        or _disputes(payment)
        or _attention(payment)
        or _events(history)
        or WaitingFor(what=_nothing(payment, around), actor=Actor.NOBODY)
    )


def _cut_off(payment: Payment, around: Circumstances) -> WaitingFor | None:
    if not is_cut_off(payment, around):
        return None
    name = payment.provider
    return WaitingFor(
        what=f"An operator has to enable {name} in the configuration of payd, with"
        f" providers.{name}.enabled: true or {name.upper()}_ENABLED=true, and restart payd. Without"
        f" it payd neither asks {name} nor reads its reports.",
        actor=Actor.OPERATOR,
    )


def next_look_time(payment: Payment, around: Circumstances) -> datetime | None:
    """When payd asks the provider next, about the payment or a refund; None where it is no use.

    It is never in the past: a check that is due comes as soon as recovery claims it.
    """
    if is_cut_off(payment, around) or cannot_find_out(payment, around):
        return None
    now = around.now
    times = [refund.next_check_time for refund in payment.refunds]
    times.append(payment.next_check_time or next_check_time(payment, now))
    first = min((time for time in times if time is not None), default=None)
    return None if first is None else max(first, now)


def outlook(payment: Payment, around: Circumstances, time: datetime) -> Status:
    """The status after a status check at `time` that shows no more money than is known."""
    check = Snapshot(
        status=payment.provider_status or ProviderStatus.OPEN,
        asset=payment.asset,
        received=payment.snapshot_received,
        confirmed=payment.snapshot_confirmed,
        as_of=time,
    )
    # Recovery closes an open object first, where that can be done; then this is what follows.
    decision = decide(payment, check, time, attrs.evolve(around.rules, closes=False))
    return decision.payment.status if decision else payment.status


def _reports(history: History) -> WaitingFor | None:
    if not history.waiting:
        return None
    first, *others = history.waiting
    more = f", with {len(others)} more" if others else ""
    tried = f", {first.attempts} attempts so far" if first.attempts else ""
    again = f", next at {when(first.retry_time)}" if first.retry_time else ""
    content = contents(history.payment, first)
    says = f", which says {content}" if content else ""
    return WaitingFor(
        what=f"payd has to process the report {first.event_id} of {history.payment.provider}"
        f"{says}, received at {when(first.receive_time)}{more}{tried}{again}.",
        actor=Actor.PAYD,
    )


# -- open payments -------------------------------------------------------------------------------


def _open(payment: Payment, around: Circumstances) -> WaitingFor:
    blocking = [reason for reason in _BLOCKED if reason in payment.attention]
    if blocking:
        return WaitingFor(what=_BLOCKED[blocking[0]](payment), actor=Actor.OPERATOR)
    match payment.status:
        case Status.CREATING:
            return _creating(payment, around)
        case Status.CANCELING:
            return _canceling(payment, around)
    is_moving = payment.provider_status is ProviderStatus.PROCESSING
    if is_moving or payment.received > payment.confirmed:
        what = f"{payment.provider} has to report how this ends: {money_on_its_way(payment)}."
        return WaitingFor(what=what, actor=Actor.PROVIDER)
    if around.now >= payment.expire_time:
        return _overdue(payment, around)
    return WaitingFor(what=_to_pay(payment, around), actor=Actor.CUSTOMER)


def _creating(payment: Payment, around: Circumstances) -> WaitingFor:
    provider = payment.provider
    if payment.ask_deadline is not None and payment.ask_deadline > around.now:
        return WaitingFor(
            what=f"{provider} has to answer payd's request, at the latest at"
            f" {when(payment.ask_deadline)}.",
            actor=Actor.PROVIDER,
        )
    if payment.asking is Asking.NOT_ATTEMPTED:
        give_up = payment.create_time + around.rules.not_attempted_limit
        return WaitingFor(
            what=f"payd has to reach {provider}; nothing was sent so far. If nothing can be sent"
            f" by {when(give_up)}, the payment fails.",
            actor=Actor.PAYD,
        )
    if cannot_find_out(payment, around):
        return _only_reported(payment)
    return WaitingFor(
        what=f"payd has to find out whether {provider} has the payment: it looks for the operation"
        f" payd:{payment.id}:create:v1 there{_in_vain(payment)}.{_if_never_known(payment, around)}",
        actor=Actor.PAYD,
    )


def _if_never_known(payment: Payment, around: Circumstances) -> str:
    if around.now >= payment.expire_time:
        return ""
    time = when(payment.expire_time)
    return f" Without an answer by {time} a person has to look (OUTCOME_UNKNOWN)."


def _in_vain(payment: Payment) -> str:
    """The status checks since the last change, which brought nothing."""
    if payment.checks == 0:
        return ""
    return f"; {status_checks(payment.checks)} brought nothing"


def _only_reported(payment: Payment) -> WaitingFor:
    provider = payment.provider
    for record in payment.attention_records:
        if record.reason is Attention.OUTCOME_UNKNOWN and record.resolved_time is not None:
            what = (
                f"{record.resolved_by} looked at {provider} at {when(record.resolved_time)} and"
                f' wrote: "{record.note}". payd waits for nothing; the payment stays'
                f" {payment.status.value}, and payd sends the main app no event about it. If"
                f" {provider} reports it after all, payd counts it."
            )
            return WaitingFor(what=what, actor=Actor.NOBODY)
    what = f"{provider} has to report the payment, if it has it: payd cannot look it up there."
    return WaitingFor(what=what, actor=Actor.PROVIDER)


def _canceling(payment: Payment, around: Circumstances) -> WaitingFor:
    if cannot_find_out(payment, around):
        return _only_reported(payment)
    if payment.provider_reference is None:
        return WaitingFor(
            what=f"payd has to find out whether {payment.provider} has the payment before it can"
            f" close it there. If {payment.provider} does not have it, the payment becomes"
            f" CANCELED.",
            actor=Actor.PAYD,
        )
    return WaitingFor(
        what=f"{payment.provider} has to confirm that {payment.provider_reference} can no longer be"
        f" paid. payd asked it when canceling was requested{_again(payment)}, and has no"
        f" confirmation yet; {WHERE_ERRORS_ARE}, and `payd providers` says whether"
        f" {payment.provider} works. If the customer pays before that, the payment is not canceled,"
        f" and the money counts.",
        actor=Actor.PROVIDER,
    )


def _again(payment: Payment) -> str:
    if payment.checks == 0:
        return ""
    return f" and {'once' if payment.checks == 1 else f'{payment.checks} times'} since"


def _overdue(payment: Payment, around: Circumstances) -> WaitingFor:
    provider = payment.provider
    first = f"has to close it at {provider}"
    if not around.can_close:
        first = f"has not yet seen everything that happened at {provider} up to that time"
    ends = outlook(payment, around, around.now).value
    more = "more money" if payment.received else "money"
    return WaitingFor(
        what=f"The time to pay ended at {when(payment.expire_time)}. payd {first}; unless {more}"
        f" turns up, the payment then becomes {ends}{_with_a_part(payment)}.",
        actor=Actor.PAYD,
    )


def _to_pay(payment: Payment, around: Circumstances) -> str:
    missing = money(payment, payment.due - payment.confirmed)
    match payment.next_action:
        case Redirect(url=url):
            how = f"pay {missing} at {url}"
        case CryptoTransfer() as transfer:
            text = transfer.memo_text or transfer.memo
            memo = f" with the memo {text}" if text else ""
            how = (
                f"transfer {missing} ({price_of(payment)}) at {payment.provider} (chain"
                f" {transfer.chain_id}) to {transfer.receiver_address}{memo}"
            )
        case Show():
            how = f"pay {missing} as the instructions of the payment say"
        case _:
            how = f"pay {missing} at {payment.provider}"
    ends = outlook(payment, around, payment.expire_time).value
    time, then = when(payment.expire_time), _with_a_part(payment)
    return f"The customer has to {how}, by {time}; otherwise the payment becomes {ends}{then}."


def _with_a_part(payment: Payment) -> str:
    """What becomes of a part of the money, where the rest does not come."""
    if payment.confirmed == 0:
        return ""
    part = money(payment, payment.confirmed)
    return f", and a person has to decide on the {part} that came (UNDERPAID)"


# -- what comes after ----------------------------------------------------------------------------


#: A dispute decides on their money, so nobody may approve or send them while it is open or lost.
_FOR_A_PERSON = (RefundStatus.AWAITING_APPROVAL, RefundStatus.AWAITING_TRANSFER)


def _refunds(payment: Payment) -> WaitingFor | None:
    held = _FOR_A_PERSON if is_disputed(payment) else ()
    for refund in payment.refunds:
        if refund.status.is_open and refund.status not in held:
            return _refund(payment, refund)
    return None


def _refund(payment: Payment, refund: Refund) -> WaitingFor:
    amount, provider = money(payment, refund.amount), payment.provider
    match refund.status:
        case RefundStatus.AWAITING_APPROVAL:
            what = f"An operator other than {refund.requester} has to approve refund {refund.id}"
            return WaitingFor(what=f"{what} of {amount}.", actor=Actor.OPERATOR)
        case RefundStatus.AWAITING_TRANSFER if taken(payment) > payment.confirmed:
            what = f"A person has to withdraw refund {refund.id}, or to say that it was sent"
            return WaitingFor(what=f"{what}: {taken_back(payment)}.", actor=Actor.OPERATOR)
        case RefundStatus.AWAITING_TRANSFER:
            what = f"A person has to send refund {refund.id}: {how_to_send(payment, refund)}."
            return WaitingFor(what=what, actor=Actor.OPERATOR)
        case RefundStatus.CREATING if Attention.STUCK in payment.attention:
            what = f"A person has to find out at {provider} what became of refund {refund.id}"
            return WaitingFor(what=f"{what} of {amount}; payd keeps asking.", actor=Actor.OPERATOR)
        case RefundStatus.CREATING if refund.asking is Asking.NOT_ATTEMPTED:
            what = f"payd has to send refund {refund.id} of {amount} to {provider}."
            return WaitingFor(what=what, actor=Actor.PAYD)
        case RefundStatus.CREATING:
            what = f"payd has to find out what became of refund {refund.id} of {amount}."
            return WaitingFor(what=what, actor=Actor.PAYD)
        case _:
            what = f"{provider} has to finish refund {refund.id} of {amount}."
            return WaitingFor(what=what, actor=Actor.PROVIDER)


def _disputes(payment: Payment) -> WaitingFor | None:
    for dispute in payment.disputes:
        due = dispute.evidence_due_time
        time = f" by {when(due)}" if due else ""
        match dispute.status:
            case DisputeStatus.NEEDS_RESPONSE:
                what = (
                    f"A person has to answer dispute {dispute.id} at {payment.provider}{time}, or"
                )
                what = f"{what} it is lost."
                return WaitingFor(what=what, actor=Actor.OPERATOR)
            case DisputeStatus.UNDER_REVIEW:
                what = f"The customer's bank has to decide dispute {dispute.id}"
                return WaitingFor(what=f"{what}; there is nothing to do.", actor=Actor.PROVIDER)
            case DisputeStatus.INQUIRY:
                what = f"A person may answer the bank's inquiry {dispute.id}"
                return WaitingFor(what=f"{what} at {payment.provider}{time}.", actor=Actor.OPERATOR)
    return None


def _attention(payment: Payment) -> WaitingFor | None:
    open_ones = [record for record in payment.attention_records if record.is_open]
    if not open_ones:
        return None
    if {one.reason for one in open_ones} <= {Attention.PAID_AFTER_CLOSE, Attention.UNDERPAID}:
        pending = payment.received - payment.confirmed
        if pending > 0:
            seen = f"{money(payment, pending)} that was seen becomes final or vanishes"
            return WaitingFor(
                what=f"{payment.provider} has to report whether {seen}.", actor=Actor.PROVIDER
            )
    if len(open_ones) == 1:
        what = f"{open_ones[0].reason.value}: {open_reason(payment, open_ones[0])}"
    else:
        what = f"{listing(sorted(record.reason.value for record in open_ones))}."
    return WaitingFor(what=f"A person has to look at {what}", actor=Actor.OPERATOR)


def _events(history: History) -> WaitingFor | None:
    waiting = [event for event in history.events if event.publish_time is None]
    if not waiting:
        return None
    first = waiting[0]
    error = f" The last attempt failed: {first.last_error}." if first.last_error else ""
    return WaitingFor(
        what=f"payd has to publish {listing(event.subject for event in waiting)}, which"
        f" {'waits' if len(waiting) == 1 else 'wait'} in the outbox since"
        f" {when(first.create_time)}.{error}",
        actor=Actor.PAYD,
    )


def _nothing(payment: Payment, around: Circumstances) -> str:
    if around.can_close:
        late = f"a payment that is already under way at {payment.provider} and arrives"
        can_pay = "The customer can no longer pay it"
    else:
        late, can_pay = "money that moves", "The customer should no longer pay it"
    may_come = payment.status in (Status.EXPIRED, Status.FAILED) and payment.provider_reference
    if may_come and around.rules.late_payments_complete:
        end = payment.late_end(around.rules.late_window)
        if around.now <= end:
            return f"{can_pay}; {late} by {when(end)} still completes it."
    owed = [
        refund
        for refund in not_refunded(payment)
        if refund.failure is not None and code_of(refund) != NOTHING_LEFT.code
    ]
    if owed:
        amount = money(payment, max(refund.amount for refund in owed))
        return f"Nothing more happens by itself, but the customer did not get a refund of {amount}."
    return "The payment is over."

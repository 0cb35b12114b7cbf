"""What a person can do about each reason for attention."""

from collections.abc import Callable, Iterator
from datetime import datetime

import attrs

from payd.domain.attention import Attention
from payd.domain.decide import EventType
from payd.domain.dispute import DisputeStatus
from payd.domain.disputes import is_disputed
from payd.domain.explain.case import NOTE, Case
from payd.domain.explain.facts_changed import WHERE_ERRORS_ARE
from payd.domain.explain.main_app import main_app_knows
from payd.domain.explain.money_back import (
    code_of,
    first_amount,
    held_by_dispute,
    not_refunded,
    nothing_more,
    still_owed,
)
from payd.domain.explain.reasons import open_reason, was_paid_wrongly
from payd.domain.explain.reported import contradictions
from payd.domain.explain.words import in_asset, listing, money, when
from payd.domain.explanation import Advice
from payd.domain.next_action import CryptoTransfer
from payd.domain.payment import Payment, Status
from payd.domain.refund import Refund, RefundStatus
from payd.domain.refund_reports import SAME_REFUND, SETTLED
from payd.domain.refunds import NOTHING_LEFT, left, taken
from payd.domain.republication import REPUBLISHED


def on_reasons(case: Case) -> Iterator[Advice]:
    """Each reason that is open: since when, what it says, and what to do about it."""
    payment = case.payment
    for record in payment.attention_records:
        if record.is_open:
            said = open_reason(payment, record)
            head = f"{record.reason.value}, since {when(record.since)}: {said}"
            first, *rest = ADVICE[record.reason](case)
            for advice in (attrs.evolve(first, text=f"{head} {first.text}"), *rest):
                yield advice
                case = case.after(advice)
    resolvable = payment.attention - _BY_ITSELF
    if case.pending > 0:
        resolvable -= {Attention.PAID_AFTER_CLOSE, Attention.UNDERPAID}
    if resolvable:
        names = sorted(reason.value for reason in resolvable)
        yield Advice(
            text=f"When that is done, resolve {listing(names)}.",
            command=f"payd attention resolve {payment.id} {' '.join(names)} {NOTE}",
        )


def _outcome_unknown(case: Case) -> Iterator[Advice]:
    payment, provider = case.payment, case.provider
    look = (
        f"Look for the payment of {money(payment, payment.due)} {case.looks}: it carries payd's id"
        f" {payment.id}, such as in its metadata, payment_id."
    )
    if case.around.can_look_up:
        yield Advice(
            text=f"{look} If it is there, payd takes it over when it asks:",
            command=f"payd payments sync {payment.id}",
        )
    else:
        yield Advice(
            text=f"{look} If it is there and not paid, close it there. If it is there and paid, let"
            f" {provider} send its report again: payd cannot look it up, and counts the money when"
            f" that report comes. If {provider} cannot, refund it in its dashboard."
        )
    end = "is canceled" if payment.status is Status.CANCELING else "expires"
    ends = f", and {end} when {provider} says so" if case.around.can_look_up else ""
    untold = (
        ""
        if case.around.can_look_up
        else " payd sends the main app no event about it: tell it that the customer may pay by a"
        " new payment."
    )
    closed = "" if case.around.can_look_up else ", or you have closed it there"
    yield Advice(
        text=f"If it is not there{closed}, no money can come, and payd needs nothing: the payment"
        f" stays {payment.status.value}{ends}.{untold} To take it off the list:",
        command=f"payd attention resolve {payment.id} OUTCOME_UNKNOWN {NOTE}",
    )


def _underpaid(case: Case) -> Iterator[Advice]:
    payment = case.payment
    if case.pending > 0:
        yield Advice(
            text=f"{money(payment, case.pending)} more was seen. There is nothing to do until it is"
            f" final: neither deliver nor send anything back yet. {_when_final(case)}"
        )
        return
    missing = money(payment, payment.due - payment.confirmed)
    back = left(payment)
    knows = main_app_knows(case.history, EventType.CANCELED, EventType.FAILED, EventType.ATTENTION)
    if back == 0:
        yield _all_went_back(case, knows)
        return
    first = f"{knows} {_takes_the_rest(case, missing)}"
    yield case.refund(f"Send {money(payment, back)} back.", back, "underpaid", first=first)
    if not is_disputed(payment):
        yield Advice(
            text=f"When it was sent back, the main app has to create a new payment of the full"
            f" price. Or deliver all the same: the payment stays {payment.status.value}, and payd"
            f" sends the main app no further event."
        )


def _all_went_back(case: Case, knows: str) -> Advice:
    """Nothing is left of the money of a closed payment."""
    return Advice(text=f"{knows} {nothing_more(case.payment)} There is nothing to deliver.")


def _takes_the_rest(case: Case, missing: str) -> str:
    payment, rules = case.payment, case.around.rules
    end = payment.late_end(rules.late_window)
    may_complete = rules.late_payments_complete and payment.status is not Status.CANCELED
    if may_complete and case.around.now <= end:
        return (
            f"If the missing {missing} moves by {when(end)}, it still completes the payment; later"
            f" money does not. Before you send anything back, tell the customer not to send the"
            f" rest."
        )
    return "The payment no longer takes the rest."


def _when_final(case: Case) -> str:
    """What becomes of a closed payment when the money that was seen is final."""
    payment, rules = case.payment, case.around.rules
    is_too_late = Attention.PAID_AFTER_CLOSE in payment.attention
    may_complete = rules.late_payments_complete and payment.status is not Status.CANCELED
    if may_complete and not is_too_late and payment.received >= payment.due:
        # A snapshot does not say when the money moved: it counts by its own time.
        end = when(payment.late_end(rules.late_window))
        by = f" by {end}" if payment.snapshot_received else ""
        why = "" if payment.snapshot_received else f", because it moved by {end}"
        return f"When it is final{by}, it completes the payment{why}."
    return f"When it is final, the payment stays {payment.status.value}; explain it again then."


def _overpaid(case: Case) -> Iterator[Advice]:
    if Attention.DUPLICATE_PAYMENT in case.payment.attention:
        yield Advice(text="What is said of DUPLICATE_PAYMENT settles this too.")
        return
    yield _surplus(case, "overpaid")


def _duplicate(case: Case) -> Iterator[Advice]:
    yield _surplus(case, "paid twice")


def _surplus(case: Case, reason: str) -> Advice:
    """What is left of the surplus: a refund takes from it first, whatever it was made for."""
    payment = case.payment
    surplus = left(payment) - payment.due
    if surplus <= 0:
        return Advice(text=nothing_more(payment))
    is_whole = surplus == payment.confirmed - payment.due
    much = money(payment, surplus)
    text = f"Send the surplus of {much} back." if is_whole else f"Send the rest of it back, {much}."
    return case.refund(text, surplus, reason)


def _paid_after_close(case: Case) -> Iterator[Advice]:
    payment = case.payment
    if case.pending > 0:
        yield Advice(
            text="There is nothing to do until it is final. Neither deliver nor send it back yet:"
            " it can still vanish. payd reads when it is final, and shows that here:",
            command=f"payd explain {payment.id}",
        )
        return
    if payment.confirmed == 0:
        yield Advice(text="There is nothing to send back.")
        return
    first = f"{_why_too_late(case)}{main_app_knows(case.history, EventType.ATTENTION)}"
    back = left(payment)
    if back == 0:
        yield _all_went_back(case, first)
        return
    yield case.refund(f"Send {money(payment, back)} back.", back, "paid after close", first=first)
    if not is_disputed(payment):
        yield Advice(
            text=f"Or deliver all the same, in the main app: for payd the payment stays"
            f" {payment.status.value}, and it publishes no payment.completed."
        )


def _why_too_late(case: Case) -> str:
    if case.payment.status is Status.CANCELED:
        return ""
    rules = case.around.rules
    if not rules.late_payments_complete:
        return "With this method, money that comes late always waits for a person. "
    end = when(case.payment.late_end(rules.late_window))
    return f"It moved after {end}, when the late window ended (setting payments.late_window_s). "


def _mismatch(case: Case) -> Iterator[Advice]:
    payment, provider = case.payment, case.provider
    reference = payment.provider_reference or "the object"
    is_paid = was_paid_wrongly(payment)
    if payment.status in (Status.CREATING, Status.PENDING) and payment.received == 0:
        in_time = "" if is_paid else " before the customer pays the wrong amount"
        yield Advice(
            text=f"Cancel it{in_time}: payd then closes {reference} at {provider}, and the payment"
            f" becomes CANCELED. The main app has to create a new payment.",
            command=f"payd cancel {payment.id}",
        )
    refund = f"efund it {case.looks}: payd does not count that money"
    yield Advice(
        text=f"The customer has paid {reference}. R{refund}, and cannot send it back."
        if is_paid
        else f"If the customer has paid {reference}, r{refund}."
    )


def _wrong_token(case: Case) -> Iterator[Advice]:
    payment = case.payment
    others = [one for one in case.history.unmatched if not payment.is_asset(one.asset)]
    missing = payment.due - payment.received
    if payment.status.is_open and missing > 0 and case.around.now < payment.expire_time:
        due = f"{money(payment, missing)} is still due by {when(payment.expire_time)}"
        yield Advice(text=f"Tell the customer that {due}.")
    action = payment.next_action
    account = action.receiver_address if isinstance(action, CryptoTransfer) else ""
    for receipt in others:
        amount = in_asset(payment, receipt.asset, receipt.amount, case.around.tokens)
        is_known = receipt.asset.lower() in case.around.tokens
        units = "" if is_known else " payd does not know the name and decimals of that token."
        sender = receipt.details.get("sender")
        to = f" to {sender}" if sender else " to the sender"
        of = receipt.details.get("receiver") or account or "the account that received it"
        yield Advice(text=f"Send {amount} back{to}, from {of} (receipt {receipt.id}).{units}")
    went = _refunds_in_another_asset(payment)
    if went:
        yield Advice(
            text=f"{case.provider} reports {listing(went)}, which is money that goes to the"
            f" customer. Send nothing for it. Look at it {case.looks}, and tell the main app what"
            f" went back."
        )
    elif not others:
        yield Advice(text="Send it back to the customer, from the account that received it.")


def _refunds_in_another_asset(payment: Payment) -> list[str]:
    """What stands behind WRONG_TOKEN and is no money that came."""
    [record] = (one for one in payment.attention_records if one.reason is Attention.WRONG_TOKEN)
    return sorted(fact for fact in record.facts if fact.startswith("refund "))


def _conflict(case: Case) -> Iterator[Advice]:
    reference = case.payment.provider_reference or f"the payment {case.payment.id}"
    differences = " ".join(contradictions(case.history))
    look = f"Compare it with what {case.provider} shows for {reference}"
    more = taken(case.payment) - case.payment.confirmed
    if case.payment.status.is_open:
        look = (
            f"{look}. If {case.provider} shows what payd shows, resolve this. If not, let payd ask"
            f" {case.provider} now, with the command below, and explain the payment again. If they"
            f" still differ, ask the support of {case.provider}, and leave this open. Until then do"
            f" not cancel the payment"
        )
    elif more > 0:
        much = money(case.payment, more)
        look = (
            f"{look}: check both amounts. If they are right, {much} too much was given back: claim"
            f" it from the customer, or accept the loss; then resolve this"
        )
    else:
        look = (
            f"{look}. If that agrees with the amounts that payd counts, there is nothing else to"
            f" do. If not, {case.provider} is right about what has moved: compare the main app"
            f" with it. Send the customer something only if they got less than they are owed"
        )
    command = f"payd payments sync {case.payment.id}" if case.payment.status.is_open else ""
    yield Advice(text=f"{differences} {look}.".strip(), command=command)


def _refunded_externally(case: Case) -> Iterator[Advice]:
    payment = case.payment
    sentences = []
    for refund in payment.refunds:
        if not (refund.external and refund.status.is_live):
            continue
        knows = main_app_knows(case.history, EventType.REFUNDED, about=str(refund.id))
        counts = money(payment, refund.amount)
        if refund.status is RefundStatus.SUCCEEDED:
            named = money(payment, first_amount(case.history, refund))
            differs = (
                f" The event named {named}. If {case.provider} shows {counts}, change {named} to"
                f" {counts} in the main app. If it shows {named}, change nothing in the main app:"
                f" payd goes on counting {counts}, so it refuses to refund the last"
                f" {money(payment, abs(refund.amount - first_amount(case.history, refund)))}."
                f" Nothing has to be sent now; if the customer is ever owed that, refund it"
                f" {case.looks}."
                if named != counts
                else ""
            )
            sentences.append(f"{knows} {counts} counts as refunded.{differs}")
        else:
            sentences.append("It is on its way; payd sends payment.refunded when it succeeds.")
    sentences.append(f"Find out {case.looks} who refunded it, and why.")
    yield Advice(text=" ".join(sentences))


def _failed(case: Case) -> list[Refund]:
    return [
        refund
        for refund in case.payment.refunds
        if refund.status is RefundStatus.FAILED and code_of(refund) not in (SAME_REFUND, SETTLED)
    ]


def _refund_failed(case: Case) -> Iterator[Advice]:
    payment, failed = case.payment, _failed(case)
    stopped = [refund for refund in failed if code_of(refund) == NOTHING_LEFT.code]
    if stopped:
        yield Advice(text="Do not refund it again, or it is paid twice.")
    missing = [one for one in not_refunded(payment) if one in failed and one not in stopped]
    if not missing:
        if not stopped:
            yield Advice(text=_why_none_is_missing(payment, failed))
        return
    amount = still_owed(payment, missing)
    much = max(refund.amount for refund in missing)
    if held := held_by_dispute(payment, amount or much):
        yield Advice(text=held)
    elif amount == 0:
        yield Advice(text=nothing_more(payment))
    else:
        yield _refund_again(case, missing, amount)


def _why_none_is_missing(payment: Payment, failed: list[Refund]) -> str:
    if not failed:
        return "As payd has it now, no refund of this payment has failed: refund nothing again."
    later = [one for one in payment.refunds if one.status.is_live and _is_after(one, failed)]
    if any(refund.status.is_open for refund in later):
        return nothing_more(payment)
    names = listing(f"refund {one.id} of {money(payment, one.amount)}" for one in later)
    return f"Afterwards {names} has succeeded. Do not refund it again."


def _is_after(refund: Refund, failed: list[Refund]) -> bool:
    return any(refund.create_time > one.create_time for one in failed)


def _refund_again(case: Case, missing: list[Refund], amount: int) -> Advice:
    much = money(case.payment, amount)
    several = "They count as attempts at the same refund. " if len(missing) > 1 else ""
    if any(not refund.external for refund in missing):
        which = "the refund above" if case.has_refund else "another refund"
        return case.refund(
            f"If it has changed, refund {much} again.",
            amount,
            "refund failed before",
            first=f"{several}While the reason holds, {which} fails as well: agree on another way"
            f" with the customer instead.",
        )
    return case.refund(
        f"Refund {much} again only if the customer is owed it.",
        amount,
        "refund failed before",
        first=f"{several}Nobody asked payd for it: find out {case.looks} who made it, and why.",
    )


def _disputed(case: Case) -> Iterator[Advice]:
    waiting = [one for one in case.payment.disputes if one.status is DisputeStatus.NEEDS_RESPONSE]
    for dispute in waiting:
        due = dispute.evidence_due_time
        time = f" by {when(due)}" if due else ""
        amount = in_asset(case.payment, dispute.asset, dispute.amount)
        yield Advice(
            text=f"Answer {dispute.id} {case.looks}{time}, or the bank gives {amount} to the"
            f" customer. Show what proves that the customer got what they paid for. This ends with"
            f" the bank's decision."
        )
    if not waiting:
        yield Advice(text="There is nothing to do: this ends with the bank's decision.")


def _lost_dispute(case: Case) -> Iterator[Advice]:
    knows = main_app_knows(case.history, EventType.DISPUTE_CLOSED)
    yield Advice(text=f"{knows} Decide whether what was delivered is taken back.")


def _stuck(case: Case) -> Iterator[Advice]:
    yield Advice(
        text=f"There is no news since {when(_last_news(case))}; {WHERE_ERRORS_ARE}. STUCK ends"
        f" by itself when payd knows the outcome. See whether {case.provider} answers; if not, look"
        f" at its status page, or ask its support.",
        command="payd providers",
    )
    payment, reference = case.payment, case.payment.provider_reference
    if payment.status.is_open and reference is not None:
        yield Advice(
            text=f"Look at {reference} {case.looks}. If it is paid there, no"
            f" money is lost: payd counts it when {case.provider} answers. Until then do not let"
            f" the customer pay again.{_may_close(case)}"
        )


def _may_close(case: Case) -> str:
    if not case.around.can_close or case.payment.received:
        return ""
    return (
        f" If it is not paid there, close it there: the customer can then pay by a new payment, and"
        f" payd ends this one when {case.provider} answers."
    )


_NO_NEWS = ("attention_changed", REPUBLISHED)


def _last_news(case: Case) -> datetime:
    """The newest change that was neither a reason for attention nor an old event."""
    changes = [one for one in case.history.changes if one.audit_event not in _NO_NEWS]
    return (changes or case.history.changes)[-1].time


_Counsel = Callable[[Case], Iterator[Advice]]

#: Reason → what to do; the first follows what the reason says.
ADVICE: dict[Attention, _Counsel] = {
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

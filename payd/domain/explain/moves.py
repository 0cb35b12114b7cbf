"""A sentence for each row of the transition table of payments in docs/payment-model.md.

The audit trail keeps what a decision changed, not the evidence. The reasons are read from the same
fields that `decide` reads.
"""

from collections.abc import Callable, Iterable

from payd.domain.actors import RECONCILIATION, RECOVERY, provider_actor
from payd.domain.decide import NEVER_SENT
from payd.domain.evidence import ProviderStatus
from payd.domain.explain.said import Move, Said
from payd.domain.explain.words import money, of_due, price_of, sentence, when
from payd.domain.facts import UNPAYABLE
from payd.domain.outcome import Asking
from payd.domain.payment import Payment, Status

Tell = Callable[[Move], Said]


def creation(payment: Payment, actor: str) -> Said:
    """The first row of the table: from nothing to CREATING."""
    due = money(payment, payment.due)
    price = f" for {price_of(payment)}" if payment.crypto else ""
    return Said(
        f"The payment was stored: {due} by {payment.method}{price}, to be paid by"
        f" {when(payment.expire_time)}. payd then asked {payment.provider} for it.",
        f"{actor} called InitiatePayment.",
    )


def move_of(move: Move) -> Said:
    """What a change of the status means."""
    row = move.before.status, move.after.status
    tell = MOVES.get(row)
    if tell is None:
        return Said(f"The status went from {row[0].value} to {row[1].value}.")
    return tell(move)


def _reached(move: Move) -> Said:
    after = move.after
    return Said(
        f"{move.provider} has the payment as {after.provider_reference} and waits for the customer"
        f" to pay by {when(after.expire_time)}.",
        _who_named_it(move),
    )


def _who_named_it(move: Move) -> str:
    was_sending = move.before.ask_deadline is not None
    match move.change.actor:
        case actor if actor == provider_actor(move.provider):
            return "A report named the reference before the answer to payd's request was known."
        case actor if actor == RECOVERY and not was_sending:
            return f"A lookup at {move.provider} found it."
        case actor if actor == RECONCILIATION:
            return f"It is in the list of {move.provider}'s objects."
        case _:
            return f"{move.provider} answered payd's request."


def _processing(move: Move) -> Said:
    return Said(f"{money_on_its_way(move.after)}.", why_it_stays_open(move.after))


def _no_longer_canceling(move: Move) -> Said:
    return Said(
        f"{money_on_its_way(move.after)}, so the payment can no longer be canceled.",
        "Money was seen or is on its way, and payd cancels no payment that is being paid.",
    )


def money_on_its_way(payment: Payment) -> str:
    """What is known of the money of a payment that is not complete, without a full stop."""
    final, pending = payment.confirmed, payment.received - payment.confirmed
    if pending > 0:
        seen = f"{money(payment, pending)} was seen at {payment.provider} and is not final yet"
        return f"{seen}; {of_due(payment, final)} is confirmed" if final else seen
    if payment.provider_status is ProviderStatus.PROCESSING:
        return f"{payment.provider} reports that the customer has paid and the money is on its way"
    return (
        f"{of_due(payment, final)} is confirmed; {money(payment, payment.due - final)} is missing"
    )


def why_it_stays_open(payment: Payment) -> str:
    """Why money that was seen does not complete a payment yet."""
    if payment.received == payment.confirmed and payment.confirmed > 0:
        return "Only a part of what is due has come."
    return f"Money counts as paid when it is final at {payment.provider}."


def _gone_again(move: Move) -> Said:
    gone = max(0, move.before.received - move.after.received)
    lost = f"{money(move.after, gone)} that had been seen" if gone else "The money on its way"
    return Said(
        f"{lost} is gone again; the payment waits for the customer.",
        f"Money that is not final can be undone at {move.provider}.",
    )


def _completed(move: Move) -> Said:
    after = move.after
    late = (
        f" The money came after {when(after.expire_time)}, within the late window."
        if after.late
        else ""
    )
    return Said(
        f"The payment is complete: {money(after, after.confirmed)} is confirmed.{late}",
        f"At least what is due, {money(after, after.due)}, is final at {move.provider}.",
    )


def _completed_late(move: Move) -> Said:
    after = move.after
    return Said(
        f"The payment is complete after all: {money(after, after.confirmed)} is confirmed.",
        f"It was {move.before.status.value}. Money that moves within the late window, some hours"
        f" after the end of a payment, still completes it (setting payments.late_window_s).",
    )


def _cancel_asked(move: Move) -> Said:
    note = f' ("{move.change.note}")' if move.change.note else ""
    if move.before.status is Status.CREATING:
        then = f"payd keeps the request until it knows what became of it at {move.provider}"
    else:
        then = f"payd asks {move.provider} to close it"
    return Said(f"Canceling was requested{note}.", f"The caller wants it closed; {then}.")


def _canceled(move: Move) -> Said:
    after, provider = move.after, move.provider
    if after.provider_status is ProviderStatus.PAID:
        why = (
            f"At {provider} it is PAID with another amount than is due: no more can be paid there."
        )
    elif after.provider_status in UNPAYABLE:
        why = f"At {provider} it is {after.provider_status.value} and can no longer be paid."
    elif after.asking is Asking.NOT_ATTEMPTED:
        why = f"The request never reached {provider}: nothing that can be paid exists."
    elif after.provider_reference is not None:
        why = (
            f"{provider} cannot close a payment, so money can still be sent to its address. At the"
            f" last look there was no money."
        )
    elif after.asking is Asking.ANSWERED:
        why = f"{provider} declined the request: nothing that can be paid exists."
    else:
        why = f"The expiry has passed, and a lookup at {provider} found nothing that can be paid."
    return Said("The payment is canceled.", why)


def _failed(move: Move) -> Said:
    failure = move.after.failure
    if failure is None:
        return Said("The payment failed.", f"{move.provider} declined it.")
    if failure.code == NEVER_SENT.code:
        why = f"No request for it reached {move.provider}, and payd gave up."
        return Said(f"The payment failed ({failure.code}).", why)
    return Said(f"The payment failed ({failure.code}).", f"{sentence(failure.message)}.")


def _expired_unsent(move: Move) -> Said:
    after = move.after
    if after.asking is Asking.NOT_ATTEMPTED:
        why = f"{_passed(after)}, and the request never reached {move.provider}."
    elif after.provider_reference is not None:
        return _expired(move)
    else:
        why = f"{_passed(after)}, and a lookup at {move.provider} found nothing that can be paid."
    return Said("The payment expired.", why)


def _expired(move: Move) -> Said:
    after, provider = move.after, move.provider
    part = f" {of_due(after, after.confirmed)} is confirmed." if after.confirmed else ""
    if after.confirmed >= after.due:
        why = (
            f"{money(after, after.confirmed)} is confirmed, but it moved after the late window,"
            f" too late to complete the payment."
        )
        return Said("The payment expired.", why)
    if after.provider_status in (ProviderStatus.EXPIRED, ProviderStatus.CANCELED):
        ended = "" if move.change.time < after.expire_time else f"{_passed(after)}. "
        state = after.provider_status.value
        why = f"{ended}At {provider} it is {state} and can no longer be paid."
    elif after.provider_status_time is not None:
        why = (
            f"{_passed(after)}, and its status at {provider} of"
            f" {when(after.provider_status_time)} shows neither the amount due nor money on its"
            f" way."
        )
    else:
        why = f"{_passed(after)}, and {provider} has nothing that can be paid."
    return Said(f"The payment expired.{part}", why)


def _passed(payment: Payment) -> str:
    return f"The time to pay ended at {when(payment.expire_time)}"


def _from(sources: Iterable[Status], to: Status, tell: Tell) -> dict[tuple[Status, Status], Tell]:
    return {(source, to): tell for source in sources}


#: From, to → its sentence. The table of docs/payment-model.md; a test compares it with `decide`.
MOVES: dict[tuple[Status, Status], Tell] = {
    (Status.CREATING, Status.PENDING): _reached,
    **_from((Status.CREATING, Status.PENDING), Status.PROCESSING, _processing),
    (Status.CANCELING, Status.PROCESSING): _no_longer_canceling,
    (Status.PROCESSING, Status.PENDING): _gone_again,
    **_from(
        (Status.CREATING, Status.PENDING, Status.PROCESSING, Status.CANCELING),
        Status.COMPLETED,
        _completed,
    ),
    **_from((Status.CREATING, Status.PENDING), Status.CANCELING, _cancel_asked),
    **_from((Status.CREATING, Status.CANCELING), Status.CANCELED, _canceled),
    **_from(
        (Status.CREATING, Status.PENDING, Status.PROCESSING, Status.CANCELING),
        Status.FAILED,
        _failed,
    ),
    (Status.CREATING, Status.EXPIRED): _expired_unsent,
    **_from((Status.PENDING, Status.PROCESSING, Status.CANCELING), Status.EXPIRED, _expired),
    **_from((Status.EXPIRED, Status.FAILED), Status.COMPLETED, _completed_late),
}

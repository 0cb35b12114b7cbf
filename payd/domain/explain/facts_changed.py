"""Sentences for what changes without a change of the status: money, the expiry, answers, checks."""

from collections.abc import Callable, Iterator

from payd.domain.actors import provider_actor
from payd.domain.evidence import Receipt, ReceiptState
from payd.domain.explain.moves import money_on_its_way, why_it_stays_open
from payd.domain.explain.said import Move, Said
from payd.domain.explain.words import in_asset, money, when
from payd.domain.outcome import Asking
from payd.domain.payment import Payment, Status

#: payd stores what became of a call, not its error.
WHERE_ERRORS_ARE = "errors of calls are in payd's log (provider_call_failed)"
#: Most receipts that a step lists.
_RECEIPTS_SHOWN = 5

RECEIPTS: dict[ReceiptState, str] = {
    ReceiptState.SEEN: "was seen and is not final yet",
    ReceiptState.DROPPED: "vanished before it was final",
    ReceiptState.HELD: "is held back by the bank or chain",
    ReceiptState.CONFIRMED: "is final",
}


def receipts(move: Move) -> Iterator[Said]:
    """A sentence for each receipt that is new or changed, up to a few."""
    shown = move.change.receipts[:_RECEIPTS_SHOWN]
    for receipt in shown:
        yield Said(_receipt(move.after, receipt))
    rest = len(move.change.receipts) - len(shown)
    if rest:
        yield Said(f"So did {rest} more receipts.")


def _receipt(payment: Payment, receipt: Receipt) -> str:
    sender = receipt.details.get("sender")
    by = f" from {sender}" if sender else ""
    amount = in_asset(payment, receipt.asset, receipt.amount)
    return (
        f"Receipt {receipt.id} of {amount}{by} {RECEIPTS[receipt.state]}; the money moved at"
        f" {when(receipt.time)}."
    )


def money_changed(move: Move) -> Iterator[Said]:
    """What the totals say, when they changed and the status did not."""
    before, after = move.before, move.after
    if (before.received, before.confirmed) != (after.received, after.confirmed):
        if after.status.is_open:
            yield Said(f"{money_on_its_way(after)}.", why_it_stays_open(after))
        else:
            yield Said(f"{_in_all(after)}, for a payment that is {after.status.value}.")
    if after.fee is not None and before.fee != after.fee:
        yield Said(f"{move.provider} keeps {money(after, after.fee)} as its fee.")


def _in_all(payment: Payment) -> str:
    pending = payment.received - payment.confirmed
    if pending > 0:
        final = f"; {money(payment, payment.confirmed)} is final" if payment.confirmed else ""
        return f"{money(payment, pending)} is seen and not final{final}"
    return f"{money(payment, payment.confirmed)} in all is final"


def expiry_changed(move: Move) -> Iterator[Said]:
    """The expiry, when the provider closes the object earlier; by a part of a second is no news."""
    expires, before = when(move.after.expire_time), when(move.before.expire_time)
    if expires != before:
        yield Said(
            f"The payment now expires at {expires}, not at {before}.",
            f"{move.provider} closes it then, and the earlier time counts.",
        )


def answered(move: Move) -> Iterator[Said]:
    """What is newly known of the request to create the payment at the provider."""
    before, after = move.before, move.after
    if after.status is not Status.CREATING and after.status is not Status.CANCELING:
        return
    if (after.asking, after.ask_deadline) != (before.asking, before.ask_deadline):
        yield ASKING[after.asking](move)
    elif after.provider_reference != before.provider_reference:
        yield Said(f"{move.provider} has the payment as {after.provider_reference}.")


def _being_sent(move: Move) -> Said:
    return Said(
        f"payd sends the request to {move.provider}.",
        "Nothing was sent before, so it cannot be there twice.",
    )


def _not_sent(move: Move) -> Said:
    return Said(
        f"The request did not reach {move.provider}: payd may send it again.",
        f"No connection to {move.provider} was made, or {move.provider} says that it has nothing.",
    )


def _unknown(move: Move) -> Said:
    if move.after.ask_deadline is not None:
        return Said(
            f"payd sends the request to {move.provider} again, under the same key.",
            f"{move.provider} recognises the key, so it cannot be there twice.",
        )
    return Said(
        f"{move.provider} gave no readable answer: whether it has the payment is not known.",
        f"It timed out, broke off or answered with an error; {WHERE_ERRORS_ARE}.",
    )


def _answered(move: Move) -> Said:
    return Said(f"{move.provider} has the payment as {move.after.provider_reference}.")


#: What is known of the request → its sentence.
ASKING: dict[Asking, Callable[[Move], Said]] = {
    Asking.ASKING: _being_sent,
    Asking.NOT_ATTEMPTED: _not_sent,
    Asking.UNKNOWN: _unknown,
    Asking.ANSWERED: _answered,
}


def checked(move: Move) -> Said:
    """A status check, or a run of them, that brought nothing but its own time."""
    after, count = move.after, move.change.count
    state = after.provider_status.value if after.provider_status else "unchanged"
    if count > 1:
        since = when(move.change.first_time)
        news = f"{count} status checks since {since} brought nothing new"
    elif move.change.actor == provider_actor(move.provider):
        news = "The report brought nothing new"
    else:
        news = "The status check brought nothing new"
    return Said(f"{news}: at {move.provider} it is {state}.")

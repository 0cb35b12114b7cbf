"""What the ledger means in payd's words: a claim as an object, an entry as an event. Pure."""

from collections.abc import Sequence
from datetime import datetime

from payd.plugins import (
    Created,
    Observation,
    ProviderEvent,
    ProviderStatus,
    Receipt,
    ReceiptState,
    Redirect,
    Reversal,
    Snapshot,
)
from sepa_provider.ledger import Claim
from sepa_provider.statements import Entry, Kind


def created(claim: Claim) -> Created:
    """The domain has no next action for a bank transfer: the shop has a page that explains it."""
    return Created(reference=claim.reference, next_action=Redirect(url=claim.url))


def snapshot(claim: Claim, entries: Sequence[Entry], as_of: datetime) -> Snapshot:
    """How the claim stood by the statements up to `as_of`.

    Confirmed by a look is only what was booked in time: whether late money still counts is payd's
    to decide, and only a receipt tells it when the money moved. A part of what is due leaves the
    claim OPEN, never PROCESSING: nothing says that the rest is on its way, and PROCESSING would
    keep the payment from expiring.
    """
    credits = [one for one in entries if one.kind is Kind.CREDIT]
    in_time = sum(one.amount for one in credits if one.booking_time <= claim.expire_time)
    return Snapshot(
        status=ProviderStatus.PAID if in_time >= claim.amount else ProviderStatus.OPEN,
        asset=claim.currency,
        received=sum(one.amount for one in credits),
        confirmed=in_time,
        refunded=sum(one.amount for one in entries if one.kind is Kind.REVERSAL),
        as_of=as_of,
        due=claim.amount,
        reference=claim.reference,
    )


def event(entry: Entry) -> ProviderEvent:
    """The bank's id of the entry is the event's: an entry in two statements is one event."""
    return ProviderEvent(
        id=entry.id,
        type=entry.kind.value,
        content={
            "reference": entry.reference,
            "amount": entry.amount,
            "currency": entry.currency,
            "booking_time": entry.booking_time.isoformat(),
        },
    )


def observations(event: ProviderEvent) -> Sequence[Observation]:
    """A receipt for the reference that the customer gave.

    A receipt, not a snapshot: it has its own id and its own time, so payd adds up partial money
    and knows late money, in whatever order the entries come.

    Money without a reference of ours is told, too: a customer may have forgotten it, and payd
    keeps a receipt that fits no payment for a person to place. An observation must name something:
    the entry's id, which is the name of no payment.
    """
    told = event.content
    reference = told["reference"] or event.id
    if event.type == Kind.REVERSAL.value:
        # payd wants the total that went back, and one entry knows its own sum only: of two
        # reversals the larger counts. That is enough to raise attention, and a person looks.
        fact = Reversal(asset=told["currency"], refunded=told["amount"])
        return (Observation(id=event.id, reference=reference, fact=fact),)
    receipt = Receipt(
        id=event.id,
        asset=told["currency"],
        amount=told["amount"],
        # A booked credit transfer is final: the customer's bank cannot take it back by itself.
        state=ReceiptState.CONFIRMED,
        time=datetime.fromisoformat(told["booking_time"]),
        details={"entry": event.id},
    )
    return (Observation(id=event.id, reference=reference, fact=(receipt,)),)

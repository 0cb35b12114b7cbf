"""Convert ledger rows to SDK values: a claim to a snapshot, an entry to an event. Pure."""

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
    """Redirect to the shop's page with the transfer details: payd has no action for transfers."""
    return Created(reference=claim.reference, next_action=Redirect(url=claim.url))


def snapshot(claim: Claim, entries: Sequence[Entry], as_of: datetime) -> Snapshot:
    """Build the state of a claim from the statements up to `as_of`.

    Only money that was booked in time counts as confirmed here: payd decides whether late money
    counts, and needs the booking time for it, which only a receipt carries. A partial amount
    leaves the claim OPEN, never PROCESSING: nothing shows that the rest is on its way, and
    PROCESSING would keep the payment from expiring.
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
    """Use the bank's entry id as the event id: an entry in two statements is one event."""
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
    """Build a receipt, or a reversal, for the reference that the customer gave.

    A receipt, not a snapshot: it has its own id and time, so payd can add up partial amounts and
    recognize late money, whatever the order of the entries.

    Money without a known reference is reported, too: the customer may have forgotten it, and payd
    keeps a receipt that matches no payment for an operator to assign. An observation must carry a
    reference: here it is the entry's id, which matches no payment.
    """
    content = event.content
    reference = content["reference"] or event.id
    if event.type == Kind.REVERSAL.value:
        # payd expects the total that was returned, and an entry has only its own amount: of two
        # reversals the larger counts. That is enough to flag the payment for an operator.
        fact = Reversal(asset=content["currency"], refunded=content["amount"])
        return (Observation(id=event.id, reference=reference, fact=fact),)
    receipt = Receipt(
        id=event.id,
        asset=content["currency"],
        amount=content["amount"],
        # A booked credit transfer is final: the customer's bank cannot recall it on its own.
        state=ReceiptState.CONFIRMED,
        time=datetime.fromisoformat(content["booking_time"]),
        details={"entry": event.id},
    )
    return (Observation(id=event.id, reference=reference, fact=(receipt,)),)

"""Convert ledger rows to SDK values: a claim to a snapshot, an entry to an event. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from payd.plugins import (
    Created,
    Observation,
    ProviderEvent,
    ProviderStatus,
    Receipt,
    ReceiptState,
    RefundInstructions,
    RefundSnapshot,
    RefundState,
    Show,
    ShowField,
    ShowKind,
    Snapshot,
    currency_exponent,
    format_units,
)
from sepa_provider.ledger import Claim, Payout
from sepa_provider.statements import Entry, Kind


def created(claim: Claim) -> Created:
    """Show the customer what to transfer: there is no page to send them to."""
    return Created(
        reference=claim.reference,
        next_action=_transfer(claim, expire_time=claim.expire_time),
    )


def instructions(payout: Payout) -> RefundInstructions:
    """Say what to transfer back."""
    return RefundInstructions(next_action=_transfer(payout))


def _transfer(due: Claim | Payout, expire_time: datetime | None = None) -> Show:
    """Instructions for a transfer. By its reference it is recognized in a statement."""
    amount = format_units(due.amount, currency_exponent(due.currency))
    typed = (("IBAN", due.iban), ("Amount", amount), ("Reference", due.reference))
    return Show(
        kind=ShowKind.BANK_TRANSFER,
        fields=(
            *(ShowField(label=label, value=value, copyable=True) for label, value in typed),
            ShowField(label="Currency", value=due.currency),
        ),
        expire_time=expire_time,
    )


def came_back(entries: Sequence[Entry]) -> Mapping[str, Entry]:
    """Map the id of each return to the transfer that came back; all have one reference.

    A bank may keep a fee, so the amount may be smaller. Of several transfers that fit, the first of
    the same amount is taken, else the first.
    """
    open_ = [one for one in entries if one.kind is Kind.TRANSFER]
    found: dict[str, Entry] = {}
    for returned in entries:
        fitting = [one for one in open_ if one.amount >= returned.amount]
        if returned.kind is Kind.RETURN and fitting:
            found[returned.id] = min(fitting, key=lambda one: one.amount != returned.amount)
            open_.remove(found[returned.id])
    return found


def refunds_of(entries: Sequence[Entry], payout: Payout | None) -> Sequence[RefundSnapshot]:
    """Convert what left the account; without a payout nobody asked payd for it.

    All entries have one reference: that of the payout, or of a claim.
    """
    back = {one.id for one in came_back(entries).values()}
    refund_id = payout.refund_id if payout else None
    kinds = (Kind.TRANSFER,) if payout else (Kind.TRANSFER, Kind.REVERSAL)
    left = [one for one in entries if one.kind in kinds]
    return [
        _refunded(one.id, one.amount, one.currency, one.booking_time, refund_id, one.id in back)
        for one in left
    ]


def _refunded(
    transfer: str,
    amount: int,
    currency: str,
    time: datetime,
    refund_id: str | None,
    has_come_back: bool,
) -> RefundSnapshot:
    message = "The customer's bank sent the transfer back."
    return RefundSnapshot(
        # The bank's id: a second transfer with the same reference is another refund.
        reference=transfer,
        state=RefundState.FAILED if has_come_back else RefundState.SUCCEEDED,
        asset=currency,
        amount=amount,
        time=time,
        refund_id=UUID(refund_id) if refund_id else None,
        failure_code="returned" if has_come_back else None,
        failure_message=message if has_come_back else None,
    )


def snapshot(
    claim: Claim,
    entries: Sequence[Entry],
    paid_out: Sequence[tuple[Payout, Sequence[Entry]]],
    as_of: datetime,
) -> Snapshot:
    """Build the state of a claim from the statements up to `as_of`.

    Only money that was booked in time counts as confirmed here: payd decides whether late money
    counts, and needs the booking time for it, which only a receipt carries. A partial amount
    leaves the claim OPEN, never PROCESSING: nothing shows that the rest is on its way, and
    PROCESSING would keep the payment from expiring.

    `entries` have the claim's own reference; `paid_out` are its refunds with theirs.
    """
    outside = refunds_of(entries, None)
    ours = [one for payout, booked in paid_out for one in refunds_of(booked, payout)]
    credits = [one for one in entries if one.kind is Kind.CREDIT]
    in_time = sum(one.amount for one in credits if one.booking_time <= claim.expire_time)
    return Snapshot(
        status=ProviderStatus.PAID if in_time >= claim.amount else ProviderStatus.OPEN,
        asset=claim.currency,
        received=sum(one.amount for one in credits),
        confirmed=in_time,
        refunds=(*outside, *ours),
        as_of=as_of,
        due=claim.amount,
        reference=claim.reference,
    )


def event(
    entry: Entry, payout: Payout | None = None, transfer: Entry | None = None
) -> ProviderEvent:
    """Use the bank's entry id as the event id: an entry in two statements is one event.

    `payout` is the refund that has the entry's reference, `transfer` what came back with it:
    `translate` cannot look them up. What came back of no known transfer is money of no payment.
    """
    refund = {"claim": payout.claim, "refund_id": payout.refund_id} if payout else {}
    is_return, is_lost = entry.kind is Kind.RETURN, entry.kind is Kind.RETURN and transfer is None
    subject = transfer or entry
    return ProviderEvent(
        id=entry.id,
        type=(Kind.CREDIT if is_lost else entry.kind).value,
        content={
            "reference": None if is_lost else entry.reference,
            "amount": subject.amount,
            "currency": subject.currency,
            "booking_time": subject.booking_time.isoformat(),
            **({"transfer": subject.id} if is_return else {}),
            **refund,
        },
    )


def observations(event: ProviderEvent) -> Sequence[Observation]:
    """Build a receipt for the reference that the customer gave, or a refund.

    A receipt, not a snapshot: it has its own id and time, so payd can add up partial amounts and
    recognize late money, whatever the order of the entries.

    Money without a known reference is reported, too: the customer may have forgotten it, and payd
    keeps a receipt that matches no payment for an operator to assign. An observation must carry a
    reference: here it is the entry's id, which matches no payment.
    """
    content = event.content
    reference = content.get("claim") or content["reference"] or event.id
    if event.type != Kind.CREDIT.value:
        refund = _refunded(
            content.get("transfer", event.id),
            content["amount"],
            content["currency"],
            datetime.fromisoformat(content["booking_time"]),
            content.get("refund_id"),
            event.type == Kind.RETURN.value,
        )
        return (Observation(id=event.id, reference=reference, fact=refund),)
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

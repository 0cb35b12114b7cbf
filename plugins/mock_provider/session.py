"""A session at the mock's remote side: what it says of itself at any moment. Pure."""

from collections.abc import Sequence
from datetime import datetime

import attrs

from mock_provider.scenarios import Happening
from payd.plugins import (
    Created,
    NextAction,
    Observation,
    ProviderStatus,
    Receipt,
    ReceiptState,
    Snapshot,
)


@attrs.frozen(kw_only=True)
class Session:
    """What the remote side keeps of one create operation."""

    reference: str
    #: Over the operation's parameters: another one under the same id is a conflict.
    fingerprint: str
    #: What its reports call it: the payment id, or only its own reference.
    reports_as: str
    asset: str
    amount: int
    action: NextAction
    cancel_time: datetime | None = None


def created(session: Session) -> Created:
    """The answer to `create`, the same at every repetition."""
    return Created(reference=session.reference, next_action=session.action)


def snapshot(session: Session, script: Sequence[Happening], as_of: datetime) -> Snapshot:
    """How it stood at that time: a pure function of the script, so that every channel agrees."""
    so_far = [happening for happening in script if happening.time <= as_of]
    received = sum(happening.amount or 0 for happening in so_far)
    return Snapshot(
        status=_status(session, so_far, received),
        asset=session.asset,
        received=received,
        confirmed=received,
        as_of=as_of,
    )


def observation(session: Session, script: Sequence[Happening], happening: Happening) -> Observation:
    """The report of one happening: the same id and content whenever it is made."""
    fact: Snapshot | tuple[Receipt, ...]
    report_id = f"{session.reference}:{happening.name}"
    if happening.amount is None:
        fact = snapshot(session, script, happening.time)
    else:
        receipt = Receipt(
            id=report_id,
            asset=session.asset,
            amount=happening.amount,
            state=ReceiptState.CONFIRMED,
            time=happening.time,
        )
        fact = (receipt,)
    return Observation(id=report_id, reference=session.reports_as, fact=fact)


def _status(session: Session, so_far: Sequence[Happening], received: int) -> ProviderStatus:
    if received >= session.amount and any(happening.amount is not None for happening in so_far):
        return ProviderStatus.PAID
    if session.cancel_time is not None:
        return ProviderStatus.CANCELED
    if any(happening.amount is None for happening in so_far):
        return ProviderStatus.EXPIRED
    return ProviderStatus.OPEN

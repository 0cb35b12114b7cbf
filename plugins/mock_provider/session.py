"""A mock session and its state at any time. Pure functions."""

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
    RefundSnapshot,
    Snapshot,
)


@attrs.frozen(kw_only=True)
class Session:
    """The remote side's object of one create operation."""

    reference: str
    #: Hash of the operation's parameters; a different one under the same id is a conflict.
    fingerprint: str
    #: Reference in its reports: the payment id, or only the session's own reference.
    reports_as: str
    asset: str
    amount: int
    action: NextAction
    cancel_time: datetime | None = None


def created(session: Session) -> Created:
    """The result of `create`, the same at every retry."""
    return Created(reference=session.reference, next_action=session.action)


def snapshot(
    session: Session,
    script: Sequence[Happening],
    as_of: datetime,
    refunds: tuple[RefundSnapshot, ...] = (),
) -> Snapshot:
    """The state at a time, computed from the script alone, so that all channels agree.

    What came after the session's end is not confirmed here: payd would count it as paid in time.
    Its receipt has its time, by which payd decides.
    """
    so_far = [happening for happening in script if happening.time <= as_of]
    received = sum(happening.amount or 0 for happening in so_far)
    ends = [happening.time for happening in so_far if happening.amount is None]
    in_time = [one for one in so_far if not ends or one.time <= min(ends)]
    confirmed = sum(one.amount or 0 for one in in_time)
    return Snapshot(
        status=_status(session, so_far, confirmed),
        asset=session.asset,
        received=received,
        confirmed=confirmed,
        as_of=as_of,
        refunds=refunds,
    )


def observation(session: Session, script: Sequence[Happening], happening: Happening) -> Observation:
    """The observation of one happening, always with the same id and content."""
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


def _status(session: Session, so_far: Sequence[Happening], confirmed: int) -> ProviderStatus:
    if confirmed >= session.amount and any(happening.amount is not None for happening in so_far):
        return ProviderStatus.PAID
    if session.cancel_time is not None:
        return ProviderStatus.CANCELED
    if any(happening.amount is None for happening in so_far):
        return ProviderStatus.EXPIRED
    return ProviderStatus.OPEN

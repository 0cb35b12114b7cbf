"""A mock refund: its scenario, its script, and its state at any time. Pure functions."""

import enum
import hashlib
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import attrs

from mock_provider.scenarios import STEP_MIN
from mock_provider.session import Session
from payd.plugins import (
    InvalidRequest,
    Observation,
    RefundOperation,
    RefundSnapshot,
    RefundState,
)


class RefundScenario(enum.Enum):
    """The scenarios that a payment's metadata or a refund's reason can request; see the README."""

    SUCCEED = "succeed"
    PENDING = "pending"
    DECLINE = "decline"
    FAIL = "fail"
    FAIL_LATER = "fail_later"
    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"


@attrs.frozen(kw_only=True)
class Plan:
    """What the payment's metadata says about its refunds."""

    scenario: RefundScenario
    delay: timedelta


@attrs.frozen(kw_only=True)
class Step:
    """A state that the refund reaches at `time`."""

    time: datetime
    state: RefundState


@attrs.frozen(kw_only=True)
class MockRefund:
    """The remote side's refund of a session."""

    reference: str
    session: str
    #: Hash of the operation's parameters; a different one under the same id is a conflict.
    fingerprint: str
    #: None for one that was made without payd.
    refund_id: UUID | None
    amount: int
    create_time: datetime


_ASKED = re.compile(r"\bmock_refund=(\w*)")


def named(scenario: str, field: str) -> RefundScenario:
    """Return the scenario of this name; `field` is where a caller wrote it."""
    try:
        return RefundScenario(scenario)
    except ValueError:
        known = ", ".join(one.value for one in RefundScenario)
        raise InvalidRequest(field, f"mock_refund must be one of {known}") from None


def asked_in(reason: str, otherwise: RefundScenario) -> RefundScenario:
    """Return the scenario that the reason asks for with the words `mock_refund=NAME`."""
    asked = _ASKED.search(reason)
    return named(asked[1], "reason") if asked else otherwise


def steps_of(scenario: RefundScenario, now: datetime, delay: timedelta) -> tuple[Step, ...]:
    """Plan what becomes of a refund that is made now."""
    at_once, later = now, now + max(delay, STEP_MIN)
    match scenario:
        case RefundScenario.PENDING:
            planned = (RefundState.PENDING, RefundState.SUCCEEDED)
        case RefundScenario.FAIL:
            planned = (RefundState.PENDING, RefundState.FAILED)
        case RefundScenario.FAIL_LATER:
            planned = (RefundState.SUCCEEDED, RefundState.FAILED)
        case _:
            return (Step(time=at_once, state=RefundState.SUCCEEDED),)
    return Step(time=at_once, state=planned[0]), Step(time=later, state=planned[1])


def refund_reference_of(operation_id: str) -> str:
    """Reference of an operation's refund, the same at every retry."""
    digest = hashlib.blake2b(operation_id.encode(), digest_size=16)
    return f"mockre_{digest.hexdigest()}"


def made(operation: RefundOperation, session: Session, now: datetime) -> MockRefund:
    """Return the refund that an operation asks for."""
    meaning = (session.reference, operation.asset.lower(), operation.amount, operation.refund_id)
    return MockRefund(
        reference=refund_reference_of(operation.operation_id),
        session=session.reference,
        fingerprint=hashlib.blake2b(repr(meaning).encode(), digest_size=16).hexdigest(),
        refund_id=operation.refund_id,
        amount=operation.amount,
        create_time=now,
    )


def refund_snapshot(
    refund: MockRefund, asset: str, steps: Sequence[Step], as_of: datetime
) -> RefundSnapshot:
    """Return its state at a time, which is not before it was made."""
    state = [step.state for step in steps if step.time <= as_of][-1]
    has_failed = state is RefundState.FAILED
    return RefundSnapshot(
        reference=refund.reference,
        state=state,
        asset=asset,
        amount=refund.amount,
        time=refund.create_time,
        refund_id=refund.refund_id,
        failure_code="mock_failed" if has_failed else None,
        failure_message="The mock failed it, as requested." if has_failed else None,
    )


def refund_report(
    session: Session, refund: MockRefund, steps: Sequence[Step], step: Step
) -> Observation:
    """Return the observation of one step, always with the same id and content."""
    return Observation(
        id=f"{refund.reference}:{step.state.value}",
        reference=session.reports_as,
        fact=refund_snapshot(refund, session.asset, steps, step.time),
    )

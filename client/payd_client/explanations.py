"""Why a payment stands as it does, as ExplainPayment says it."""

import enum
from datetime import datetime
from uuid import UUID

import attrs
from google.protobuf.timestamp_pb2 import Timestamp

from payd_client.part_messages import time_of
from payd_client.proto import payment_pb2 as pb
from payd_client.values import Status


class WaitingForActor(enum.Enum):
    """Party that must do what a payment waits for."""

    CUSTOMER = "CUSTOMER"
    PROVIDER = "PROVIDER"
    PAYD = "PAYD"
    OPERATOR = "OPERATOR"
    NOBODY = "NOBODY"


@attrs.frozen(kw_only=True)
class WaitingFor:
    """What must happen next, and who must do it."""

    what: str
    actor: WaitingForActor


@attrs.frozen(kw_only=True)
class StepChange:
    """One value before and after a step."""

    field: str
    before: str
    after: str


@attrs.frozen(kw_only=True)
class ExplanationStep:
    """One thing that happened."""

    time: datetime
    #: As in payd's audit trail.
    actor: str
    source: str
    what: str
    because: str
    changes: tuple[StepChange, ...]


@attrs.frozen(kw_only=True)
class Advice:
    """What a person can do, and the command for it; empty where payd has none."""

    text: str
    command: str


@attrs.frozen(kw_only=True)
class Explanation:
    """The sentences are for people and may change: programs read the payment."""

    summary: str
    status: Status
    waiting_for: WaitingFor
    #: When payd asks the provider next; None when it has nothing to ask.
    next_look_time: datetime | None
    #: Oldest first.
    steps: tuple[ExplanationStep, ...]
    #: Older changes that have no step.
    steps_left_out: int
    advice: tuple[Advice, ...]
    #: The time of which it speaks.
    time: datetime
    #: The protobuf message of the answer.
    message: pb.Explanation = attrs.field(repr=False, eq=False)


def explain_message(payment_id: UUID | str, at_time: datetime | None) -> pb.ExplainPaymentRequest:
    """Build the request of ExplainPayment."""
    request = pb.ExplainPaymentRequest(payment_id=str(payment_id))
    if at_time is not None:
        if at_time.tzinfo is None:
            raise ValueError("at_time must have a time zone")
        moment = Timestamp()
        moment.FromDatetime(at_time)
        request.at_time.CopyFrom(moment)
    return request


def explanation_of(message: pb.Explanation) -> Explanation:
    """Read the answer of ExplainPayment."""
    waiting = message.waiting_for
    actor = pb.WaitingForActor.Name(waiting.actor).removeprefix("WAITING_FOR_ACTOR_")
    status = pb.PaymentStatus.Name(message.status).removeprefix("PAYMENT_STATUS_")
    has_look = message.HasField("next_look_time")
    return Explanation(
        summary=message.summary,
        status=Status(status),
        waiting_for=WaitingFor(what=waiting.what, actor=WaitingForActor(actor)),
        next_look_time=time_of(message.next_look_time) if has_look else None,
        steps=tuple(map(_step, message.steps)),
        steps_left_out=message.steps_left_out,
        advice=tuple(Advice(text=one.text, command=one.command) for one in message.advice),
        time=time_of(message.time),
        message=message,
    )


def _step(message: pb.ExplanationStep) -> ExplanationStep:
    return ExplanationStep(
        time=time_of(message.time),
        actor=message.actor,
        source=message.source,
        what=message.what,
        because=message.because,
        changes=tuple(
            StepChange(field=one.field, before=one.before, after=one.after)
            for one in message.changes
        ),
    )

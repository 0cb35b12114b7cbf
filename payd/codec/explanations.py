"""Messages of ExplainPayment: the request → domain values, an explanation → its message."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from payd_client.proto import payment_pb2 as pb

from payd.codec.fields import a_uuid
from payd.codec.messages import STATUS
from payd.codec.parts import time_message
from payd.domain.errors import InvalidField
from payd.domain.explanation import Actor, Advice, Explanation, Step

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOS_MAX = 999_999_999

_ACTOR: dict[Actor, Any] = {
    actor: pb.WaitingForActor.Value(f"WAITING_FOR_ACTOR_{actor.value}") for actor in Actor
}


def explain_request(message: pb.ExplainPaymentRequest) -> tuple[UUID, datetime | None]:
    """Parse the request of ExplainPayment. Raises InvalidField."""
    at_time = _time("at_time", message.at_time) if message.HasField("at_time") else None
    return a_uuid("payment_id", message.payment_id), at_time


def explanation_message(explanation: Explanation) -> pb.Explanation:
    """Build the message of an explanation."""
    waiting = explanation.waiting_for
    message = pb.Explanation(
        summary=explanation.summary,
        status=STATUS[explanation.status],
        waiting_for=pb.WaitingFor(what=waiting.what, actor=_ACTOR[waiting.actor]),
        steps=[_step(step) for step in explanation.steps],
        advice=[_advice(advice) for advice in explanation.advice],
        steps_left_out=explanation.steps_left_out,
        time=time_message(explanation.time),
    )
    if explanation.next_look_time is not None:
        message.next_look_time.CopyFrom(time_message(explanation.next_look_time))
    return message


def _step(step: Step) -> pb.ExplanationStep:
    return pb.ExplanationStep(
        time=time_message(step.time),
        actor=step.actor,
        source=step.source,
        what=step.what,
        because=step.because,
        changes=[
            pb.StepChange(field=change.field, before=change.before, after=change.after)
            for change in step.changes
        ],
    )


def _advice(advice: Advice) -> pb.Advice:
    return pb.Advice(text=advice.text, command=advice.command)


def _time(field: str, message: Timestamp) -> datetime:
    """Parse a time, rounded down to microseconds."""
    try:
        if not 0 <= message.nanos <= _NANOS_MAX:
            raise ValueError(message.nanos)
        since = timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)
        return _EPOCH + since
    except (ValueError, OverflowError):
        raise InvalidField(field, "must be a time of the years 1 to 9999") from None

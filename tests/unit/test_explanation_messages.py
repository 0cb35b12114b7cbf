"""Messages of ExplainPayment: what is taken, what is refused, and what the client reads of it."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import payd_client
import pytest
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from payd_client.explanations import explain_message, explanation_of
from payd_client.proto import payment_pb2 as pb

from payd.codec.explanations import explain_request, explanation_message
from payd.codec.requests import payment_id
from payd.domain.errors import InvalidField
from payd.domain.explanation import (
    Actor,
    Advice,
    Explanation,
    FieldChange,
    Step,
    WaitingFor,
)
from payd.domain.payment import Status

PAYMENT_ID = UUID(int=7)
NOON = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
SECONDS_MIN, SECONDS_MAX = -62_135_596_800, 253_402_300_799
EXPLANATION = Explanation(
    payment_id=PAYMENT_ID,
    time=NOON,
    summary="All is well.",
    status=Status.PENDING,
    waiting_for=WaitingFor(what="The customer has to pay.", actor=Actor.CUSTOMER),
    next_look_time=NOON,
    steps=(
        Step(
            time=NOON,
            actor="main-app",
            source="a call",
            what="It was stored.",
            because="The main app asked.",
            changes=(FieldChange("status", "", "CREATING"),),
        ),
    ),
    steps_left_out=3,
    advice=(Advice(text="Ask.", command="payd payments sync 7"), Advice(text="Wait.")),
)


def a_request(value: object = str(PAYMENT_ID), **time: int) -> pb.ExplainPaymentRequest:
    request = pb.ExplainPaymentRequest(payment_id=str(value))
    if time:
        request.at_time.CopyFrom(Timestamp(**time))
    return request


def test_a_request_names_a_payment_and_perhaps_a_time() -> None:
    assert explain_request(a_request()) == (PAYMENT_ID, None)
    asked = explain_message(PAYMENT_ID, NOON)
    assert explain_request(asked) == (PAYMENT_ID, NOON)
    assert explain_request(explain_message(str(PAYMENT_ID), None)) == (PAYMENT_ID, None)


@pytest.mark.parametrize("value", ["", "nonsense", f"{{{PAYMENT_ID}}}", PAYMENT_ID.hex, "\0"])
def test_an_id_that_is_no_uuid_is_refused(value: str) -> None:
    for parse in (lambda: explain_request(a_request(value)), lambda: payment_id(value)):
        with pytest.raises(InvalidField, match="payment_id: must be a UUID"):
            parse()


@pytest.mark.parametrize(
    "time",
    [
        {"seconds": SECONDS_MAX + 1},
        {"seconds": SECONDS_MIN - 1},
        {"seconds": 2**63 - 1},
        {"seconds": -(2**63)},
        {"seconds": 0, "nanos": -1},
        {"seconds": 0, "nanos": 1_000_000_000},
        {"seconds": 0, "nanos": 2**31 - 1},
    ],
)
def test_a_time_that_is_none_is_refused(time: dict[str, int]) -> None:
    with pytest.raises(InvalidField, match="at_time: must be a time of the years 1 to 9999"):
        explain_request(a_request(**time))


@given(st.integers(SECONDS_MIN, SECONDS_MAX), st.integers(0, 999_999_999))
def test_any_time_is_taken_to_the_microsecond(seconds: int, nanos: int) -> None:
    _, time = explain_request(a_request(seconds=seconds, nanos=nanos))
    assert time is not None
    assert time.microsecond == nanos // 1000
    assert (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) == seconds


@given(st.binary(max_size=60))
def test_any_bytes_are_a_request_or_are_refused(data: bytes) -> None:
    try:
        message = pb.ExplainPaymentRequest.FromString(data)
    except DecodeError:
        return
    with suppress(InvalidField):
        assert explain_request(message)[0] == UUID(message.payment_id)


def test_an_explanation_arrives_whole_at_the_client() -> None:
    found = explanation_of(explanation_message(EXPLANATION))
    assert (found.summary, found.status) == ("All is well.", payd_client.Status.PENDING)
    assert found.waiting_for == payd_client.WaitingFor(
        what="The customer has to pay.", actor=payd_client.WaitingForActor.CUSTOMER
    )
    assert (found.next_look_time, found.time, found.steps_left_out) == (NOON, NOON, 3)
    change = payd_client.StepChange(field="status", before="", after="CREATING")
    step = payd_client.ExplanationStep(
        time=NOON,
        actor="main-app",
        source="a call",
        what="It was stored.",
        because="The main app asked.",
        changes=(change,),
    )
    assert found.steps == (step,)
    assert found.advice == (
        payd_client.Advice(text="Ask.", command="payd payments sync 7"),
        payd_client.Advice(text="Wait.", command=""),
    )


def test_a_payment_that_is_not_looked_at_has_no_next_look() -> None:
    message = explanation_message(EXPLANATION)
    message.ClearField("next_look_time")
    assert explanation_of(message).next_look_time is None


def test_payd_and_the_client_name_the_same_actors() -> None:
    assert [one.value for one in payd_client.WaitingForActor] == [one.value for one in Actor]


def test_the_client_sends_a_time_in_any_zone_and_refuses_one_without() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))
    assert explain_request(explain_message(PAYMENT_ID, elsewhere)) == (PAYMENT_ID, NOON)
    with pytest.raises(ValueError, match="time zone"):
        explain_message(PAYMENT_ID, NOON.replace(tzinfo=None))

"""The JSON of messages and events is protobuf's own, byte for byte, whatever is in them."""

import json
from typing import Any
from uuid import UUID

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from payd_client.proto import payment_pb2 as pb
from unit.test_codec import USDC, a_payment
from unit.test_refund_messages import a_dispute, a_refund

from payd.codec.message_json import message_json
from payd.codec.messages import event_body, payment_message
from payd.domain.payment import Status

ANSWERS = [pb.Payment.DESCRIPTOR, pb.Quote.DESCRIPTOR]
INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
}
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
instants = st.builds(
    Timestamp,
    seconds=st.integers(-(2**33), 2**33),
    nanos=st.sampled_from([0, 1_000, 5_000_000, 120_000_000, 999_999_000]),
)


def messages(of: Descriptor) -> st.SearchStrategy[Any]:
    """Messages of one type, with any of their fields set."""
    if of is Timestamp.DESCRIPTOR:
        return instants
    fields = st.fixed_dictionaries({}, optional={field.name: values(field) for field in of.fields})
    return fields.map(lambda drawn: GetMessageClass(of)(**drawn))


def values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type and field.message_type.GetOptions().map_entry:
        return st.dictionaries(texts, texts, max_size=2)
    one = single(field)
    return st.lists(one, max_size=2) if field.is_repeated else one


def single(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type:
        return messages(field.message_type)
    if field.enum_type:
        # One more than it has: a value of a newer version.
        return st.integers(0, len(field.enum_type.values))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    return INTEGERS.get(field.cpp_type, texts)


def protobufs_own(message: Any) -> dict[str, Any]:
    document: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return document


@pytest.mark.parametrize("of", ANSWERS, ids=lambda of: of.name)
@given(st.data())
def test_any_message_has_the_json_that_protobuf_gives_it(
    of: Descriptor, data: st.DataObject
) -> None:
    message = data.draw(messages(of))

    ours = json.dumps(message_json(message), sort_keys=True)

    assert ours == json.dumps(protobufs_own(message), sort_keys=True)
    assert json_format.Parse(ours, GetMessageClass(of)()) == message


@pytest.mark.parametrize("about", ["refund", "dispute"])
def test_an_event_is_the_json_of_the_payment_and_of_what_it_is_about(about: str) -> None:
    matter: dict[str, Any] = {"refund": a_refund(), "dispute": a_dispute()}
    payment = a_payment(crypto=USDC, refunds=(a_refund(),), disputes=(a_dispute(),), fee=3)
    message = payment_message(payment)
    message.refunds[0].ClearField("requester")

    body = event_body(
        payment,
        event_id=UUID(int=9),
        event_type="payment.something",
        previous_status=Status.COMPLETED,
        reason="why",
        request_id="req-1",
        **{about: matter[about]},
    )

    named = {"refund": message.refunds[0], "dispute": message.disputes[0]}[about]
    event = protobufs_own(message) | {
        "event_id": str(UUID(int=9)),
        "event_type": "payment.something",
        "previous_status": "PAYMENT_STATUS_COMPLETED",
        "reason": "why",
        "request_id": "req-1",
        about: protobufs_own(named),
    }
    assert body == json.dumps(event, separators=(",", ":"), sort_keys=True).encode()

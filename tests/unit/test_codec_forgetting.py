"""ForgetCustomer's request and answer."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from payd_client.forgetting import forgotten_of
from payd_client.proto import payment_pb2 as pb

from payd.codec.forgetting import ERASED, forget_request, forgotten_message
from payd.domain.errors import InvalidField
from payd.domain.forget import Forgotten, RetainedEvent
from payd.domain.request import ForgetRequest

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


def test_the_request_is_read_as_it_is() -> None:
    message = pb.ForgetCustomerRequest(customer_id="user-7", dry_run=True, note="why")
    assert forget_request(message) == ForgetRequest(customer_id="user-7", dry_run=True, note="why")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"customer_id": ""}, "customer_id"),
        ({"customer_id": "a b"}, "customer_id"),
        ({"customer_id": "a" * 129}, "customer_id"),
        ({"customer_id": "a", "note": "n" * 501}, "note"),
        ({"customer_id": "a", "note": "a\x00"}, "note"),
    ],
)
def test_a_bad_field_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        forget_request(pb.ForgetCustomerRequest(**fields))
    assert refused.value.field == field


def test_the_answer_names_every_table_and_the_client_reads_it() -> None:
    event = RetainedEvent(
        event_id=UUID(int=1),
        payment_id=UUID(int=2),
        subject="payment.completed",
        publish_time=NOW,
    )
    message = forgotten_message(
        Forgotten(payments=2, erased={"inbox": 3}, retained=(event,), waiting_reports=1)
    )
    read = forgotten_of(message)
    assert {one.table: one.rows for one in read.erased} == dict.fromkeys(ERASED, 0) | {"inbox": 3}
    assert all(one.columns for one in read.erased)
    assert (read.payments, read.waiting_reports) == (2, 1)
    [kept] = read.retained_events
    assert (kept.event_id, kept.payment_id, kept.publish_time) == (UUID(int=1), UUID(int=2), NOW)

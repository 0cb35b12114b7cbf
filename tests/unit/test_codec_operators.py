"""Requests of operators: what they mean, what is refused by its field's path, and page tokens."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from payd_client.proto import payment_pb2 as pb

from payd.codec import operator_messages as messages
from payd.codec import operator_requests as requests
from payd.codec.marks import mark_token, read_mark
from payd.domain.errors import InvalidField, InvalidFilter, InvalidPageToken
from payd.domain.evidence import Receipt, ReceiptState
from payd.domain.ledger import ReceiptFilter, ReceiptPosition, Reconciliation, StoredReceipt
from payd.domain.published import DeadLetter, DeadLetters, PublishedPosition, Republished

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ID = "00000000-0000-0000-0000-000000000007"
TOKEN = "0x" + "aB" * 20
TOKENS = {TOKEN.lower(): ("USDC", 6)}
BEGIN, END = Timestamp(seconds=10), Timestamp(seconds=20)


def a_receipt(number: int, asset: str = TOKEN) -> StoredReceipt:
    receipt = Receipt(
        id=f"r{number}",
        asset=asset,
        amount=1_500_000,
        state=ReceiptState.CONFIRMED,
        time=NOW - timedelta(seconds=number),
        details={"sender": "0x1"},
    )
    return StoredReceipt(provider="tempo", receipt=receipt, reference="m", payment_id=None)


# -- requests --------------------------------------------------------------------------------------


def test_a_filter_of_receipts_is_read() -> None:
    asked = pb.ReceiptFilter(provider="tempo", payment_id=ID, time_from=BEGIN, time_before=END)
    page = requests.list_receipts_request(pb.ListReceiptsRequest(filter=asked))
    assert page.filter == ReceiptFilter(
        provider="tempo",
        payment_id=UUID(ID),
        time_from=datetime.fromtimestamp(10, UTC),
        time_before=datetime.fromtimestamp(20, UTC),
    )
    assert (page.after, page.size) == (None, 50)


def test_events_are_selected_by_payment_by_id_or_by_time() -> None:
    by_payment = requests.republish_request(pb.RepublishEventsRequest(payment_id=ID))
    by_event = requests.republish_request(pb.RepublishEventsRequest(event_id=ID))
    span = pb.TimeRange(from_time=BEGIN)
    by_time = requests.republish_request(pb.RepublishEventsRequest(publish_time=span))
    assert by_payment.events.payment_id == by_event.events.event_id == UUID(ID)
    assert by_time.events.published_from == datetime.fromtimestamp(10, UTC)
    assert by_time.events.published_before is None


def test_a_dead_letter_is_replayed_once_however_often_it_is_named() -> None:
    assert requests.sequences(pb.ReplayDeadLettersRequest(sequences=[3, 1, 3])) == (3, 1)


def test_an_overview_is_of_a_week_unless_asked_otherwise() -> None:
    assert requests.days(pb.GetOverviewRequest()) == 7
    assert requests.days(pb.GetOverviewRequest(days=92)) == 92


def republishing(span: pb.TimeRange) -> pb.RepublishEventsRequest:
    return pb.RepublishEventsRequest(publish_time=span)


@pytest.mark.parametrize(
    ("read", "message", "field"),
    [
        (
            requests.list_receipts_request,
            pb.ListReceiptsRequest(filter=pb.ReceiptFilter(payment_id="x")),
            "filter.payment_id",
        ),
        (
            requests.list_receipts_request,
            pb.ListReceiptsRequest(filter=pb.ReceiptFilter(provider="a b")),
            "filter.provider",
        ),
        (
            requests.list_receipts_request,
            pb.ListReceiptsRequest(filter=pb.ReceiptFilter(time_from=Timestamp(nanos=-1))),
            "filter.time_from",
        ),
        (requests.list_receipts_request, pb.ListReceiptsRequest(page_size=201), "page_size"),
        (requests.attach_request, pb.AttachReceiptRequest(payment_id=ID), "receipt_id"),
        (requests.attach_request, pb.AttachReceiptRequest(receipt_id="r"), "payment_id"),
        (
            requests.attach_request,
            pb.AttachReceiptRequest(receipt_id="r", payment_id=ID, note="n" * 501),
            "note",
        ),
        (requests.republish_request, pb.RepublishEventsRequest(), "selection"),
        (requests.republish_request, pb.RepublishEventsRequest(event_id=""), "event_id"),
        (requests.republish_request, republishing(pb.TimeRange()), "publish_time.from_time"),
        (
            requests.republish_request,
            republishing(pb.TimeRange(from_time=END, before_time=END)),
            "publish_time.before_time",
        ),
        (requests.sequence, pb.ListDeadLettersRequest(sequence=-1), "sequence"),
        (requests.sequences, pb.ReplayDeadLettersRequest(), "sequences"),
        (requests.sequences, pb.ReplayDeadLettersRequest(sequences=[1] * 201), "sequences"),
        (requests.sequences, pb.ReplayDeadLettersRequest(sequences=[1, 0]), "sequences[1]"),
        (
            requests.list_reconciliations_request,
            pb.ListReconciliationsRequest(provider="p" * 65),
            "provider",
        ),
        (requests.days, pb.GetOverviewRequest(days=93), "days"),
        (requests.days, pb.GetOverviewRequest(days=-1), "days"),
    ],
)
def test_an_invalid_field_is_named(read: Callable[[Any], Any], message: Any, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        read(message)
    assert refused.value.field == field


def test_a_filter_that_no_receipt_can_match_is_refused() -> None:
    asked = pb.ReceiptFilter(unmatched=True, payment_id=ID)
    with pytest.raises(InvalidFilter):
        requests.list_receipts_request(pb.ListReceiptsRequest(filter=asked))


# -- pages -----------------------------------------------------------------------------------------


def test_a_page_of_receipts_says_where_the_next_one_begins() -> None:
    request = pb.ListReceiptsRequest(page_size=2, filter=pb.ReceiptFilter(unmatched=True))
    page = requests.list_receipts_request(request)

    answer = messages.receipts_response([a_receipt(n) for n in range(3)], page, TOKENS)
    assert [one.id for one in answer.receipts] == ["r0", "r1"]
    request.page_token = answer.next_page_token
    after = requests.list_receipts_request(request).after

    assert after == ReceiptPosition(NOW - timedelta(seconds=1), "tempo", "r1")
    last = messages.receipts_response([a_receipt(n) for n in range(2)], page, TOKENS)
    assert last.next_page_token == ""


def test_pages_of_results_events_and_dead_letters_go_on_where_they_ended() -> None:
    listing = pb.ListReconciliationsRequest(page_size=1)
    result = Reconciliation(
        id=7,
        provider="stripe",
        since=NOW,
        until=NOW,
        start_time=NOW,
        end_time=NOW,
        objects=1,
        payments=1,
        findings=({"kind": "second_object", "reference": "cs_2"},),
    )
    page = requests.list_reconciliations_request(listing)
    listed = messages.reconciliations_response([result, result], page)
    listing.page_token = listed.next_page_token
    assert requests.list_reconciliations_request(listing).after == result.position
    [finding] = listed.reconciliations[0].findings
    assert (finding.kind, finding.payment_id) == ("second_object", "")

    events = pb.RepublishEventsRequest(payment_id=ID)
    at = PublishedPosition(NOW, 9)
    done = messages.republished_response(
        Republished(stored=1, duplicates=0, next=at), requests.republish_request(events)
    )
    events.page_token = done.next_page_token
    assert requests.republish_request(events).after == at

    letters = pb.ListDeadLettersRequest()
    found = messages.dead_letters_response(
        DeadLetters(next=41, total=50), requests.list_dead_letters_request(letters)
    )
    letters.page_token = found.next_page_token
    assert (requests.list_dead_letters_request(letters).after, found.total) == (41, 50)


def test_a_token_of_another_request_is_refused() -> None:
    token = mark_token(("1",), "dead letters")
    reads: list[Callable[[], Any]] = [
        lambda: requests.list_receipts_request(pb.ListReceiptsRequest(page_token=token)),
        lambda: requests.republish_request(
            pb.RepublishEventsRequest(payment_id=ID, page_token=token)
        ),
        lambda: requests.list_reconciliations_request(
            pb.ListReconciliationsRequest(page_token=mark_token(("1",), "reconciliations of x"))
        ),
    ]
    for read in reads:
        with pytest.raises(InvalidPageToken):
            read()


@given(
    st.text()
    | st.binary().map(lambda content: base64.urlsafe_b64encode(content).decode())
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(
        lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
    )
)
def test_no_text_but_a_token_of_payd_is_read(text: str) -> None:
    if text == "":
        return
    with pytest.raises(InvalidPageToken):
        read_mark(text, "m", lambda mark: mark)


@pytest.mark.parametrize("mark", [("x",), ("-1",), (str(2**63),), (), ("1", "2")])
def test_a_mark_that_the_database_could_not_take_is_no_token(mark: tuple[str, ...]) -> None:
    token = mark_token(mark, "dead letters")
    with pytest.raises(InvalidPageToken):
        requests.list_dead_letters_request(pb.ListDeadLettersRequest(page_token=token))


@pytest.mark.parametrize("time", ["2026-01-02T03:04:05", "yesterday", ""])
def test_a_mark_without_a_time_of_a_zone_is_no_token(time: str) -> None:
    token = mark_token((time, "1"), "reconciliations of ")
    with pytest.raises(InvalidPageToken):
        requests.list_reconciliations_request(pb.ListReconciliationsRequest(page_token=token))


@pytest.mark.parametrize(
    "mark",
    [
        ("9999-12-31T23:59:59-23:00", "tempo", "r1"),
        (NOW.isoformat(), "\0", "r1"),
        (NOW.isoformat(), "tempo", "\ud800"),
    ],
)
def test_a_forged_mark_of_a_receipt_is_no_token(mark: tuple[str, ...]) -> None:
    meaning = requests.list_receipts_request(pb.ListReceiptsRequest()).meaning
    with pytest.raises(InvalidPageToken):
        requests.list_receipts_request(pb.ListReceiptsRequest(page_token=mark_token(mark, meaning)))


# -- messages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asset", "unit"),
    [(TOKEN, ("USDC", 6)), ("USD", ("USD", 2)), ("JPY", ("JPY", 0)), ("0x" + "cd" * 20, ("", 0))],
)
def test_a_receipt_says_in_what_unit_its_amount_is(asset: str, unit: tuple[str, int]) -> None:
    message = messages.receipt_message(a_receipt(0, asset), TOKENS)
    assert (message.currency, message.decimals) == unit
    assert (message.amount_base_units, message.asset) == ("1500000", asset)
    assert message.details == {"sender": "0x1"}


def test_a_dead_letter_of_anybody_can_be_shown() -> None:
    """Any program may have written the headers: they may be no UTF-8."""
    letter = DeadLetter(
        sequence=1,
        subject="payment.completed",
        reason="bad \udcff",
        time=NOW,
        deliveries=5,
        headers={"x": "\udcfe"},
        data=b"\xff",
    )
    request = pb.ListDeadLettersRequest(sequence=1)
    page = requests.list_dead_letters_request(request)
    assert requests.sequence(request) == 1
    [message] = messages.dead_letters_response(DeadLetters(letters=(letter,)), page).dead_letters
    assert (message.reason, message.headers["x"], message.data) == ("bad ?", "?", b"\xff")
    assert message.payment_id == ""

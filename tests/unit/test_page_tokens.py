"""Page tokens say where a page ended and for which request, and nothing else is one."""

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from payd_client.proto import payment_pb2 as pb

from payd.codec.page_tokens import page_request, page_token, read_page_token
from payd.domain.attention import Attention
from payd.domain.errors import InvalidPageToken
from payd.domain.page import Position

ALL = "[]"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@given(st.datetimes(timezones=st.just(UTC)), st.uuids(), st.text(), st.text())
def test_a_page_begins_where_the_one_before_ended(
    time: datetime, id_: UUID, meaning: str, other: str
) -> None:
    position = Position(time, id_)
    token = page_token(position, meaning)
    assert read_page_token(token, meaning) == position
    if other != meaning:
        with pytest.raises(InvalidPageToken, match="another request"):
            read_page_token(token, other)


@pytest.mark.parametrize(
    "token", ["x", "é", " ", "A" * 44, "A" * 100_000, "AX////////////////////////////////////////"]
)
def test_a_page_token_that_payd_did_not_make_is_refused(token: str) -> None:
    with pytest.raises(InvalidPageToken):
        page_request(pb.ListRefundsRequest(page_token=token), None)


@given(st.binary(min_size=33, max_size=33))
def test_no_page_token_makes_payd_fail(content: bytes) -> None:
    try:
        position = read_page_token(base64.urlsafe_b64encode(content).decode(), ALL)
    except InvalidPageToken:
        return
    assert page_token(position, ALL) == base64.urlsafe_b64encode(content).decode()


def test_a_changed_page_token_is_refused() -> None:
    token = page_token(Position(NOON + timedelta(microseconds=1), UUID(int=7)), ALL)
    for changed in (token[:-1], token + "=", token + "A", token + "\n", " " + token):
        with pytest.raises(InvalidPageToken):
            read_page_token(changed, ALL)


def test_the_order_in_which_a_set_is_asked_for_does_not_matter() -> None:
    reasons = [Attention.STUCK, Attention.DISPUTED, Attention.UNDERPAID]
    first, second = (
        page_request(pb.ListPaymentsRequest(), None, frozenset(some), NOON)
        for some in (reasons, reversed(reasons))
    )
    token = first.token_of(Position(NOON, UUID(int=7)))
    assert token == second.token_of(Position(NOON, UUID(int=7)))
    assert first.token_of(None) == ""

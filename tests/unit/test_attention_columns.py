"""The columns of attention: what this version writes, and what the previous one makes of them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import attrs
import pytest
from contract.stores import a_new_payment
from hypothesis import given
from hypothesis import strategies as st

from payd.adapters.columns import NEW_REASONS, changes, dumps, payment_row
from payd.adapters.postgres.attention import attention_of
from payd.domain.attention import Attention, AttentionRecord, Records
from payd.domain.payment import Payment

THEN = datetime(2026, 1, 2, tzinfo=UTC)
LATER = THEN + timedelta(hours=1)

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
times = st.timedeltas(timedelta(0), timedelta(days=9)).map(lambda delta: THEN + delta)
records = st.builds(
    AttentionRecord,
    reason=st.sampled_from(Attention),
    since=times,
    facts=st.frozensets(texts, max_size=3),
    published=st.booleans(),
    resolved_time=st.none() | times,
    resolved_by=texts,
    note=texts,
)


@given(st.lists(records, unique_by=lambda record: record.reason, max_size=4).map(tuple))
def test_reasons_come_back_as_they_were_written(reasons: Records) -> None:
    assert _read(payment_row(_payment(reasons))) == reasons


@pytest.mark.parametrize(
    ("reason", "published"), [(Attention.OVERPAID, True), (Attention.STUCK, False)]
)
def test_what_the_previous_version_raised_is_open_since_its_change(
    reason: Attention, published: bool
) -> None:
    known = AttentionRecord(reason=Attention.WRONG_TOKEN, since=THEN, published=True)
    row = payment_row(_payment((known,)))

    raised = AttentionRecord(reason=reason, since=LATER, published=published)

    assert _read(row | {"attention": ["WRONG_TOKEN", reason.value]}) == (known, raised)


def test_what_the_previous_version_raised_again_keeps_what_was_behind_it() -> None:
    resolved = AttentionRecord(
        reason=Attention.OVERPAID,
        since=THEN,
        facts=frozenset({"1 USD"}),
        published=True,
        resolved_time=THEN,
        resolved_by="operator",
        note="sent back",
    )
    row = payment_row(_payment((resolved,)))

    assert _read(row) == (resolved,)
    assert _read(row | {"attention": ["OVERPAID"]}) == (
        AttentionRecord(
            reason=Attention.OVERPAID, since=LATER, facts=frozenset({"1 USD"}), published=True
        ),
    )


def test_what_the_previous_version_took_away_has_ended() -> None:
    stuck = AttentionRecord(reason=Attention.STUCK, since=THEN)
    row = payment_row(_payment((stuck,)))

    [record] = _read(row | {"attention": []})

    assert (record.resolved_time, record.since) == (LATER, THEN)


def test_a_reason_that_the_previous_version_cannot_read_is_hidden_from_it() -> None:
    for reason in Attention:
        row = payment_row(_payment((AttentionRecord(reason=reason, since=THEN),)))
        assert row["attention"] == ([] if reason.value in NEW_REASONS else [reason.value])
        assert row["attention_since"] == THEN


def test_what_was_found_in_one_column_is_written_into_all_with_the_next_change() -> None:
    payment = _payment((AttentionRecord(reason=Attention.OVERPAID, since=THEN),))

    written = changes(payment, attrs.evolve(payment, version=2, late=True))

    assert written.keys() == {
        *("version", "late"),
        *("attention", "attention_records", "attention_since"),
    }


def _payment(reasons: Records) -> Payment:
    return a_new_payment(id=uuid4(), attention_records=reasons)


def _read(row: dict[str, Any]) -> Records:
    """As the previous version has left the row, at its change at LATER."""
    row = json.loads(dumps(row))
    return attention_of(json.dumps(row["attention_records"]), row["attention"], LATER)

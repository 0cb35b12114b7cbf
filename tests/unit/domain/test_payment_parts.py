"""A payment: what it owes and got, and its parts in their order."""

from datetime import datetime, timedelta
from uuid import UUID

import attrs
import pytest
from unit.domain.builders import (
    EXPIRY,
    NOW,
    TERMS,
    TOKEN,
    a_payment,
    a_refund,
    at,
    refunded,
)

from payd.domain.attention import Attention, AttentionRecord
from payd.domain.payment import Status, find_refund, flag, name_also, put_refund
from payd.domain.published import NamedEvent
from payd.domain.refund import RefundStatus
from payd.domain.republication import REPUBLISHED, republication

WINDOW = timedelta(days=7)


@pytest.mark.parametrize(
    ("closed", "start"),
    [(None, EXPIRY), (at(5), at(5)), (EXPIRY + timedelta(hours=1), EXPIRY)],
    ids=["open", "before its expiry", "after its expiry"],
)
def test_the_late_window_begins_at_the_end_and_at_the_expiry_at_the_latest(
    closed: datetime | None, start: datetime
) -> None:
    assert a_payment(Status.CANCELED, close_time=closed).late_end(WINDOW) == start + WINDOW


def test_money_counts_in_the_asset_that_is_due_in_any_case() -> None:
    for asset in ("USD", "usd", "Usd"):
        assert a_payment().is_asset(asset)
        assert not a_payment(crypto=TERMS).is_asset(asset)
    mixed = attrs.evolve(TERMS, token_address="0x" + "Ab" * 20)
    for asset in (mixed.token_address, "0x" + "ab" * 20, "0X" + "AB" * 20):
        assert a_payment(crypto=mixed).is_asset(asset)
    assert not a_payment(crypto=mixed).is_asset(TOKEN)


def test_only_refunds_that_succeeded_have_gone_back() -> None:
    payment = refunded(*(a_refund(status, amount=100) for status in RefundStatus))
    assert (payment.refunded, payment.refunded_unlisted) == (100, 0)
    older = attrs.evolve(payment, snapshot_refunded=130)
    assert (older.refunded, older.refunded_unlisted) == (130, 30)


def test_a_fact_is_put_behind_its_reason() -> None:
    flagged = flag(a_payment(), Attention.WRONG_TOKEN, "receipt r1", at(1))
    assert flagged.attention_records == (
        AttentionRecord(
            reason=Attention.WRONG_TOKEN,
            since=at(1),
            facts=frozenset({"receipt r1"}),
            published=True,
        ),
    )


def test_a_further_name_is_kept_once_behind_the_others() -> None:
    named = name_also(a_payment(aliases=("b", "a")), ("c", "b", "c"))
    assert named.aliases == ("b", "a", "c")
    assert name_also(named, ()) == named


def test_a_refund_is_found_by_its_id() -> None:
    one, other = (a_refund(id=UUID(int=number)) for number in (1, 2))
    payment = refunded(one, other)
    assert [find_refund(payment, refund.id) for refund in (one, other)] == [one, other]
    assert find_refund(payment, UUID(int=3)) is None


def test_refunds_stand_in_the_order_of_their_time_and_then_of_their_ids() -> None:
    late = a_refund(id=UUID(int=1), create_time=at(1))
    first, second = (a_refund(id=UUID(int=number)) for number in (2, 3))
    payment = refunded()
    for refund in (late, second, first):
        payment = put_refund(payment, refund)
    assert payment.refunds == (first, second, late)
    changed = attrs.evolve(second, amount=7)
    assert put_refund(payment, changed).refunds == (first, changed, late)


def test_publishing_again_changes_nothing_but_the_version_and_its_time() -> None:
    payment = a_payment(Status.COMPLETED, version=4, next_check_time=at(9))
    event = NamedEvent(UUID(int=1), "payment.completed")
    decision = republication(payment, iter([event]), at(3))
    assert decision.payment == attrs.evolve(payment, version=5, update_time=at(3))
    assert (decision.audit_event, decision.republished) == (REPUBLISHED, (event,))
    assert (decision.events, decision.payment.create_time) == ((), NOW)

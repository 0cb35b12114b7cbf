"""Stripe's disputes and inquiries, as payd's facts."""

from datetime import UTC, datetime
from typing import Any

import pytest
from stripe_provider.companion.documented import object_problems
from stripe_provider.disputes import dispute
from unit.stripe.builders import (
    CHARGE_ID,
    DISPUTE_STATUSES,
    INTENT_ID,
    NOW,
    SECOND,
    a_charge,
    a_dispute,
    an_intent,
    fixture,
)

from payd.plugins import Dispute, DisputeStatus, OutcomeUnknown


def moved(*amounts: int) -> list[dict[str, Any]]:
    return [fixture("balance_transaction") | {"amount": amount} for amount in amounts]


@pytest.mark.parametrize(("word", "status"), DISPUTE_STATUSES)
def test_each_status_is_one_of_payds(word: str, status: DisputeStatus) -> None:
    assert dispute(a_dispute(status=word), NOW).status is status


def test_the_table_has_every_status_that_the_sdk_documents() -> None:
    for word, _ in DISPUTE_STATUSES:
        found = [p for p in object_problems(a_dispute(status=word)) if p.kind == "word"]
        assert found == []
    [problem] = [p for p in object_problems(a_dispute(status="x")) if p.kind == "word"]
    documented = problem.text.partition("none of ")[2].split(", ")
    assert sorted(documented) == sorted(word for word, _ in DISPUTE_STATUSES)


def test_a_dispute_is_its_amount_its_times_and_all_names() -> None:
    details = {**a_dispute()["evidence_details"], "due_by": SECOND + 60}
    body = a_dispute(status="needs_response", created=SECOND, evidence_details=details)
    assert dispute(body, NOW) == Dispute(
        id=body["id"],
        status=DisputeStatus.NEEDS_RESPONSE,
        asset="USD",
        amount=1000,
        reason="general",
        open_time=datetime.fromtimestamp(SECOND, UTC),
        as_of=NOW,
        evidence_due_time=datetime.fromtimestamp(SECOND + 60, UTC),
        aliases=(INTENT_ID, CHARGE_ID),
    )


@pytest.mark.parametrize("details", [None, {}, {"due_by": None}, {"due_by": 0}])
def test_where_the_bank_takes_no_answer_nothing_is_due(details: object) -> None:
    assert dispute(a_dispute(evidence_details=details), NOW).evidence_due_time is None


@pytest.mark.parametrize(
    ("amounts", "status"),
    [
        ((), DisputeStatus.WITHDRAWN),
        ((-1000,), DisputeStatus.LOST),
        ((-1000, 1000), DisputeStatus.WITHDRAWN),
    ],
)
def test_a_prevented_dispute_that_paid_the_customer_is_lost(
    amounts: tuple[int, ...], status: DisputeStatus
) -> None:
    body = a_dispute(status="prevented", balance_transactions=moved(*amounts))
    assert dispute(body, NOW).status is status


@pytest.mark.parametrize("later", [0, 60, 86_400])
def test_a_dispute_that_gave_the_money_back_has_the_time_of_that(later: int) -> None:
    """However often it is read: accounts count the money on that day."""
    moves = moved(-1000, 1000)
    moves[1] |= {"created": SECOND}
    body = a_dispute(status="won", balance_transactions=moves)
    read = datetime.fromtimestamp(SECOND + later, UTC)
    assert dispute(body, read).as_of == datetime.fromtimestamp(SECOND, UTC)
    for word in ("lost", "under_review"):
        assert dispute(body | {"status": word}, read).as_of == read
    not_yet = body | {"balance_transactions": moves[:1]}
    assert dispute(not_yet, read).as_of == read


def test_a_status_that_is_not_known_is_not_guessed() -> None:
    with pytest.raises(OutcomeUnknown):
        dispute(a_dispute(status="charge_refunded"), NOW)


def test_expanded_objects_are_their_ids() -> None:
    expanded = a_dispute(charge=a_charge(), payment_intent=an_intent("succeeded"))
    assert dispute(expanded, NOW) == dispute(a_dispute(), NOW)


def test_an_amount_is_in_payds_unit() -> None:
    assert dispute(a_dispute(amount=250, currency="isk"), NOW).amount == 3

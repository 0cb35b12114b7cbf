"""A Checkout Session and its payment intent, as payd's facts."""

from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from stripe_provider.ids import uuid_or_none
from stripe_provider.sessions import (
    Intent,
    created,
    found,
    intent_of,
    payment_id_of,
    snapshot,
)
from unit.stripe.builders import (
    CHARGE_ID,
    INTENT_ID,
    NOW,
    PAYMENT_ID,
    SESSION_ID,
    a_charge,
    a_session,
    an_intent,
    fixture,
)

from payd.plugins import Created, Found, OutcomeUnknown, ProviderStatus, Redirect, Snapshot

OPEN, PROCESSING, PAID = ProviderStatus.OPEN, ProviderStatus.PROCESSING, ProviderStatus.PAID
EXPIRED, DECLINED = ProviderStatus.EXPIRED, ProviderStatus.DECLINED

#: All that a payment intent can be, and None where there is no intent.
INTENTS = (
    None,
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "requires_capture",
    "processing",
    "succeeded",
    "canceled",
)
_ALWAYS: dict[tuple[str, str], ProviderStatus] = {
    ("open", "unpaid"): OPEN,
    ("open", "no_payment_required"): OPEN,
    ("complete", "paid"): PAID,
    ("complete", "no_payment_required"): PAID,
    ("complete", "unpaid"): PROCESSING,
    ("expired", "unpaid"): EXPIRED,
    ("expired", "paid"): PAID,
    ("expired", "no_payment_required"): PAID,
}
_BY_INTENT: dict[tuple[str, str, str], ProviderStatus] = {
    ("complete", "unpaid", "requires_payment_method"): DECLINED,
    ("complete", "unpaid", "canceled"): DECLINED,
    ("expired", "unpaid", "processing"): PROCESSING,
    ("expired", "unpaid", "succeeded"): PAID,
}
TABLE = [
    (*states, intent, _BY_INTENT.get((*states, intent or ""), usual))
    for states, usual in _ALWAYS.items()
    for intent in INTENTS
]


def a_look(status: str, payment_status: str, intent: str | None = None, **more: Any) -> Snapshot:
    session = a_session(
        status=status,
        payment_status=payment_status,
        payment_intent=None if intent is None else an_intent(intent, **more),
    )
    return snapshot(session, NOW)


@pytest.mark.parametrize(("status", "payment_status", "intent", "expected"), TABLE)
def test_a_session_and_its_intent_make_one_status(
    status: str, payment_status: str, intent: str | None, expected: ProviderStatus
) -> None:
    assert a_look(status, payment_status, intent).status is expected


@pytest.mark.parametrize(("status", "payment_status", "intent", "expected"), TABLE)
def test_money_is_received_when_on_its_way_and_confirmed_when_paid(
    status: str, payment_status: str, intent: str | None, expected: ProviderStatus
) -> None:
    look = a_look(status, payment_status, intent)
    assert look.received == (2000 if expected in (PAID, PROCESSING) else 0)
    assert look.confirmed == (2000 if expected is PAID else 0)
    assert look.due == 2000
    assert (look.failure_code is not None) is (expected is DECLINED)


@pytest.mark.parametrize(
    ("status", "payment_status"),
    [("complete", "half"), ("closed", "paid"), ("", ""), (None, "paid"), ("expired", None)],
)
def test_a_state_that_is_not_known_is_not_guessed(
    status: str | None, payment_status: str | None
) -> None:
    with pytest.raises(OutcomeUnknown):
        snapshot(a_session(status=status, payment_status=payment_status), NOW)


def test_the_time_of_the_look_is_kept() -> None:
    assert a_look("open", "unpaid").as_of == NOW


@pytest.mark.parametrize(("currency", "asset"), [("usd", "USD"), ("jpy", "JPY"), ("EUR", "EUR")])
def test_the_asset_is_the_currency_in_upper_case(currency: str, asset: str) -> None:
    assert snapshot(a_session(currency=currency), NOW).asset == asset


def test_the_reference_is_the_session_and_the_alias_its_intent() -> None:
    for intent in (INTENT_ID, an_intent("processing"), {"id": INTENT_ID}):
        look = snapshot(a_session(payment_intent=intent), NOW)
        assert (look.reference, look.aliases) == (SESSION_ID, (INTENT_ID,))
    bare = a_session()
    del bare["payment_intent"]
    assert snapshot(bare, NOW).aliases == snapshot(a_session(), NOW).aliases == ()


@pytest.mark.parametrize("charge", [CHARGE_ID, a_charge()], ids=["named", "whole"])
def test_the_charge_of_an_intent_is_an_alias_too(charge: object) -> None:
    session = a_session(payment_intent=an_intent("succeeded", latest_charge=charge))
    assert snapshot(session, NOW).aliases == (INTENT_ID, CHARGE_ID)


def a_paid_session(currency: str = "usd", /, **changes: Any) -> dict[str, Any]:
    """With all that a look brings; `changes` are those of the charge's balance transaction."""
    moved = fixture("balance_transaction") | {"fee": 88, "currency": currency} | changes
    charge = a_charge(balance_transaction=moved)
    intent = an_intent("succeeded", latest_charge=charge)
    paid = {"status": "complete", "payment_status": "paid", "currency": currency}
    return a_session(payment_intent=intent, **paid)


def test_what_stripe_keeps_is_the_fee() -> None:
    assert snapshot(a_paid_session(), NOW).fee == 88


def test_a_fee_in_isk_is_rounded_up_to_a_unit_of_iso() -> None:
    assert snapshot(a_paid_session("isk", fee=101), NOW).fee == 2


@pytest.mark.parametrize("changes", [{"currency": "eur"}, {"fee": -1}], ids=str)
def test_a_fee_in_another_currency_or_a_credit_is_not_one(changes: dict[str, Any]) -> None:
    assert snapshot(a_paid_session(**changes), NOW).fee is None


def test_without_the_balance_transaction_the_fee_is_not_known() -> None:
    for charge in (None, CHARGE_ID, a_charge(balance_transaction="txn_1"), a_charge()):
        session = a_session(payment_intent=an_intent("succeeded", latest_charge=charge))
        assert snapshot(session, NOW).fee is None


def test_an_intent_that_is_only_named_has_no_status() -> None:
    assert intent_of(a_session(payment_intent=INTENT_ID)) == Intent(id=INTENT_ID)
    assert intent_of(a_session()) == Intent()


def test_the_banks_own_code_is_the_reason_of_a_decline() -> None:
    error = {"type": "card_error", "code": "card_declined", "message": "Jenny's bank"}
    look = a_look("complete", "unpaid", "requires_payment_method", last_payment_error=error)
    assert look.failure_code == "card_declined"
    assert look.failure_message
    assert "Jenny" not in look.failure_message


@pytest.mark.parametrize("error", [None, {}, {"type": "api_error"}, {"code": None}])
def test_without_a_code_there_is_one_of_ours(error: object) -> None:
    look = a_look("complete", "unpaid", "canceled", last_payment_error=error)
    assert look.failure_code == "payment_failed"


def test_an_event_with_a_failure_outweighs_an_intent_that_is_only_named() -> None:
    session = a_session(status="complete", payment_intent=INTENT_ID)
    assert snapshot(session, NOW).status is PROCESSING
    assert snapshot(session, NOW, has_failed=True).status is DECLINED


# -- as the answer to a creation ---------------------------------------------------------------


def test_an_open_session_sends_the_customer_to_its_page() -> None:
    session = a_session()
    assert created(session) == Created(
        reference=SESSION_ID,
        next_action=Redirect(url=session["url"]),
        expire_time=datetime.fromtimestamp(session["expires_at"], UTC),
    )


@pytest.mark.parametrize("url", [None, ""])
def test_a_session_that_is_over_has_no_page(url: str | None) -> None:
    session = a_session(url=url, status="complete", payment_status="paid", payment_intent=INTENT_ID)
    over = created(session)
    assert (over.reference, over.next_action, over.aliases) == (SESSION_ID, None, (INTENT_ID,))


def test_a_session_without_the_field_url_has_no_page() -> None:
    session = a_session()
    del session["url"]
    assert created(session).next_action is None


def test_a_look_is_both_and_can_be_stored() -> None:
    session = a_session()
    look = found(session, NOW)
    assert look == Found(created=created(session), snapshot=snapshot(session, NOW))


def test_the_secret_of_an_intent_goes_nowhere() -> None:
    look = found(a_session(payment_intent=an_intent("processing")), NOW)
    assert "_secret_" not in str(attrs.asdict(look))


# -- whose it is -------------------------------------------------------------------------------


def test_a_session_is_ours_when_both_names_are_the_same_payment() -> None:
    assert payment_id_of(a_session()) == PAYMENT_ID


@pytest.mark.parametrize(
    "changes",
    [
        {"client_reference_id": None},
        {"client_reference_id": 5, "metadata": {"payment_id": 5}},
        {"client_reference_id": "cart", "metadata": {"payment_id": "cart"}},
        {"metadata": None},
        {"metadata": {}},
        {"metadata": {"payment_id": str(PAYMENT_ID).upper()}},
    ],
)
def test_a_session_is_not_ours_otherwise(changes: dict[str, Any]) -> None:
    assert payment_id_of(a_session(**changes)) is None


@pytest.mark.parametrize("text", [None, 5, "", "x", PAYMENT_ID.hex, PAYMENT_ID.urn, b"x", []])
def test_only_payds_own_spelling_is_an_id(text: object) -> None:
    assert uuid_or_none(text) is None
    assert uuid_or_none(str(PAYMENT_ID)) == PAYMENT_ID

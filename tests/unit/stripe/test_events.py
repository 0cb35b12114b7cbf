"""What Stripe's events say about payments."""

from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from stripe_provider.disputes import dispute
from stripe_provider.events import observations
from stripe_provider.refunds import refund_snapshot
from stripe_provider.webhooks import (
    CHARGE_EVENTS,
    DISPUTE_EVENTS,
    EVENTS,
    REFUND_EVENTS,
    SESSION_EVENTS,
)
from unit.stripe.builders import (
    CHARGE_ID,
    DISPUTE_STATUSES,
    INTENT_ID,
    NOW,
    PAYMENT_ID,
    REFUND_STATES,
    SECOND,
    SESSION_ID,
    a_charge,
    a_completed,
    a_dispute,
    a_refund,
    a_session,
    an_event,
    fixture,
    read,
)

from payd.plugins import (
    Conflict,
    Dispute,
    DisputeStatus,
    Observation,
    ProviderStatus,
    RefundSnapshot,
    RefundState,
    Snapshot,
)
from payd.providers.validation import is_observations

COMPLETED, SUCCEEDED, FAILED, EXPIRED = SESSION_EVENTS
PAID = ("complete", "paid")
UNPAID = ("complete", "unpaid")
FREE = ("complete", "no_payment_required")
CLOSED = ("expired", "unpaid")


def said(event: dict[str, Any], *, livemode: bool = False) -> list[Observation]:
    """By the whole way: reduced, then read."""
    found = list(observations(read(event), livemode=livemode))
    assert is_observations(found)
    return found


def a_session_event(
    kind: str, states: tuple[str, str] = PAID, /, *, livemode: bool = False, **changes: Any
) -> dict[str, Any]:
    status, payment_status = states
    subject = a_session(status=status, payment_status=payment_status, payment_intent=INTENT_ID)
    event = an_event(kind, subject | {"livemode": livemode} | changes)
    return event | {"livemode": livemode}


def the_snapshot(event: dict[str, Any]) -> Snapshot:
    (observation,) = said(event)
    assert isinstance(observation.fact, Snapshot)
    return observation.fact


TABLE = [
    (COMPLETED, PAID, ProviderStatus.PAID, 2000, 2000),
    (COMPLETED, UNPAID, ProviderStatus.PROCESSING, 2000, 0),
    (COMPLETED, FREE, ProviderStatus.PAID, 2000, 2000),
    (SUCCEEDED, PAID, ProviderStatus.PAID, 2000, 2000),
    (FAILED, UNPAID, ProviderStatus.DECLINED, 0, 0),
    (EXPIRED, CLOSED, ProviderStatus.EXPIRED, 0, 0),
]


@pytest.mark.parametrize(("kind", "states", "status", "received", "confirmed"), TABLE)
def test_a_session_event_is_how_the_session_stood(
    kind: str, states: tuple[str, str], status: ProviderStatus, received: int, confirmed: int
) -> None:
    snapshot = the_snapshot(a_session_event(kind, states))
    assert snapshot.status is status
    assert (snapshot.received, snapshot.confirmed) == (received, confirmed)
    assert (snapshot.refunds, snapshot.disputes, snapshot.fee) == ((), (), None)


@pytest.mark.parametrize("kind", SESSION_EVENTS)
def test_it_is_about_our_payment_at_the_time_of_the_event(kind: str) -> None:
    (observation,) = said(a_session_event(kind) | {"created": SECOND - 90})
    assert observation.id == "evt_1"
    assert observation.reference == str(PAYMENT_ID)
    assert isinstance(observation.fact, Snapshot)
    assert observation.fact.as_of == datetime.fromtimestamp(SECOND - 90, UTC)


def test_a_snapshot_has_the_sessions_due_amount_and_names() -> None:
    snapshot = the_snapshot(a_session_event(COMPLETED, amount_total=7, currency="jpy"))
    assert (snapshot.asset, snapshot.due, snapshot.received) == ("JPY", 7, 7)
    assert (snapshot.reference, snapshot.aliases) == (SESSION_ID, (INTENT_ID,))
    assert snapshot.as_of == NOW


def test_a_session_that_has_no_intent_has_no_alias() -> None:
    assert the_snapshot(a_session_event(EXPIRED, CLOSED, payment_intent=None)).aliases == ()


def test_a_failed_debit_has_a_code_and_a_message() -> None:
    snapshot = the_snapshot(a_session_event(FAILED, UNPAID))
    assert snapshot.failure_code == "payment_failed"
    assert snapshot.failure_message


@pytest.mark.parametrize("kind", [COMPLETED, SUCCEEDED, EXPIRED])
def test_only_a_failure_has_a_failure_code(kind: str) -> None:
    snapshot = the_snapshot(a_session_event(kind))
    assert (snapshot.failure_code, snapshot.failure_message) == (None, None)


def test_an_event_for_an_amount_of_zero_is_read() -> None:
    snapshot = the_snapshot(a_session_event(COMPLETED, FREE, amount_total=0))
    assert (snapshot.status, snapshot.confirmed, snapshot.due) == (ProviderStatus.PAID, 0, 0)


# -- money that went back ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", REFUND_EVENTS)
def test_a_refund_of_ours_is_about_its_payment_and_its_refund(kind: str) -> None:
    assert said(an_event(kind, a_refund())) == [
        Observation(id="evt_1", reference=str(PAYMENT_ID), fact=refund_snapshot(a_refund()))
    ]


@pytest.mark.parametrize("metadata", [{}, None, {"payment_id": "order-7"}, {"payment_id": 7}])
def test_a_refund_in_the_dashboard_is_found_by_its_intent(metadata: object) -> None:
    (observation,) = said(an_event("refund.created", a_refund(metadata=metadata)))
    assert observation.reference == INTENT_ID
    assert isinstance(observation.fact, RefundSnapshot)
    assert (observation.fact.refund_id, observation.fact.reference) == (None, "re_1")


def test_a_refund_without_an_intent_is_found_by_its_charge_or_says_nothing() -> None:
    plain: dict[str, Any] = {"metadata": {}, "payment_intent": None}
    (observation,) = said(an_event("refund.created", a_refund(**plain)))
    assert observation.reference == CHARGE_ID
    assert said(an_event("refund.created", a_refund(**plain, charge=None))) == []


@pytest.mark.parametrize(("status", "state"), REFUND_STATES)
@pytest.mark.parametrize("kind", REFUND_EVENTS)
def test_not_the_events_name_but_the_refunds_status_counts(
    kind: str, status: str, state: RefundState
) -> None:
    refund = a_refund(status=status, failure_reason="declined" if status == "failed" else None)
    (observation,) = said(an_event(kind, refund))
    assert observation.fact == refund_snapshot(refund)
    assert isinstance(observation.fact, RefundSnapshot)
    assert observation.fact.state is state


def test_the_sum_of_a_charges_refunds_says_nothing() -> None:
    assert said(an_event("charge.refunded", a_charge())) == []
    assert said(an_event("charge.refunded", fixture("charge"))) == []


@pytest.mark.parametrize(("word", "status"), DISPUTE_STATUSES)
@pytest.mark.parametrize("kind", DISPUTE_EVENTS)
def test_a_dispute_is_found_by_its_intent(kind: str, word: str, status: DisputeStatus) -> None:
    body = a_dispute(status=word)
    (observation,) = said(an_event(kind, body) | {"created": SECOND - 90})
    assert (observation.id, observation.reference) == ("evt_1", INTENT_ID)
    assert observation.fact == dispute(body, datetime.fromtimestamp(SECOND - 90, UTC))
    assert isinstance(observation.fact, Dispute)
    assert observation.fact.status is status


def test_a_dispute_without_an_intent_is_found_by_its_charge() -> None:
    (observation,) = said(an_event(DISPUTE_EVENTS[0], a_dispute(payment_intent=None)))
    assert observation.reference == CHARGE_ID
    assert isinstance(observation.fact, Dispute)
    assert observation.fact.aliases == (CHARGE_ID,)


def test_a_dispute_of_nothing_says_nothing() -> None:
    assert said(an_event(DISPUTE_EVENTS[0], a_dispute(payment_intent=None, charge=None))) == []


def test_a_dispute_with_its_charge_expanded_is_the_same() -> None:
    plain = said(an_event(DISPUTE_EVENTS[0], a_dispute()))
    assert said(an_event(DISPUTE_EVENTS[0], a_dispute(charge=a_charge()))) == plain


def test_a_dispute_that_version_0_1_stored_is_open_until_more_is_known() -> None:
    stored = read(an_event(DISPUTE_EVENTS[0], a_dispute()))
    known = ("id", "charge", "payment_intent", "currency")
    fields = {name: stored.content["object"][name] for name in known}
    before = attrs.evolve(stored, content={**stored.content, "object": fields})
    (observation,) = observations(before, livemode=False)
    assert isinstance(observation.fact, Dispute)
    assert observation.fact.status is DisputeStatus.NEEDS_RESPONSE
    assert (observation.fact.amount, observation.fact.open_time) == (0, NOW)


# -- what is not ours --------------------------------------------------------------------------

OBJECTS = {kind: a_session(status="complete") for kind in SESSION_EVENTS}
OBJECTS |= {kind: a_dispute() for kind in DISPUTE_EVENTS}
OBJECTS |= {kind: a_refund() for kind in REFUND_EVENTS} | {"charge.refunded": a_charge()}


@pytest.mark.parametrize("kind", EVENTS)
def test_an_event_of_a_connected_account_says_nothing(kind: str) -> None:
    assert len(said(an_event(kind, OBJECTS[kind]))) == 1
    assert said(an_event(kind, OBJECTS[kind], account="acct_1")) == []


@pytest.mark.parametrize("kind", ["plan.created", "payment_intent.succeeded", "charge.succeeded"])
def test_an_event_of_another_type_says_nothing(kind: str) -> None:
    assert said(an_event(kind, a_session(status="complete", payment_status="paid"))) == []


OTHER_ID = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5c"
FOREIGN: dict[str, dict[str, Any]] = {
    "no names": {"client_reference_id": None, "metadata": {}},
    "no metadata at all": {"metadata": None},
    "no client_reference_id": {"client_reference_id": None},
    "only the reference": {"metadata": {}},
    "another reference": {"client_reference_id": "cart-7"},
    "two payments": {"client_reference_id": OTHER_ID},
    "no uuid": {"client_reference_id": "7", "metadata": {"payment_id": "7"}},
    "a number": {"client_reference_id": None, "metadata": {"payment_id": 7}},
    "a subscription": {"mode": "subscription"},
    "a set-up": {"mode": "setup"},
}


@pytest.mark.parametrize("changes", FOREIGN.values(), ids=list(FOREIGN))
@pytest.mark.parametrize("kind", SESSION_EVENTS)
def test_a_session_of_other_software_says_nothing(kind: str, changes: dict[str, Any]) -> None:
    assert said(a_session_event(kind, **changes)) == []


@pytest.mark.parametrize("mode", ["setup", "subscription", "payment"])
def test_a_foreign_session_may_lack_its_amount_and_states(mode: str) -> None:
    subject = fixture("checkout.session") | {"mode": mode, "status": None, "currency": None}
    for missing in ("amount_total", "payment_status", "livemode", "metadata"):
        del subject[missing]
    assert said(an_event(COMPLETED, subject)) == []


@pytest.mark.parametrize(
    "written",
    [
        str(PAYMENT_ID).upper(),
        PAYMENT_ID.hex,
        f"{{{PAYMENT_ID}}}",
        PAYMENT_ID.urn,
        f" {PAYMENT_ID}",
        f"{PAYMENT_ID}\n",
    ],
)
def test_an_id_in_another_form_than_ours_is_not_ours(written: str) -> None:
    changes: dict[str, Any] = {"client_reference_id": written, "metadata": {"payment_id": written}}
    assert said(a_session_event(COMPLETED, **changes)) == []


# -- the other world ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*EVENTS, *CHARGE_EVENTS])
def test_test_money_for_a_live_payment_is_a_conflict(kind: str) -> None:
    (observation,) = said(an_event(kind, OBJECTS[kind], livemode=False), livemode=True)
    assert observation.fact == Conflict()
    assert observation.id == "evt_1"
    assert observation.reference in (str(PAYMENT_ID), INTENT_ID)


@pytest.mark.parametrize("kind", [*EVENTS, *CHARGE_EVENTS])
def test_live_money_for_a_test_payment_is_a_conflict(kind: str) -> None:
    # A refund does not have the field.
    subject = OBJECTS[kind] | ({} if kind in REFUND_EVENTS else {"livemode": True})
    (observation,) = said(an_event(kind, subject, livemode=True), livemode=False)
    assert observation.fact == Conflict()


@pytest.mark.parametrize("ours", [True, False])
def test_a_session_of_another_world_than_its_event_is_a_conflict(ours: bool) -> None:
    event = a_completed(livemode=ours)
    event["data"]["object"]["livemode"] = not ours
    (observation,) = said(event, livemode=ours)
    assert observation.fact == Conflict()


@pytest.mark.parametrize("states", [PAID, UNPAID, FREE])
def test_with_a_live_key_a_live_event_is_believed(states: tuple[str, str]) -> None:
    (observation,) = said(a_session_event(COMPLETED, states, livemode=True), livemode=True)
    assert isinstance(observation.fact, Snapshot)


def test_other_softwares_session_in_the_wrong_world_still_says_nothing() -> None:
    subject = a_session(client_reference_id="cart-7")
    assert said(an_event(COMPLETED, subject), livemode=True) == []

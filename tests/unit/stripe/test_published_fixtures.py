"""Stripe's published objects, signed by the SDK's own signer, from the request to payd's facts."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
import stripe
from stripe_provider.client import StripeApi
from stripe_provider.config import StripeConfig
from stripe_provider.provider import StripeProvider
from stripe_provider.webhooks import EVENTS
from unit.stripe.builders import (
    DISPUTE_STATUSES,
    FIXTURES,
    NOW,
    PAYMENT_ID,
    REFUND_STATES,
    SECOND,
    SECRET,
    TOLERANCE_S,
)
from unit.stripe.shelf import Hand

from payd.plugins import (
    Conflict,
    Dispute,
    DisputeStatus,
    Observation,
    ProviderEvent,
    ProviderStatus,
    RefundSnapshot,
    RefundState,
    Snapshot,
    WebhookRefused,
    WebhookRequest,
)

Json = dict[str, Any]
PUBLISHED: Json = json.loads((FIXTURES / "fixtures3.json").read_text())["resources"]
OLD_SECRET = "whsec_old"
INTENT = PUBLISHED["payment_intent"]["id"]
OURS = {"client_reference_id": str(PAYMENT_ID), "metadata": {"payment_id": str(PAYMENT_ID)}}
#: What the published session, which is open, becomes.
PAID = {"status": "complete", "payment_status": "paid", "payment_intent": INTENT}
UNPAID = {**PAID, "payment_status": "unpaid"}
EXPIRED = {"status": "expired", "payment_status": "unpaid", "payment_intent": None}


def a_provider(secrets: Sequence[str] = (SECRET,)) -> tuple[StripeProvider, Mapping[str, Any]]:
    """`verify` and `translate` ask nobody, so there is no API to ask."""
    api = cast(StripeApi, None)
    provider = StripeProvider(api, StripeConfig(), Hand(), livemode=False)
    return provider, {"stripe_webhook_secret": tuple(secrets)}


def a_session(**changes: Any) -> Json:
    """The published session as one of payd's, of 25 dollars."""
    price = {"amount_total": 2500, "currency": "usd"}
    return {**PUBLISHED["checkout.session"], **OURS, **price, **changes}


def an_event(kind: str, subject: Any, **changes: Any) -> Json:
    """The published event, about another object."""
    own = {"type": kind, "created": SECOND, "data": {"object": subject}}
    return {**PUBLISHED["event"], **own, **changes}


def signed(body: str, secret: str = SECRET, time: int = SECOND) -> str:
    header: str = stripe.WebhookSignature.generate_signature_header(body, secret, time)
    return header


def verified(body: str, header: str, secrets: Sequence[str] = (SECRET,)) -> ProviderEvent:
    provider, held = a_provider(secrets)
    request = WebhookRequest(body=body.encode(), headers={"stripe-signature": header})
    return provider.verify(request, held, NOW)


def observed(event: Json) -> Sequence[Observation]:
    """From the signed request to the observations, by way of a database."""
    body = json.dumps(event, indent=2)
    taken = verified(body, signed(body))
    content = json.loads(json.dumps(taken.content))
    stored = ProviderEvent(id=taken.id, type=taken.type, content=content)
    provider, _ = a_provider()
    return provider.translate(stored)


# -- what a session's events say ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "became", "status", "received", "confirmed"),
    [
        ("completed", PAID, ProviderStatus.PAID, 2500, 2500),
        ("completed", UNPAID, ProviderStatus.PROCESSING, 2500, 0),
        ("async_payment_succeeded", PAID, ProviderStatus.PAID, 2500, 2500),
        ("async_payment_failed", UNPAID, ProviderStatus.DECLINED, 0, 0),
        ("expired", EXPIRED, ProviderStatus.EXPIRED, 0, 0),
        ("expired", {**EXPIRED, "payment_intent": INTENT}, ProviderStatus.EXPIRED, 0, 0),
        (
            "completed", {**PAID, "payment_status": "no_payment_required"},
            ProviderStatus.PAID, 2500, 2500,
        ),
    ],
)  # fmt: skip
def test_each_event_of_a_session_is_its_fact(
    kind: str, became: Json, status: ProviderStatus, received: int, confirmed: int
) -> None:
    [seen] = observed(an_event(f"checkout.session.{kind}", a_session(**became)))

    assert isinstance(seen.fact, Snapshot)
    assert seen.reference == str(PAYMENT_ID)
    assert (seen.fact.status, seen.fact.received, seen.fact.confirmed) == (
        status,
        received,
        confirmed,
    )
    assert (seen.fact.asset, seen.fact.due) == ("USD", 2500)
    assert seen.fact.as_of == datetime.fromtimestamp(SECOND, UTC)
    assert seen.fact.reference == PUBLISHED["checkout.session"]["id"]


@pytest.mark.parametrize(
    ("intent", "aliases"),
    [(None, ()), (INTENT, (INTENT,)), (PUBLISHED["payment_intent"], (INTENT,))],
    ids=["none", "named", "whole"],
)
def test_the_payment_intent_is_another_name_of_the_session(
    intent: Any, aliases: tuple[str, ...]
) -> None:
    session = a_session(**{**PAID, "payment_intent": intent})
    [seen] = observed(an_event("checkout.session.completed", session))
    assert isinstance(seen.fact, Snapshot)
    assert seen.fact.aliases == aliases


def test_a_failed_bank_payment_says_why() -> None:
    [seen] = observed(an_event("checkout.session.async_payment_failed", a_session(**UNPAID)))
    assert isinstance(seen.fact, Snapshot)
    assert seen.fact.failure_code
    assert seen.fact.failure_message


def test_the_other_mode_is_for_a_person() -> None:
    for changes in ({"livemode": True}, {}):
        session = a_session(**PAID, livemode=True)
        [seen] = observed(an_event("checkout.session.completed", session, **changes))
        assert isinstance(seen.fact, Conflict)


# -- what the events of refunds and disputes say -------------------------------------------------

REFUND_ID = UUID("0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4aff")
REFUND_KINDS = ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated")
DISPUTE_KINDS = tuple(
    f"charge.dispute.{name}"
    for name in ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated")
)


def a_refund(**changes: Any) -> Json:
    """The published refund, of 1 dollar of that payment intent; in the dashboard."""
    return {**PUBLISHED["refund"], "payment_intent": INTENT, **changes}


def a_dispute(**changes: Any) -> Json:
    """The published dispute, which is an inquiry, about that payment intent."""
    return {**PUBLISHED["dispute"], "payment_intent": INTENT, **changes}


@pytest.mark.parametrize(("status", "state"), REFUND_STATES)
@pytest.mark.parametrize("kind", REFUND_KINDS)
def test_each_refund_is_its_state_in_every_event(
    kind: str, status: str, state: RefundState
) -> None:
    [seen] = observed(an_event(kind, a_refund(status=status)))

    assert seen.reference == INTENT
    fact = seen.fact
    assert isinstance(fact, RefundSnapshot)
    assert (fact.reference, fact.state) == (PUBLISHED["refund"]["id"], state)
    assert (fact.asset, fact.amount, fact.refund_id) == ("USD", 100, None)
    assert fact.time == datetime.fromtimestamp(PUBLISHED["refund"]["created"], UTC)
    assert fact.aliases == (INTENT, PUBLISHED["charge"]["id"])
    assert (fact.failure_code is not None) is (state in (RefundState.FAILED, RefundState.CANCELED))


def test_a_refund_of_payd_names_its_payment_and_itself() -> None:
    ours = {"payment_id": str(PAYMENT_ID), "refund_id": str(REFUND_ID)}
    [seen] = observed(an_event("refund.updated", a_refund(metadata=ours)))
    assert isinstance(seen.fact, RefundSnapshot)
    assert (seen.reference, seen.fact.refund_id) == (str(PAYMENT_ID), REFUND_ID)


def test_a_refund_that_failed_says_why() -> None:
    failed = a_refund(status="failed", failure_reason="lost_or_stolen_card")
    [seen] = observed(an_event("refund.failed", failed))
    assert isinstance(seen.fact, RefundSnapshot)
    assert seen.fact.failure_code == "lost_or_stolen_card"
    assert seen.fact.failure_message


@pytest.mark.parametrize(("word", "status"), DISPUTE_STATUSES)
@pytest.mark.parametrize("kind", DISPUTE_KINDS)
def test_each_dispute_is_its_status_in_every_event(
    kind: str, word: str, status: DisputeStatus
) -> None:
    [seen] = observed(an_event(kind, a_dispute(status=word)))

    published = PUBLISHED["dispute"]
    assert seen.reference == INTENT
    assert seen.fact == Dispute(
        id=published["id"],
        status=status,
        asset="USD",
        amount=1000,
        reason="general",
        open_time=datetime.fromtimestamp(published["created"], UTC),
        as_of=NOW,
        evidence_due_time=datetime.fromtimestamp(published["evidence_details"]["due_by"], UTC),
        aliases=(INTENT, published["charge"]),
    )


@pytest.mark.parametrize("name", ["refund", "dispute"])
def test_without_an_intent_the_charge_names_the_payment(name: str) -> None:
    kind = {"refund": "refund.created", "dispute": "charge.dispute.created"}[name]
    [seen] = observed(an_event(kind, PUBLISHED[name]))
    assert seen.reference == PUBLISHED[name]["charge"]


def test_the_sum_of_a_charge_says_nothing_beside_its_refunds() -> None:
    charge = {**PUBLISHED["charge"], "payment_intent": INTENT, "amount_refunded": 100}
    assert observed(an_event("charge.refunded", charge)) == ()


@pytest.mark.parametrize("kind", [*REFUND_KINDS, *DISPUTE_KINDS, "charge.refunded"])
def test_money_of_the_other_mode_that_went_back_is_for_a_person(kind: str) -> None:
    subject = a_dispute() if "dispute" in kind else a_refund()
    if kind == "charge.refunded":
        subject = {**PUBLISHED["charge"], "payment_intent": INTENT}
    [seen] = observed(an_event(kind, subject, livemode=True))
    assert (seen.reference, seen.fact) == (INTENT, Conflict())


# -- what says nothing about payd's payments ---------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in EVENTS if kind.startswith("checkout")])
def test_the_published_session_is_other_softwares(kind: str) -> None:
    assert observed(an_event(kind, PUBLISHED["checkout.session"])) == ()


@pytest.mark.parametrize(
    "foreign",
    [
        {"client_reference_id": None},
        {"client_reference_id": "other"},
        {"metadata": {}},
        {"metadata": {"payment_id": "other"}},
        {"mode": "subscription"},
    ],
    ids=str,
)
def test_so_is_one_that_does_not_name_a_payment_of_payd_twice(foreign: Json) -> None:
    assert observed(an_event("checkout.session.completed", a_session(**PAID, **foreign))) == ()


def test_so_is_one_of_a_connected_account() -> None:
    event = an_event("checkout.session.completed", a_session(**PAID), account="acct_1")
    assert observed(event) == ()


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_every_published_object_is_taken_in_an_event_and_says_nothing(name: str) -> None:
    assert observed(an_event("anything.changed", PUBLISHED[name])) == ()


# -- whose word it is --------------------------------------------------------------------------


BODY = json.dumps(an_event("checkout.session.completed", a_session(**PAID)))
GOOD = signed(BODY)
MAC = GOOD.rpartition("=")[2]
FORGED = f"v1={'0' * 64}"


def reason(body: str, header: str, secrets: Sequence[str] = (SECRET,)) -> str | None:
    try:
        verified(body, header, secrets)
    except WebhookRefused as refused:
        return refused.reason
    return None


def sdk_takes(body: str, header: str, secret: str = SECRET) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stripe._webhook.time", SimpleNamespace(time=lambda: SECOND))
        try:
            stripe.Webhook.construct_event(body, header, secret, TOLERANCE_S)
        except stripe.SignatureVerificationError:
            return False
    return True


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (GOOD, None),
        (f"t={SECOND},{FORGED},v1={MAC}", None),
        (f"t={SECOND},v1={MAC},{FORGED}", None),
        (f"t={SECOND},v0={'0' * 64},v1={MAC}", None),
        (signed(BODY, time=SECOND - TOLERANCE_S), None),
        (signed(BODY, time=SECOND - TOLERANCE_S - 1), "too_old"),
        (signed(BODY, OLD_SECRET), "signature"),
        (f"t={SECOND},{FORGED}", "signature"),
        (f"t={SECOND},v0={MAC}", "signature"),
        (f"t={SECOND + 1},v1={MAC}", "signature"),
        (f"v1={MAC}", "signature"),
        (f"t=soon,v1={MAC}", "signature"),
        (f"t={SECOND}", "signature"),
        ("", "signature"),
    ],
)
def test_a_header_is_judged_as_the_sdk_judges_it(header: str, expected: str | None) -> None:
    assert reason(BODY, header) == expected
    assert sdk_takes(BODY, header) == (expected is None)


@pytest.mark.parametrize("ahead_s", [TOLERANCE_S + 1, 10**8])
def test_a_time_in_the_future_is_refused_though_the_sdk_takes_it(ahead_s: int) -> None:
    header = signed(BODY, time=SECOND + ahead_s)
    assert reason(BODY, header) == "from_the_future"
    assert sdk_takes(BODY, header)


def test_a_time_a_little_ahead_is_taken() -> None:
    assert reason(BODY, signed(BODY, time=SECOND + TOLERANCE_S)) is None


@pytest.mark.parametrize("place", [0, len(BODY) // 2, len(BODY) - 1])
def test_one_changed_character_is_refused(place: int) -> None:
    changed = BODY[:place] + ("~" if BODY[place] != "~" else "!") + BODY[place + 1 :]
    assert reason(changed, GOOD) == "signature"
    assert not sdk_takes(changed, GOOD)


def test_while_a_secret_is_rolled_either_counts_and_afterwards_one() -> None:
    both = (SECRET, OLD_SECRET)
    old = signed(BODY, OLD_SECRET)
    stripes = f"{GOOD},{old.partition(',')[2]}"
    assert [reason(BODY, header, both) for header in (GOOD, old, stripes)] == [None] * 3
    assert [reason(BODY, header) for header in (GOOD, old, stripes)] == [None, "signature", None]


def test_a_thin_event_is_refused_with_the_setting_to_change() -> None:
    thin = {
        "id": "evt_test_65SqeQBZTLvt4",
        "object": "v2.core.event",
        "type": "v1.checkout.session.completed",
        "created": "2026-10-01T12:00:00.000Z",
        "livemode": False,
        "related_object": {"id": "cs_1", "type": "checkout.session", "url": "/v1/x"},
    }
    body = json.dumps(thin)
    with pytest.raises(WebhookRefused, match="payload style to Snapshot"):
        verified(body, signed(body))

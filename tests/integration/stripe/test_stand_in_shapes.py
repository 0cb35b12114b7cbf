"""Everything that the stand-in returns has the fields and types that Stripe's SDK documents.

Stripe's published examples show which fields a real object has; the SDK's classes, of the version
that the stand-in speaks, show what each may be.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import stripe
from integration.stripe.stand_in import KEY, SDK_WARNING, Rig, open_rig
from stripe_provider.companion.documented import error_problems, object_problems
from stripe_provider.companion.objects import API_VERSION

pytestmark = pytest.mark.filterwarnings(SDK_WARNING)

FIXTURES = Path(__file__).parents[2] / "fixtures" / "stripe"
AUTHORIZED = {"Authorization": f"Bearer {KEY}"}
#: What can become of a session.
LIVES = (
    (),
    ("expire",),
    ("pay",),
    ("pay_async",),
    ("pay_async", "async_succeed"),
    ("pay_async", "async_fail"),
    ("decline",),
    ("decline", "expire"),
    ("decline", "pay"),
    ("pay", "refund"),
    ("pay", "dispute"),
    ("pay", "dispute", "close_dispute"),
    ("pay_async", "async_succeed", "refund"),
)
#: What can become of a refund: how it begins, and what follows.
REFUNDS = (
    ("succeeded",),
    ("succeeded", "fail"),
    ("pending",),
    ("pending", "succeed"),
    ("pending", "succeed", "fail"),
    ("pending", "cancel"),
    ("requires_action",),
    ("requires_action", "succeed"),
    ("requires_action", "cancel"),
    ("failed",),
)
#: What can become of a dispute.
DISPUTES = (
    ("needs_response", "under_review", "won"),
    ("needs_response", "lost"),
    ("needs_response", "lost", "appeal_needs_response", "appeal_under_review", "won"),
    ("warning_needs_response", "warning_under_review", "warning_closed"),
    ("warning_needs_response", "needs_response", "lost"),
    ("prevented",),
)
#: Fields of Stripe's examples that are sent only on request, or only to a platform's account.
ON_DEMAND = {"charge": {"refunds"}, "balance": {"connect_reserved"}}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with open_rig() as rig:
        yield rig


async def lived(rig: Rig, deeds: tuple[str, ...], **params: Any) -> Any:
    session = await rig.create(**params)
    for deed in deeds:
        await rig.act(session, deed)
    return session


async def get(rig: Rig, path: str) -> dict[str, Any]:
    body: dict[str, Any] = (await rig.http.get(path, headers=AUTHORIZED)).json()
    return body


def missing_of_examples(body: Any) -> list[str]:
    """Fields of Stripe's example of an object, and of those inside, that this one lacks."""
    if isinstance(body, list):
        return [name for one in body for name in missing_of_examples(one)]
    if not isinstance(body, dict):
        return []
    found = [name for one in body.values() for name in missing_of_examples(one)]
    kind = body.get("object")
    example = FIXTURES / f"{kind}.json"
    if isinstance(kind, str) and example.exists():
        there = set(json.loads(example.read_text())) - ON_DEMAND.get(kind, set())
        found += [f"{kind}.{name}" for name in there - set(body)]
    return found


def assert_documented(body: dict[str, Any]) -> None:
    assert object_problems(body) == []
    assert missing_of_examples(body) == []


def test_the_stand_in_speaks_the_version_that_the_sdk_describes() -> None:
    assert stripe.api_version == API_VERSION


@pytest.mark.parametrize("deeds", LIVES, ids="-".join)
async def test_a_session_and_its_payment(rig: Rig, deeds: tuple[str, ...]) -> None:
    session = await lived(rig, deeds)
    path = f"/v1/checkout/sessions/{session.id}"

    assert_documented(await get(rig, path))
    charge = "payment_intent.latest_charge"
    expand = f"expand[]={charge}.balance_transaction&expand[]={charge}.refunds&expand[]=line_items"
    assert_documented(await get(rig, f"{path}?{expand}"))


async def test_what_creating_and_closing_return(rig: Rig) -> None:
    for changes in ({}, {"allowed_payment_method_types": None, "cancel_url": None}):
        session = await rig.create(**changes)
        assert_documented(session.to_dict())
        assert_documented((await rig.sessions.expire_async(session.id)).to_dict())


@pytest.mark.parametrize("life", REFUNDS, ids="-".join)
async def test_a_refund_its_charge_and_their_events(rig: Rig, life: tuple[str, ...]) -> None:
    session = await lived(rig, ("pay",))
    intent = (await rig.sessions.retrieve_async(session.id)).payment_intent
    await rig.order("refunds/next", status=life[0])

    made = await rig.client.v1.refunds.create_async(
        {"payment_intent": intent, "amount": 500, "reason": "duplicate", "metadata": {"a": "b"}}
    )
    assert_documented(made.to_dict())
    for deed in life[1:]:
        assert_documented(await rig.order(f"refunds/{made.id}/{deed}"))

    expand = "expand[]=charge.balance_transaction&expand[]=charge.refunds&expand[]=payment_intent"
    for path in (f"refunds/{made.id}", f"refunds/{made.id}?{expand}", "refunds?limit=3"):
        assert_documented(await get(rig, f"/v1/{path}"))
    expand = "expand[]=balance_transaction&expand[]=failure_balance_transaction"
    assert_documented(await get(rig, f"/v1/refunds/{made.id}?{expand}"))
    for event in (await get(rig, "/v1/events?limit=100"))["data"]:
        assert_documented(event)


@pytest.mark.parametrize("life", DISPUTES, ids="-".join)
async def test_a_dispute_and_its_events(rig: Rig, life: tuple[str, ...]) -> None:
    session = await lived(rig, ("pay",))

    dispute = await rig.act(session, "dispute", status=life[0])
    assert_documented(dispute)
    for status in life[1:]:
        assert_documented(await rig.act(session, "update_dispute", status=status))

    expand = "expand[]=charge&expand[]=payment_intent"
    for path in (f"disputes/{dispute['id']}?{expand}", "disputes?limit=3"):
        assert_documented(await get(rig, f"/v1/{path}"))
    for event in (await get(rig, "/v1/events?limit=100"))["data"]:
        assert_documented(event)


async def test_an_intent_of_its_own(rig: Rig) -> None:
    session = await lived(rig, ("pay",))
    intent = (await rig.sessions.retrieve_async(session.id)).payment_intent

    body = await get(rig, f"/v1/payment_intents/{intent}?expand[]=latest_charge.payment_intent")

    assert body["latest_charge"]["payment_intent"]["id"] == intent
    assert_documented(body)


async def test_lists_and_the_balance(rig: Rig) -> None:
    for deeds in LIVES:
        await lived(rig, deeds)

    for path in ("checkout/sessions", "checkout/sessions?limit=3", "events?limit=100", "balance"):
        assert_documented(await get(rig, f"/v1/{path}"))
    expand = "expand[]=data.payment_intent.latest_charge.refunds"
    assert_documented(await get(rig, f"/v1/checkout/sessions?limit=100&{expand}"))


async def test_events_as_listed_and_as_sent(rig: Rig) -> None:
    for deeds in LIVES:
        await lived(rig, deeds)

    events = (await get(rig, "/v1/events?limit=100"))["data"]
    sent = await rig.receiver.until(sum(event["pending_webhooks"] for event in events))

    for event in (*events, *sent, await get(rig, f"/v1/events/{events[0]['id']}")):
        assert_documented(event)
    types = {event["type"] for event in events}
    assert types >= {event["type"] for event in sent} >= {"refund.created", "charge.dispute.closed"}


async def test_what_the_control_api_gives_back(rig: Rig) -> None:
    session = await lived(rig, ("pay",))
    assert_documented(await rig.act(session, "refund", amount=500))
    for deed in ("dispute", "update_dispute", "close_dispute"):
        assert_documented(await rig.act(session, deed))
    assert_documented(await rig.order("sessions"))


@pytest.mark.parametrize(
    ("method", "path", "form"),
    [
        ("GET", "checkout/sessions/cs_test_no", {}),
        ("GET", "no/such/path", {}),
        ("GET", "events?limit=none", {}),
        ("POST", "checkout/sessions", {}),
        ("POST", "checkout/sessions", {"mode": "payment", "nobody": "knows"}),
        ("POST", "checkout/sessions/cs_test_no/expire", {}),
        ("GET", "refunds/re_no", {}),
        ("GET", "disputes/du_no", {}),
        ("POST", "refunds", {}),
        ("POST", "refunds", {"payment_intent": "pi_no"}),
        ("POST", "refunds/re_no/cancel", {}),
    ],
)
async def test_errors(rig: Rig, method: str, path: str, form: dict[str, str]) -> None:
    refused = await rig.http.request(method, f"/v1/{path}", headers=AUTHORIZED, data=form)
    stranger = await rig.http.request(method, f"/v1/{path}")

    assert 400 <= refused.status_code < 500
    assert error_problems(refused.json()) == error_problems(stranger.json()) == []


@pytest.mark.parametrize("kind", ["500_before", "429", "401"])
async def test_injected_errors(rig: Rig, kind: str) -> None:
    await rig.fault(kind, ".*", method="*")

    refused = await rig.http.get("/v1/balance", headers=AUTHORIZED)

    assert refused.status_code == int(kind[:3])
    assert error_problems(refused.json()) == []

"""What happens to a session of the stand-in, on its page and in its webhooks."""

import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe
import trio
from integration.stripe.stand_in import HOST, KEY, SDK_WARNING, SECRET, Rig, amount, open_rig
from stripe_provider.companion import webhooks
from support.plain_http import NO_TLS

pytestmark = pytest.mark.filterwarnings(SDK_WARNING)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with open_rig() as rig:
        yield rig


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Webhooks are sent again at once."""
    monkeypatch.setattr(webhooks, "_BACK_OFF_S", (0.01, 0.02, 0.03))


async def test_a_paid_session_and_its_webhooks(rig: Rig) -> None:
    session = await rig.create()
    await rig.act(session, "pay")

    events = {event["type"]: event for event in await rig.receiver.until(2)}

    assert set(events) == {"payment_intent.succeeded", "checkout.session.completed"}
    event = events["checkout.session.completed"]
    assert event["api_version"] == stripe.api_version
    assert event["pending_webhooks"] == 1
    paid = event["data"]["object"]
    assert (paid["id"], paid["status"], paid["payment_status"]) == (session.id, "complete", "paid")
    assert paid["payment_intent"].startswith("pi_")
    for one in rig.receiver.received:
        assert stripe.WebhookSignature.verify_header(one.body, one.signature, SECRET, 300)
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.WebhookSignature.verify_header(one.body, one.signature, "whsec_other", 300)
    assert (await rig.client.v1.events.retrieve_async(event["id"])).pending_webhooks == 0


async def test_money_that_comes_later(rig: Rig) -> None:
    good, bad = await rig.create(), await rig.create()
    for session in (good, bad):
        assert (await rig.act(session, "pay_async"))["payment_status"] == "unpaid"
    intent = (
        await rig.sessions.retrieve_async(good.id, {"expand": ["payment_intent"]})
    ).payment_intent
    assert intent.status == "processing"

    await rig.act(good, "async_succeed")
    await rig.act(bad, "async_fail")

    good, bad = [await rig.sessions.retrieve_async(one.id) for one in (good, bad)]
    assert (good.status, good.payment_status) == ("complete", "paid")
    assert (bad.status, bad.payment_status) == ("complete", "unpaid")
    await rig.receiver.until(5)
    assert sorted(rig.receiver.types()) == [
        "checkout.session.async_payment_failed",
        "checkout.session.async_payment_succeeded",
        "checkout.session.completed",
        "checkout.session.completed",
        "payment_intent.succeeded",
    ]


async def test_a_declined_card_leaves_the_session_open(rig: Rig) -> None:
    session = await rig.create()

    assert (await rig.act(session, "decline"))["status"] == "open"
    assert (await rig.act(session, "pay"))["payment_status"] == "paid"

    await rig.receiver.until(2)
    assert "payment_intent.payment_failed" not in rig.receiver.types()


async def test_a_session_of_nothing_needs_no_payment(rig: Rig) -> None:
    session = await rig.create(line_items=amount(0))

    done = await rig.act(session, "pay")

    assert (done["status"], done["payment_status"]) == ("complete", "no_payment_required")
    assert done["payment_intent"] is None


async def test_time_ends_a_session(rig: Rig) -> None:
    session = await rig.create(expires_at=await rig.now() + 31 * 60)
    await rig.order("clock", advance_s=30 * 60)
    assert (await rig.sessions.retrieve_async(session.id)).status == "open"

    moved = await rig.order("clock", advance_s=2 * 60)

    assert moved["now"] - time.time() > 31 * 60
    late = await rig.sessions.retrieve_async(session.id)
    assert late.status == "expired"
    date = parsedate_to_datetime(late.last_response.headers["date"])
    assert date.timestamp() == pytest.approx(moved["now"], abs=2)
    (event,) = await rig.receiver.until(1)
    assert event["type"] == "checkout.session.expired"
    assert event["request"] == {"id": None, "idempotency_key": None}


async def test_a_session_ends_while_nobody_asks(rig: Rig) -> None:
    await rig.order("sessions", expires_at=await rig.now() + 1)

    (event,) = await rig.receiver.until(1)

    assert event["type"] == "checkout.session.expired"


async def test_events_are_listed(rig: Rig) -> None:
    session = await rig.create()
    for deed in ("decline", "pay", "refund"):
        await rig.act(session, deed)
    gone = await rig.create()
    done = await rig.sessions.expire_async(gone.id, options={"idempotency_key": "e"})

    async def found(**query: Any) -> list[str]:
        events: Any = rig.client.v1.events
        return [event.type for event in (await events.list_async(query)).data]

    everything = [
        "checkout.session.expired",
        "charge.refunded",
        "refund.created",
        "checkout.session.completed",
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
    ]
    assert await found() == everything
    assert await found(type="charge.refunded") == ["charge.refunded"]
    assert await found(type="checkout.session.*") == [everything[0], everything[3]]
    types = ["refund.created", "checkout.session.completed"]
    assert await found(types=types) == everything[2:4]
    page = await rig.client.v1.events.list_async({"limit": 2})
    assert page.has_more
    assert await found(limit=2, starting_after=page.data[-1].id) == everything[2:4]
    assert page.data[0].to_dict()["request"] == {
        "id": done.last_response.headers["request-id"],
        "idempotency_key": "e",
    }
    await rig.order("clock", advance_s=31 * 24 * 3600)
    assert await found() == []


async def test_a_session_that_is_not_ours(rig: Rig) -> None:
    made = await rig.order(
        "sessions",
        livemode=True,
        currency="eur",
        amount_total=7,
        client_reference_id="other",
        metadata={"a": "b"},
    )

    session = await rig.sessions.retrieve_async(made["id"])
    assert session.id.startswith("cs_live_")
    assert (session.livemode, session.currency, session.amount_total) == (True, "eur", 7)
    assert (session.client_reference_id, session.metadata.to_dict()) == ("other", {"a": "b"})
    await rig.act(session, "pay")
    assert all(event["livemode"] for event in await rig.receiver.until(2))


# Delivery


@pytest.mark.usefixtures("quick")
async def test_a_refused_webhook_comes_again(rig: Rig) -> None:
    rig.receiver.refusals = 3
    await rig.sessions.expire_async((await rig.create()).id)

    events = await rig.receiver.until(4)
    await trio.sleep(0.1)

    assert len({event["id"] for event in events}) == 1
    assert len(rig.receiver.received) == 4
    attempts = (await rig.ask("webhooks"))["attempts"]
    assert [attempt["status"] for attempt in attempts] == [500, 500, 500, 200]


@pytest.mark.usefixtures("quick")
async def test_an_endpoint_that_is_away_is_tried_until_it_is_back(rig: Rig) -> None:
    url = rig.stand_in.webhook_url
    rig.stand_in.webhook_url = f"http://{HOST}:1/"
    await rig.sessions.expire_async((await rig.create()).id)
    await trio.sleep(0.05)
    (event,) = (await rig.client.v1.events.list_async()).data
    assert event.pending_webhooks == 1

    rig.stand_in.webhook_url = url

    (sent,) = await rig.receiver.until(1)
    assert sent["id"] == event.id


def test_the_back_off_grows() -> None:
    waits = webhooks._BACK_OFF_S
    assert waits[:3] == (1, 3, 10)
    assert list(waits) == sorted(waits)


async def test_duplicates_a_delay_and_two_secrets(rig: Rig) -> None:
    await rig.order("webhooks", duplicates=2, delay_s=0.1, secrets=["whsec_new", SECRET])
    await rig.sessions.expire_async((await rig.create()).id)
    assert rig.receiver.received == []

    events = await rig.receiver.until(3)

    assert len({event["id"] for event in events}) == 1
    for one in rig.receiver.received:
        for secret in ("whsec_new", SECRET):
            stripe.WebhookSignature.verify_header(one.body, one.signature, secret, 300)


async def test_webhooks_that_are_held_and_released_in_any_order(rig: Rig) -> None:
    await rig.order("webhooks", mode="hold")
    session = await rig.create()
    await rig.act(session, "pay")
    await rig.sessions.expire_async((await rig.create()).id)
    held = [event["id"] for event in (await rig.ask("webhooks/held"))["held"]]
    assert len(held) == 3
    assert rig.receiver.received == []

    made = await rig.order("webhooks/release", order=[held[2], held[0]])
    assert [one["status"] for one in made["released"]] == [200, 200]
    assert [one.event["id"] for one in rig.receiver.received] == [held[2], held[0]]
    await rig.order("webhooks/release", shuffle_seed=1, duplicates=1)
    assert [one.event["id"] for one in rig.receiver.received[2:]] == [held[1]] * 2
    assert (await rig.ask("webhooks/held"))["held"] == []


@pytest.mark.usefixtures("quick")
async def test_what_is_refused_when_released_comes_again(rig: Rig) -> None:
    await rig.order("webhooks", mode="hold")
    await rig.sessions.expire_async((await rig.create()).id)
    rig.receiver.refusals = 1

    (made,) = (await rig.order("webhooks/release"))["released"]

    assert made["status"] == 500
    assert len(await rig.receiver.until(2)) == 2


async def test_webhooks_that_are_lost(rig: Rig) -> None:
    await rig.order("webhooks", mode="drop")
    await rig.sessions.expire_async((await rig.create()).id)
    await rig.order("webhooks", mode="deliver")
    await rig.sessions.expire_async((await rig.create()).id)

    await rig.receiver.until(1)
    await trio.sleep(0.05)

    assert len(rig.receiver.received) == 1
    assert len((await rig.client.v1.events.list_async()).data) == 2


async def test_nobody_has_to_listen() -> None:
    async with open_rig(listen=False) as rig:
        await rig.act(await rig.create(), "pay")
        events = (await rig.client.v1.events.list_async()).data
        assert [event.pending_webhooks for event in events] == [0, 0]


# The hosted page


async def test_the_page_asks_for_nothing_but_a_click(rig: Rig) -> None:
    session = await rig.create()

    page = (await rig.http.get(f"/pay/{session.id}")).text

    assert not re.search(r"<(input|textarea|select|iframe|script)", page)
    for name in ("pay", "pay-async", "decline", "walk-away"):
        assert f'<button id="{name}"' in page
    assert '<a id="back" href="https://shop.example/back">' in page
    assert "20.00 USD" in page
    assert "Two of &lt;them&gt;" in page
    assert (await rig.http.get("/pay/cs_test_no")).status_code == 404


@pytest.mark.parametrize(("button", "status"), [("pay", "paid"), ("pay-async", "unpaid")])
async def test_a_customer_pays(rig: Rig, button: str, status: str) -> None:
    session = await rig.create()

    answer = await rig.http.post(f"/pay/{session.id}/{button}")

    assert answer.status_code == 303
    assert answer.headers["location"] == f"https://shop.example/done?session_id={session.id}"
    assert (await rig.sessions.retrieve_async(session.id)).payment_status == status
    again = await rig.http.post(f"/pay/{session.id}/pay", follow_redirects=True)
    assert "is complete" in again.text


async def test_a_customer_is_declined_and_walks_away(rig: Rig) -> None:
    session = await rig.create()

    page = await rig.http.post(f"/pay/{session.id}/decline", follow_redirects=True)
    assert "Your card was declined" in page.text
    assert 'id="pay"' in page.text
    page = await rig.http.post(f"/pay/{session.id}/walk-away", follow_redirects=True)
    assert "This session has expired" in page.text
    assert "<button" not in page.text
    assert (await rig.sessions.retrieve_async(session.id)).status == "expired"


# Restart


@pytest.mark.usefixtures("quick")
async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    file = tmp_path / "stripe.sqlite"
    async with open_rig(state_file=file) as rig:
        open_one = await rig.create(key="k")
        paid = await rig.create()
        rig.receiver.refusals = 1000
        await rig.order("clock", advance_s=60)
        await rig.act(paid, "pay")
        await rig.receiver.until(2)

    async with open_rig(state_file=file) as rig:
        assert await rig.now() - time.time() > 55
        again = await rig.create(key="k")
        assert again.id == open_one.id
        found = await rig.sessions.retrieve_async(open_one.id)
        assert found.url == f"{rig.stand_in.url}/pay/{open_one.id}"
        assert (await rig.sessions.retrieve_async(paid.id)).payment_status == "paid"
        assert len(await rig.receiver.until(2)) == 2


async def test_it_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "stripe_provider.companion", "--port", "0", "--secret-key", KEY]
    argv += ["--webhook-secret", SECRET, "--state", str(tmp_path / "state")]
    process = await trio.lowlevel.open_process(argv, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        with trio.fail_after(60):
            url = json.loads(await process.stdout.receive_some())["url"]
        async with httpx.AsyncClient(verify=NO_TLS, base_url=url) as http:
            answer = await http.get("/v1/balance", headers={"Authorization": f"Bearer {KEY}"})
            assert answer.status_code == 200
    finally:
        process.terminate()
        await process.wait()
        await process.stdout.aclose()

"""The stand-in for Stripe behaves as Stripe does, as far as Stripe's own SDK can tell."""

import re
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import stripe
import trio
from integration.stripe.stand_in import KEY, SDK_WARNING, Rig, amount, open_rig
from stripe_provider.companion.form import decode

pytestmark = pytest.mark.filterwarnings(SDK_WARNING)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with open_rig() as rig:
        yield rig


# The API


async def test_a_session_is_as_it_was_asked_for(rig: Rig) -> None:
    session = await rig.create()

    assert session.id.startswith("cs_test_")
    assert (session.status, session.payment_status) == ("open", "unpaid")
    assert (session.amount_total, session.currency, session.livemode) == (2000, "usd", False)
    assert session.payment_intent is None
    assert session.metadata.to_dict() == {"payment_id": "pay_1"}
    assert session.client_reference_id == "pay_1"
    assert session.url == f"{rig.stand_in.url}/pay/{session.id}"
    assert session.expires_at - session.created == 24 * 3600
    assert await rig.sessions.retrieve_async(session.id) == session


async def test_answers_have_a_request_id_and_a_version(rig: Rig) -> None:
    session = await rig.create()

    headers = session.last_response.headers
    assert headers["request-id"].startswith("req_")
    assert headers["stripe-version"] == stripe.api_version
    assert headers.get_list("date") == [headers["date"]]
    assert abs(parsedate_to_datetime(headers["date"]).timestamp() - time.time()) < 5


async def test_another_key_is_refused(rig: Rig) -> None:
    for authorization in ("", "Bearer sk_test_other", f"Basic {KEY}"):
        headers = {"Authorization": authorization}
        answer = await rig.http.get("/v1/balance", headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_what_is_not_there(rig: Rig) -> None:
    for call, found in (
        (rig.sessions.retrieve_async("cs_test_no"), "No such checkout.session: 'cs_test_no'"),
        (rig.client.v1.payment_intents.retrieve_async("pi_no"), "No such payment_intent: 'pi_no'"),
        (rig.client.v1.events.retrieve_async("evt_no"), "No such event: 'evt_no'"),
    ):
        with pytest.raises(stripe.InvalidRequestError, match=re.escape(found)) as refused:
            await call
        assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL"):
        await rig.client.v1.customers.list_async()


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"success_url": None}, "success_url", "parameter_missing"),
        ({"success_url": ""}, "success_url", "parameter_invalid_empty"),
        ({"success_url": "shop.example"}, "success_url", "url_invalid"),
        ({"mode": None}, "mode", "parameter_missing"),
        ({"mode": "subscription"}, "mode", None),
        ({"line_items": None}, "line_items", "parameter_missing"),
        ({"sucess_url": "https://shop.example"}, "sucess_url", "parameter_unknown"),
        ({"metadata": {"k": "v" * 501}}, "metadata[k]", None),
        ({"metadata": {"k" * 41: "v"}}, f"metadata[{'k' * 41}]", None),
        ({"metadata": {f"k{n}": "v" for n in range(51)}}, "metadata", None),
        ({"client_reference_id": "x" * 201}, "client_reference_id", None),
        ({"payment_method_types": ["card"]}, "payment_method_types", "parameter_unknown"),
        (
            {"allowed_payment_method_types": ["card", "cash"]},
            "allowed_payment_method_types[1]",
            None,
        ),
        ({"submit_type": "buy"}, "submit_type", None),
        # Stripe takes it; the stand-in would not do it.
        ({"allow_promotion_codes": True}, "allow_promotion_codes", None),
        ({"adaptive_pricing": {"enabled": "no"}}, "adaptive_pricing[enabled]", None),
        ({"locale": "xx"}, "locale", None),
        ({"customer_email": "nobody"}, "customer_email", "email_invalid"),
        ({"expand": ["customers"]}, "expand", None),
        ({"line_items": amount(49)}, "line_items", "amount_too_small"),
        ({"line_items": amount(199, "pln")}, "line_items", "amount_too_small"),
        ({"line_items": amount(10**12)}, "line_items", "amount_too_large"),
        ({"line_items": amount(50_050, "isk")}, "line_items", None),
        ({"line_items": amount(1_235, "kwd")}, "line_items", None),
        ({"line_items": amount(1000) + amount(1000, "eur")}, "line_items", None),
        (
            {"line_items": amount(-1)},
            "line_items[0][price_data][unit_amount]",
            "parameter_invalid_integer",
        ),
        (
            {"line_items": amount("10.50")},
            "line_items[0][price_data][unit_amount]",
            "parameter_invalid_integer",
        ),
        ({"line_items": amount(1000, "xxx")}, "line_items[0][price_data][currency]", None),
    ],
)
async def test_refusals(rig: Rig, changes: dict[str, Any], param: str, code: str | None) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await rig.create(**changes)

    assert (refused.value.http_status, refused.value.param, refused.value.code) == (
        400,
        param,
        code,
    )
    assert (await rig.ask("sessions"))["sessions"] == []


async def test_a_session_lives_half_an_hour_at_least_and_a_day_at_most(rig: Rig) -> None:
    now = await rig.now()
    for seconds, found in (
        (29 * 60, "at least 30 minutes"),
        (24 * 3600 + 60, "less than 24 hours"),
    ):
        with pytest.raises(stripe.InvalidRequestError, match=found) as refused:
            await rig.create(expires_at=now + seconds)
        assert refused.value.param == "expires_at"

    assert (await rig.create(expires_at=now + 31 * 60)).expires_at == now + 31 * 60


async def test_only_an_open_session_can_be_expired(rig: Rig) -> None:
    session = await rig.create()

    expired = await rig.sessions.expire_async(session.id)

    assert (expired.status, expired.url) == ("expired", None)
    with pytest.raises(stripe.InvalidRequestError, match="has a status of `expired`"):
        await rig.sessions.expire_async(session.id)
    paid = await rig.create()
    await rig.act(paid, "pay")
    with pytest.raises(stripe.InvalidRequestError, match="has a status of `complete`"):
        await rig.sessions.expire_async(paid.id)


async def test_lists_are_paged_both_ways_newest_first(rig: Rig) -> None:
    ids = [(await rig.create()).id for _ in range(5)][::-1]

    async def page(**query: Any) -> tuple[list[str], bool]:
        found = await rig.sessions.list_async(query)
        return [session.id for session in found.data], found.has_more

    assert await page() == (ids, False)
    assert await page(limit=2) == (ids[:2], True)
    assert await page(limit=2, starting_after=ids[1]) == (ids[2:4], True)
    assert await page(limit=2, starting_after=ids[3]) == (ids[4:], False)
    assert await page(limit=2, ending_before=ids[3]) == (ids[1:3], True)
    assert await page(limit=2, ending_before=ids[2]) == (ids[:2], False)
    first = await rig.sessions.list_async({"limit": 2})
    assert [session.id async for session in first.auto_paging_iter()] == ids
    for query in ({"limit": 101}, {"starting_after": "cs_no"}, {"client_reference_id": "pay_1"}):
        with pytest.raises(stripe.InvalidRequestError):
            await page(**query)


async def test_lists_are_filtered(rig: Rig) -> None:
    old = await rig.create()
    await rig.order("clock", advance_s=3600)
    paid, gone, fresh = [await rig.create() for _ in range(3)]
    await rig.act(paid, "pay")
    await rig.act(gone, "expire")

    async def found(**query: Any) -> list[str]:
        return [session.id for session in (await rig.sessions.list_async(query)).data]

    assert await found(status="open") == [fresh.id, old.id]
    assert await found(status="complete") == [paid.id]
    assert await found(created={"gt": old.created}) == [fresh.id, gone.id, paid.id]
    assert await found(created={"lte": old.created}) == [old.id]
    assert await found(created=old.created) == [old.id]
    intent = (await rig.sessions.retrieve_async(paid.id)).payment_intent
    assert await found(payment_intent=intent) == [paid.id]


async def test_an_object_can_be_put_in_the_place_of_its_id(rig: Rig) -> None:
    session = await rig.create()
    await rig.act(session, "pay")

    one = await rig.sessions.retrieve_async(session.id, {"expand": ["payment_intent"]})
    listed = await rig.sessions.list_async({"expand": ["data.payment_intent", "data.line_items"]})

    assert one.payment_intent.status == "succeeded"
    assert listed.data[0].payment_intent == one.payment_intent
    (item,) = listed.data[0].line_items.data
    assert (item.amount_total, item.quantity, item.description) == (2000, 2, "Top-up")
    intent = await rig.client.v1.payment_intents.retrieve_async(one.payment_intent.id)
    assert intent == one.payment_intent
    assert intent.metadata.to_dict() == {"payment_id": "pay_1"}
    assert intent.amount_received == 2000


def test_form_decoding() -> None:
    text = "a[b][0][c]=d&a[b][1][c]=e%26&x[]=1&x[]=2&empty="

    assert decode(text) == {
        "a": {"b": {"0": {"c": "d"}, "1": {"c": "e&"}}},
        "x": {"0": "1", "1": "2"},
        "empty": "",
    }


# Idempotency


async def test_the_same_key_gets_the_same_answer(rig: Rig) -> None:
    first = await rig.create(key="k")
    await rig.act(first, "pay")

    again = await rig.create(key="k")

    assert again == first
    headers = again.last_response.headers
    assert headers["idempotent-replayed"] == "true"
    assert headers["original-request"] == first.last_response.headers["request-id"]
    assert "idempotent-replayed" not in first.last_response.headers
    assert len((await rig.ask("sessions"))["sessions"]) == 1


async def test_a_key_belongs_to_its_parameters_and_path(rig: Rig) -> None:
    session = await rig.create(key="k")

    with pytest.raises(stripe.IdempotencyError, match="same parameters") as refused:
        await rig.create(key="k", client_reference_id="pay_2")
    assert refused.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        await rig.sessions.expire_async(session.id, options={"idempotency_key": "k"})


async def test_a_key_is_forgotten_after_a_day(rig: Rig) -> None:
    first = await rig.create(key="k")
    await rig.order("clock", advance_s=24 * 3600 + 1)

    assert (await rig.create(key="k")).id != first.id


async def test_a_refused_request_is_not_saved(rig: Rig) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await rig.create(key="k", success_url=None)

    assert "idempotent-replayed" not in (await rig.create(key="k")).last_response.headers


async def test_a_failure_of_the_work_is_saved(rig: Rig) -> None:
    session = await rig.create()
    await rig.act(session, "pay")
    for replayed in (None, "true"):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await rig.sessions.expire_async(session.id, options={"idempotency_key": "e"})
        assert (refused.value.headers or {}).get("idempotent-replayed") == replayed


@pytest.mark.parametrize(("kind", "made"), [("500_after", 1), ("500_failed", 0)])
async def test_a_500_is_replayed(rig: Rig, kind: str, made: int) -> None:
    await rig.fault(kind)

    for replayed in (None, "true", "true"):
        with pytest.raises(stripe.APIError) as failed:
            await rig.create(key="k")
        headers = failed.value.headers or {}
        assert failed.value.http_status == 500
        assert headers.get("idempotent-replayed") == replayed
        assert headers["stripe-should-retry"] == "false"

    assert len((await rig.ask("sessions"))["sessions"]) == made


async def test_the_same_key_twice_at_once(rig: Rig) -> None:
    await rig.fault("slow", hold_s=0.5)
    refusals: list[Any] = []

    async def second() -> None:
        await trio.sleep(0.15)
        try:
            await rig.create(key="k")
        except stripe.StripeError as error:
            refusals.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(second)
        first = await rig.create(key="k")

    assert [(one.http_status, one.error.code) for one in refusals] == [
        (409, "idempotency_key_in_use")
    ]
    assert (await rig.create(key="k")) == first


# Faults


async def test_before_the_work_nothing_is_done_or_saved(rig: Rig) -> None:
    await rig.fault("500_before")
    await rig.fault("429")
    await rig.fault("reset")
    await rig.fault("timeout_before", hold_s=0.01)

    with pytest.raises(stripe.APIError):
        await rig.create(key="k")
    with pytest.raises(stripe.RateLimitError):
        await rig.create(key="k")
    for _ in range(2):
        with pytest.raises(stripe.APIConnectionError):
            await rig.create(key="k")
    assert (await rig.ask("sessions"))["sessions"] == []

    session = await rig.create(key="k")
    assert "idempotent-replayed" not in session.last_response.headers


async def test_an_answer_that_is_lost_can_be_had_again(rig: Rig) -> None:
    await rig.fault("timeout_after", hold_s=0.01)

    with pytest.raises(stripe.APIConnectionError):
        await rig.create(key="k")

    session = await rig.create(key="k")
    assert session.last_response.headers["idempotent-replayed"] == "true"
    assert [one["id"] for one in (await rig.ask("sessions"))["sessions"]] == [session.id]


async def test_a_fault_is_for_its_path_and_its_times(rig: Rig) -> None:
    await rig.fault("500_before", path="/v1/checkout/sessions/.*/expire", times=2)
    session = await rig.create()
    assert (await rig.ask("faults"))["faults"][0]["times"] == 2
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            await rig.sessions.expire_async(session.id)
    assert (await rig.sessions.expire_async(session.id)).status == "expired"

    await rig.fault("500_before", method="GET", path="/v1/.*", times=9)
    with pytest.raises(stripe.APIError):
        await rig.client.v1.balance.retrieve_async()
    await rig.http.delete("/_control/faults")
    assert (await rig.client.v1.balance.retrieve_async()).object == "balance"


async def test_requests_are_counted(rig: Rig) -> None:
    await rig.create(key="k")
    await rig.create(key="k")
    await rig.fault("reset", method="GET", path="/v1/balance")
    with pytest.raises(stripe.APIConnectionError):
        await rig.client.v1.balance.retrieve_async()

    seen = (await rig.ask("requests"))["requests"]

    names = ("method", "path", "idempotency_key", "status", "replayed")
    assert [tuple(one[name] for name in names) for one in seen] == [
        ("POST", "/v1/checkout/sessions", "k", 200, False),
        ("POST", "/v1/checkout/sessions", "k", 200, True),
        ("GET", "/v1/balance", None, None, False),
    ]


async def test_orders_that_make_no_sense(rig: Rig) -> None:
    for path, body in (
        ("faults", {"method": "POST", "path": "/", "kind": "flood"}),
        ("faults", {"method": "POST", "path": "(", "kind": "reset"}),
        ("faults", {"kind": "reset"}),
        ("webhooks", {"mode": "lose"}),
        ("clock", {"advance": 1}),
    ):
        assert (await rig.http.post(f"/_control/{path}", json=body)).status_code == 400
    session = await rig.create()
    for deed in ("async_succeed", "refund", "dispute"):
        answer = await rig.http.post(f"/_control/sessions/{session.id}/{deed}")
        assert answer.status_code == 409

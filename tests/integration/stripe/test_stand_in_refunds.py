"""Refunds and disputes of the stand-in, through Stripe's SDK: rules, errors, events."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import stripe
import trio
from integration.stripe.stand_in import SDK_WARNING, Rig, open_rig

pytestmark = pytest.mark.filterwarnings(SDK_WARNING)

DUE = 2000


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with open_rig() as rig:
        yield rig


async def a_paid(rig: Rig) -> tuple[Any, str]:
    """A session of 20 dollars, and its payment intent."""
    session = await rig.create()
    paid = await rig.act(session, "pay")
    return session, paid["payment_intent"]


async def refund(rig: Rig, intent: str, amount: int | None = None, **more: Any) -> Any:
    key = more.pop("key", None)
    options: Any = {"idempotency_key": key} if key else {}
    params: Any = {"payment_intent": intent, **more}
    if amount is not None:
        params["amount"] = amount
    return await rig.client.v1.refunds.create_async(params, options)


async def charge_of(rig: Rig, session: Any) -> Any:
    expand = [f"payment_intent.latest_charge.{name}" for name in ("balance_transaction", "refunds")]
    found = await rig.sessions.retrieve_async(session.id, {"expand": expand})
    return found.payment_intent.latest_charge


async def types(rig: Rig) -> list[str]:
    """Of all events, oldest first; those of one request lie in one second, so by their order."""
    events = (await rig.client.v1.events.list_async({"limit": 100})).data
    return [str(event.type) for event in events][::-1]


# -- refunds -----------------------------------------------------------------------------------


async def test_a_refund_is_made_counted_listed_and_reported(rig: Rig) -> None:
    session, intent = await a_paid(rig)

    made = await refund(rig, intent, 500, metadata={"refund_id": "r"}, reason="duplicate")

    assert (made.status, made.amount, made.currency) == ("succeeded", 500, "usd")
    assert (made.payment_intent, made.reason) == (intent, "duplicate")
    assert made.metadata.to_dict() == {"refund_id": "r"}
    charge = await charge_of(rig, session)
    assert (charge.amount_refunded, charge.refunded, made.charge) == (500, False, charge.id)
    assert [one.id for one in charge.refunds.data] == [made.id]
    assert (await rig.client.v1.refunds.retrieve_async(made.id)).to_dict() == made.to_dict()
    await refund(rig, intent, 100)
    refunds: Any = rig.client.v1.refunds
    listed = await refunds.list_async({"payment_intent": intent})
    assert [one.amount for one in listed.data] == [100, 500]
    assert (await refunds.list_async({"payment_intent": "pi_other"})).data == []
    events = await rig.receiver.until(6)
    created = next(event for event in events if event["type"] == "refund.created")
    assert created["data"]["object"]["id"] == made.id
    assert created["livemode"] is False
    refunded = [event for event in events if event["type"] == "charge.refunded"]
    assert {"amount_refunded": 0} in [event["data"]["previous_attributes"] for event in refunded]


async def test_a_charge_costs_a_fee(rig: Rig) -> None:
    session, _ = await a_paid(rig)

    moved = (await charge_of(rig, session)).balance_transaction

    assert (moved.amount, moved.fee, moved.net, moved.type) == (DUE, 88, DUE - 88, "charge")


async def test_without_an_amount_all_that_is_left_is_refunded(rig: Rig) -> None:
    session, intent = await a_paid(rig)
    await refund(rig, intent, 700)

    assert (await refund(rig, intent)).amount == DUE - 700

    charge = await charge_of(rig, session)
    assert (charge.amount_refunded, charge.refunded) == (DUE, True)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await refund(rig, intent)
    assert refused.value.code == "charge_already_refunded"


async def test_more_than_what_is_left_is_refused(rig: Rig) -> None:
    _, intent = await a_paid(rig)
    await refund(rig, intent, 1500)

    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded") as refused:
        await refund(rig, intent, 501)

    assert (refused.value.param, refused.value.code) == ("amount", None)
    assert (await refund(rig, intent, 500)).status == "succeeded"


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({}, "parameter_missing", "charge"),
        ({"payment_intent": "pi_no"}, "resource_missing", "payment_intent"),
        ({"charge": "ch_no"}, "resource_missing", "charge"),
        ({"charge": "ch_no", "amount": 0}, "parameter_invalid_integer", "amount"),
        ({"charge": "ch_no", "reason": "bored"}, None, "reason"),
        ({"charge": "ch_no", "note": "n"}, "parameter_unknown", "note"),
        # Known to Stripe, not modelled here.
        ({"charge": "ch_no", "instructions_email": "a@b.example"}, None, "instructions_email"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(
    rig: Rig, params: Any, code: str | None, param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await rig.client.v1.refunds.create_async(params)
    assert (refused.value.code, refused.value.param) == (code, param)


async def test_what_was_not_paid_cannot_be_refunded(rig: Rig) -> None:
    session = await rig.create()
    await rig.act(session, "pay_async")
    intent = (await rig.sessions.retrieve_async(session.id)).payment_intent

    with pytest.raises(stripe.InvalidRequestError, match="successful charge"):
        await refund(rig, intent)


async def test_a_key_makes_one_refund_and_other_parameters_are_refused(rig: Rig) -> None:
    _, intent = await a_paid(rig)
    made = await refund(rig, intent, 500, key="k")

    again = await refund(rig, intent, 500, key="k")
    assert again.id == made.id
    assert again.last_response.headers["idempotent-replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        await refund(rig, intent, 501, key="k")

    assert len((await rig.ask("refunds"))["refunds"]) == 1


async def test_a_key_that_is_in_use_is_a_conflict(rig: Rig) -> None:
    _, intent = await a_paid(rig)
    await rig.fault("slow", "/v1/refunds", hold_s=60)

    async def made() -> bool:
        return bool((await rig.ask("refunds"))["refunds"])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: refund(rig, intent, 500, key="k"))
        with trio.fail_after(60):
            while not await made():  # noqa: ASYNC110 - the stand-in tells nobody
                await trio.sleep(0.01)

        with pytest.raises(stripe.APIError) as refused:
            await refund(rig, intent, 500, key="k")

        assert refused.value.http_status == 409
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("kind", "made"),
    [("500_before", 0), ("500_failed", 0), ("500_after", 1), ("429", 0), ("reset", 0)],
)
async def test_faults_meet_refunds_too(rig: Rig, kind: str, made: int) -> None:
    _, intent = await a_paid(rig)
    await rig.fault(kind, "/v1/refunds")

    with pytest.raises(stripe.StripeError):
        await refund(rig, intent, 500, key="k")

    assert len((await rig.ask("refunds"))["refunds"]) == made
    if kind.startswith("500") and kind != "500_before":
        with pytest.raises(stripe.APIError):
            await refund(rig, intent, 500, key="k")
    else:
        assert (await refund(rig, intent, 500, key="k")).status == "succeeded"


async def test_a_refund_may_wait_and_then_succeed_or_fail_and_failure_frees_its_amount(
    rig: Rig,
) -> None:
    session, intent = await a_paid(rig)
    await rig.order("refunds/next", status="pending", times=2)
    good, bad = [await refund(rig, intent, 1000) for _ in range(2)]
    assert [one.status for one in (good, bad)] == ["pending", "pending"]
    assert (await charge_of(rig, session)).amount_refunded == DUE

    await rig.order(f"refunds/{good.id}/succeed")
    failed = await rig.order(f"refunds/{bad.id}/fail", reason="lost_or_stolen_card")

    assert (failed["status"], failed["failure_reason"]) == ("failed", "lost_or_stolen_card")
    assert failed["failure_balance_transaction"]
    assert (await charge_of(rig, session)).amount_refunded == 1000
    assert (await refund(rig, intent, 1000)).status == "succeeded"
    assert (await types(rig))[-7:-2] == [
        "refund.updated",
        "charge.refund.updated",
        "refund.updated",
        "charge.refund.updated",
        "refund.failed",
    ]


async def test_a_refund_that_succeeded_may_fail_later(rig: Rig) -> None:
    session, intent = await a_paid(rig)
    made = await refund(rig, intent)

    await rig.order(f"refunds/{made.id}/fail")

    assert (await rig.client.v1.refunds.retrieve_async(made.id)).status == "failed"
    charge = await charge_of(rig, session)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    answer = await rig.http.post(f"/_control/refunds/{made.id}/succeed", json={})
    assert answer.status_code == 400


async def test_only_what_waits_for_the_customer_is_canceled_by_the_api(rig: Rig) -> None:
    _, intent = await a_paid(rig)
    await rig.order("refunds/next", status="requires_action")
    waiting, done = [await refund(rig, intent, 500) for _ in range(2)]
    assert waiting.next_action.type == "display_details"

    assert (await rig.client.v1.refunds.cancel_async(waiting.id)).status == "canceled"

    with pytest.raises(stripe.InvalidRequestError):
        await rig.client.v1.refunds.cancel_async(done.id)


async def test_a_refund_in_the_dashboard_is_like_any_other_without_metadata(rig: Rig) -> None:
    session, intent = await a_paid(rig)

    made = await rig.act(session, "refund", amount=500, reason="fraudulent", status="pending")

    assert (made["amount"], made["status"], made["reason"]) == (500, "pending", "fraudulent")
    assert (made["payment_intent"], made["metadata"]) == (intent, {})
    for order in ({"amount": 0}, {"amount": 1501}, {"status": "lost"}):
        answer = await rig.http.post(f"/_control/sessions/{session.id}/refund", json=order)
        assert answer.status_code == 400


# -- disputes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("life", "events", "withdrawn"),
    [
        (["needs_response", "under_review", "won"], "created w updated closed r", 0),
        (["needs_response", "lost"], "created w closed", DUE),
        (["warning_needs_response", "warning_under_review", "warning_closed"],
         "created updated closed", 0),
        (["warning_needs_response", "needs_response", "lost"], "created updated w closed", DUE),
        (["lost", "appeal_needs_response", "appeal_under_review", "won"],
         "created w closed updated updated closed r", 0),
        (["prevented"], "created closed", 0),
    ],
)  # fmt: skip
async def test_a_dispute_moves_money_and_reports_it(
    rig: Rig, life: list[str], events: str, withdrawn: int
) -> None:
    session, _ = await a_paid(rig)
    dispute = await rig.act(session, "dispute", status=life[0])
    for status in life[1:]:
        dispute = await rig.act(session, "update_dispute", status=status)

    names = {"w": "funds_withdrawn", "r": "funds_reinstated"}
    expected = [f"charge.dispute.{names.get(word, word)}" for word in events.split()]
    assert [kind for kind in await types(rig) if "dispute" in kind] == expected
    assert -sum(one["amount"] for one in dispute["balance_transactions"]) == withdrawn
    found = await rig.client.v1.disputes.retrieve_async(dispute["id"])
    assert found.status == life[-1]
    [listed] = (
        await rig.client.v1.disputes.list_async({"payment_intent": dispute["payment_intent"]})
    ).data
    assert listed.id == dispute["id"]
    assert (await charge_of(rig, session)).disputed is True


@pytest.mark.parametrize("status", ["needs_response", "under_review", "lost", "prevented"])
async def test_a_disputed_charge_cannot_be_refunded(rig: Rig, status: str) -> None:
    session, intent = await a_paid(rig)
    await rig.act(session, "dispute", status=status)

    with pytest.raises(stripe.InvalidRequestError, match="cannot issue a refund") as refused:
        await refund(rig, intent, 500)
    assert refused.value.code == "charge_disputed"


@pytest.mark.parametrize(
    "life", [["warning_needs_response"], ["warning_closed"], ["needs_response", "won"]]
)
async def test_an_inquiry_and_a_won_dispute_do_not_stop_a_refund(rig: Rig, life: list[str]) -> None:
    session, intent = await a_paid(rig)
    await rig.act(session, "dispute", status=life[0])
    for status in life[1:]:
        await rig.act(session, "update_dispute", status=status)

    assert (await refund(rig, intent, 500)).status == "succeeded"


async def test_disputes_that_make_no_sense_are_refused(rig: Rig) -> None:
    session, intent = await a_paid(rig)
    path = f"/_control/sessions/{session.id}"
    for deed in ("update_dispute", "close_dispute"):
        assert (await rig.http.post(f"{path}/{deed}", json={})).status_code == 400
    assert (await rig.http.post(f"{path}/dispute", json={"status": "x"})).status_code == 400
    await rig.act(session, "dispute")
    assert (await rig.http.post(f"{path}/dispute", json={})).status_code == 400
    await rig.act(session, "close_dispute", status="won")
    await refund(rig, intent)
    assert (await rig.http.post(f"{path}/dispute", json={})).status_code == 400


async def test_no_path_is_expanded_beyond_four_steps(rig: Rig) -> None:
    expand = ["data.charge.payment_intent.latest_charge.refunds"]
    with pytest.raises(stripe.InvalidRequestError, match="more than 4 levels"):
        await rig.client.v1.refunds.list_async({"expand": expand})

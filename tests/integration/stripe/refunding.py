"""Refunds of payments by card: requests, what Stripe has of them, and what payd says."""

import uuid
from collections.abc import Sequence
from typing import Any

import grpc
from integration.stripe.shop import Json, Shop
from payd_client.proto import payment_pb2 as pb
from support.cards import StandIn
from support.daemon import Client, Message, reason_of, rows
from support.waiting import wait_until

#: Of the stand-in: their money has not come back.
LIVE = ("pending", "requires_action", "succeeded")
REFUNDS = "/v1/refunds"


def a_refund(payment_id: str, minor_units: int | None = None, key: str = "", **more: Any) -> Any:
    """Build a RefundPayment request; without an amount, of all that is left."""
    request = pb.RefundPaymentRequest(
        payment_id=payment_id, idempotency_key=key or str(uuid.uuid4()), **more
    )
    if minor_units is not None:
        request.amount.CopyFrom(pb.Money(currency_code="USD", minor_units=minor_units))
    return request


def refund(client: Client, payment_id: str, minor_units: int | None = None, **more: Any) -> Any:
    """Refund; the same request again while payd says that this helps."""
    request = a_refund(payment_id, minor_units, **more)

    def attempt() -> Any:
        try:
            return client.call("RefundPayment", request).refund
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return None

    return wait_until(attempt, "the refund is taken")


def refusal(client: Client, request: Any) -> str:
    """The reason for which a refund is refused."""
    try:
        client.call("RefundPayment", request)
    except grpc.RpcError as error:
        return reason_of(error)
    return "none"


def status_of_refund(found: Any) -> str:
    """Its status in the words of the model."""
    return str(pb.RefundStatus.Name(found.status)).removeprefix("REFUND_STATUS_")


def refunds_of(client: Client, payment_id: str) -> list[Any]:
    """The payment's refunds, oldest first."""
    return list(client.get(payment_id).refunds)


def wait_refunds(client: Client, payment_id: str, *statuses: str) -> list[Any]:
    """The payment's refunds, once they have these statuses, in any order."""
    found: list[str] = []

    def look() -> list[Any]:
        refunds = refunds_of(client, payment_id)
        found[:] = [status_of_refund(one) for one in refunds]
        return refunds if sorted(found) == sorted(statuses) else []

    return wait_until(look, lambda: f"still {found}, not {statuses}")


def a_paid(shop: Shop, **fields: Any) -> tuple[Any, Json]:
    """A payment that has been paid, and its session at Stripe."""
    payment, session = shop.start(**fields)
    shop.stripe.act(session["id"], "pay")
    return shop.client.wait_for(payment.id, "COMPLETED"), session


def at_stripe(stripe: StandIn, session: Json) -> list[Json]:
    """Stripe's refunds of a session's payment, oldest first."""
    [found] = [one for one in stripe.sessions() if one["id"] == session["id"]]
    every: list[Json] = stripe.ask("refunds")["refunds"]
    return [one for one in every if one["payment_intent"] == found["payment_intent"]]


def stripes_sum(stripe: StandIn, session: Json) -> int:
    """What Stripe says that it has refunded, in cents."""
    refunds = at_stripe(stripe, session)
    return sum(one["amount"] for one in refunds if one["status"] in LIVE)


def check_now(shop: Shop, payment_id: str) -> None:
    """Recovery's next look at the payment's refunds is due."""
    sql = """
        UPDATE refunds SET next_look_time = now(), ask_deadline = least(ask_deadline, now())
        WHERE payment_id = $1 AND next_look_time > now()
    """
    rows(shop.place, sql, uuid.UUID(payment_id))


def of_refunds(events: Sequence[Message]) -> list[tuple[str, str]]:
    """The events of refunds: what happened, and to which refund."""
    return [
        (event.subject, event.body["refund"]["id"])
        for event in events
        if event.subject in ("payment.refunded", "payment.refund_failed")
    ]


def assert_sums_agree(shop: Shop, payment_id: str, session: Json) -> None:
    """I19: what Stripe has refunded is what payd says, to the cent."""
    said = shop.client.get(payment_id)
    assert said.refunded.minor_units == stripes_sum(shop.stripe, session)
    assert said.refunded.minor_units == sum(
        one.amount.minor_units for one in said.refunds if status_of_refund(one) == "SUCCEEDED"
    )

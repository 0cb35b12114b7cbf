"""The control API: tests and developers make the stand-in act through it."""

from typing import Any

import attrs
from quart import Blueprint, request

from stripe_provider.companion.account import Account
from stripe_provider.companion.api import Api
from stripe_provider.companion.checkout import Checkout
from stripe_provider.companion.disputes import Disputes
from stripe_provider.companion.errors import ApiError
from stripe_provider.companion.faults import Faults, read
from stripe_provider.companion.objects import REFUND, SESSION, Json
from stripe_provider.companion.refunds import Refunds
from stripe_provider.companion.webhooks import MODES

_LOOPBACK = ("127.", "::1", "::ffff:127.")
#: Fields that may be set on a session created through the control API.
_OVERRIDES = frozenset(
    (
        "allowed_payment_method_types",
        "amount_total",
        "cancel_url",
        "client_reference_id",
        "currency",
        "customer_email",
        "expires_at",
        "livemode",
        "metadata",
        "payment_intent_data",
        "success_url",
    )
)


def control(
    account: Account,
    api: Api,
    checkout: Checkout,
    refunds: Refunds,
    disputes: Disputes,
    faults: Faults,
) -> Blueprint:
    """Build the blueprint of everything under /_control/."""
    blueprint = Blueprint("control", __name__, url_prefix="/_control")

    @blueprint.before_request
    async def only_from_here() -> tuple[Json, int] | None:
        if (request.remote_addr or "").startswith(_LOOPBACK):
            return None
        return {"error": "only from this machine"}, 403

    @blueprint.errorhandler(ApiError)
    async def refused(error: ApiError) -> tuple[Json, int]:
        return error.body(), error.status

    @blueprint.errorhandler(ValueError)
    async def misread(error: ValueError) -> tuple[Json, int]:
        return {"error": {"message": str(error), "type": "control_error"}}, 400

    _faults(blueprint, faults)
    _webhooks(blueprint, account)
    _held(blueprint, account)
    _sessions(blueprint, account, checkout)
    _deeds(blueprint, checkout)
    _refunds(blueprint, account, checkout, refunds)
    _disputes(blueprint, checkout, disputes)
    _watch(blueprint, account, api, checkout)
    return blueprint


async def _order(**defaults: Any) -> dict[str, Any]:
    """Return the body's fields over `defaults`. Raises ValueError for unknown fields."""
    body = await request.get_json(force=True, silent=True)
    if body is None and await request.get_data():
        raise ValueError("the body is not JSON")
    if not isinstance(body or {}, dict):
        raise ValueError("the body is not an object")
    if strangers := set(body or {}) - set(defaults):
        raise ValueError(f"unknown: {', '.join(sorted(strangers))}")
    return {**defaults, **(body or {})}


def _faults(blueprint: Blueprint, faults: Faults) -> None:
    @blueprint.post("/faults")
    async def order_fault() -> Json:
        body = await request.get_json(force=True)
        if not isinstance(body, dict):
            raise ValueError("the body is not an object")
        faults.order(read(body))
        return {"faults": faults.left()}

    @blueprint.get("/faults")
    async def left() -> Json:
        return {"faults": faults.left()}

    @blueprint.delete("/faults")
    async def clear() -> Json:
        faults.clear()
        return {"faults": []}


def _webhooks(blueprint: Blueprint, account: Account) -> None:
    webhooks = account.webhooks

    @blueprint.post("/webhooks")
    async def change() -> Json:
        order = await _order(**attrs.asdict(webhooks.endpoint))
        if order["mode"] not in MODES:
            raise ValueError(f"mode: one of {', '.join(MODES)}")
        order["duplicates"] = int(order["duplicates"])
        order["delay_s"] = float(order["delay_s"])
        for name, value in order.items():
            setattr(webhooks.endpoint, name, value)
        return order

    @blueprint.get("/webhooks")
    async def shown() -> Json:
        return {
            **attrs.asdict(webhooks.endpoint),
            "attempts": [attrs.asdict(attempt) for attempt in webhooks.attempts],
        }


def _held(blueprint: Blueprint, account: Account) -> None:
    webhooks = account.webhooks

    @blueprint.get("/webhooks/held")
    async def held() -> Json:
        return {"held": webhooks.held()}

    @blueprint.post("/webhooks/release")
    async def release() -> Json:
        order = await _order(order=None, shuffle_seed=None, duplicates=0)
        made = await webhooks.release(**order)
        return {"released": [attrs.asdict(attempt) for attempt in made]}


def _sessions(blueprint: Blueprint, account: Account, checkout: Checkout) -> None:
    @blueprint.get("/sessions")
    async def every() -> Json:
        checkout.sweep()
        return {"sessions": [checkout.shown(one) for one in account.state.all_of(SESSION)]}

    @blueprint.post("/sessions")
    async def foreign() -> Json:
        order = await _order(**dict.fromkeys(_OVERRIDES))
        return checkout.create(_params({k: v for k, v in order.items() if v is not None}))


def _deeds(blueprint: Blueprint, checkout: Checkout) -> None:
    @blueprint.post(
        "/sessions/<session_id>/<any(pay,pay_async,async_succeed,async_fail,decline,expire):deed>"
    )
    async def act(session_id: str, deed: str) -> Json:
        checkout.sweep()
        done: Json = getattr(checkout, deed)(session_id)
        return done


def _refunds(blueprint: Blueprint, account: Account, checkout: Checkout, refunds: Refunds) -> None:
    @blueprint.get("/refunds")
    async def every_refund() -> Json:
        return {"refunds": account.state.all_of(REFUND)}

    @blueprint.post("/refunds/next")
    async def order_refund() -> Json:
        ordered = await _order(status="succeeded", times=1)
        refunds.order(str(ordered["status"]), int(ordered["times"]))
        return ordered

    @blueprint.post("/sessions/<session_id>/refund")
    async def refund(session_id: str) -> Json:
        ordered = await _order(amount=None, reason=None, status="succeeded")
        status = ordered.pop("status")
        return refunds.refund(checkout.paid_charge(session_id), ordered, status)

    @blueprint.post("/refunds/<refund_id>/<any(succeed,cancel):deed>")
    async def move_refund(refund_id: str, deed: str) -> Json:
        moved: Json = getattr(refunds, deed)(refund_id)
        return moved

    @blueprint.post("/refunds/<refund_id>/fail")
    async def fail_refund(refund_id: str) -> Json:
        return refunds.fail(refund_id, **await _order(reason="expired_or_canceled_card"))


def _disputes(blueprint: Blueprint, checkout: Checkout, disputes: Disputes) -> None:
    @blueprint.post("/sessions/<session_id>/dispute")
    async def dispute(session_id: str) -> Json:
        order = await _order(amount=None, reason="fraudulent", status="needs_response")
        return disputes.open(checkout.paid_charge(session_id), **order)

    @blueprint.post("/sessions/<session_id>/update_dispute")
    async def update_dispute(session_id: str) -> Json:
        order = await _order(status="under_review")
        return disputes.update(checkout.paid_charge(session_id), **order)

    @blueprint.post("/sessions/<session_id>/close_dispute")
    async def close_dispute(session_id: str) -> Json:
        order = await _order(status="lost")
        return disputes.close(checkout.paid_charge(session_id), **order)


def _params(order: Json) -> Json:
    """Return parameters for a session that other software would have created."""
    amount = order.pop("amount_total", 1000)
    currency = order.get("currency", "usd")
    price = {"currency": currency, "unit_amount": amount, "product_data": {"name": "Foreign"}}
    return {
        "success_url": "https://example.com/success",
        **order,
        "amount": amount,
        "currency": currency,
        "line_items": [{"price_data": price, "quantity": 1}],
    }


def _watch(blueprint: Blueprint, account: Account, api: Api, checkout: Checkout) -> None:
    @blueprint.post("/clock")
    async def move() -> Json:
        order = await _order(advance_s=0)
        account.state.advance(float(order["advance_s"]))
        checkout.sweep()
        return {"now": account.state.now()}

    @blueprint.get("/requests")
    async def requests() -> Json:
        return {"requests": [attrs.asdict(logged) for logged in api.log]}

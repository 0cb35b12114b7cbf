"""HTTP API of the main app: decode, call the checkout, encode. It also serves the shop page."""

import math
import secrets
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import attrs
from payd_client import (
    Caller,
    NotFound,
    PaydClientError,
    Payment,
    Unavailable,
)
from quart import Response, current_app, g, request
from quart_schema import (
    HttpSecurityScheme,
    Info,
    OpenAPIProvider,
    QuartSchema,
    RequestSchemaValidationError,
    document_response,
    hide,
    validate_request,
    validate_response,
)
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from main_app import catalogue, models, store
from main_app.checkout import Checkouts, Refused
from main_app.database import Database, DatabaseAway
from main_app.methods import STARTING, Methods
from main_app.refunds import Refunds

F = TypeVar("F", bound=Callable[..., Any])

_PAGE = Path(__file__).with_name("shop")
_COOKIE = "session"
_BODY_BYTES_MAX = 64 * 1024
_RETRY_AFTER_S = 2
#: A call that got no answer may have reached payd. Its key makes a repetition safe.
_AWAY = "Payments are not available now. Nothing is lost: try again, you cannot pay twice."
_STARTING = "The payment service has not answered yet. This page tries again by itself."
_PROBLEM = "application/problem+json"
_STATUS = {
    "INVALID_ARGUMENT": 400,
    "ALREADY_EXISTS": 409,
    "FAILED_PRECONDITION": 409,
    "NOT_FOUND": 404,
}
#: Content security policy: the page loads nothing from other hosts and may not be framed.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class _Document(OpenAPIProvider):
    """Response with the content type of problem details (RFC 9457)."""

    def build_response_object(
        self, model: Any, headers_model: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        built, definitions = super().build_response_object(model, headers_model)
        if model is models.Problem:
            built["content"] = {_PROBLEM: built["content"]["application/json"]}
        return built, definitions


@attrs.frozen(kw_only=True)
class Parts:
    """The objects that the routes use."""

    database: Database
    checkouts: Checkouts
    refunds: Refunds
    methods: Methods
    #: URL of the shop's page. Not taken from the Host header, which a client can forge.
    home: str


def build_api(parts: Parts) -> QuartTrio:
    """Build the application. Its OpenAPI document is at /openapi.json."""
    app = QuartTrio("main_app", static_folder=str(_PAGE), static_url_path="/shop")
    app.config["MAX_CONTENT_LENGTH"] = _BODY_BYTES_MAX
    app.extensions["parts"] = parts
    QuartSchema(
        app,
        info=Info(title="The main app", version="1.0.0"),
        swagger_ui_path=None,
        redoc_ui_path=None,
        scalar_ui_path=None,
        security_schemes={"token": HttpSecurityScheme(scheme="bearer")},
        security=[{"token": []}],
        conversion_preference="pydantic",
        openapi_provider_class=_Document,
    )
    _add_payments(app)
    _add_refunds(app)
    _add_shop(app)
    app.before_request(_take_body)
    app.before_request(_sign_in)
    app.after_request(_add_headers)
    for kind, answer in (
        (Refused, _refused),
        (PaydClientError, _payd_error),
        (DatabaseAway, _database_away),
        (RequestSchemaValidationError, _invalid),
        # Quart does not catch bodies that are not UTF-8 or nest too deeply.
        (UnicodeDecodeError, _unreadable),
        (RecursionError, _unreadable),
        (HTTPException, _http_error),
    ):
        app.register_error_handler(kind, answer)
    return app


# -- payments ----------------------------------------------------------------------------------


def _add_payments(app: QuartTrio) -> None:
    @app.post("/api/v1/payments")
    @validate_request(models.PaymentIn)
    @validate_response(models.PaymentOut, 201)
    @_problems(400, 401, 404, 409, 503)
    async def start_payment(data: models.PaymentIn) -> Any:
        """Pay for new or pending subscriptions. A repeated idempotency key never pays twice."""
        if not data.items and not data.subscription_ids:
            raise Refused(400, "INVALID_FIELD", "items or subscription_ids is required")
        payment = await _parts().checkouts.start(_user(), data.wish(_parts().home), _caller())
        return await _payment(payment), 201, {"Location": f"/api/v1/payments/{payment.id}"}

    @app.get("/api/v1/payments/<uuid:payment_id>")
    @validate_response(models.PaymentOut)
    @_problems(401, 404, 503)
    async def get_payment(payment_id: UUID) -> Any:
        """Read a payment."""
        return await _payment(await _parts().checkouts.get(_user(), payment_id, _caller()))

    @app.post("/api/v1/payments/<uuid:payment_id>/cancel")
    @validate_response(models.PaymentOut)
    @_problems(401, 404, 409, 503)
    async def cancel_payment(payment_id: UUID) -> Any:
        """Cancel a payment."""
        return await _payment(await _parts().checkouts.cancel(_user(), payment_id, _caller()))

    @app.get("/api/v1/payment-methods")
    @validate_response(models.MethodsOut)
    @_problems(401, 503)
    async def payment_methods() -> Any:
        """List payd's payment methods."""
        return await _parts().methods.read()


# -- refunds -------------------------------------------------------------------------------------


def _add_refunds(app: QuartTrio) -> None:
    @app.post("/api/v1/subscriptions/<uuid:subscription_id>/refund-request")
    @validate_response(models.SubscriptionOut)
    @_problems(401, 404, 409, 503)
    async def request_refund(subscription_id: UUID) -> Any:
        """Ask for the money back. An employee decides."""
        return models.subscription_out(await _parts().refunds.request(_user(), subscription_id))

    @app.get("/api/v1/refund-requests")
    @validate_response(models.RefundWishesOut)
    @_problems(401, 403, 503)
    async def refund_requests() -> Any:
        """List what waits for an employee. For employees."""
        found = await _parts().refunds.open(_user())
        return models.RefundWishesOut(refund_requests=[models.wish_out(one) for one in found])

    @app.post("/api/v1/refund-requests/<uuid:payment_id>/grant")
    @validate_response(models.RefundWishOut)
    @_problems(401, 403, 404, 409, 503)
    async def grant_refund(payment_id: UUID) -> Any:
        """Send the money back. For employees."""
        return models.wish_out(await _parts().refunds.grant(_user(), payment_id, _caller()))

    @app.post("/api/v1/refund-requests/<uuid:payment_id>/refuse")
    @validate_response(models.RefundWishOut)
    @_problems(401, 403, 404, 409, 503)
    async def refuse_refund(payment_id: UUID) -> Any:
        """Keep the money. For employees."""
        return models.wish_out(await _parts().refunds.refuse(_user(), payment_id))


# -- the shop ----------------------------------------------------------------------------------


def _add_shop(app: QuartTrio) -> None:
    @app.get("/")
    @hide
    async def page() -> Any:
        return await current_app.send_static_file("index.html")

    @app.get("/staff")
    @hide
    async def staff_page() -> Any:
        return await current_app.send_static_file("staff.html")

    @app.get("/healthz")
    @hide
    async def health() -> Any:
        return {"status": "ok"}

    @app.post("/api/v1/session")
    @validate_response(models.SessionOut)
    @_problems(503)
    async def sign_in() -> Any:
        """Sign in as a new guest, unless signed in already. A real app would authenticate users."""
        user_id = g.get("user_id")
        if user_id is not None:
            return models.SessionOut(user_id=user_id)
        user_id, token = f"guest-{secrets.token_hex(8)}", secrets.token_urlsafe(32)
        await _parts().database.run(store.add_user, user_id, token)
        cookie = f"{_COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age=2592000"
        return models.SessionOut(user_id=user_id), 200, {"Set-Cookie": cookie}

    @app.get("/api/v1/catalogue")
    @validate_response(models.CatalogueOut)
    async def show_catalogue() -> Any:
        """List the products."""
        return models.CatalogueOut(
            chains=_choices(catalogue.CHAINS),
            node_types=_choices(catalogue.NODE_TYPES),
            durations=_choices(catalogue.DURATIONS),
        )

    @app.post("/api/v1/quotes")
    @validate_request(models.QuoteIn)
    @validate_response(models.QuoteOut)
    @_problems(400, 503)
    async def quote(data: models.QuoteIn) -> Any:
        """Price items; payd computes the price."""
        items = [item.item() for item in data.items]
        found = await _parts().checkouts.quote(items, data.method, data.crypto_currency)
        return models.QuoteOut(
            total=models.amount_out(found.total),
            expire_time=found.expire_time,
            quote_token=found.quote_token,
        )

    @app.get("/api/v1/subscriptions")
    @validate_response(models.SubscriptionsOut)
    @_problems(401, 503)
    async def subscriptions() -> Any:
        """List the user's subscriptions."""
        found = await _parts().database.run(store.subscriptions_of, _user())
        return models.SubscriptionsOut(
            subscriptions=[models.subscription_out(one) for one in found]
        )

    @app.get("/api/v1/notifications")
    @validate_response(models.NotificationsOut)
    @_problems(401, 503)
    async def notifications() -> Any:
        """List the user's notifications."""
        found = await _parts().database.run(store.notifications_of, _user())
        return {"notifications": found}


def _choices(names: dict[str, str]) -> list[models.Choice]:
    return [models.Choice(id=one, name=name) for one, name in names.items()]


async def _payment(payment: Payment) -> models.PaymentOut:
    ids = [UUID(one) for one in payment.subscription_ids]
    found = await _parts().database.run(store.subscriptions_by_id, payment.customer_id, ids)
    return models.payment_out(payment, [found[one] for one in ids if one in found])


# -- authentication ----------------------------------------------------------------------------


async def _take_body() -> None:
    """Read the body before any response: responding earlier would close the connection."""
    await request.get_data()


async def _sign_in() -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = request.cookies.get(_COOKIE, "")
    g.user_id = await _parts().database.run(store.user_of, token) if token else None


def _user() -> str:
    if g.user_id is None:
        raise Refused(401, "UNAUTHENTICATED", "sign in first")
    return str(g.user_id)


def _caller() -> Caller:
    """The request id that payd stores in its audit trail."""
    return Caller(
        actor=f"user:{g.user_id}",
        ip=request.remote_addr or "",
        traceparent=request.headers.get("traceparent", ""),
    )


def _parts() -> Parts:
    parts: Parts = current_app.extensions["parts"]
    return parts


# -- errors ------------------------------------------------------------------------------------


def _problems(*statuses: int) -> Callable[[F], F]:
    """Declare a route's errors in the OpenAPI document."""

    def document(function: F) -> F:
        for status in statuses:
            document_response(models.Problem, status)(function)
        return function

    return document


def _problem(status: int, reason: str, detail: str, retry_after_s: float | None = None) -> Response:
    body = models.Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        reason=reason,
    )
    answer = Response(body.model_dump_json(), status, content_type=_PROBLEM)
    if retry_after_s is not None:
        answer.headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
    if status == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


async def _refused(error: Refused) -> Response:
    return _problem(error.status, error.reason, str(error), getattr(error, "retry_after_s", None))


async def _payd_error(error: PaydClientError) -> Response:
    if isinstance(error, Unavailable):
        detail = _STARTING if error.reason == STARTING else _AWAY
        patience_s = error.retry_after_s or _RETRY_AFTER_S
        return _problem(503, error.reason or error.code, detail, patience_s)
    if isinstance(error, NotFound):
        return _problem(404, "PAYMENT_NOT_FOUND", "there is no such payment")
    status = _STATUS.get(error.code)
    if status is None:
        # A rejected certificate or a bug in payd: show the user no details.
        current_app.logger.error("payd answered %s: %s", error.code, error.message)
        return _problem(502, error.code, "payments are out of order")
    fields = "; ".join(f"{name}: {why}" for name, why in error.violations.items())
    return _problem(status, error.reason, fields or error.message)


async def _database_away(_: DatabaseAway) -> Response:
    return _problem(503, "STORE_UNAVAILABLE", "try again", _RETRY_AFTER_S)


async def _invalid(error: RequestSchemaValidationError) -> Response:
    why = error.validation_error
    details = getattr(why, "errors", None)
    said = str(why)
    if details is not None:
        said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in details())
    return _problem(400, "INVALID_FIELD", said[:500])


async def _unreadable(_: Exception) -> Response:
    return _problem(400, "INVALID_FIELD", "the body is not JSON")


async def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    answer = _problem(status, HTTPStatus(status).name, error.description or "")
    for name, value in error.get_headers():
        if name in ("Allow", "Location", "Retry-After"):
            answer.headers[name] = value
    return answer


async def _add_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.path.startswith("/api/"):
        response.headers["Cache-Control"] = "no-store"
    return response

"""The HTTP application: Quart for health and payment methods, beside it the route of webhooks."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
import trio
from quart import Response, g, jsonify, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from payd.domain.errors import PaydError, StoreUnavailable
from payd.ports import Registered
from payd.service.query import Query
from payd.transport.http.answers import problem_answer
from payd.transport.http.exchange import OnRequest, begin_exchange
from payd.transport.http.webhooks import WebhookRoute, Webhooks

_BODY_TIMEOUT_S = 10
_SEND_TIMEOUT_S = 5
#: Shorter than any prober's patience: a dependency that hangs is not ready.
_READINESS_TIMEOUT_S = 3.0


@attrs.frozen(kw_only=True)
class Check:
    """One dependency."""

    ok: bool
    detail: str = ""
    #: Without it the daemon takes no work.
    required: bool = True
    #: More of it, for programs.
    state: Mapping[str, object] | None = None


@attrs.frozen(kw_only=True)
class Readiness:
    """The content of /readyz."""

    checks: Mapping[str, Check]

    @property
    def ready(self) -> bool:
        """Whether everything that is required is there."""
        return all(check.ok or not check.required for check in self.checks.values())

    def summary(self) -> str:
        """One line for people."""
        wrong = [f"{name}: {check.detail}" for name, check in self.checks.items() if not check.ok]
        state = "ready" if self.ready else "not ready"
        return f"{state}; {'; '.join(wrong)}" if wrong else state


_HANGING = Readiness(checks={"daemon": Check(ok=False, detail="a dependency does not answer")})


def build_app(
    query: Query,
    webhooks: Webhooks,
    readiness: Callable[[], Awaitable[Readiness]],
    on_request: OnRequest,
    max_body_bytes: int,
) -> QuartTrio:
    """Return the application of a running daemon."""
    app = _new_app(readiness)
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    app.config["BODY_TIMEOUT"] = _BODY_TIMEOUT_S

    @app.get("/api/v1/payment-methods")
    async def payment_methods() -> Response:
        return jsonify(methods=[_method(registered) for registered in query.methods()])

    app.register_error_handler(HTTPException, _problem)
    app.register_error_handler(PaydError, _problem)
    _frame_requests(app, on_request, max_body_bytes)
    route = WebhookRoute(
        webhooks=webhooks,
        on_request=on_request,
        max_body_bytes=max_body_bytes,
        body_timeout_s=_BODY_TIMEOUT_S,
    )
    # As Quart documents it for middleware.
    app.asgi_app = _routing(route, _finishing(app.asgi_app))  # type: ignore[method-assign]
    return app


def build_waiting_app(readiness: Callable[[], Awaitable[Readiness]]) -> QuartTrio:
    """Return the application of a daemon that waits for its secrets: alive, and not ready."""
    app = _new_app(readiness)
    app.register_error_handler(HTTPException, _not_yet)
    return app


async def _not_yet(error: HTTPException) -> Response:
    """Answer 503: the sender of a webhook tries again."""
    response = await _problem(
        StoreUnavailable("this daemon waits for its secrets", retry_after_s=5.0)
    )
    response.headers["Connection"] = "close"
    return response


def _new_app(readiness: Callable[[], Awaitable[Readiness]]) -> QuartTrio:
    """Return an application with the routes that every daemon has: health and readiness."""
    app = QuartTrio("payd")
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of the default provider

    @app.get("/healthz")
    async def healthz() -> Response:
        return _fresh(jsonify(status="ok"))

    @app.get("/readyz")
    async def readyz() -> Response:
        now = _HANGING
        with trio.move_on_after(_READINESS_TIMEOUT_S):
            now = await readiness()
        response = jsonify(
            status="ready" if now.ready else "not_ready",
            checks={name: attrs.asdict(check) for name, check in now.checks.items()},
        )
        response.status_code = 200 if now.ready else 503
        return _fresh(response)

    return app


def _frame_requests(app: QuartTrio, on_request: OnRequest, max_body_bytes: int) -> None:
    """Give each request an id, a limit of its body, and one log line."""

    @app.before_request
    async def begin() -> None:
        g.exchange = begin_exchange(request.method, request.headers.get("x-request-id"))
        # Checked here, because a route may not read the body.
        if (request.content_length or 0) > max_body_bytes:
            raise RequestEntityTooLarge

    @app.after_request
    async def end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "unmatched"
        response.headers["x-request-id"] = g.exchange.request_id
        g.exchange.finish(route, response.status_code, on_request)
        return response


def _routing(webhooks: WebhookRoute, others: Any) -> Any:
    async def routing(scope: Any, receive: Any, send: Any) -> None:
        chosen = webhooks if webhooks.takes(scope) else others
        await chosen(scope, receive, send)

    return routing


def _finishing(app: Any) -> Any:
    """Wrap the application so that its answers are sent completely.

    With the last part, Hypercorn closes a connection whose body was not read. It notifies Quart
    first, which cancels the sending: the connection would stay open without end.
    """

    async def finishing(scope: Any, receive: Any, send: Any) -> None:
        async def send_whole(message: Any) -> None:
            with trio.move_on_after(_SEND_TIMEOUT_S, shield=True):
                await send(message)

        await app(scope, receive, send_whole)

    return finishing


def _method(registered: Registered) -> dict[str, Any]:
    method = registered.method
    return {
        "method": method.key,
        "provider": registered.provider.name,
        "display_name": method.display_name,
        "currencies": list(method.currencies),
        "crypto_currencies": [token.code for token in method.crypto_currencies],
    }


def _fresh(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


async def _problem(error: Exception) -> Response:
    """Answer an error with a reason of the contract, one of HTTP itself, or a failure of ours."""
    answer = problem_answer(error)
    response = jsonify(answer.document)
    response.status_code = answer.status
    response.headers.update(answer.headers)
    return response

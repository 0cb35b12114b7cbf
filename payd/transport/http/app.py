"""Quart application: health, methods, webhooks, pages; errors are RFC 9457 problems."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import uuid4

import attrs
import structlog
import trio
from quart import Response, g, jsonify, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from payd.domain.errors import PaydError, StoreUnavailable
from payd.ports import Registered
from payd.service.query import Query
from payd.telemetry import get_logger
from payd.transport.http.pages.routes import Pages
from payd.transport.http.webhooks import Webhooks
from payd.transport.problems import problem

_log = get_logger(__name__)

_BODY_TIMEOUT_S = 10
_SEND_TIMEOUT_S = 5
#: Shorter than any prober's patience: a dependency that hangs is not ready.
_READINESS_TIMEOUT_S = 3.0
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
#: Headers of a refusal that its reader needs beside the document.
_KEPT_HEADERS = ("allow", "retry-after")


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
    pages: Pages,
    readiness: Callable[[], Awaitable[Readiness]],
    on_request: Callable[[str, int, float], None],
    max_body_bytes: int,
) -> QuartTrio:
    """Return the application; `on_request` receives each answer's route, status and seconds."""
    app = _new_app(readiness)
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    app.config["BODY_TIMEOUT"] = _BODY_TIMEOUT_S

    @app.get("/api/v1/payment-methods")
    async def payment_methods() -> Response:
        return jsonify(methods=[_method(registered) for registered in query.methods()])

    webhooks.add_to(app)
    pages.add_to(app)
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(PaydError, _payd_problem)
    _frame_requests(app, on_request, max_body_bytes)
    app.asgi_app = _finishing(app.asgi_app)  # type: ignore[method-assign]  # as Quart documents
    return app


def build_waiting_app(readiness: Callable[[], Awaitable[Readiness]]) -> QuartTrio:
    """Return the application of a daemon that waits for its secrets: alive, and not ready."""
    app = _new_app(readiness)
    app.register_error_handler(HTTPException, _not_yet)
    return app


async def _not_yet(error: HTTPException) -> Response:
    """Answer 503: the sender of a webhook tries again."""
    unavailable = StoreUnavailable("this daemon waits for its secrets", retry_after_s=5.0)
    response = _problem_response(*problem(unavailable))
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


def _frame_requests(
    app: QuartTrio, on_request: Callable[[str, int, float], None], max_body_bytes: int
) -> None:
    """Give each request an id, a limit of its body, and one log line."""

    @app.before_request
    async def begin() -> None:
        g.start = trio.current_time()
        wanted = request.headers.get("x-request-id", "")
        g.request_id = wanted if _REQUEST_ID.fullmatch(wanted) else uuid4().hex
        structlog.contextvars.bind_contextvars(request_id=g.request_id)
        # Checked here, because a route may not read the body.
        if (request.content_length or 0) > max_body_bytes:
            raise RequestEntityTooLarge

    @app.after_request
    async def end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "unmatched"
        response.headers["x-request-id"] = g.request_id
        seconds = trio.current_time() - g.start
        on_request(route, response.status_code, seconds)
        _log.debug(
            "http_finished",
            method=request.method,
            route=route,
            code=response.status_code,
            duration_ms=round(seconds * 1000, 2),
        )
        return response


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


async def _http_problem(error: HTTPException) -> Response:
    """Answer an error of HTTP itself, or a failure of ours, of which nothing leaks."""
    status = error.code or 500
    document = {"type": "about:blank", "title": error.name, "status": status}
    if status < 500 and error.description:
        document["detail"] = error.description
    response = _problem_response(status, document)
    for name, value in error.get_headers():
        if name.lower() in _KEPT_HEADERS:
            response.headers[name] = value
    return response


async def _payd_problem(error: PaydError) -> Response:
    """Answer an error with a reason of the contract."""
    return _problem_response(*problem(error))


def _problem_response(status: int, document: Mapping[str, Any]) -> Response:
    response = jsonify(document)
    response.status_code = status
    response.content_type = "application/problem+json"
    return response

"""The Quart application: /healthz, /readyz, /api/v1/payment-methods, RFC 9457 problems."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
from quart import Response, jsonify
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from payd.ports import Registered
from payd.service.query import Query

_BODY_TIMEOUT_S = 10


@attrs.frozen(kw_only=True)
class Check:
    """One dependency."""

    ok: bool
    detail: str = ""
    #: Without it the daemon takes no work.
    required: bool = True


@attrs.frozen(kw_only=True)
class Readiness:
    """What /readyz tells."""

    checks: Mapping[str, Check]

    @property
    def ready(self) -> bool:
        """Whether everything that is required is there."""
        return all(check.ok or not check.required for check in self.checks.values())


def build_app(
    query: Query,
    readiness: Callable[[], Awaitable[Readiness]],
    on_request: Callable[[str, int], None],
    max_body_bytes: int,
) -> QuartTrio:
    """The application; `on_request` hears each answer's route and status."""
    app = QuartTrio("payd")
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    app.config["BODY_TIMEOUT"] = _BODY_TIMEOUT_S
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of the default provider

    @app.get("/healthz")
    async def healthz() -> Response:
        return _fresh(jsonify(status="ok"))

    @app.get("/readyz")
    async def readyz() -> Response:
        now = await readiness()
        response = jsonify(
            status="ready" if now.ready else "not_ready",
            checks={name: attrs.asdict(check) for name, check in now.checks.items()},
        )
        response.status_code = 200 if now.ready else 503
        return _fresh(response)

    @app.get("/api/v1/payment-methods")
    async def payment_methods() -> Response:
        return jsonify(methods=[_method(registered) for registered in query.methods()])

    @app.errorhandler(HTTPException)
    async def problem(error: HTTPException) -> Response:
        return _problem(error)

    @app.after_request
    async def observe(response: Response) -> Response:
        from quart import request

        route = request.url_rule.rule if request.url_rule else "unmatched"
        on_request(route, response.status_code)
        return response

    return app


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


def _problem(error: HTTPException) -> Response:
    status = error.code or 500
    response = jsonify(type="about:blank", title=error.name, status=status)
    response.status_code = status
    response.content_type = "application/problem+json"
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after"):
            response.headers[name] = value
    if status == 413:
        # What is left of the body would be read as the next request.
        response.headers["Connection"] = "close"
    return response

"""The console's application: who may enter, and the pages behind it."""

import hmac
import math
from collections.abc import Callable
from typing import cast
from urllib.parse import quote

import attrs
from payd_client import PaymentClient
from quart import Response, g, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from payd.telemetry import get_logger
from payd.transport.console import (
    attention_page,
    lists,
    operations,
    overview,
    payment_page,
    records,
    refunding,
)
from payd.transport.console.guard import is_own_host, is_own_origin, own_path, with_headers
from payd.transport.console.live import EVENTS, Live
from payd.transport.console.logins import SECRET_HEADER, Logins, TooManyLogins
from payd.transport.console.rendering import Renderer
from payd.transport.console.sessions import Session, Sessions
from payd.transport.console.visits import Visits, see_other
from payd.transport.grpc.callers import address_of

_log = get_logger(__name__)

COOKIE = "payd_console"
#: What a page asks by itself carries it.
LIVE_HEADER = "x-console-live"
_BODY_BYTES_MAX = 64 * 1024
_BODY_TIMEOUT_S = 10
_OPEN = ("/login", "/assets/")
_PAGES = (overview, attention_page, lists, payment_page, operations, refunding, records)


@attrs.frozen(kw_only=True)
class Console:
    """Everything that the application needs."""

    calls: PaymentClient
    logins: Logins
    sessions: Sessions
    #: Names of hosts under which browsers reach it.
    hosts: frozenset[str]
    environment: str
    live: Live


def build_console_app(console: Console) -> QuartTrio:
    """Return the application."""
    app = QuartTrio("payd-console", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _BODY_BYTES_MAX
    app.config["BODY_TIMEOUT"] = _BODY_TIMEOUT_S
    entrance = _Entrance(console, Renderer(console.environment))
    entrance.add_to(app)
    visits = Visits(
        console.calls,
        entrance.renderer,
        lambda: tuple(console.logins.entries()),
        console.live,
    )
    for pages in _PAGES:
        pages.add_to(app, visits)
    return app


@attrs.frozen
class _Entrance:
    """Admits requests, logs operators in and out."""

    console: Console
    renderer: Renderer

    def add_to(self, app: QuartTrio) -> None:
        """Register the checks of every request, and the routes of the login."""
        app.before_request(self._admit)
        app.after_request(self._finish)
        app.register_error_handler(HTTPException, self._failed)
        app.add_url_rule("/login", "login_form", self._login_form, methods=["GET"])
        app.add_url_rule("/login", "login", self._login, methods=["POST"])
        app.add_url_rule("/logout", "logout", self._logout, methods=["POST"])
        app.add_url_rule("/assets/<name>", "asset", self._asset, methods=["GET"])

    async def _admit(self) -> Response | None:
        """Refuse foreign requests, then find the session, then check a form's token."""
        if not is_own_host(request.host, self.console.hosts):
            return self._notice("host", 421)
        if not is_own_origin(request.method, request.host, _headers()):
            return self._notice("origin", 403)
        if request.path.startswith(_OPEN):
            return None
        session = self._session()
        if session is None:
            is_page = request.method == "GET"
            return see_other(f"/login?next={quote(request.full_path)}" if is_page else "/login")
        g.session = session
        g.still_valid = self._still_valid()
        if self.console.logins.is_by_proxy(_headers()):
            # Each proxy adds the address that connected to it: only the last one is proved.
            forwarded = ",".join(request.headers.getlist("x-forwarded-for"))
            g.forwarded_for = address_of(forwarded.rpartition(",")[2].strip())
        if request.method == "POST":
            sent = (await request.form).get("form_token", "")
            if not hmac.compare_digest(sent.encode(), session.form_token.encode()):
                return self._notice("form", 403)
        return None

    def _session(self) -> Session | None:
        token, browser = request.cookies.get(COOKIE, ""), request.headers.get("user-agent", "")
        is_use = LIVE_HEADER not in request.headers and not request.path.endswith(EVENTS)
        session = self.console.sessions.find(token, browser, is_use=is_use)
        if session is not None:
            if self.console.logins.is_valid(session, _headers()):
                return session
            self.console.sessions.end(token)
        user = self.console.logins.proxy_user(_headers())
        if not user:
            _report_refused_proxy()
            return None
        if not is_use:
            return None
        # A link from elsewhere, such as the proxy's own login, must find the session again: a new
        # one would take the tokens of open forms away.
        g.samesite = "Lax"
        g.token, session = self.console.sessions.begin(user, b"", browser)
        _log.info("console_login", operator=user, by="proxy")
        return session

    def _still_valid(self) -> Callable[[], bool]:
        """Return whether this request's session goes on, for a stream that outlives the request."""
        token, browser = request.cookies.get(COOKIE, ""), request.headers.get("user-agent", "")
        headers = _headers()

        def still_valid() -> bool:
            session = self.console.sessions.find(token, browser, is_use=False)
            return session is not None and self.console.logins.is_valid(session, headers)

        return still_valid

    async def _finish(self, response: Response) -> Response:
        if token := g.get("token"):
            # Behind a proxy the browser speaks TLS with it.
            is_secure = bool(self.console.logins.proxy_user(_headers()))
            response.set_cookie(
                COOKIE,
                token,
                httponly=True,
                samesite=g.get("samesite", "Strict"),
                path="/",
                secure=is_secure,
            )
        return with_headers(response)

    async def _login_form(self) -> Response:
        return self._login_page(200, "", request.args.get("next", "/"))

    async def _login(self) -> Response:
        form = await request.form
        name, password = form.get("name", ""), form.get("password", "")
        target = form.get("next", "/")
        try:
            proof = await self.console.logins.proof_of(name, password)
        except TooManyLogins as error:
            wait_s = max(1, math.ceil(error.wait_s))
            response = self._login_page(429, "login.wait", target, wait_s)
            response.headers["Retry-After"] = str(wait_s)
            return response
        if proof is None:
            return self._login_page(403, "login.wrong", target)
        self.console.sessions.end(request.cookies.get(COOKIE, ""))
        browser = request.headers.get("user-agent", "")
        g.token, _ = self.console.sessions.begin(name, proof, browser)
        return see_other(own_path(target))

    async def _logout(self) -> Response:
        self.console.sessions.end(request.cookies.get(COOKIE, ""))
        _log.info("console_logout", operator=cast(Session, g.session).user)
        response = see_other("/login")
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
        return response

    async def _asset(self, name: str) -> Response:
        return self.renderer.asset(name) or self._notice("missing", 404)

    async def _failed(self, error: HTTPException) -> Response:
        status = error.code or 500
        return self._notice("missing" if status == 404 else "failed", status)

    def _login_page(self, status: int, problem: str, target: str, wait_s: int = 0) -> Response:
        return self.renderer.page(
            "login.html",
            status,
            problem=problem,
            wait_s=wait_s,
            target=own_path(target),
            proxy_user=self.console.logins.proxy_user(_headers()),
        )

    def _notice(self, name: str, status: int) -> Response:
        return self.renderer.page("notice.html", status, name=name)


def _report_refused_proxy() -> None:
    """Log a request that carries the proxy's secret, or a guess of it, and logs nobody in."""
    if SECRET_HEADER in request.headers:
        _log.warning("console_proxy_refused", peer=request.remote_addr or "")


def _headers() -> dict[str, str]:
    """The request's headers by name in lower case; of two with the same name, the first."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        found.setdefault(name.lower(), value)
    return found

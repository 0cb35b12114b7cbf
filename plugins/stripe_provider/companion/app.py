"""The stand-in as a server: API, hosted pages, control API and webhooks in one application."""

import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import attrs
import trio
from quart import Response, redirect, request
from quart_trio import QuartTrio
from werkzeug.wrappers import Response as AnyResponse

from stripe_provider.companion import page
from stripe_provider.companion.account import Account
from stripe_provider.companion.api import Api, Call, HangUp
from stripe_provider.companion.checkout import Checkout
from stripe_provider.companion.control import control
from stripe_provider.companion.disputes import Disputes
from stripe_provider.companion.endpoints import Endpoints
from stripe_provider.companion.errors import ApiError
from stripe_provider.companion.faults import Faults
from stripe_provider.companion.listen import hang_up, listen
from stripe_provider.companion.objects import SESSION
from stripe_provider.companion.refunds import Refunds
from stripe_provider.companion.state import State
from stripe_provider.companion.webhooks import Endpoint, Webhooks

_SWEEP_S = 0.5
_MAX_BODY_BYTES = 1024 * 1024


@attrs.define(kw_only=True)
class StandIn:
    """A running stand-in."""

    account: Account
    checkout: Checkout
    refunds: Refunds
    disputes: Disputes
    api: Api
    faults: Faults

    @property
    def url(self) -> str:
        """The URL of the API and of the hosted pages."""
        return self.account.url

    @property
    def webhook_url(self) -> str | None:
        """Where events are sent, or None. A change applies to later events."""
        return self.account.webhooks.endpoint.url

    @webhook_url.setter
    def webhook_url(self, url: str | None) -> None:
        self.account.webhooks.endpoint.url = url


async def open_stand_in(  # noqa: PLR0913 - all but two have names
    host: str,
    port: int,
    *,
    secret_key: str,
    webhook_secret: str,
    webhook_url: str | None = None,
    state_file: Path | None = None,
    pages: bool = True,
    wall: Callable[[], float] = time.time,
    task_status: trio.TaskStatus[StandIn],
) -> None:
    """Serve until cancelled; report the stand-in once it listens. Raises OSError.

    `state_file` keeps the state for the next run; None keeps it in memory. Without `pages`, it has
    neither the hosted pages nor the control API: its user is in this process. `wall` is the clock
    of the webhooks' receiver.
    """
    state = State(state_file, wall)
    try:
        endpoint = Endpoint(url=webhook_url, secrets=[webhook_secret])
        webhooks = Webhooks(state, endpoint)
        account = Account(state=state, webhooks=webhooks, secret_key=secret_key)
        checkout = Checkout(account)
        refunds = Refunds(account)
        faults = Faults()
        stand_in = StandIn(
            account=account,
            checkout=checkout,
            refunds=refunds,
            disputes=Disputes(account),
            api=Api(account, Endpoints(account, checkout, refunds), faults),
            faults=faults,
        )
        app = build_app(stand_in, pages=pages)
        async with trio.open_nursery() as nursery:
            account.url = await nursery.start(listen, app, host, port)
            await nursery.start(webhooks.run)
            nursery.start_soon(_sweep, checkout)
            task_status.started(stand_in)
    finally:
        state.close()


def build_app(stand_in: StandIn, *, pages: bool = True) -> QuartTrio:
    """Build the application: the API; with `pages`, also the hosted pages and the control API."""
    account, checkout = stand_in.account, stand_in.checkout
    app = QuartTrio("payd-stripe-stand-in")
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of the default provider

    @app.before_request
    async def read_whole() -> None:
        # A body that arrives after the response would leave the connection unusable, but open.
        await request.get_data()

    _api_door(app, account, checkout, stand_in.api)
    if not pages:
        return app
    _pages(app, account, checkout)
    app.register_blueprint(
        control(
            account,
            stand_in.api,
            checkout,
            stand_in.refunds,
            stand_in.disputes,
            stand_in.faults,
        )
    )
    return app


def _api_door(app: QuartTrio, account: Account, checkout: Checkout, api: Api) -> None:
    @app.route("/v1/<path:rest>", methods=["GET", "POST", "DELETE"])
    async def v1(rest: str) -> Response:
        checkout.sweep()
        sent: str | bytes = request.query_string
        if request.method == "POST":
            sent = await request.get_data()
        call = Call(
            method=request.method,
            path=request.path,
            authorization=request.headers.get("Authorization", ""),
            form=sent if isinstance(sent, str) else sent.decode(errors="replace"),
            idempotency_key=request.headers.get("Idempotency-Key"),
            version=request.headers.get("Stripe-Version"),
        )
        try:
            reply = await api.answer(call)
        except HangUp as hung:
            await hang_up(reset=hung.reset)
        return Response(reply.body, reply.status, dict(reply.headers), "application/json")

    @app.after_request
    async def dated(response: AnyResponse) -> AnyResponse:
        # From the stand-in's own clock, like every other time in a response.
        response.headers["Date"] = formatdate(account.state.now(), usegmt=True)
        response.headers["Cache-Control"] = "no-cache, no-store"
        return response


def _pages(app: QuartTrio, account: Account, checkout: Checkout) -> None:
    deeds: dict[str, Callable[[str], Any]] = {
        "pay": checkout.pay,
        "pay-async": checkout.pay_async,
        "decline": checkout.decline,
        "walk-away": checkout.expire,
    }

    @app.get("/pay/<session_id>")
    async def shown(session_id: str) -> tuple[str, int]:
        checkout.sweep()
        session = account.state.find(SESSION, session_id)
        if session is None:
            return page.missing_page(), 404
        if session["status"] != "open":
            return page.closed_page(session), 200
        declined = checkout.declined(session)
        return page.open_page(session, account.state.sold(session_id), declined=declined), 200

    @app.get("/shop/<any('paid','back'):way>")
    async def shop(way: str) -> str:
        return page.shop_page(way == "paid")

    @app.post("/pay/<session_id>/<any('pay','pay-async','decline','walk-away'):deed>")
    async def act(session_id: str, deed: str) -> AnyResponse:
        target = f"/pay/{session_id}"
        try:
            done = deeds[deed](session_id)
        except ApiError:
            # The page shows what became of the session.
            return redirect(target, 303)
        if done["status"] == "complete":
            target = str(done["success_url"]).replace("{CHECKOUT_SESSION_ID}", session_id)
        return redirect(target, 303)


async def _sweep(checkout: Checkout) -> None:
    while True:
        checkout.sweep()
        await trio.sleep(_SWEEP_S)

"""GET /pay/{token}: a payment's page, its live status, its assets; and GET / for people."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import cast
from urllib.parse import urlsplit
from uuid import UUID

import attrs
import trio
from quart import Response, redirect, request
from quart_trio import QuartTrio

from payd.domain.errors import PaydError, PaymentNotFound
from payd.ports import Clock, Registered
from payd.service.show_payment import ShowPayment
from payd.transport.http.pages.live import LivePages
from payd.transport.http.pages.rendering import Renderer, with_headers
from payd.transport.http.pages.sponsoring import Sponsoring
from payd.transport.http.pages.view import View, view_of
from payd.transport.page_links import PageLinks

_RETRY_S = 3.0
_VERSION_DIGITS_MAX = 9
#: Hosts under this name exist nowhere (RFC 2606): a provider for tests has no page to go to.
_NOWHERE = ".invalid"


@attrs.frozen(kw_only=True)
class Pages:
    """The routes for people."""

    show: ShowPayment
    links: PageLinks
    methods: Callable[[], Sequence[Registered]]
    clock: Clock
    #: Seconds that a page's opening has to wait; it limits how often one payment is looked at.
    wait_of: Callable[[str], Awaitable[float]]
    live_max: int
    #: Of the shop that is paid; may be empty.
    shop_name: str
    is_test: bool
    #: Takes transactions of customers' wallets whose fee a sponsor pays.
    sponsoring: Sponsoring

    def add_to(self, app: QuartTrio) -> None:
        """Register the routes."""
        renderer, live = (
            Renderer(self.shop_name, is_test=self.is_test),
            LivePages(self.show, self.live_max),
        )

        @app.get("/")
        async def home() -> Response:
            return renderer.notice("home", 200)

        @app.get("/pay/assets/<name>")
        async def asset(name: str) -> Response:
            return renderer.asset(name) or renderer.notice("missing", 404)

        @app.get("/pay/<token>")
        async def page(token: str) -> Response:
            return await self._guarded(renderer, token, partial(self._page, renderer))

        @app.get("/pay/<token>/events")
        async def events(token: str) -> Response:
            return await self._guarded(renderer, token, partial(self._events, live, renderer))

        self.sponsoring.add_to(app)

    async def _guarded(
        self, renderer: Renderer, token: str, answer: Callable[[UUID], Awaitable[Response]]
    ) -> Response:
        """Answer for the token's payment, or say in the same design why not."""
        payment_id = self.links.payment_id_of(token)
        if payment_id is None:
            return renderer.notice("missing", 404)
        wait_s = await self.wait_of(str(payment_id))
        if wait_s > 0:
            return renderer.notice("busy", 429, wait_s)
        try:
            return await answer(payment_id)
        except PaymentNotFound:
            return renderer.notice("missing", 404)
        except PaydError as error:
            return renderer.notice("unavailable", 503, error.retry_after_s or _RETRY_S)

    async def _page(self, renderer: Renderer, payment_id: UUID) -> Response:
        shown, now = await self.show.get(payment_id), self.clock.now()
        # A QR code takes 10 ms of computing, for which no payment should wait.
        page_url = self.links.url_of(payment_id)
        view = await trio.to_thread.run_sync(view_of, shown, now, self.methods(), page_url)
        if _leads_elsewhere(view):
            return with_headers(cast(Response, redirect(view.redirect_url, 303)))
        return renderer.page("payment.html", view=view)

    async def _events(self, live: LivePages, renderer: Renderer, payment_id: UUID) -> Response:
        if live.is_full:
            return renderer.notice("busy", 503, _RETRY_S)
        known = request.headers.get("last-event-id") or request.args.get("after", "0")
        is_number = known.isascii() and known.isdecimal() and len(known) <= _VERSION_DIGITS_MAX
        stream = live.events(payment_id, int(known) if is_number else 0)
        response = with_headers(Response(stream, content_type="text/event-stream"))
        # The stream ends by itself.
        response.timeout = None
        return response


def _leads_elsewhere(view: View) -> bool:
    host = urlsplit(view.redirect_url).hostname or ""
    return bool(host) and not host.endswith(_NOWHERE)

"""The HTTP server with prepared payments, in a thread of its own: for tests with a browser."""

import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, cast
from uuid import UUID

import attrs
import trio
from quart_trio import QuartTrio

from payd.domain.errors import PaydError, PaymentNotFound
from payd.service.show_payment import Shown, ShowPayment
from payd.service.sponsor import SponsorTransfer
from payd.transport.http.pages.routes import Pages
from payd.transport.http.pages.sponsoring import Sponsoring
from payd.transport.http.serve import serve_app
from payd.transport.page_links import PageLinks
from support.page_gallery import METHODS, NOW

KEYS = ("k" * 32,)


@attrs.define
class PreparedPayments:
    """Stands in for the use case: payments by id, which a test may replace."""

    payments: dict[UUID, Shown]
    #: How often a payment was read.
    read: int = 0
    #: How often a page has asked for news.
    watched: int = 0
    #: What every page gets instead.
    error: PaydError | None = None

    async def get(self, payment_id: UUID) -> Shown:
        """The prepared payment."""
        self.read += 1
        if self.error is not None:
            raise self.error
        if payment_id not in self.payments:
            raise PaymentNotFound("no payment has this id")
        return self.payments[payment_id]

    async def newer(self, payment_id: UUID, after_version: int, timeout_s: float) -> int | None:
        """Look ten times a second whether a test has put a newer version there."""
        self.watched += 1
        with trio.move_on_after(timeout_s):
            while True:
                version = self.payments[payment_id].payment.version
                if version > after_version:
                    return version
                await trio.sleep(0.1)
        return None


class FixedClock:
    """Always the gallery's moment."""

    def now(self) -> Any:
        """The moment."""
        return NOW


@attrs.frozen(kw_only=True)
class PageServer:
    """A running server."""

    url: str
    prepared: PreparedPayments
    links: PageLinks

    def page(self, payment_id: UUID) -> str:
        """The address of a payment's page."""
        token = self.links.url_of(payment_id).rpartition("/")[2]
        return f"{self.url}/pay/{token}"


def some_pages(prepared: PreparedPayments, links: PageLinks, **settings: Any) -> Pages:
    """The pages of prepared payments."""

    async def no_wait(payment: str) -> float:
        return 0.0

    fields: dict[str, Any] = {"wait_of": no_wait, "live_max": 100, "is_test": True}
    fields |= {"shop_name": "Node shop"} | settings
    sponsoring = Sponsoring(
        sponsor=cast(SponsorTransfer, fields.pop("sponsor", None)),
        links=links,
        wait_of=fields.pop("sponsor_wait_of", no_wait),
    )
    return Pages(
        show=cast(ShowPayment, prepared),
        links=links,
        methods=lambda: METHODS,
        clock=FixedClock(),
        sponsoring=sponsoring,
        **fields,
    )


def page_app(prepared: PreparedPayments, links: PageLinks, **settings: Any) -> QuartTrio:
    """The application of the pages alone."""
    app = QuartTrio("pages")
    some_pages(prepared, links, **settings).add_to(app)
    return app


@contextmanager
def page_server(payments: Mapping[str, Shown], **settings: Any) -> Iterator[PageServer]:
    """Serve the pages of these payments until the end of the block."""
    prepared = PreparedPayments({one.payment.id: one for one in payments.values()})
    links = PageLinks(public_url="http://127.0.0.1", keys=lambda: KEYS)
    app = page_app(prepared, links, **settings)
    ports: list[int] = []
    is_ready, stops = threading.Event(), []

    async def run() -> None:
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            start: Callable[..., Awaitable[None]] = partial(serve_app, app)
            ports.append(await nursery.start(start, "127.0.0.1", 0, stop))
            stops.append((trio.lowlevel.current_trio_token(), nursery.cancel_scope))
            is_ready.set()

    thread = threading.Thread(target=trio.run, args=(run,))
    thread.start()
    assert is_ready.wait(30)
    try:
        yield PageServer(url=f"http://127.0.0.1:{ports[0]}", prepared=prepared, links=links)
    finally:
        [(token, scope)] = stops
        token.run_sync_soon(scope.cancel)
        thread.join()

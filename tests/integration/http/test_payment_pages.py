"""GET /pay/{token} over real sockets: what it answers, its headers, and its live status."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import pytest
import trio
from integration.http.serving import HOST, RunningServer, serving
from support.page_gallery import GALLERY, a_payment, a_transfer
from support.page_server import KEYS, PreparedPayments, page_app
from support.plain_http import NO_TLS

from payd.domain.errors import StoreUnavailable
from payd.domain.next_action import Redirect
from payd.domain.payment import LineItem, Payment
from payd.service.show_payment import Shown
from payd.transport.page_links import PageLinks

LINKS = PageLinks(public_url="https://pay.example.com", keys=lambda: KEYS)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}"


def path_of(payment: Payment) -> str:
    return LINKS.url_of(payment.id).removeprefix("https://pay.example.com")


@asynccontextmanager
async def pages(
    *payments: Payment, **settings: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, PreparedPayments]]:
    """The pages of these payments, and a browser's connection."""
    prepared = PreparedPayments({one.id: Shown(payment=one, receipts=()) for one in payments})
    async with (
        serving(page_app(prepared, LINKS, **settings)) as port,
        httpx.AsyncClient(verify=NO_TLS, base_url=f"http://{HOST}:{port}", timeout=15) as client,
    ):
        yield client, prepared


@asynccontextmanager
async def live(
    client: httpx.AsyncClient, payment: Payment, after: str, last_event: str = ""
) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """The live status of a payment as a browser reads it: all that came until a text has come."""
    received = bytearray()
    head = f"GET {path_of(payment)}/events?after={after} HTTP/1.1\r\nHost: x\r\n"
    head += f"Last-Event-ID: {last_event}\r\n" if last_event else ""
    async with await trio.open_tcp_stream(HOST, client.base_url.port or 0) as stream:
        await stream.send_all(f"{head}\r\n".encode())

        async def until(text: str) -> str:
            with trio.fail_after(15):
                while text.encode() not in received:
                    part = await stream.receive_some()
                    assert part, bytes(received)
                    received.extend(part)
            return received.decode()

        yield until


async def test_a_page_is_in_no_cache_no_frame_no_index_and_loads_nothing_foreign() -> None:
    payment = a_payment(1)
    async with pages(payment) as (client, _):
        answer = await client.get(path_of(payment))
    assert answer.status_code == 200
    headers = answer.headers
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-robots-tag"] == "noindex, nofollow"
    assert headers["x-frame-options"] == "DENY"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "<style" not in answer.text
    assert " style=" not in answer.text
    assert "<script>" not in answer.text


async def test_nothing_personal_stands_on_a_page() -> None:
    payment = a_payment(1, metadata={"order": "secret-order"})
    async with pages(payment) as (client, _):
        text = (await client.get(path_of(payment))).text
    for hidden in ("user-1", "user@example.org", "secret-order", "key-1"):
        assert hidden not in text


async def test_the_shop_that_is_paid_is_named_where_it_is_known() -> None:
    payment = a_payment(1)
    for name, count in (("Müller & <Söhne>", 1), ("", 0)):
        async with pages(payment, shop_name=name) as (client, _):
            text = (await client.get(path_of(payment))).text
        assert text.count('<p class="shop">Müller &amp; &lt;Söhne&gt;</p>') == count
        assert text.count("<dt>Shop</dt>") == count


async def test_hostile_texts_are_inert() -> None:
    payment = a_payment(1)
    item = LineItem(
        chain_profile_id=HOSTILE, node_type=HOSTILE, duration=HOSTILE, unit_price=payment.amount
    )
    transfer = attrs.evolve(a_transfer(), receiver_address=HOSTILE, currency=HOSTILE)
    hostile = attrs.evolve(payment, items=(item,), method=HOSTILE, next_action=transfer)
    async with pages(hostile) as (client, _):
        text = (await client.get(path_of(payment))).text
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "49" not in text.split("alert(2)&gt;")[1][:8]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


@pytest.mark.parametrize(
    "path", ["/pay/" + "A" * 43, "/pay/x", "/pay/x/events", "/pay/assets/x.js"]
)
async def test_an_unknown_link_is_404_in_the_same_design(path: str) -> None:
    async with pages() as (client, _):
        answer = await client.get(path)
    assert answer.status_code == 404
    assert "There is no such payment" in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


async def test_the_link_of_a_payment_that_is_not_stored_is_404() -> None:
    async with pages() as (client, _):
        assert (await client.get(path_of(a_payment(1)))).status_code == 404


async def test_a_card_payment_leads_to_the_providers_page() -> None:
    payment = a_payment(
        1, method="card", crypto=None, next_action=Redirect(url="https://cards.example/cs_1")
    )
    async with pages(payment) as (client, _):
        answer = await client.get(path_of(payment))
    assert (answer.status_code, answer.headers["location"]) == (303, "https://cards.example/cs_1")
    assert answer.headers["cache-control"] == "no-store"


async def test_too_many_openings_are_refused_with_a_time_to_wait() -> None:
    async def wait(payment: str) -> float:
        return 2.0

    payment = a_payment(1)
    async with pages(payment, wait_of=wait) as (client, _):
        answer = await client.get(path_of(payment))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    assert "One moment, please" in answer.text


async def test_without_the_database_the_page_says_that_the_payment_is_safe() -> None:
    payment = a_payment(1)
    async with pages(payment) as (client, prepared):
        prepared.error = StoreUnavailable("PostgreSQL is away", retry_after_s=4.0)
        answer = await client.get(path_of(payment))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "4")
    assert "Your payment is safe" in answer.text


async def test_live_status_names_newer_versions_only() -> None:
    payment = a_payment(1)
    async with pages(payment) as (client, prepared), live(client, payment, "1") as until:
        head = await until("retry: 2000\n\n")
        assert "text/event-stream" in head
        assert "event:" not in head
        paid = attrs.evolve(payment, version=7)
        prepared.payments[payment.id] = Shown(payment=paid, receipts=())
        assert "id: 7\nevent: change\ndata: 7\n\n" in await until("data: 7\n\n")


async def test_a_browser_that_connects_again_gets_what_it_missed() -> None:
    payment = a_payment(1, version=9)
    async with pages(payment) as (client, _), live(client, payment, "1", "8") as until:
        assert "data: 9" in await until("data: 9")


async def test_more_pages_than_the_limit_have_to_ask_and_a_closed_one_makes_room() -> None:
    payment = a_payment(1)
    async with pages(payment, live_max=1) as (client, _):
        async with live(client, payment, "1") as until:
            await until("retry:")
            assert (await client.get(f"{path_of(payment)}/events")).status_code == 503
        with trio.fail_after(10):
            while True:
                async with live(client, payment, "1") as until:
                    if " 200 " in await until("\r\n"):
                        break
                await trio.sleep(0.05)


@pytest.mark.parametrize("after", ["", "-1", "x", "9" * 40, "%C2%B2"])
async def test_a_strange_version_means_from_the_beginning(after: str) -> None:
    payment = a_payment(1)
    async with pages(payment) as (client, _), live(client, payment, after) as until:
        assert "data: 1" in await until("data: 1")


async def test_assets_are_kept_by_browsers_and_named_by_their_content() -> None:
    payment = a_payment(1)
    async with pages(payment) as (client, _):
        page = (await client.get(path_of(payment))).text
        [style] = [part for part in page.split('"') if part.startswith("/pay/assets/pay.css?v=")]
        answer = await client.get(style)
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]


async def test_the_root_says_to_a_person_what_this_is(running: RunningServer) -> None:
    answer = await running.client.get("/")
    assert answer.status_code == 200
    assert "This is a payment service" in answer.text


async def test_a_daemon_without_pages_answers_404_to_every_link(running: RunningServer) -> None:
    answer = await running.client.get(path_of(GALLERY["paid"].payment))
    assert answer.status_code == 404
    assert ("/pay/<token>", 404) in running.answered

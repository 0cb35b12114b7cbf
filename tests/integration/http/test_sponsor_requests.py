"""POST /pay/{token}/fee over real sockets: a wallet of any origin, on a payment's own address."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import attrs
import httpx
import pytest
from integration.http.serving import HOST, serving
from support.page_gallery import a_payment
from support.page_server import KEYS, PreparedPayments, page_app

from payd.domain.errors import PaydError, PaymentNotFound, ProviderUnavailable, StoreUnavailable
from payd.transport.http.pages.sponsoring import BODY_BYTES_MAX
from payd.transport.page_links import PageLinks

LINKS = PageLinks(public_url="https://pay.example.com", keys=lambda: KEYS)
PAYMENT = a_payment(1)
PATH = LINKS.url_of(PAYMENT.id).removeprefix("https://pay.example.com") + "/fee"
BODY = b'{"jsonrpc": "2.0", "id": 1, "method": "eth_signRawTransaction", "params": ["0x76"]}'
ANSWER = b'{"jsonrpc": "2.0", "id": 1, "result": "0x76"}'


@attrs.define
class ScriptedSponsor:
    """Stands in for the use case: keeps what it is asked."""

    error: PaydError | None = None
    asked: list[tuple[UUID, bytes]] = attrs.field(factory=list)

    async def forward(self, payment_id: UUID, body: bytes) -> bytes:
        if self.error is not None:
            raise self.error
        self.asked.append((payment_id, body))
        return ANSWER


@asynccontextmanager
async def wallet(sponsor: ScriptedSponsor, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A wallet's connection to payd."""
    app = page_app(PreparedPayments({}), LINKS, sponsor=sponsor, **settings)
    headers = {"origin": "https://wallet.example", "content-type": "application/json"}
    async with (
        serving(app) as port,
        httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=15, headers=headers) as client,
    ):
        yield client


async def test_a_request_is_forwarded_for_the_payment_of_its_address() -> None:
    sponsor = ScriptedSponsor()
    async with wallet(sponsor) as client:
        answer = await client.post(PATH, content=BODY)
    assert (answer.status_code, answer.content) == (200, ANSWER)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert sponsor.asked == [(PAYMENT.id, BODY)]


async def test_a_wallet_of_any_origin_may_ask_and_sends_no_cookie() -> None:
    asks = {"access-control-request-method": "POST"}
    async with wallet(ScriptedSponsor()) as client:
        allowed = await client.options(PATH, headers=asks)
        answer = await client.post(PATH, content=BODY)
    assert allowed.status_code == 204
    for one in (allowed, answer):
        assert one.headers["access-control-allow-origin"] == "*"
        assert one.headers["access-control-allow-headers"] == "content-type"
        assert "access-control-allow-credentials" not in one.headers
        assert "set-cookie" not in one.headers


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PaymentNotFound("no transfer is asked for here"), 404),
        (ProviderUnavailable("nobody can be asked", retry_after_s=2.2), 503),
        (StoreUnavailable("the database does not answer"), 503),
    ],
)
async def test_a_wallet_can_read_why_it_gets_no_answer(error: PaydError, status: int) -> None:
    async with wallet(ScriptedSponsor(error=error)) as client:
        refused = await client.post(PATH, content=BODY)
    assert (refused.status_code, refused.json()["title"]) == (status, error.reason)
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["access-control-allow-origin"] == "*"
    wait_s = None if error.retry_after_s is None else "2"
    assert refused.headers.get("retry-after") == wait_s


async def test_only_an_address_of_payd_leads_to_a_sponsor() -> None:
    sponsor = ScriptedSponsor()
    async with wallet(sponsor) as client:
        for path in (f"/pay/{'A' * 43}/fee", "/pay/x/fee", PATH[:10] + "x" + PATH[11:]):
            refused = await client.post(path, content=BODY)
            assert (refused.status_code, refused.json()["title"]) == (404, "PAYMENT_NOT_FOUND")
        assert (await client.get(PATH)).status_code == 405
    assert sponsor.asked == []


async def test_a_body_that_is_too_long_is_not_forwarded() -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(BODY_BYTES_MAX // 1024 + 1):
            yield b" " * 1024

    sponsor = ScriptedSponsor()
    async with wallet(sponsor) as client:
        long = await client.post(PATH, content=b" " * (BODY_BYTES_MAX + 1))
        unannounced = await client.post(PATH, content=parts())
        longest = await client.post(PATH, content=b" " * BODY_BYTES_MAX)
    assert [long.status_code, unannounced.status_code, longest.status_code] == [400, 400, 200]
    assert len(sponsor.asked) == 1


async def test_a_payment_that_asks_too_often_has_to_wait() -> None:
    waits = {str(PAYMENT.id): 7.4}
    sponsor = ScriptedSponsor()

    async def wait_of(payment: str) -> float:
        return waits[payment]

    async with wallet(sponsor, sponsor_wait_of=wait_of) as client:
        refused = await client.post(PATH, content=BODY)
    assert (refused.status_code, refused.json()["title"]) == (429, "RATE_LIMITED")
    assert refused.headers["retry-after"] == "7"
    assert sponsor.asked == []

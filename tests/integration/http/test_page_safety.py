"""What a stranger may try on payment pages: other links, other methods, frames, foreign origins."""

import random
import string
from collections.abc import Awaitable, Callable
from uuid import uuid4

import attrs
import httpx
import pytest
import trio
from integration.http.test_payment_pages import LINKS, pages, path_of
from support.page_gallery import a_payment, a_transfer

from payd.domain.errors import StoreUnavailable
from payd.domain.next_action import Redirect
from payd.domain.payment import Payment
from payd.transport.page_links import TOKEN_LENGTH

ALPHABET = string.ascii_letters + string.digits + "-_"
STRANGER = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}

Ask = Callable[[httpx.AsyncClient, Payment], Awaitable[httpx.Response]]
#: Every kind of answer → how to get it.
ANSWERS: dict[str, Ask] = {
    "a page": lambda client, payment: client.get(path_of(payment)),
    "no payment": lambda client, payment: client.get("/pay/" + "A" * TOKEN_LENGTH),
    "no asset": lambda client, payment: client.get("/pay/assets/none.js"),
    "a style": lambda client, payment: client.get("/pay/assets/pay.css"),
    "the root": lambda client, payment: client.get("/"),
    "no live status": lambda client, payment: client.get(f"{path_of(payment)}/events"),
}


def is_hardened(headers: httpx.Headers) -> bool:
    """In no frame, in no index, of one origin, with nothing of the address in a referrer."""
    return (
        "frame-ancestors 'none'" in headers["content-security-policy"]
        and headers["x-frame-options"] == "DENY"
        and headers["x-content-type-options"] == "nosniff"
        and headers["referrer-policy"] == "no-referrer"
        and headers["cross-origin-opener-policy"] == "same-origin"
        and "noindex" in headers["x-robots-tag"]
        and "access-control-allow-origin" not in headers
        and "set-cookie" not in headers
    )


@pytest.mark.parametrize("kind", ANSWERS)
async def test_every_answer_is_hardened_also_for_a_foreign_origin(kind: str) -> None:
    payment = a_payment(1)
    async with pages(payment, live_max=0) as (client, _):
        client.headers.update(STRANGER)
        answer = await ANSWERS[kind](client, payment)
    assert is_hardened(answer.headers)
    assert ("no-store" in answer.headers["cache-control"]) == (kind != "a style")


async def test_redirects_refusals_and_outages_are_hardened_too() -> None:
    async def wait(payment: str) -> float:
        return 2.0

    card = a_payment(1, crypto=None, next_action=Redirect(url="https://cards.example/cs_1"))
    async with pages(card) as (client, prepared):
        redirect = await client.get(path_of(card))
        prepared.error = StoreUnavailable("PostgreSQL is away")
        outage = await client.get(path_of(card))
    async with pages(card, wait_of=wait) as (client, _):
        refusal = await client.get(path_of(card))
    assert [one.status_code for one in (redirect, outage, refusal)] == [303, 503, 429]
    for answer in (redirect, outage, refusal):
        assert is_hardened(answer.headers)
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_there_is_nothing_that_a_forged_request_could_change(method: str) -> None:
    """No form, no cookie, and no answer to a method that writes."""
    payment = a_payment(1)
    async with pages(payment) as (client, prepared):
        for path in (path_of(payment), f"{path_of(payment)}/events", "/"):
            answer = await client.request(method, path, headers=STRANGER, content=b"a=1")
            assert answer.status_code == 405
        assert prepared.read == 0
        page = (await client.get(path_of(payment))).text
    assert "<form" not in page


def mutated(token: str, chance: random.Random) -> str:
    """The token with one other letter."""
    place = chance.randrange(TOKEN_LENGTH)
    other = chance.choice([one for one in ALPHABET if one != token[place]])
    return token[:place] + other + token[place + 1 :]


async def test_random_and_mutated_links_are_404_and_all_answered_alike() -> None:
    chance, payment = random.Random(20), a_payment(1)
    token = path_of(payment).removeprefix("/pay/")
    tried = ["".join(chance.choices(ALPHABET, k=TOKEN_LENGTH)) for _ in range(150)]
    tried += [mutated(token, chance) for _ in range(150)]
    async with pages(payment) as (client, prepared):
        answers = [await client.get(f"/pay/{one}") for one in tried]
        assert prepared.read == 0, "a guess must not cost a statement"
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1


async def test_no_page_shows_anything_of_another_payment() -> None:
    """Fifty payments, whose pages are opened at once, in any order."""
    marks = [uuid4().hex for _ in range(50)]
    payments = [_marked(number, mark) for number, mark in enumerate(marks)]
    seen: dict[int, str] = {}

    async def look(client: httpx.AsyncClient, number: int) -> None:
        seen[number] = (await client.get(path_of(payments[number]))).text

    async with pages(*payments) as (client, _), trio.open_nursery() as nursery:
        for number in range(len(payments)):
            nursery.start_soon(look, client, number)
    for number, text in seen.items():
        assert {mark for mark in marks if mark in text} == {marks[number]}
        shown = {one.id for one in payments if str(one.id) in text}
        assert shown == {payments[number].id}


def _marked(number: int, mark: str) -> Payment:
    payment = a_payment(number, return_url=f"https://shop.example/{mark}")
    item = attrs.evolve(payment.items[0], chain_profile_id=mark)
    transfer = attrs.evolve(a_transfer(), receiver_address=f"0x{mark}")
    return attrs.evolve(payment, items=(item,), next_action=transfer)


def test_a_link_does_not_tell_who_pays_what() -> None:
    """Equal payments of one customer share nothing in their links."""
    first, second = (LINKS.url_of(a_payment(n).id).rpartition("/")[2] for n in (1, 2))
    assert sum(a == b for a, b in zip(first, second, strict=True)) < 8

"""A link to a payment page opens its payment, and no other text does."""

import base64
import random
import string
from uuid import UUID, uuid4

import pytest

from payd.transport.page_links import TOKEN_LENGTH, PageLinks

ALPHABET = string.ascii_letters + string.digits + "-_"
OLD, NEW = "o" * 32, "n" * 32
PAYMENT = UUID("01970000-0000-7000-8000-000000000001")


def links(*keys: str, public_url: str = "https://pay.example.com") -> PageLinks:
    return PageLinks(public_url=public_url, keys=lambda: keys)


def token_of(payment_id: UUID, *keys: str) -> str:
    return links(*keys).url_of(payment_id).rpartition("/")[2]


def test_a_link_leads_back_to_its_payment() -> None:
    url = links(NEW).url_of(PAYMENT)
    assert url.startswith("https://pay.example.com/pay/")
    assert len(url.rpartition("/")[2]) == TOKEN_LENGTH
    assert links(NEW).payment_id_of(url.rpartition("/")[2]) == PAYMENT


def test_every_daemon_and_every_answer_gives_the_same_link() -> None:
    assert links(NEW).url_of(PAYMENT) == links(NEW, OLD).url_of(PAYMENT)


def test_a_link_says_nothing_about_its_payment() -> None:
    """Payments that were made one after the other share most of their id, and nothing here."""
    first, second = (token_of(UUID(int=PAYMENT.int + n), NEW) for n in (0, 1))
    assert sum(a == b for a, b in zip(first, second, strict=True)) < 8
    sealed = base64.urlsafe_b64decode(first + "=")
    assert PAYMENT.bytes[:4] not in sealed


def test_links_made_with_the_old_key_open_until_it_is_removed() -> None:
    token = token_of(PAYMENT, OLD)
    assert links(NEW, OLD).payment_id_of(token) == PAYMENT
    assert links(NEW).payment_id_of(token) is None


@pytest.mark.parametrize("without", [links(NEW, public_url=""), links()])
def test_without_an_address_or_a_key_there_are_no_pages(without: PageLinks) -> None:
    assert without.url_of(PAYMENT) == ""
    assert without.payment_id_of(token_of(PAYMENT, NEW)) is None


def test_ten_thousand_mutated_tokens_open_nothing() -> None:
    chance, ours = random.Random(20), links(NEW)
    for _ in range(10_000):
        letters = list(token_of(uuid4(), NEW))
        place = chance.randrange(TOKEN_LENGTH)
        letters[place] = chance.choice([one for one in ALPHABET if one != letters[place]])
        assert ours.payment_id_of("".join(letters)) is None


@pytest.mark.parametrize("count", [10_000, pytest.param(1_000_000, marks=pytest.mark.campaign)])
def test_random_tokens_open_nothing(count: int) -> None:
    chance, ours = random.Random(20), links(NEW, OLD)
    for _ in range(count):
        token = base64.urlsafe_b64encode(chance.randbytes(32)).decode().rstrip("=")
        assert ours.payment_id_of(token) is None


@pytest.mark.parametrize("change", [str.upper, lambda t: t + "=", lambda t: t[:-1], lambda t: ""])
def test_another_writing_of_a_token_opens_nothing(change: "type[str] | object") -> None:
    assert callable(change)
    assert links(NEW).payment_id_of(change(token_of(PAYMENT, NEW))) is None


@pytest.mark.parametrize("token", ["é" * 43, "%" * 43, "." * 43, "\0" * 43, "A" * 42 + "\n"])
def test_foreign_characters_open_nothing(token: str) -> None:
    assert links(NEW).payment_id_of(token) is None

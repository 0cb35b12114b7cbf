"""I20: a quote token holds its prices until it expires, and for one request; no other is taken."""

import base64
import hmac
import string
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.domain.builders import NOW, TERMS

from payd.domain.errors import QuoteExpired, QuoteInvalid, QuoteMismatch
from payd.domain.money import Money, TokenTerms
from payd.domain.payment import LineItem
from payd.domain.pricing import ITEMS_MAX, PRICE_MAX
from payd.domain.quote_token import Locked, open_quote, sign_quote
from payd.domain.request import Item, QuoteAnswer, QuoteRequest

KEY = "k" * 32
OTHER_KEY = "o" * 32
LATER = NOW + timedelta(minutes=15)
FULL = Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")
LIGHT = Item(chain_profile_id="base-mainnet", node_type="light", duration="1d")
REQUEST = QuoteRequest(items=(FULL, LIGHT), method="crypto", crypto_currency="USDC")

NAMES = st.text("az09._-", min_size=1, max_size=64)
ITEMS = st.builds(Item, chain_profile_id=NAMES, node_type=NAMES, duration=NAMES)
ALPHABET = string.ascii_letters + string.digits + "-_"


def answer(
    request: QuoteRequest = REQUEST,
    prices: tuple[int, ...] = (14900, 640),
    terms: TokenTerms | None = TERMS,
    **overrides: Any,
) -> QuoteAnswer:
    items = tuple(
        LineItem(**attrs.asdict(item), unit_price=Money(currency_code="USD", minor_units=price))
        for item, price in zip(request.items, prices, strict=True)
    )
    fields: dict[str, Any] = {
        "items": items,
        "total": Money(currency_code="USD", minor_units=sum(prices)),
        "method": request.method,
        "crypto": terms,
        "pricing_version": "ab" * 32,
        "expire_time": LATER,
    }
    return QuoteAnswer(**(fields | overrides))


TOKEN = sign_quote(REQUEST, answer(), KEY)


def opened(token: str = TOKEN, request: QuoteRequest = REQUEST, **overrides: Any) -> Locked:
    given: dict[str, Any] = {"keys": (KEY,), "now": NOW}
    return open_quote(token, request, **(given | overrides))


# -- a good token ----------------------------------------------------------------------------


@given(st.data())
def test_a_token_gives_back_the_quote_that_it_was_made_of(data: st.DataObject) -> None:
    items = tuple(data.draw(st.lists(ITEMS, min_size=1, max_size=5)))
    prices = tuple(data.draw(st.integers(1, PRICE_MAX)) for _ in items)
    request = QuoteRequest(items=items, method="card")
    quote = answer(request, prices, None, pricing_version=data.draw(NAMES))

    locked = opened(sign_quote(request, quote, KEY), request)

    assert locked.quote.items == quote.items
    assert locked.quote.total == quote.total
    assert locked.quote.pricing_version == quote.pricing_version
    assert locked.expire_time == quote.expire_time
    locked.check_terms(None)


def test_a_token_is_short_text_that_needs_no_quoting_anywhere() -> None:
    one = QuoteRequest(items=(FULL,), method="card")
    assert len(sign_quote(one, answer(one, (14900,), None), KEY)) < 300
    most = QuoteRequest(items=(FULL,) * ITEMS_MAX, method="card")
    token = sign_quote(most, answer(most, (PRICE_MAX,) * ITEMS_MAX, None), KEY)
    assert len(token) < 1500
    assert set(token) <= set(ALPHABET)
    assert opened(token, most).quote.total.minor_units == PRICE_MAX * ITEMS_MAX


def test_a_token_is_good_until_its_expiry_to_the_microsecond() -> None:
    assert opened(now=LATER - timedelta(microseconds=1)).expire_time == LATER
    with pytest.raises(QuoteExpired) as expired:
        opened(now=LATER)
    assert expired.value.metadata == {"expire_time": LATER.isoformat()}


def test_a_rotated_key_still_verifies_until_it_is_taken_away() -> None:
    assert opened(keys=(OTHER_KEY, KEY)) == opened()
    for keys in ((OTHER_KEY,), ()):
        with pytest.raises(QuoteInvalid):
            opened(keys=keys)


# -- a changed token -------------------------------------------------------------------------


def test_a_token_with_any_bit_flipped_is_refused() -> None:
    content = base64.urlsafe_b64decode(TOKEN + "=" * (-len(TOKEN) % 4))
    for place in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            with pytest.raises(QuoteInvalid):
                opened(base64.urlsafe_b64encode(changed).rstrip(b"=").decode())


def test_a_token_with_any_character_replaced_is_refused() -> None:
    for place, character in enumerate(TOKEN):
        for other in ALPHABET + "=+/ \n\x00é":
            if other != character:
                with pytest.raises(QuoteInvalid):
                    opened(TOKEN[:place] + other + TOKEN[place + 1 :])


@pytest.mark.parametrize(
    "change",
    [
        lambda token: "",
        lambda token: "nonsense",
        lambda token: "é" * 200,
        lambda token: "A" * 1_000_000,
        lambda token: token + "=",
        lambda token: token + "A",
        lambda token: token + "\n",
        lambda token: " " + token,
        lambda token: token * 2,
    ],
)
def test_only_the_text_that_payd_wrote_is_a_token(change: Callable[[str], str]) -> None:
    with pytest.raises(QuoteInvalid):
        opened(change(TOKEN))


@given(st.integers(0, len(TOKEN) - 1))
def test_a_token_that_was_cut_off_is_refused(length: int) -> None:
    with pytest.raises(QuoteInvalid):
        opened(TOKEN[:length])


def test_a_token_of_another_version_is_refused_although_it_is_ours() -> None:
    body = bytes([2]) + b"whatever that version keeps"
    signed = body + hmac.digest(KEY.encode(), body, "sha256")
    with pytest.raises(QuoteInvalid, match="another version of payd"):
        opened(base64.urlsafe_b64encode(signed).rstrip(b"=").decode())


# -- a token for something else --------------------------------------------------------------


@pytest.mark.parametrize(
    "difference",
    [
        {"items": (FULL,)},
        {"items": (LIGHT, FULL)},
        {"items": (FULL, LIGHT, LIGHT)},
        {"items": (FULL, attrs.evolve(LIGHT, duration="30d"))},
        {"method": "card"},
        {"method": "card", "crypto_currency": ""},
        {"crypto_currency": "USDT"},
    ],
    ids=["fewer", "another order", "more", "another item", "method", "card", "token"],
)
def test_a_token_is_good_for_no_other_request(difference: dict[str, Any]) -> None:
    with pytest.raises(QuoteMismatch):
        opened(request=attrs.evolve(REQUEST, **difference))


@pytest.mark.parametrize(
    "difference",
    [
        {"token_address": "0x" + "d0" * 20},
        {"decimals": 18},
        {"chain_id": 2},
        {"due_base_units": 5_000_001},
    ],
    ids=lambda difference: next(iter(difference)),
)
def test_a_token_holds_the_terms_in_which_it_is_paid(difference: dict[str, Any]) -> None:
    opened().check_terms(TERMS)
    for terms in (attrs.evolve(TERMS, **difference), None):
        with pytest.raises(QuoteMismatch, match="takes another token"):
            opened().check_terms(terms)


# -- what the caller reads -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "refusal", "words"),
    [
        (
            {"token": "nonsense"},
            QuoteInvalid,
            "quote_token is not from this payd, or was changed: get a new quote",
        ),
        (
            {"now": LATER},
            QuoteExpired,
            "the quote expired at 2026-01-01 12:15:00 UTC: get a new one",
        ),
        (
            {"request": attrs.evolve(REQUEST, method="card")},
            QuoteMismatch,
            "the quote is for other items, or for another method: get a new quote",
        ),
        (
            {"request": attrs.evolve(REQUEST, currency_code="EUR")},
            QuoteMismatch,
            "the quote is in USD, not in EUR: get a new quote",
        ),
    ],
    ids=["changed", "expired", "another request", "another currency"],
)
def test_a_refusal_says_what_is_wrong_and_what_to_do(
    given: dict[str, Any], refusal: type[Exception], words: str
) -> None:
    with pytest.raises(refusal) as refused:
        opened(**given)
    assert str(refused.value) == words


def test_a_token_of_another_version_or_token_is_refused_in_words() -> None:
    body = bytes([2]) + bytes(200)
    signed = body + hmac.digest(KEY.encode(), body, "sha256")
    with pytest.raises(QuoteInvalid) as invalid:
        opened(base64.urlsafe_b64encode(signed).rstrip(b"=").decode())
    assert str(invalid.value) == (
        "quote_token was made by another version of payd: get a new quote"
    )
    with pytest.raises(QuoteMismatch) as mismatch:
        opened().check_terms(None)
    assert str(mismatch.value) == (
        "the method takes another token than at the time of the quote: get a new quote"
    )


def test_a_request_may_name_the_currency_of_its_quote() -> None:
    named = opened(request=attrs.evolve(REQUEST, currency_code="USD"))
    assert named == opened()
    assert named.quote.items[1].unit_price == Money(currency_code="USD", minor_units=640)


def test_a_token_that_was_given_is_good_after_an_update_of_payd() -> None:
    assert sign_quote(REQUEST, answer(), KEY) == (
        "AQAGR1KKsNkAVVNE0e4_0fbzqKVewZHp_cs2LsNKsVHLYTYbwKJGKPXwX8GNpZ4u08WWjrNNnft2kLeP4YMOoob43T8x"
        "vgFbU9hhYAIAAAAAAAA6NAAAAAAAAAKAYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJh"
        "YmFiYWJhYmFiYWJhYmFiYWJhYqjpofzOi1vD9UJd4-GlKu3_RwYwH5hF3FqkoIhha5Jm"
    )


@pytest.mark.parametrize("length", range(1, 65))
def test_a_token_of_every_length_is_read(length: int) -> None:
    locked = opened(sign_quote(REQUEST, answer(pricing_version="v" * length), KEY))
    assert locked.quote.pricing_version == "v" * length

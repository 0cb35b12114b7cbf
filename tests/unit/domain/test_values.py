"""Values: wrong ones cannot be built."""

import hashlib
import json
from datetime import datetime
from typing import Any

import attrs
import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st
from unit.domain.builders import TERMS, a_receipt, a_snapshot

from payd.domain.errors import InvalidField, PaydError
from payd.domain.money import Money, TokenTerms, base_units, currency_exponent
from payd.domain.next_action import QR_BYTES_MAX, Show, ShowField, ShowKind
from payd.domain.payment import Customer
from payd.domain.request import InitiateRequest, Item


@pytest.mark.parametrize(("code", "units"), [("usd", 1), ("USDX", 1), ("USD", -1), ("USD", 2**63)])
def test_money_is_whole_units_of_a_currency(code: str, units: int) -> None:
    with pytest.raises(ValueError, match=r"currency_code: must|minor_units: must"):
        Money(currency_code=code, minor_units=units)


@pytest.mark.parametrize(
    "wrong",
    [
        {"token_address": "0x12"},
        {"due_base_units": -1},
        {"due_base_units": 2**256},
        {"decimals": 99},
    ],
)
def test_token_terms_fit_a_chain(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"token_address: must|due_base_units: must|decimals"):
        attrs.evolve(TERMS, **wrong)


@given(st.integers(0, 10**12), st.sampled_from([2, 6, 18]))
def test_money_in_tokens_and_back_is_the_same(units: int, decimals: int) -> None:
    money = Money(currency_code="USD", minor_units=units)
    terms = TokenTerms(
        currency="T",
        chain_id=1,
        token_address="0x" + "0" * 40,
        decimals=decimals,
        due_base_units=base_units(money, decimals),
    )
    assert terms.minor_units(terms.due_base_units, "USD") == units


def test_a_token_coarser_than_the_amount_is_refused_unless_it_is_exact() -> None:
    assert base_units(Money(currency_code="USD", minor_units=500), 0) == 5
    with pytest.raises(ValueError, match="need more decimals"):
        base_units(Money(currency_code="USD", minor_units=501), 0)
    whole = attrs.evolve(TERMS, decimals=0)
    assert whole.minor_units(5, "USD") == 500
    assert (currency_exponent("JPY"), currency_exponent("KWD")) == (0, 3)


@pytest.mark.parametrize("amount", [-1, 2**256, True, 1.0, "1"])
def test_an_amount_is_a_whole_number(amount: object) -> None:
    with pytest.raises(ValueError, match="must be an integer"):
        a_receipt(amount=amount)  # type: ignore[arg-type]


def test_a_time_has_its_zone() -> None:
    with pytest.raises(ValueError, match="zone"):
        a_snapshot(as_of=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_i15_equal_requests_and_only_those_have_equal_fingerprints() -> None:
    item = Item(chain_profile_id="c", node_type="n", duration="d")
    request = InitiateRequest(
        idempotency_key="k",
        customer=Customer(id="u"),
        items=(item,),
        method="card",
        metadata={"a": "1", "b": "2"},
    )
    same = attrs.evolve(request, metadata={"b": "2", "a": "1"})
    others = [
        attrs.evolve(request, method="mock"),
        attrs.evolve(request, items=(item, item)),
        attrs.evolve(request, metadata={"a": "1"}),
        attrs.evolve(request, customer=Customer(id="u", email="u@example.com")),
    ]
    assert request.fingerprint() == same.fingerprint()
    assert len({r.fingerprint() for r in (request, *others)}) == 5


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": ShowKind.TEXT},
        {"kind": ShowKind.QR, "fields": (ShowField(label="IBAN", value="DE02"),)},
        {"kind": ShowKind.QR, "payload": "é" * (QR_BYTES_MAX // 2 + 1)},
    ],
    ids=["nothing", "no code", "too much for a code"],
)
def test_instructions_that_nobody_could_follow_are_refused(fields: Any) -> None:
    with pytest.raises(ValueError, match=r"show|payload"):
        Show(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": ShowKind.TEXT, "payload": "Pay at the desk."},
        {"kind": ShowKind.BANK_TRANSFER, "fields": (ShowField(label="IBAN", value="DE02"),)},
        {"kind": ShowKind.QR, "payload": "x"},
        {"kind": ShowKind.QR, "payload": "x" * QR_BYTES_MAX},
    ],
    ids=["a text", "lines", "the shortest code", "the longest code"],
)
def test_instructions_are_a_text_or_lines_or_a_code(fields: Any) -> None:
    assert Show(**fields).fields == fields.get("fields", ())
    assert segno.make("x" * QR_BYTES_MAX, error="m").version == 40


texts = st.text(max_size=5)


@given(
    st.builds(
        InitiateRequest,
        items=st.lists(
            st.builds(Item, chain_profile_id=texts, node_type=texts, duration=texts), max_size=3
        ).map(tuple),
        method=texts,
        crypto_currency=texts,
        currency_code=st.sampled_from(["", "EUR"]),
        idempotency_key=texts,
        customer=st.builds(Customer, id=texts, wallet_address=texts, email=texts),
        subscription_ids=st.lists(texts, max_size=2).map(tuple),
        metadata=st.dictionaries(texts, texts, max_size=2),
        quote_token=texts,
        expected_total=st.just(Money(currency_code="USD", minor_units=1)),
    )
)
def test_i15_a_fingerprint_is_that_of_every_version_before(asked_for: InitiateRequest) -> None:
    asked = attrs.asdict(asked_for)
    del asked["quote_token"], asked["expected_total"]
    if not asked_for.currency_code:
        del asked["currency_code"]
    meaning = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    assert asked_for.fingerprint() == hashlib.sha256(meaning.encode()).digest()


def test_what_shows_nothing_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        Show(kind=ShowKind.TEXT)
    assert str(refused.value) == "show: has neither a payload nor fields"


def test_an_error_has_what_people_and_programs_read() -> None:
    error = PaydError("try again", retry_after_s=5, payment_id="p")
    assert (str(error), error.message, error.retry_after_s) == ("try again", "try again", 5)
    assert error.metadata == {"payment_id": "p"}
    invalid = InvalidField("amount", "is too large")
    assert (invalid.message, invalid.metadata) == ("amount: is too large", {"field": "amount"})
    assert (invalid.field, invalid.description) == ("amount", "is too large")
    assert InvalidField("", "is empty").message == "is empty"

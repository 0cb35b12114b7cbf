"""Filters of payments: which are refused and why, and what a reference may be the name of."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payd.domain.attention import Attention
from payd.domain.errors import InvalidFilter
from payd.domain.page import Page, Position, first_of
from payd.domain.payment import Status
from payd.domain.payment_filter import SEARCHED_MAX, PaymentFilter, names_of

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ID = UUID("0190f3b2-8c5e-7d1a-9b3f-2a6c4e8d0f17")
SEARCHED: list[dict[str, Any]] = [
    {"min_minor_units": 1},
    {"max_minor_units": 1},
    {"currency_code": "USD"},
]
SELECTIVE: list[dict[str, Any]] = [
    {"customer_id": "user-1"},
    {"email": "ann@example.org"},
    {"attention": frozenset({Attention.STUCK})},
    {"subscription_id": "sub-1"},
    {"reference": "cs_1"},
    {"metadata": ("order", "7")},
    {"create_time_from": NOW - SEARCHED_MAX},
    {"create_time_from": NOW - 9 * SEARCHED_MAX, "create_time_before": NOW - 8 * SEARCHED_MAX},
]
UNSELECTIVE: list[dict[str, Any]] = [
    {},
    {"statuses": frozenset({Status.FAILED})},
    {"methods": frozenset({"card"})},
    {"providers": frozenset({"stripe"})},
    {"create_time_before": NOW},
    {"create_time_from": NOW - SEARCHED_MAX - DAY},
    {"create_time_from": NOW - 2 * SEARCHED_MAX, "create_time_before": NOW - DAY},
]


# -- check -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [*SELECTIVE, *UNSELECTIVE])
def test_what_has_an_index_needs_nothing_else(fields: dict[str, Any]) -> None:
    PaymentFilter(**fields).check(NOW)


@pytest.mark.parametrize("searched", SEARCHED)
@pytest.mark.parametrize("selective", SELECTIVE)
def test_the_amount_is_looked_at_where_few_payments_are_left(
    searched: dict[str, Any], selective: dict[str, Any]
) -> None:
    PaymentFilter(**searched, **selective).check(NOW)


@pytest.mark.parametrize("searched", SEARCHED)
@pytest.mark.parametrize("unselective", UNSELECTIVE)
def test_the_amount_of_too_many_payments_is_refused_with_what_to_add(
    searched: dict[str, Any], unselective: dict[str, Any]
) -> None:
    [field] = searched
    with pytest.raises(InvalidFilter, match="add create_time_from, at most 92 days") as refused:
        PaymentFilter(**searched, **unselective).check(NOW)
    assert str(refused.value).startswith(field)
    assert refused.value.metadata == {"filter": field, "add": "create_time_from"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"create_time_from": NOW, "create_time_before": NOW}, "create_time_from"),
        ({"create_time_from": NOW, "create_time_before": NOW - DAY}, "create_time_from"),
        (
            {"min_minor_units": 2, "max_minor_units": 1, "customer_id": "user-1"},
            "min_minor_units",
        ),
    ],
)
def test_a_filter_that_contradicts_itself_is_refused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidFilter, match="leave one out") as refused:
        PaymentFilter(**fields).check(NOW)
    assert refused.value.metadata == {"filter": named}


def test_bounds_may_be_equal() -> None:
    PaymentFilter(min_minor_units=7, max_minor_units=7, customer_id="user-1").check(NOW)


# -- names -------------------------------------------------------------------------------------

HASH = "ab" * 32


@pytest.mark.parametrize(
    ("reference", "texts"),
    [
        ("cs_Test", ["cs_Test"]),
        (f"0x{HASH}", [f"0x{HASH}"]),
        (f"0x{HASH.upper()}", [f"0x{HASH.upper()}", f"0x{HASH}"]),
        (HASH, [HASH, f"0x{HASH}"]),
        (HASH.upper(), [HASH.upper(), f"0x{HASH}"]),
        ("42431:0xAB:3", ["42431:0xAB:3", "42431:0xab:3"]),
        ("a" * 32, ["a" * 32, "0x" + "41" * 32]),
        ("7" * 32, ["7" * 32, "0x" + "37" * 32]),
    ],
)
def test_a_reference_is_looked_up_in_each_form_in_which_it_is_stored(
    reference: str, texts: list[str]
) -> None:
    assert list(names_of(reference).texts) == texts


@pytest.mark.parametrize(
    "reference",
    [
        *(str(ID), str(ID).upper(), ID.hex),
        *(f"0x{ID.hex}{'0' * 32}", f"0X{'0' * 32}{ID.hex.upper()}", f"{ID.hex}{'0' * 32}"),
    ],
)
def test_an_id_is_known_alone_and_in_a_memo(reference: str) -> None:
    assert names_of(reference).ids == (ID,)


@pytest.mark.parametrize("reference", ["cs_1", f"0x{HASH}", "-" * 34, "f" * 33, "0x", "{" + ID.hex])
def test_other_references_are_no_ids(reference: str) -> None:
    assert names_of(reference).ids == ()


@given(st.text())
def test_every_reference_is_looked_up_as_it_is(reference: str) -> None:
    assert names_of(reference).texts[0] == reference


# -- pages -------------------------------------------------------------------------------------


def test_a_page_ends_with_its_last_element_if_there_are_more() -> None:
    found = [(n, Position(NOW + n * DAY, UUID(int=n))) for n in range(3)]
    assert first_of(found, 2) == Page((0, 1), found[1][1])
    assert first_of(found, 3) == Page((0, 1, 2), None)
    assert first_of([], 3) == Page()


def test_a_page_ends_with_the_place_of_its_last_element_however_long_it_is() -> None:
    found = [(n, Position(NOW + n * DAY, UUID(int=n))) for n in range(5)]
    for size in range(1, 5):
        assert first_of(found, size) == Page(tuple(range(size)), found[size - 1][1])


# -- the words of a refusal --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"currency_code": "USD"},
            (
                "currency_code has no index: add create_time_from, at most 92 days before "
                "create_time_before or now, or one of customer_id, email, subscription_id, "
                "reference, metadata and attention"
            ),
        ),
        (
            {"create_time_from": NOW, "create_time_before": NOW},
            "create_time_from is not before create_time_before: swap them, or leave one out",
        ),
        (
            {"min_minor_units": 2, "max_minor_units": 1},
            "min_minor_units is more than max_minor_units: swap them, or leave one out",
        ),
    ],
    ids=["no index", "times", "amounts"],
)
def test_a_refused_filter_says_what_is_wrong_and_what_to_do(
    fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidFilter) as refused:
        PaymentFilter(**fields).check(NOW)
    assert str(refused.value) == words


def test_zeros_are_the_id_of_nothing_else() -> None:
    assert names_of("0" * 32).ids == (UUID(int=0),)
    assert names_of("cs_" + "0" * 32).ids == ()
    assert names_of("0" * 32 + "_cs").ids == ()

"""Decimal amounts are converted exactly, or refused; a float never passes."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payd.domain.decimals import format_units, parse_units, rescale_units
from payd.domain.text import BASE_UNITS_MAX

UNITS = st.integers(0, BASE_UNITS_MAX)
DECIMALS = st.integers(0, 36)


@given(units=UNITS, decimals=DECIMALS, zeros=st.integers(0, 3))
def test_what_was_written_is_read_again(units: int, decimals: int, zeros: int) -> None:
    text = format_units(units, decimals)
    assert parse_units(text, decimals) == units
    assert parse_units(Decimal(text), decimals) == units
    if decimals:
        assert parse_units(text + "0" * zeros, decimals) == units


@given(units=st.integers(0, 10**24), decimals=st.integers(0, 12))
def test_an_amount_is_the_same_number(units: int, decimals: int) -> None:
    assert Decimal(format_units(units, decimals)) == Decimal(units).scaleb(-decimals)


@given(units=st.integers(0, 10**15), decimals=st.integers(0, 6))
def test_a_number_of_json_is_read_exactly(units: int, decimals: int) -> None:
    [number] = json.loads(f"[{format_units(units, decimals)}]", parse_float=Decimal)
    assert parse_units(number, decimals) == units


@given(units=UNITS, decimals=DECIMALS, to=DECIMALS)
def test_other_units_are_the_same_amount_or_refused(units: int, decimals: int, to: int) -> None:
    try:
        there = rescale_units(units, decimals, to)
    except ValueError:
        assert units % 10 ** (decimals - to)
    else:
        assert there * 10**decimals == units * 10**to
        assert rescale_units(there, to, decimals) == units


@pytest.mark.parametrize(
    ("amount", "decimals", "units"),
    [
        ("149.00", 2, 14900),
        ("149.9", 2, 14990),
        ("149", 2, 14900),
        (149, 2, 14900),
        ("1490.00", 0, 1490),
        ("0.07", 2, 7),
        (Decimal("1.49E+2"), 2, 14900),
        (Decimal("0E-80"), 2, 0),
        (str(BASE_UNITS_MAX), 0, BASE_UNITS_MAX),
    ],
)
def test_an_exact_amount_is_taken(amount: str | int | Decimal, decimals: int, units: int) -> None:
    assert parse_units(amount, decimals) == units


@pytest.mark.parametrize(
    "amount",
    [
        *(
            "",
            " 1.00",
            "1.00\n",
            "-1.00",
            "+1",
            "1,00",
            "1,000.00",
            "1.",
            ".5",
            "1e3",
            "0x1",
            "NaN",
        ),
        *("\u0661", "1_000", "1" * 81, -1, Decimal(-1), Decimal("NaN"), Decimal("Infinity")),
        *(Decimal("1E+999999"), Decimal("1E-999999"), Decimal("1E+80"), str(BASE_UNITS_MAX + 1)),
    ],
)
def test_anything_else_is_refused(amount: str | int | Decimal) -> None:
    with pytest.raises(ValueError, match=r"is not an amount|is too large|decimals"):
        parse_units(amount, 2)


@pytest.mark.parametrize(("amount", "decimals"), [("1.005", 2), ("1490.5", 0), (Decimal("0.1"), 0)])
def test_nothing_is_rounded(amount: str | Decimal, decimals: int) -> None:
    with pytest.raises(ValueError, match=f"has more than {decimals} decimals"):
        parse_units(amount, decimals)
    with pytest.raises(ValueError, match=r"1\.005 has more than 2 decimals"):
        rescale_units(1005, 3, 2)


@pytest.mark.parametrize("amount", [149.0, 0.07, True, None, b"1"])
def test_a_float_is_refused_even_when_it_looks_right(amount: Any) -> None:
    with pytest.raises(TypeError, match="not a"):
        parse_units(amount, 2)


def test_a_difference_is_written_with_its_sign() -> None:
    assert format_units(-5, 2) == "-0.05"
    assert format_units(-5, 0) == "-5"


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("9" * 90, f"{'9' * 80!r} is not an amount"),
        ("1." + "1" * 80, f"{'1.' + '1' * 78!r} has more than 2 decimals"),
        (str(BASE_UNITS_MAX + 1) + ".00", "is too large for an amount"),
        (Decimal("1E+2000"), "'1E+2000' is not an amount"),
        (Decimal("1E+999999999999999999"), "'1E+999999999999999999' is not an amount"),
        (Decimal("NaN"), "'NaN' is not an amount"),
    ],
    ids=["no amount", "decimals", "large", "exponent", "huge exponent", "no number"],
)
def test_a_refusal_shows_what_was_written_and_not_all_of_it(
    amount: str | Decimal, words: str
) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        parse_units(amount, 2)
    assert str(refused.value).endswith(words)
    assert str(refused.value).startswith(repr(str(amount)[:80]))


@pytest.mark.parametrize(
    ("amount", "kind"), [(1.5, "float"), (True, "bool"), (None, "NoneType"), (b"1", "bytes")]
)
def test_what_is_no_amount_is_named_by_its_kind(amount: Any, kind: str) -> None:
    with pytest.raises(TypeError) as refused:
        parse_units(amount, 2)
    assert str(refused.value) == f"an amount is text, an integer or a Decimal, not a {kind}"


@pytest.mark.parametrize(("units", "text"), [(0, "0.00"), (1, "0.01"), (-1, "-0.01")])
def test_nothing_is_written_without_a_sign(units: int, text: str) -> None:
    assert format_units(units, 2) == text
    assert format_units(0, 0) == "0"

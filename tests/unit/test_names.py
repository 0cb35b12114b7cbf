"""Names are found whole, in any letter case, however many there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payd.adapters.names import Names

UUID = "0190163d-8694-739b-aea5-966c26f8ad90"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cs_test_1", '{"id":"cs_test_1"}'),
        ("cs_test_1", "cs_test_1"),
        ("cs_test_1", "x/cs_test_1.json"),
        (UUID, f"payment {UUID.upper()}, paid"),
        ("ada+1@example.org", "<ADA+1@example.org>"),
        ("0xABCDEF:7", '"0xabcdef:7"'),
        ("a.b*c[1](2)|{3}^$\\", "x a.b*c[1](2)|{3}^$\\ y"),
        ("jürgen@example.org", "von JÜRGEN@example.org."),
    ],
)
def test_a_name_is_found(name: str, text: str) -> None:
    assert Names([name, "another-name"]).are_in(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cs_test_1", "cs_test_10"),
        ("cs_test_1", "xcs_test_1"),
        ("cs_test_1", "cs_test_1-2"),
        ("ada@example.org", "nada@example.org"),
        ("ada@example.org", "ada at example.org"),
        ("a.bcdef.c", "aXbcdefXc"),
        ("short", "short"),
        ("******", "******"),
    ],
)
def test_what_only_resembles_a_name_is_not_found(name: str, text: str) -> None:
    assert not Names([name, "another-name"]).are_in(text)


@given(st.text(min_size=6, alphabet="ab1-_.@:/ ").filter(str.strip), st.text(), st.text())
def test_any_name_is_found_between_edges(name: str, before: str, after: str) -> None:
    found = Names([name]).are_in(f"{before} {name} {after}")
    assert found is bool(set(name) & set("ab1-_"))

"""payd's own names in the audit trail, and names that could be mistaken for them."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import payd
from payd.domain.actors import (
    RECONCILIATION,
    RECOVERY,
    is_reserved,
    operator_actor,
    provider_actor,
)

OWN = ("payd", RECOVERY, RECONCILIATION, provider_actor("stripe"), operator_actor("ada"))
WHITE_SPACE = st.text(" \t\u00a0\u2003", max_size=3)


@pytest.mark.parametrize("actor", [*OWN, "operator/ada", "oper ator : ada"])
def test_payds_own_names_are_reserved(actor: str) -> None:
    assert is_reserved(actor)


@given(
    own=st.sampled_from(OWN),
    upper=st.lists(st.booleans(), min_size=20, max_size=20),
    before=WHITE_SPACE,
    between=WHITE_SPACE,
    after=WHITE_SPACE,
)
def test_case_and_white_space_do_not_make_another_name(
    own: str, upper: list[bool], before: str, between: str, after: str
) -> None:
    letters = (one.upper() if is_upper else one for one, is_upper in zip(own, upper, strict=False))
    assert is_reserved(before + between.join(letters) + after)


@given(name=st.text(max_size=40))
def test_whatever_a_provider_or_an_operator_is_called_the_name_is_payds(name: str) -> None:
    assert is_reserved(provider_actor(name))
    assert is_reserved(operator_actor(name))


@given(name=st.from_regex(r"user:[0-9]{1,9}", fullmatch=True) | st.emails())
def test_a_main_apps_user_is_nobody_of_payds(name: str) -> None:
    assert not is_reserved(name)


def test_the_code_writes_no_actor_that_this_module_does_not_name() -> None:
    """Every `actor=` of an Origin is a name, an attribute or a call, never text of its own."""
    spelled = [
        f"{path}:{keyword.value.lineno}"
        for path in Path(payd.__file__).parent.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("Origin")
        for keyword in call.keywords
        if keyword.arg == "actor" and isinstance(keyword.value, ast.Constant | ast.JoinedStr)
    ]
    assert not spelled

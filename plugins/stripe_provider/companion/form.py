"""Form decoding: `a[b][0][c]=d` becomes nested mappings, as Stripe's SDKs write them."""

import re
from collections.abc import Mapping
from typing import TypeAlias
from urllib.parse import parse_qsl

from stripe_provider.companion.errors import ApiError

#: A list is a mapping from its indices, in the order of the form.
Form: TypeAlias = dict[str, "str | Form"]

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")


def decode(text: str) -> Form:
    """Decode a query string or a body. Raises ApiError."""
    form: Form = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        match = _NAME.fullmatch(name)
        if match is None:
            raise ApiError(message=f"Invalid parameter name: {name}", param=name)
        _put(form, [match[1], *_PART.findall(match[2])], value, name)
    return form


def _put(form: Form, path: list[str], value: str, name: str) -> None:
    here = form
    for step in path[:-1]:
        inner = here.setdefault(_index(here, step), {})
        if isinstance(inner, str):
            raise ApiError(message=f"Invalid {name}: both a value and an object", param=name)
        here = inner
    here[_index(here, path[-1])] = value


def _index(here: Mapping[str, object], step: str) -> str:
    """Return the key of one step; `[]` appends."""
    return step or str(len(here))

"""Stripe's API as its SDK documents it: parameters and objects are held against the SDK's types.

The SDK's TypedDicts and resource classes are generated from Stripe's OpenAPI description of the
API version that the SDK pins, so nothing here is known from memory. A class marks a field
`Optional` both where it may be null and where it may be left out; every other field is required.
"""

import ast
import inspect
import sys
import types
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from functools import cache
from importlib import import_module
from typing import (
    Any,
    ClassVar,
    ForwardRef,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
)

import attrs
from stripe import ErrorObject, ListObject, StripeObject
from stripe._object_classes import OBJECT_CLASSES
from stripe._request_options import RequestOptions

_MAPPINGS = ("Dict", "dict", "UntypedStripeObject")
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", Decimal: "decimal"}


@attrs.frozen
class Problem:
    """A difference between a value and its documented type."""

    #: The path in Stripe's notation: `line_items[0][price_data][currency]`.
    param: str
    #: `unknown`, `missing`, `null`, `type` or `word`.
    kind: str
    #: A message for people.
    text: str = ""


def parameter_problems(form: Mapping[str, Any], documented: type) -> list[Problem]:
    """Check a decoded form, in which leaves are strings and lists are mappings."""
    return list(_fields(form, documented, "", is_form=True))


def object_problems(body: Mapping[str, Any]) -> list[Problem]:
    """Check an object as JSON; its `object` field names the class."""
    return list(_resource(body, str(body.get("object"))))


def error_problems(body: Mapping[str, Any]) -> list[Problem]:
    """Check the body of an error response."""
    return list(_fields(body["error"], ErrorObject, "error"))


# -- objects and parameters --------------------------------------------------------------------


def _resource(body: Mapping[str, Any], at: str) -> Iterator[Problem]:
    kind = body.get("object")
    if kind not in OBJECT_CLASSES:
        yield Problem(at, "unknown", f"no object of the API is called {kind!r}")
        return
    where, name = OBJECT_CLASSES[str(kind)]
    documented = getattr(import_module(where), name)
    if documented is ListObject:
        yield from _list(body, Any, at, "")
        return
    yield from _fields(body, documented, at)
    if kind == "event":
        yield from _resource(body["data"]["object"], f"{at}[data][object]")


def _fields(
    body: Mapping[str, Any], documented: type, at: str, *, is_form: bool = False
) -> Iterator[Problem]:
    hints = _hints(documented)
    for name, value in body.items():
        where = f"{at}[{name}]" if at else name
        if name not in hints:
            yield Problem(where, "unknown", f"{documented.__name__} has no {name!r}")
            continue
        annotation = hints[name].annotation
        yield from _value(value, annotation, where, documented.__module__, is_form=is_form)
    for name, hint in hints.items():
        if hint.required and name not in body:
            yield Problem(f"{at}[{name}]" if at else name, "missing", "required")


def _value(
    value: Any, annotation: Any, at: str, module: str, *, is_form: bool = False
) -> Iterator[Problem]:
    """Return the problems with the variant of the annotation that fits best."""
    variants = list(_variants(annotation, module))
    if value is None and not is_form:
        if types.NoneType not in variants and Any not in variants:
            yield Problem(at, "null", "may not be null")
        return
    words = [word for one in variants if get_origin(one) is Literal for word in get_args(one)]
    if words and isinstance(value, str):
        # The SDK adds `str` for future words; only those of this version are valid here.
        if value not in words:
            yield Problem(at, "word", f"{value!r} is none of {', '.join(map(str, words))}")
        return
    tried = [
        list(_one(value, one, at, module, is_form=is_form))
        for one in variants
        if one is not types.NoneType
    ]
    yield from min(tried, key=_distance)


def _distance(problems: list[Problem]) -> tuple[bool, int]:
    """Rank variants: a wrong type counts more than any number of wrong fields."""
    return any(one.kind == "type" for one in problems), len(problems)


def _one(value: Any, annotation: Any, at: str, module: str, *, is_form: bool) -> Iterator[Problem]:
    """Check a value against one variant."""
    origin: Any = get_origin(annotation) or annotation
    if origin is Any:
        return
    if origin in _PLAIN:
        if not _is_plain(value, origin, is_form=is_form):
            yield Problem(at, "type", f"{value!r} is no {_PLAIN[origin]}")
    elif origin is Literal:
        if value not in get_args(annotation):
            yield Problem(at, "word", f"{value!r} is none of {get_args(annotation)}")
    elif origin is list:
        yield from _members(value, get_args(annotation)[0], at, module, is_form=is_form)
    elif not isinstance(value, Mapping):
        yield Problem(at, "type", f"{value!r} is no object")
    elif origin.__name__ in _MAPPINGS:
        wanted = (get_args(annotation) or (Any,))[-1]
        for name, member in value.items():
            yield from _value(member, wanted, f"{at}[{name}]", module, is_form=is_form)
    elif origin is ListObject:
        yield from _list(value, get_args(annotation)[0], at, module)
    else:
        yield from _fields(value, annotation, at, is_form=is_form)


def _members(value: Any, wanted: Any, at: str, module: str, *, is_form: bool) -> Iterator[Problem]:
    members = value.values() if is_form and isinstance(value, Mapping) else value
    if isinstance(members, str | Mapping) or not isinstance(members, Collection):
        yield Problem(at, "type", "no list")
        return
    for number, member in enumerate(members):
        yield from _value(member, wanted, f"{at}[{number}]", module, is_form=is_form)


def _list(body: Mapping[str, Any], member: Any, at: str, module: str) -> Iterator[Problem]:
    if body.get("object") != "list":
        yield Problem(f"{at}[object]", "word", "a list's object is 'list'")
    rest = {name: value for name, value in body.items() if name not in ("object", "data")}
    yield from _fields({**rest, "data": []}, ListObject, at)
    for number, one in enumerate(body.get("data", ())):
        where = f"{at}[data][{number}]"
        if member is Any:
            yield from _resource(one, where)
        else:
            yield from _value(one, member, where, module)


def _is_plain(value: Any, wanted: type, *, is_form: bool) -> bool:
    if not is_form:
        # Decimals are strings in JSON; an integer is a number, a boolean is not an integer.
        allowed: Any = {float: (int, float), Decimal: str}.get(wanted, wanted)
        return isinstance(value, allowed) and (wanted is bool or not isinstance(value, bool))
    if not isinstance(value, str):
        return False
    if wanted is bool:
        return value in ("true", "false")
    if wanted is int:
        return value.removeprefix("-").isdecimal()
    return True


# -- the SDK's annotations ---------------------------------------------------------------------


@attrs.frozen
class _Hint:
    annotation: Any
    required: bool


@cache
def _hints(documented: type) -> dict[str, _Hint]:
    """Return the fields of a TypedDict or of a resource class, with inherited ones."""
    if hasattr(documented, "__required_keys__"):
        options = RequestOptions.__annotations__
        return {
            name: _parameter(annotation)
            for name, annotation in documented.__annotations__.items()
            if name not in options
        }
    found: dict[str, _Hint] = {}
    for base in reversed(documented.__mro__):
        if base is StripeObject or not issubclass(base, StripeObject):
            continue
        for name, annotation in inspect.get_annotations(base).items():
            origin: Any = get_origin(annotation)
            if origin is ClassVar or name.startswith("_"):
                continue
            can_be_null = types.NoneType in _variants(annotation, documented.__module__)
            found[name] = _Hint(annotation, required=not can_be_null)
    return found


def _parameter(annotation: Any) -> _Hint:
    origin: Any = get_origin(annotation)
    if origin in (NotRequired, Required):
        return _Hint(get_args(annotation)[0], required=origin is Required)
    return _Hint(annotation, required=True)


def _variants(annotation: Any, module: str) -> Iterator[Any]:
    """Return a union's members; names resolve as a type checker resolves them in the module."""
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        # The text comes from the installed SDK.
        annotation = eval(annotation, _namespace(module))  # noqa: S307
        yield from _variants(annotation, module)
    elif get_origin(annotation) in (Union, types.UnionType):
        for one in get_args(annotation):
            yield from _variants(one, module)
    else:
        yield annotation


@cache
def _namespace(module: str) -> dict[str, Any]:
    """Return a module's names, with those that it imports only for type checkers."""
    found = dict(vars(sys.modules[module]))
    for node in ast.walk(ast.parse(inspect.getsource(sys.modules[module]))):
        is_guard = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for line in node.body if is_guard and isinstance(node, ast.If) else ():
            if isinstance(line, ast.ImportFrom) and line.module:
                for alias in line.names:
                    value = getattr(import_module(line.module), alias.name)
                    found[alias.asname or alias.name] = value
    return found

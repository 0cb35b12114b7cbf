"""Every setting as a list: key, variable, type, default, meaning. Docs and the loader read it."""

import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import annotated_types
import attrs
from pydantic.fields import FieldInfo

from payd.config.tree import Config, Provider, Section
from payd.telemetry import Secret

Kind = Literal["text", "integer", "number", "switch", "choice", "list", "file", "secret"]


@attrs.frozen(kw_only=True)
class Setting:
    """One thing an operator can set. `NAME` in a key or variable stands for a provider's name."""

    key: str
    env: str
    kind: Kind
    #: For people: the kind with its bounds or choices.
    type: str
    #: None where nothing is set.
    default: object
    #: The default in production, where it is another one.
    production_default: object
    #: What a text must look like, in words; empty when anything goes.
    form: str
    description: str


def _all_settings() -> Iterator[Setting]:
    for name, field in Config.model_fields.items():
        section = field.annotation
        if not (isinstance(section, type) and issubclass(section, Section)):
            yield _setting(name, field)
            continue
        for inner, inner_field in section.model_fields.items():
            if inner_field.description:
                yield _setting(f"{name}.{inner}", inner_field)


def _setting(key: str, field: FieldInfo) -> Setting:
    declared = field.json_schema_extra
    extra: Mapping[str, Any] = declared if isinstance(declared, dict) else {}
    kind, choices = _kind(field.annotation)
    return Setting(
        key=key,
        env=str(extra.get("env") or "PAYD_" + key.upper().replace(".", "_")),
        kind=kind,
        type=" | ".join(choices) or kind + _bounds(field),
        default=field.default,
        production_default=extra.get("production"),
        form=str(extra.get("form") or ""),
        description=field.description or "",
    )


def _kind(annotation: object) -> tuple[Kind, tuple[str, ...]]:
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is types.UnionType:
        return _kind(next(part for part in arguments if part is not types.NoneType))
    if origin is Literal:
        return "choice", arguments
    if origin is tuple:
        return "list", ()
    kinds: dict[object, Kind] = {
        bool: "switch",
        int: "integer",
        float: "number",
        Path: "file",
        Secret: "secret",
    }
    return kinds.get(annotation, "text"), ()


def _bounds(field: FieldInfo) -> str:
    parts = []
    for limit in field.metadata:
        match limit:
            case annotated_types.Gt(gt=bound):
                parts.append(f"above {bound}")
            case annotated_types.Ge(ge=bound):
                parts.append(f"from {bound}")
            case annotated_types.Le(le=bound):
                parts.append(f"up to {bound}")
    return " " + " ".join(parts) if parts else ""


#: In the order of the tree. Those of a provider come last, under `providers.NAME`.
SETTINGS: tuple[Setting, ...] = (
    *_all_settings(),
    *(
        _setting(f"providers.NAME.{name}", field)
        for name, field in Provider.model_fields.items()
        if field.description
    ),
)

#: Those whose key is fixed, by key.
BY_KEY: Mapping[str, Setting] = {s.key: s for s in SETTINGS if ".NAME." not in s.key}

"""List every setting with key, variable, type, default and meaning, for the loader and the docs."""

import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import annotated_types
import attrs
from pydantic.fields import FieldInfo

from payd.config.section import Section
from payd.config.tree import Config, Provider
from payd.telemetry import Secret

Kind = Literal["text", "integer", "number", "switch", "choice", "list", "file", "secret", "secrets"]


@attrs.frozen(kw_only=True)
class Setting:
    """One setting. `NAME` in its key or variable stands for a provider's name."""

    key: str
    env: str
    kind: Kind
    #: The kind with its bounds or choices, for display.
    type: str
    #: None without a default.
    default: object
    #: The default in production if it differs, else None.
    production_default: object
    #: The required format of a text in words; empty without one.
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
        type=" | ".join(choices) or kind + bounds(field),
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
        return "secrets" if Secret in arguments else "list", ()
    kinds: dict[object, Kind] = {
        bool: "switch",
        int: "integer",
        float: "number",
        Path: "file",
        Secret: "secret",
    }
    return kinds.get(annotation, "text"), ()


def bounds(field: FieldInfo) -> str:
    """Return the limits of a number in words, with a leading blank; empty without limits."""
    parts = []
    for limit in field.metadata:
        match limit:
            case annotated_types.Gt(gt=bound):
                parts.append(f"above {bound}")
            case annotated_types.Ge(ge=bound):
                parts.append(f"from {bound}")
            case annotated_types.Le(le=bound):
                parts.append(f"up to {bound}")
            case annotated_types.Lt(lt=bound):
                parts.append(f"below {bound}")
    return " " + " ".join(parts) if parts else ""


#: Every setting in the order of the tree; those of a provider last, under `providers.NAME`.
SETTINGS: tuple[Setting, ...] = (
    *_all_settings(),
    *(
        _setting(f"providers.NAME.{name}", field)
        for name, field in Provider.model_fields.items()
        if field.description
    ),
)

#: Every setting except those of providers, by key.
BY_KEY: Mapping[str, Setting] = {s.key: s for s in SETTINGS if ".NAME." not in s.key}

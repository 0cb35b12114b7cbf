"""Every public field of the SDK has a description, which `help()` and the reference page show."""

import enum
import inspect
import pydoc
import re

import attrs
import pytest

import payd.plugins
import payd.plugins.testing
from payd.plugins import ProviderError, Snapshot

CLASSES = [
    value
    for module in (payd.plugins, payd.plugins.testing)
    for value in map(vars(module).get, module.__all__)
    if isinstance(value, type) and value is not payd.plugins.ProviderConfig
]


def fields(cls: type) -> list[str]:
    """Names of the class's public fields: of a value, of an enum, of an error, of a Remote."""
    if attrs.has(cls):
        return [field.name for field in attrs.fields(cls) if field.init]
    if issubclass(cls, enum.Enum):
        return [member.name for member in cls]
    if issubclass(cls, ProviderError):
        return [*inspect.signature(cls).parameters] if "__init__" in vars(cls) else []
    return [name for name in vars(cls).get("__annotations__", {}) if not name.startswith("_")]


def described(cls: type) -> dict[str, str]:
    """Name and description of each entry in the docstring's section `Attributes:`."""
    _, _, section = pydoc.getdoc(cls).partition("\nAttributes:\n")
    return dict(re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)$", section, re.MULTILINE))


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_each_public_field_has_a_description(cls: type) -> None:
    assert list(described(cls)) == fields(cls)


def test_the_classes_with_fields_are_found() -> None:
    assert sum(bool(fields(cls)) for cls in CLASSES) > 50
    assert fields(payd.plugins.InvalidRequest) == ["field", "message"]
    assert fields(payd.plugins.NotAttempted) == []


def test_help_shows_the_description_of_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    help(Snapshot)
    assert "confirmed: The part of `received` that is final" in capsys.readouterr().out

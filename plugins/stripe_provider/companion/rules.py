"""Rules for parameters: each parses a value, or raises the error that Stripe would send."""

import re
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

import attrs

from stripe_provider.companion.errors import invalid, missing
from stripe_provider.companion.form import Form

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


class Rule(Protocol):
    """A rule for one parameter."""

    def parse(self, raw: str | Form, param: str) -> Any:
        """Return the parsed value. Raises ApiError."""


def _text(raw: str | Form, param: str) -> str:
    if not isinstance(raw, str):
        raise invalid("Invalid string: {…}", param)
    return raw


@attrs.frozen
class Text:
    """A string."""

    longest: int = 5000

    def parse(self, raw: str | Form, param: str) -> str:
        """Check the length."""
        text = _text(raw, param)
        if len(text) > self.longest:
            message = f"Invalid string: {text[:20]}...; must be at most {self.longest} characters"
            raise invalid(message, param)
        return text


@attrs.frozen
class Integer:
    """An integer."""

    least: int | None = None
    most: int | None = None

    def parse(self, raw: str | Form, param: str) -> int:
        """Check the bounds."""
        text = _text(raw, param)
        if not _INTEGER.fullmatch(text):
            raise invalid(f"Invalid integer: {text}", param, "parameter_invalid_integer")
        value = int(text)
        if self.least is not None and value < self.least:
            message = f"This value must be greater than or equal to {self.least}."
            raise invalid(message, param, "parameter_invalid_integer")
        if self.most is not None and value > self.most:
            message = f"This value must be less than or equal to {self.most}."
            raise invalid(message, param, "parameter_invalid_integer")
        return value


@attrs.frozen
class Flag:
    """A boolean."""

    def parse(self, raw: str | Form, param: str) -> bool:
        """Accept `true` and `false`, in lower case only."""
        text = _text(raw, param)
        if text not in ("true", "false"):
            raise invalid(f"Invalid boolean: {text}", param)
        return text == "true"


@attrs.frozen
class Url:
    """A URL for a browser."""

    def parse(self, raw: str | Form, param: str) -> str:
        """Require scheme and host."""
        text = Text().parse(raw, param)
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise invalid("Not a valid URL", param, "url_invalid")
        return text


@attrs.frozen
class Email:
    """An email address."""

    def parse(self, raw: str | Form, param: str) -> str:
        """Check roughly that it is well formed."""
        text = Text(800).parse(raw, param)
        if not _EMAIL.fullmatch(text):
            raise invalid(f"Invalid email address: {text}", param, "email_invalid")
        return text


@attrs.frozen
class Metadata:
    """Metadata: free keys and values, within Stripe's limits."""

    def parse(self, raw: str | Form, param: str) -> dict[str, str]:
        """Allow 50 keys of 40 characters, with values of 500 characters."""
        if isinstance(raw, str):
            if raw == "":
                return {}
            raise invalid("Invalid object", param)
        if len(raw) > 50:
            raise invalid("Metadata can have up to 50 keys.", param)
        found: dict[str, str] = {}
        for key, value in raw.items():
            if len(key) > 40:
                message = f"Metadata keys can have up to 40 characters: {key}"
                raise invalid(message, f"{param}[{key}]")
            text = Text(500).parse(value, f"{param}[{key}]")
            if text:
                found[key] = text
        return found


@attrs.frozen
class Items:
    """A list."""

    rule: Rule
    least: int = 0
    most: int = 100

    def parse(self, raw: str | Form, param: str) -> list[Any]:
        """Check each item by the rule."""
        if isinstance(raw, str):
            raise invalid("Invalid array", param)
        if not self.least <= len(raw) <= self.most:
            raise invalid(f"Invalid array: {self.least} to {self.most} values", param)
        if any(not key.isdecimal() for key in raw):
            raise invalid("Invalid array", param)
        ordered = sorted(raw.items(), key=lambda item: int(item[0]))
        return [self.rule.parse(value, f"{param}[{key}]") for key, value in ordered]


@attrs.frozen
class Fields:
    """An object with known fields."""

    rules: Mapping[str, Rule]
    required: tuple[str, ...] = ()

    def parse(self, raw: str | Form, param: str) -> dict[str, Any]:
        """Reject unknown fields, and require the required ones."""
        if isinstance(raw, str):
            raise invalid("Invalid object", param)
        for key in raw:
            if key not in self.rules:
                name = self._name(param, key)
                raise invalid(f"The stand-in does not model `{name}`.", name)
        found: dict[str, Any] = {}
        for key, rule in self.rules.items():
            name = self._name(param, key)
            if key in raw:
                if (value := raw[key]) == "" and not isinstance(rule, Metadata):
                    raise _empty(name)
                found[key] = rule.parse(value, name)
            elif key in self.required:
                raise missing(name)
        return found

    @staticmethod
    def _name(param: str, key: str) -> str:
        return f"{param}[{key}]" if param else key


def _empty(name: str) -> Exception:
    message = (
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset "
        f"a parameter; however '{name}' cannot be unset. You should remove '{name}' from your "
        "request or supply a non-empty value."
    )
    return invalid(message, name, "parameter_invalid_empty")


@attrs.frozen
class IntegerOrRange:
    """A time, or a range of times."""

    def parse(self, raw: str | Form, param: str) -> dict[str, int]:
        """Return the range; a single time is both bounds."""
        if isinstance(raw, str):
            moment = Integer().parse(raw, param)
            return {"gte": moment, "lte": moment}
        bounds = dict.fromkeys(("gt", "gte", "lt", "lte"), Integer())
        return Fields(bounds).parse(raw, param)

"""Text that PostgreSQL can store, and its limits, as attrs validators for what providers report."""

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from attrs import validators

#: Characters of what names something at the remote side: references, aliases, ids of events,
#: receipts and outflows, assets. In UTF-8 that always fits an index of PostgreSQL (2,704 bytes).
NAME_MAX = 512
#: Characters of any other text: addresses of pages, cursors, details.
TEXT_MAX = 8192
#: Names of one object in one report.
ALIASES_MAX = 100


def is_text(value: object) -> TypeGuard[str]:
    """Whether it is text without NUL, which PostgreSQL refuses, or a surrogate, which UTF-8 lacks."""
    if not isinstance(value, str):
        return False
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _limited(least: int, most: int) -> Callable[[Any, Any, Any], None]:
    def check(_instance: Any, attribute: Any, value: Any) -> None:
        # The value is not shown: it may be long, or secret.
        if not is_text(value) or not least <= len(value) <= most:
            raise ValueError(
                f"{attribute.name}: must be text of {least} to {most} characters without NUL"
            )

    return check


def is_whole(_instance: Any, attribute: Any, value: Any) -> None:
    """Validate an integer that is no truth value."""
    if type(value) is not int:
        raise ValueError(f"{attribute.name}: must be an integer, is a {type(value).__name__}")


#: Validates what names something.
is_name = _limited(1, NAME_MAX)
#: Validates what names something, or nothing.
is_name_or_empty = _limited(0, NAME_MAX)
#: Validates any other text.
is_short_text = _limited(0, TEXT_MAX)
#: Validates the further names of an object.
are_aliases = validators.and_(
    validators.instance_of(tuple),
    validators.max_len(ALIASES_MAX),
    validators.deep_iterable(is_name_or_empty),
)
#: Validates what people are shown beside a receipt or an outflow.
are_details = validators.deep_mapping(
    is_short_text,
    is_short_text,
    validators.instance_of(Mapping),  # type: ignore[type-abstract]  # isinstance takes it
)

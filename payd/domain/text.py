"""Text that PostgreSQL can store, and its limits, as attrs validators for what providers report."""

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from attrs import validators

#: Longest name at the remote side, in characters: references, aliases, ids of events, receipts and
#: outflows, assets. In UTF-8 it always fits an index of PostgreSQL (2,704 bytes).
NAME_MAX = 512
#: Longest other text, in characters: addresses of pages, cursors, details.
TEXT_MAX = 8192
#: Most names of one object in one report.
ALIASES_MAX = 100


def is_text(value: object) -> TypeGuard[str]:
    """Whether it is text without NUL (PostgreSQL refuses it) and surrogates (UTF-8 has none)."""
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
    """Validate an integer; True and False are refused."""
    if type(value) is not int:
        raise ValueError(f"{attribute.name}: must be an integer, is a {type(value).__name__}")


#: Validates a name at the remote side.
is_name = _limited(1, NAME_MAX)
#: Validates a name that may be empty.
is_name_or_empty = _limited(0, NAME_MAX)
#: Validates text that is not a name.
is_short_text = _limited(0, TEXT_MAX)
#: Validates the further names of an object.
are_aliases = validators.and_(
    validators.instance_of(tuple),
    validators.max_len(ALIASES_MAX),
    validators.deep_iterable(is_name_or_empty),
)
#: Validates the details of a receipt or an outflow, which people read.
are_details = validators.deep_mapping(
    is_short_text,
    is_short_text,
    validators.instance_of(Mapping),  # type: ignore[type-abstract]  # isinstance takes it
)

"""What payd accepts from providers: text that PostgreSQL can store, amounts and times.

The checks are attrs validators.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeGuard

from attrs import validators

#: Longest name at the remote side, in characters: references, aliases, ids of events, receipts and
#: outflows, assets. In UTF-8 it always fits an index of PostgreSQL (2,704 bytes).
NAME_MAX = 512
#: Longest other text, in characters: addresses of pages, cursors, details.
TEXT_MAX = 8192
#: Longest failure code and message of a provider, in characters; the rest is cut off, because a
#: payment is published whole, and the stream limits the size of a message.
CODE_MAX = 100
MESSAGE_MAX = 500
#: PostgreSQL's numeric(78,0) holds any uint256.
BASE_UNITS_MAX = 2**256 - 1
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


def is_amount(_instance: Any, attribute: Any, value: int) -> None:
    """Validate an amount in minor units or base units, from 0 to BASE_UNITS_MAX."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= BASE_UNITS_MAX:
        raise ValueError(
            f"{attribute.name}: must be an integer from 0 to {BASE_UNITS_MAX}, not {value!r}"
        )


def is_aware(_instance: Any, attribute: Any, value: datetime) -> None:
    """Validate a time: it must have a time zone."""
    if value.tzinfo is None:
        raise ValueError(f"{attribute.name}: needs a time zone, has none: {value!r}")


def is_storable(_instance: Any, attribute: Any, value: Any) -> None:
    """Validate text of any length that PostgreSQL can store."""
    if not is_text(value):
        raise ValueError(f"{attribute.name}: must be text without NUL")


def cut_code(value: Any) -> Any:
    """Cut text to CODE_MAX; the validator refuses other types."""
    return value[:CODE_MAX] if isinstance(value, str) else value


def cut_message(value: Any) -> Any:
    """Cut text to MESSAGE_MAX; the validator refuses other types."""
    return value[:MESSAGE_MAX] if isinstance(value, str) else value


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

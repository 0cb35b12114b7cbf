"""Checks of single fields of a request. Each raises InvalidField with the field's path."""

import re
from uuid import UUID

from payd_client.proto import payment_pb2 as pb

from payd.domain.errors import InvalidField
from payd.domain.money import Money

VISIBLE_ASCII = re.compile(r"[!-~]+")
#: Stricter than UUID(), which accepts braces, a urn: prefix and digits of other scripts.
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: PostgreSQL cannot store NUL, and no valid text has other control characters.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def a_uuid(field: str, value: str) -> UUID:
    """Parse an id."""
    if not _UUID.fullmatch(value):
        raise InvalidField(field, "must be a UUID")
    return UUID(value)


def idempotency_key(value: str) -> str:
    """Check an idempotency key."""
    return visible("idempotency_key", value, 255)


def money(field: str, message: pb.Money) -> Money:
    """Parse an amount."""
    try:
        return Money(currency_code=message.currency_code, minor_units=message.minor_units)
    except ValueError as error:
        name, _, what = str(error).partition(": ")
        raise InvalidField(f"{field}.{name}", what) from None


def visible(field: str, value: str, length_max: int) -> str:
    """Check text of visible ASCII characters that must not be empty."""
    if not 1 <= len(value) <= length_max or not VISIBLE_ASCII.fullmatch(value):
        raise InvalidField(field, f"must be 1 to {length_max} visible ASCII characters")
    return value


def text(field: str, value: str, length_max: int, *, required: bool = True) -> str:
    """Check text without control characters."""
    if required and not value:
        raise InvalidField(field, "is required")
    if len(value) > length_max or _CONTROL.search(value):
        raise InvalidField(field, f"must be at most {length_max} characters, no control characters")
    return value


def check_count(field: str, count: int, least: int, most: int) -> None:
    """Check the number of entries of a list."""
    if not least <= count <= most:
        raise InvalidField(field, f"must have {least} to {most} entries, has {count}")

"""Ids in Stripe's objects: of payd's payments and refunds, and of other objects of Stripe."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID


def uuid_or_none(text: object) -> UUID | None:
    """Parse an id in the exact form that payd writes."""
    if not isinstance(text, str):
        return None
    try:
        read = UUID(text)
    except ValueError:
        return None
    return read if str(read) == text else None


def id_of(value: Any) -> str | None:
    """Id of a referenced object, which may be expanded to the whole object."""
    found: str | None = value["id"] if isinstance(value, Mapping) else value
    return found


def names_of(*ids: str | None) -> tuple[str, ...]:
    """The ids that are known, as aliases."""
    return tuple(one for one in ids if one)

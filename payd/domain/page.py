"""Pages of a list: a part of it, and where the next part begins."""

from collections.abc import Sequence
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

import attrs

T = TypeVar("T")


@attrs.frozen
class Position:
    """A place in a list that is sorted by a time and an id: that of one of its elements."""

    time: datetime
    id: UUID


@attrs.frozen
class Page(Generic[T]):
    """Some elements of a list, in its order."""

    items: tuple[T, ...] = ()
    #: The next page begins after it; None on the last page. A page may have fewer elements than
    #: were asked for, and still not be the last one.
    next: Position | None = None


def first_of(found: Sequence[tuple[T, Position]], size: int) -> Page[T]:
    """The page of the first `size` elements, out of more if there are more."""
    page = found[:size]
    has_more = len(found) > size
    return Page(tuple(item for item, _ in page), page[-1][1] if has_more else None)

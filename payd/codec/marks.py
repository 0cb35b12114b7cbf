"""Pages of lists that are sorted by something else than a time and a UUID.

Their tokens name the last element by a few texts, and the request by a digest. As those of
`page_tokens` they are not signed: a token only says from where to read on.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Generic, TypeVar

import attrs

from payd.codec.page_tokens import PAGE_SIZE, PAGE_SIZE_MAX, AsksForPage, digest_of
from payd.domain.errors import InvalidField, InvalidPageToken

F = TypeVar("F")
P = TypeVar("P")

Mark = Sequence[str]


@attrs.frozen(kw_only=True)
class MarkedPage(Generic[F, P]):
    """Which page of which list is asked for."""

    filter: F
    #: Where the page before ended; None for the first page.
    after: P | None
    size: int
    #: What the request asks for; the same for all pages of a list.
    meaning: str

    def token_of(self, mark: Mark | None) -> str:
        """The token of the page that begins after this mark; empty without one."""
        return mark_token(mark, self.meaning) if mark is not None else ""


def marked_page(
    message: AsksForPage, wanted: F, meaning: str, position_of: Callable[[Mark], P]
) -> MarkedPage[F, P]:
    """Parse the page of a request. Raises InvalidField and InvalidPageToken.

    `position_of` reads a mark, and raises ValueError or OverflowError for another list's.
    """
    size = message.page_size
    if not 0 <= size <= PAGE_SIZE_MAX:
        raise InvalidField("page_size", f"must be 0 to {PAGE_SIZE_MAX}, is {size}")
    return MarkedPage(
        filter=wanted,
        after=read_mark(message.page_token, meaning, position_of),
        size=size or PAGE_SIZE,
        meaning=meaning,
    )


def mark_token(mark: Mark, meaning: str) -> str:
    """Return the token of the page that begins after this mark."""
    content = json.dumps([digest_of(meaning).hex(), *mark], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode()


def read_mark(token: str, meaning: str, position_of: Callable[[Mark], P]) -> P | None:
    """Return where the page begins; None without a token. Raises InvalidPageToken."""
    if not token:
        return None
    try:
        digest, *mark = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
        if not all(isinstance(one, str) for one in mark):
            raise ValueError(token)
        position = position_of(mark)
    except (ValueError, TypeError, binascii.Error, OverflowError, RecursionError):
        raise InvalidPageToken("page_token is not one of payd: begin at the first page") from None
    if digest != digest_of(meaning).hex():
        raise InvalidPageToken("page_token is for another request: begin at the first page")
    return position


def an_id(text: str) -> int:
    """Read a number of a mark, as PostgreSQL and JetStream count. Raises ValueError."""
    number = int(text)
    if not 0 <= number < 2**63:
        raise ValueError(text)
    return number


def a_time(text: str) -> datetime:
    """Read a time of a mark. Raises ValueError."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(text)
    return time.astimezone(UTC)


def a_text(text: str) -> str:
    """Read a text of a mark that PostgreSQL can compare. Raises ValueError."""
    if b"\0" in text.encode():
        raise ValueError(text)
    return text

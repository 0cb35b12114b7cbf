"""Pages of lists: their size, and tokens that say where a page ended, and for which request.

A token is not signed: it only says from where to read on, and a caller may read the whole list.
"""

import base64
import enum
import hashlib
import json
import struct
from datetime import UTC, datetime, timedelta
from typing import Generic, Protocol, TypeVar
from uuid import UUID

import attrs

from payd.domain.errors import InvalidField, InvalidPageToken
from payd.domain.page import Position

F = TypeVar("F")

PAGE_SIZE_MAX = 200
PAGE_SIZE = 50
_VERSION = 1
_LAYOUT = struct.Struct(">Bq16s8s")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class AsksForPage(Protocol):
    """A request for a page of a list."""

    page_size: int
    page_token: str


@attrs.frozen(kw_only=True)
class PageRequest(Generic[F]):
    """Which page of which list is asked for."""

    filter: F
    #: Where the page before ended; None for the first page.
    after: Position | None
    size: int
    #: What the request asks for, as text; the same for all pages of a list.
    meaning: str

    def token_of(self, position: Position | None) -> str:
        """The token of the page that begins after this position; empty without one."""
        return page_token(position, self.meaning) if position else ""


def page_request(message: AsksForPage, wanted: F, *asked: object) -> PageRequest[F]:
    """Parse the page of a request for a list. Raises InvalidField and InvalidPageToken.

    `asked` is what distinguishes this request from one for another list.
    """
    size, token = message.page_size, message.page_token
    if not 0 <= size <= PAGE_SIZE_MAX:
        raise InvalidField("page_size", f"must be 0 to {PAGE_SIZE_MAX}, is {size}")
    meaning = json.dumps(asked, default=_plain)
    return PageRequest(
        filter=wanted,
        after=read_page_token(token, meaning) if token else None,
        size=size or PAGE_SIZE,
        meaning=meaning,
    )


def page_token(position: Position, meaning: str) -> str:
    """Return the token of the page that begins after this position."""
    time = (position.time - _EPOCH) // _MICROSECOND
    content = _LAYOUT.pack(_VERSION, time, position.id.bytes, digest_of(meaning))
    return base64.urlsafe_b64encode(content).decode()


def read_page_token(token: str, meaning: str) -> Position:
    """Return where the page begins. Raises InvalidPageToken, also for the token of another request.

    Only the text that payd wrote is a token: base64 ignores foreign characters.
    """
    try:
        content = base64.urlsafe_b64decode(token)
        if base64.urlsafe_b64encode(content).decode() != token:
            raise ValueError(token)
        version, time, id_, digest = _LAYOUT.unpack(content)
        position = Position(_EPOCH + time * _MICROSECOND, UUID(bytes=id_))
    except (ValueError, struct.error, OverflowError):
        raise InvalidPageToken("page_token is not one of payd: begin at the first page") from None
    if version != _VERSION or digest != digest_of(meaning):
        raise InvalidPageToken("page_token is for another request: begin at the first page")
    return position


def digest_of(meaning: str) -> bytes:
    """Return what a token keeps of the request that it belongs to."""
    return hashlib.sha256(meaning.encode()).digest()[:8]


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case enum.Enum():
            return value.value
        case frozenset():
            return sorted(map(_plain, value), key=str)
        case _:
            return value

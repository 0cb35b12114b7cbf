"""Page tokens: where a page of refunds ended, and for which request.

A token is not signed: it only says from where to read on, and a caller may read every refund.
"""

import base64
import hashlib
import json
import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

from payd.domain.errors import InvalidPageToken
from payd.domain.request import RefundFilter, RefundPosition

_VERSION = 1
_LAYOUT = struct.Struct(">Bq16s8s")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def page_token(position: RefundPosition, wanted: RefundFilter) -> str:
    """Return the token of the page that begins after this position."""
    time = (position.create_time - _EPOCH) // _MICROSECOND
    content = _LAYOUT.pack(_VERSION, time, position.id.bytes, _digest(wanted))
    return base64.urlsafe_b64encode(content).decode()


def read_page_token(token: str, wanted: RefundFilter) -> RefundPosition:
    """Return where the page begins. Raises InvalidPageToken, also for the token of another request.

    Only the text that payd wrote is a token: base64 ignores foreign characters.
    """
    try:
        content = base64.urlsafe_b64decode(token)
        if base64.urlsafe_b64encode(content).decode() != token:
            raise ValueError(token)
        version, time, id_, digest = _LAYOUT.unpack(content)
        position = RefundPosition(_EPOCH + time * _MICROSECOND, UUID(bytes=id_))
    except (ValueError, struct.error, OverflowError):
        raise InvalidPageToken("page_token is not one of payd: begin at the first page") from None
    if version != _VERSION or digest != _digest(wanted):
        raise InvalidPageToken("page_token is for another request: begin at the first page")
    return position


def _digest(wanted: RefundFilter) -> bytes:
    statuses = sorted(status.value for status in wanted.statuses)
    meaning = json.dumps([str(wanted.payment_id), statuses])
    return hashlib.sha256(meaning.encode()).digest()[:8]

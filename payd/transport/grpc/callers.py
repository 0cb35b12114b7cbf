"""Origin of a call: what certificate and connection prove, and what the metadata claims."""

import re
from ipaddress import IPv6Address, ip_address
from typing import Any
from uuid import uuid4

from grpclib.server import Stream

from payd.domain.actors import is_reserved
from payd.domain.errors import InvalidField
from payd.domain.payment import Origin

_ACTOR = re.compile(r"[ -~]{1,128}")
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def origin_of(stream: Stream[Any, Any]) -> Origin:
    """The call's origin. The certificate's name stands in for an actor that cannot be kept."""
    request_id = _metadata(stream, "x-request-id")
    actor = _metadata(stream, "x-actor").strip()
    traceparent = _metadata(stream, "traceparent")
    forwarded = _metadata(stream, "x-forwarded-for").split(",")[0].strip()
    certificate, peer = common_name(stream), _peer(stream)
    return Origin(
        actor=actor if _ACTOR.fullmatch(actor) and not is_reserved(actor) else certificate,
        request_id=request_id if _REQUEST_ID.fullmatch(request_id) else uuid4().hex,
        ip=_address(forwarded) or peer,
        certificate=certificate,
        peer=peer,
        traceparent=traceparent if _TRACEPARENT.fullmatch(traceparent) else "",
    )


def refuse_reserved_actor(stream: Stream[Any, Any]) -> None:
    """Raises InvalidField when `x-actor` claims one of payd's own names."""
    if is_reserved(_metadata(stream, "x-actor")):
        raise InvalidField("x-actor", "is one of payd's own names; send a name of your own")


def common_name(stream: Stream[Any, Any]) -> str:
    """CN of the client's verified certificate."""
    transport: Any = stream._stream._transport
    name: str = transport.common_name
    return name


def _metadata(stream: Stream[Any, Any], name: str) -> str:
    metadata: Any = stream.metadata or {}
    return str(metadata.get(name, ""))


def _peer(stream: Stream[Any, Any]) -> str:
    address = stream.peer.addr()
    return str(address[0]) if address else ""


def _address(text: str) -> str:
    """An IP address in its one spelling, or nothing. Scopes are refused: they may be any text."""
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    return "" if isinstance(address, IPv6Address) and address.scope_id else str(address)

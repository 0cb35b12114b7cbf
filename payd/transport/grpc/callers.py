"""Origin of a call: what its certificate and connection prove, and what its metadata claims."""

import re
from ipaddress import IPv6Address, ip_address
from typing import Any

from grpclib.server import Stream

from payd.domain.actors import is_reserved
from payd.domain.errors import InvalidField
from payd.domain.payment import Origin
from payd.transport.grpc.received import RECEIVED

_ACTOR = re.compile(r"[ -~]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def origin_of(stream: Stream[Any, Any]) -> Origin:
    """Return the call's origin; the certificate's name replaces an actor that cannot be stored."""
    received = RECEIVED.get()
    actor = _metadata(stream, "x-actor").strip()
    traceparent = _metadata(stream, "traceparent")
    forwarded = _metadata(stream, "x-forwarded-for").split(",")[0].strip()
    certificate, peer = received.common_name, _peer(stream)
    return Origin(
        actor=actor if _ACTOR.fullmatch(actor) and not is_reserved(actor) else certificate,
        request_id=received.request_id,
        ip=_address(forwarded) or peer,
        certificate=certificate,
        peer=peer,
        traceparent=traceparent if _TRACEPARENT.fullmatch(traceparent) else "",
    )


def refuse_reserved_actor(stream: Stream[Any, Any]) -> None:
    """Raise InvalidField when `x-actor` claims one of payd's own names."""
    if is_reserved(_metadata(stream, "x-actor")):
        raise InvalidField("x-actor", "is one of payd's own names; send a name of your own")


def _metadata(stream: Stream[Any, Any], name: str) -> str:
    metadata: Any = stream.metadata or {}
    return str(metadata.get(name, ""))


def _peer(stream: Stream[Any, Any]) -> str:
    address = stream.peer.addr()
    return str(address[0]) if address else ""


def _address(text: str) -> str:
    """Return an IP address in its canonical form; empty for anything else, or one with a scope."""
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    return "" if isinstance(address, IPv6Address) and address.scope_id else str(address)

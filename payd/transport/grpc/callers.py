"""Origin of a call: what its certificate and connection prove, and what its metadata claims."""

import re
from ipaddress import IPv6Address, ip_address

from payd.domain.actors import is_reserved
from payd.domain.errors import InvalidField
from payd.domain.payment import Origin
from payd.transport.grpc.received import Received

_ACTOR = re.compile(r"[ -~]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def origin_of(received: Received) -> Origin:
    """Return the call's origin; the certificate's name replaces an actor that cannot be stored."""
    fields = received.fields
    actor = fields.get("x-actor", "").strip()
    traceparent = fields.get("traceparent", "")
    forwarded = fields.get("x-forwarded-for", "").split(",")[0].strip()
    certificate, peer = received.common_name, _peer(received)
    return Origin(
        actor=actor if _ACTOR.fullmatch(actor) and not is_reserved(actor) else certificate,
        request_id=received.request_id,
        ip=(_address(forwarded) if forwarded else "") or peer,
        certificate=certificate,
        peer=peer,
        traceparent=traceparent if _TRACEPARENT.fullmatch(traceparent) else "",
    )


def refuse_reserved_actor(received: Received) -> None:
    """Raise InvalidField when `x-actor` claims one of payd's own names."""
    if is_reserved(received.fields.get("x-actor", "")):
        raise InvalidField("x-actor", "is one of payd's own names; send a name of your own")


def _peer(received: Received) -> str:
    address = received.stream.connection.get_peer().addr()
    return str(address[0]) if address else ""


def _address(text: str) -> str:
    """Return an IP address in its canonical form; empty for anything else, or one with a scope."""
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    return "" if isinstance(address, IPv6Address) and address.scope_id else str(address)

"""Origin of a call: what its certificate and connection prove, and what its metadata claims."""

import re
from ipaddress import IPv6Address, ip_address

import attrs

from payd.domain.actors import is_reserved, operator_actor
from payd.domain.errors import ClientNotAllowed, InvalidField
from payd.domain.payment import Origin
from payd.transport.grpc.received import Received

_ACTOR = re.compile(r"[ -~]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@attrs.frozen(kw_only=True)
class Clients:
    """Common names of the certificates that may call, by role. An operator may call everything."""

    apps: frozenset[str]
    operators: frozenset[str]

    def admit(self, common_name: str, *, operators_only: bool) -> None:
        """Raise ClientNotAllowed unless this certificate may make the call."""
        if common_name in self.operators:
            return
        if common_name not in self.apps:
            raise ClientNotAllowed(
                "this certificate is not on the allow-list", common_name=common_name
            )
        if operators_only:
            raise ClientNotAllowed(
                "only an operator may call this: use a certificate of GRPC_OPERATOR_CNS",
                common_name=common_name,
            )


def origin_of(received: Received, clients: Clients) -> Origin:
    """Return the call's origin.

    The certificate's name replaces an actor that cannot be stored, and stands before an operator's.
    """
    fields = received.fields
    claimed = fields.get("x-actor", "").strip()
    actor = claimed if _ACTOR.fullmatch(claimed) and not is_reserved(claimed) else ""
    traceparent = fields.get("traceparent", "")
    forwarded = fields.get("x-forwarded-for", "").split(",")[0].strip()
    certificate, peer = received.common_name, _peer(received)
    return Origin(
        actor=_recorded(actor, certificate, is_operator=certificate in clients.operators),
        request_id=received.request_id,
        ip=(address_of(forwarded) if forwarded else "") or peer,
        certificate=certificate,
        peer=peer,
        traceparent=traceparent if _TRACEPARENT.fullmatch(traceparent) else "",
    )


def refuse_reserved_actor(received: Received) -> None:
    """Raise InvalidField when `x-actor` claims one of payd's own names."""
    if is_reserved(received.fields.get("x-actor", "")):
        raise InvalidField("x-actor", "is one of payd's own names; send a name of your own")


def _recorded(actor: str, certificate: str, *, is_operator: bool) -> str:
    if is_operator:
        return operator_actor(f"{certificate}/{actor}" if actor else certificate)
    return actor or certificate


def _peer(received: Received) -> str:
    address = received.stream.connection.get_peer().addr()
    return str(address[0]) if address else ""


def address_of(text: str) -> str:
    """Return an IP address in its canonical form; empty for anything else, or one with a scope."""
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    return "" if isinstance(address, IPv6Address) and address.scope_id else str(address)

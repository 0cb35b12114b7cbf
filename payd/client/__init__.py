"""The caller's side: a typed gRPC client and a durable event consumer, for trio and for asyncio.

May import the proto and the domain, and its own grpclib, nats, redis and hvac. Nothing of the
daemon: a main app installs payd for this room alone. Names are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from payd.client.consumer import ConsumerSettings, EventConsumer, Reject
    from payd.client.credentials import CredentialsUnavailable, TlsFiles, TlsVault
    from payd.client.errors import NotFound, PaydClientError, Unavailable
    from payd.client.grpc import PaymentClient
    from payd.client.values import Caller, Crypto, Event, Payment, Quote
    from payd.domain.decide import EventType
    from payd.domain.evidence import CryptoTransfer, Redirect
    from payd.domain.money import Money
    from payd.domain.payment import Customer, Failure, LineItem, Status
    from payd.domain.request import InitiateRequest, Item, QuoteRequest

__all__ = [
    "Caller",
    "ConsumerSettings",
    "CredentialsUnavailable",
    "Crypto",
    "CryptoTransfer",
    "Customer",
    "Event",
    "EventConsumer",
    "EventType",
    "Failure",
    "InitiateRequest",
    "Item",
    "LineItem",
    "Money",
    "NotFound",
    "PaydClientError",
    "Payment",
    "PaymentClient",
    "Quote",
    "QuoteRequest",
    "Redirect",
    "Reject",
    "Status",
    "TlsFiles",
    "TlsVault",
    "Unavailable",
]

_ROOMS = {
    "payd.client.consumer": ("ConsumerSettings", "EventConsumer", "Reject"),
    "payd.client.credentials": ("CredentialsUnavailable", "TlsFiles", "TlsVault"),
    "payd.client.errors": ("NotFound", "PaydClientError", "Unavailable"),
    "payd.client.grpc": ("PaymentClient",),
    "payd.client.values": ("Caller", "Crypto", "Event", "Payment", "Quote"),
    "payd.domain.decide": ("EventType",),
    "payd.domain.evidence": ("CryptoTransfer", "Redirect"),
    "payd.domain.money": ("Money",),
    "payd.domain.payment": ("Customer", "Failure", "LineItem", "Status"),
    "payd.domain.request": ("InitiateRequest", "Item", "QuoteRequest"),
}
_WHERE = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)

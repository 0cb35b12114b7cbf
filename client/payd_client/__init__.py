"""The caller's side: a typed gRPC client and a durable event consumer, for trio and for asyncio.

May import the proto and the domain, and its own grpclib, nats, redis and hvac. Nothing of the
daemon: a main app installs payd for this room alone. Names are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from payd.domain.decide import EventType
    from payd.domain.evidence import CryptoTransfer, Redirect
    from payd.domain.money import Money
    from payd.domain.payment import Customer, Failure, LineItem, Status
    from payd.domain.request import InitiateRequest, Item, QuoteRequest
    from payd_client.consumer import ConsumerSettings, EventConsumer, Reject
    from payd_client.credentials import CredentialsUnavailable, TlsFiles, TlsVault
    from payd_client.errors import NotFound, PaydClientError, Unavailable
    from payd_client.grpc import PaymentClient
    from payd_client.values import Caller, Crypto, Event, Payment, Quote

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
    "payd_client.consumer": ("ConsumerSettings", "EventConsumer", "Reject"),
    "payd_client.credentials": ("CredentialsUnavailable", "TlsFiles", "TlsVault"),
    "payd_client.errors": ("NotFound", "PaydClientError", "Unavailable"),
    "payd_client.grpc": ("PaymentClient",),
    "payd_client.values": ("Caller", "Crypto", "Event", "Payment", "Quote"),
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

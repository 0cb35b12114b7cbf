"""Client of payd for a main app: typed gRPC calls and a durable event consumer, on asyncio or trio.

Imports nothing of payd itself. Each public name is loaded when it is first used, so that a program
pays only for what it uses.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from payd_client.consumer import ConsumerSettings, EventConsumer, Reject
    from payd_client.credentials import CredentialsUnavailable, TlsFiles, TlsSource
    from payd_client.errors import NotFound, PaydClientError, Unavailable
    from payd_client.explanations import (
        Advice,
        Explanation,
        ExplanationStep,
        StepChange,
        WaitingFor,
        WaitingForActor,
    )
    from payd_client.exports import DaySums, ExportAmounts, ExportUnit, Movement, MovementKind
    from payd_client.extras import MissingExtra
    from payd_client.forgetting import ErasedRows, ForgottenCustomer, RetainedEvent
    from payd_client.grpc import PaymentClient
    from payd_client.lists import PaymentFilter, PaymentPage
    from payd_client.operations import (
        Backlog,
        Configuration,
        DailySum,
        DeadLetter,
        HealthCheck,
        LoopHealth,
        OpenAttention,
        Overview,
        ProviderVersion,
        Receipt,
        ReceiptFilter,
        Reconciliation,
        ReconciliationFinding,
        Republished,
        Setting,
        StoredTable,
        TrailState,
    )
    from payd_client.parts import (
        CryptoTransfer,
        Failure,
        Money,
        Redirect,
        Show,
        ShowField,
        ShowKind,
    )
    from payd_client.receipts import PaymentReceipt, ReceiptState
    from payd_client.refunds import (
        AttentionRecord,
        Dispute,
        DisputeStatus,
        Refund,
        RefundCrypto,
        RefundPage,
        RefundRequest,
        RefundStatus,
    )
    from payd_client.values import (
        Caller,
        CryptoFacts,
        Customer,
        Event,
        EventType,
        InitiateRequest,
        Item,
        Payment,
        PricedItem,
        Quote,
        QuoteCrypto,
        QuoteRequest,
        Status,
    )
    from payd_client.vault import TlsVault
    from payd_client.watching import Watched

__all__ = [
    "Advice",
    "AttentionRecord",
    "Backlog",
    "Caller",
    "Configuration",
    "ConsumerSettings",
    "CredentialsUnavailable",
    "CryptoFacts",
    "CryptoTransfer",
    "Customer",
    "DailySum",
    "DaySums",
    "DeadLetter",
    "Dispute",
    "DisputeStatus",
    "ErasedRows",
    "Event",
    "EventConsumer",
    "EventType",
    "Explanation",
    "ExplanationStep",
    "ExportAmounts",
    "ExportUnit",
    "Failure",
    "ForgottenCustomer",
    "HealthCheck",
    "InitiateRequest",
    "Item",
    "LoopHealth",
    "MissingExtra",
    "Money",
    "Movement",
    "MovementKind",
    "NotFound",
    "OpenAttention",
    "Overview",
    "PaydClientError",
    "Payment",
    "PaymentClient",
    "PaymentFilter",
    "PaymentPage",
    "PaymentReceipt",
    "PricedItem",
    "ProviderVersion",
    "Quote",
    "QuoteCrypto",
    "QuoteRequest",
    "Receipt",
    "ReceiptFilter",
    "ReceiptState",
    "Reconciliation",
    "ReconciliationFinding",
    "Redirect",
    "Refund",
    "RefundCrypto",
    "RefundPage",
    "RefundRequest",
    "RefundStatus",
    "Reject",
    "Republished",
    "RetainedEvent",
    "Setting",
    "Show",
    "ShowField",
    "ShowKind",
    "Status",
    "StepChange",
    "StoredTable",
    "TlsFiles",
    "TlsSource",
    "TlsVault",
    "TrailState",
    "Unavailable",
    "WaitingFor",
    "WaitingForActor",
    "Watched",
]

_MODULES = {
    "consumer": ("ConsumerSettings", "EventConsumer", "Reject"),
    "credentials": ("CredentialsUnavailable", "TlsFiles", "TlsSource"),
    "errors": ("NotFound", "PaydClientError", "Unavailable"),
    "explanations": (
        "Advice",
        "Explanation",
        "ExplanationStep",
        "StepChange",
        "WaitingFor",
        "WaitingForActor",
    ),
    "exports": ("DaySums", "ExportAmounts", "ExportUnit", "Movement", "MovementKind"),
    "extras": ("MissingExtra",),
    "forgetting": ("ErasedRows", "ForgottenCustomer", "RetainedEvent"),
    "grpc": ("PaymentClient",),
    "lists": ("PaymentFilter", "PaymentPage"),
    "operations": (
        "Backlog",
        "Configuration",
        "DailySum",
        "DeadLetter",
        "HealthCheck",
        "LoopHealth",
        "OpenAttention",
        "Overview",
        "ProviderVersion",
        "Receipt",
        "ReceiptFilter",
        "Reconciliation",
        "ReconciliationFinding",
        "Republished",
        "Setting",
        "StoredTable",
        "TrailState",
    ),
    "parts": ("CryptoTransfer", "Failure", "Money", "Redirect", "Show", "ShowField", "ShowKind"),
    "receipts": ("PaymentReceipt", "ReceiptState"),
    "refunds": (
        "AttentionRecord",
        "Dispute",
        "DisputeStatus",
        "Refund",
        "RefundCrypto",
        "RefundPage",
        "RefundRequest",
        "RefundStatus",
    ),
    "vault": ("TlsVault",),
    "watching": ("Watched",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _MODULE_OF.get(name, "values")
    return getattr(import_module(f"{__name__}.{module}"), name)

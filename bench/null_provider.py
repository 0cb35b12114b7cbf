"""Null provider: answers at once and stores nothing, so that only payd's own cost is measured.

A payment whose metadata asks for `mock_scenario: complete` is reported as paid by the watch. Its
webhooks are signed as Stripe signs them, and each contains the receipts to report.
"""

import hashlib
import hmac
import json
import shutil
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio

from payd.plugins import (
    Absent,
    Cancel,
    Capabilities,
    Created,
    CreateOperation,
    Found,
    Lookup,
    Method,
    Observation,
    PaymentRef,
    ProviderConfig,
    ProviderContext,
    ProviderEvent,
    ProviderManifest,
    ProviderStatus,
    Receipt,
    ReceiptState,
    Redirect,
    Sink,
    Snapshot,
    WebhookRefused,
    WebhookRequest,
    hookimpl,
)

_BATCH_MAX = 100
#: Payments that wait for the watch. A daemon that does not lead it keeps no more.
_WAITING_MAX = 10_000
_TOLERANCE_S = 300


class NullProvider:
    """Provider, SupportsWebhooks and SupportsWatch, without a remote side."""

    def __init__(self, context: ProviderContext) -> None:
        self._clock = context.clock
        self._paid: list[Observation] = []
        self._is_paid = trio.Event()

    async def create(self, operation: CreateOperation) -> Created:
        """Answer with an object that exists nowhere."""
        is_paid = operation.metadata.get("mock_scenario") == "complete"
        if is_paid and len(self._paid) < _WAITING_MAX:
            self._paid.append(self._payment_of(operation))
            self._is_paid.set()
        return _created(operation.payment_id.hex)

    def _payment_of(self, operation: CreateOperation) -> Observation:
        receipt = Receipt(
            id=f"null_{operation.payment_id.hex}",
            asset=operation.amount.currency_code,
            amount=operation.amount.minor_units,
            state=ReceiptState.CONFIRMED,
            time=self._clock.now(),
        )
        return Observation(id=receipt.id, reference=str(operation.payment_id), fact=(receipt,))

    async def fetch(self, ref: PaymentRef) -> Found | Absent:
        """Find every object, still open."""
        open_now = Snapshot(
            status=ProviderStatus.OPEN,
            asset=ref.asset,
            received=0,
            confirmed=0,
            as_of=self._clock.now(),
        )
        return Found(created=_created(ref.payment_id.hex), snapshot=open_now)

    async def cancel(self, ref: PaymentRef) -> Snapshot:
        """Close any object."""
        return Snapshot(
            status=ProviderStatus.CANCELED,
            asset=ref.asset,
            received=0,
            confirmed=0,
            as_of=self._clock.now(),
        )

    async def health(self) -> None:
        """Be healthy."""

    async def watch(self, sink: Sink, *, task_status: trio.TaskStatus[None]) -> None:
        """Report payments as paid, those that came together in one batch."""
        task_status.started()
        while True:
            await self._is_paid.wait()
            self._is_paid = trio.Event()
            while batch := self._paid[:_BATCH_MAX]:
                await sink.put(batch)
                del self._paid[: len(batch)]

    def verify(
        self, request: WebhookRequest, secrets: Mapping[str, tuple[str, ...]], now: datetime
    ) -> ProviderEvent:
        """Check the signature and its age."""
        header = request.headers.get("stripe-signature", "")
        parts = dict(part.partition("=")[::2] for part in header.split(","))
        signed = parts.get("t", "").encode() + b"." + request.body
        expected = hmac.new(secrets["webhook_secret"][0].encode(), signed, hashlib.sha256)
        if not hmac.compare_digest(expected.hexdigest(), parts.get("v1", "")):
            raise WebhookRefused("signature", "the signature does not match")
        if abs(now.timestamp() - int(parts["t"])) > _TOLERANCE_S:
            raise WebhookRefused("age", "the signature is too old")
        event = json.loads(request.body)
        return ProviderEvent(id=event["id"], type=event["type"], content=event["data"])

    def translate(self, event: ProviderEvent) -> Sequence[Observation]:
        """Return the receipts that the event contains."""
        content = event.content
        if not content["receipts"]:
            return ()
        receipts = tuple(
            Receipt(
                id=receipt_id,
                asset="USD",
                amount=amount,
                state=ReceiptState.CONFIRMED,
                time=datetime.fromtimestamp(content["time"], UTC),
            )
            for receipt_id, amount in content["receipts"]
        )
        return (Observation(id=event.id, reference=content["reference"], fact=receipts),)


def _created(payment: str) -> Created:
    url = f"https://null.invalid/pay/{payment}"
    return Created(reference=f"null_{payment}", next_action=Redirect(url=url))


@asynccontextmanager
async def _open(context: ProviderContext, _config: object) -> AsyncIterator[NullProvider]:
    yield NullProvider(context)


class NullConfig(ProviderConfig):
    """No settings."""


MANIFEST = ProviderManifest(
    name="null",
    version="1.0.0",
    sdk=">=1.0,<2",
    config_model=NullConfig,
    methods=lambda _config: (Method(key="null", display_name="Null", currencies=("USD",)),),
    capabilities=Capabilities(
        idempotency_window=timedelta(hours=24),
        lookup=Lookup.INCLUDING_ABSENCE,
        cancel=Cancel.CLOSES,
        concurrency=256,
    ),
    credentials=("webhook_secret",),
    for_development=True,
    factory=_open,
)


@hookimpl
def payd_providers() -> Iterable[ProviderManifest]:
    """Offer the null provider."""
    return (MANIFEST,)


def install(site: Path) -> None:
    """Make a folder for PYTHONPATH in which payd finds this provider, as if pip installed it.

    The module is copied, since another checkout has a package `bench` of its own.
    """
    shutil.copy(__file__, site / "payd_null_provider.py")
    info = site / "payd_null_provider-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: payd-null-provider\nVersion: 1.0.0\n"
    )
    (info / "entry_points.txt").write_text("[payd]\nnull = payd_null_provider\n")

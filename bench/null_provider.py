"""Null provider: answers at once and stores nothing, so that only payd's own cost is measured.

A customer pays by a datagram to the port in the URL of the payment, once that URL is known, as real
customers do; the watch reports it. Its webhooks are signed as Stripe signs them, and each contains
the receipts to report.
"""

import hashlib
import hmac
import json
import shutil
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

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
_DATAGRAM_MAX = 200
_TOLERANCE_S = 300


class NullProvider:
    """Provider, SupportsWebhooks and SupportsWatch, without a remote side."""

    def __init__(self, context: ProviderContext, till: socket.socket) -> None:
        self._clock = context.clock
        self._till = till
        _, self._port = till.getsockname()

    async def create(self, operation: CreateOperation) -> Created:
        """Answer with an object that exists nowhere."""
        return self._created(operation.payment_id)

    def _created(self, payment_id: UUID) -> Created:
        url = f"https://null.invalid:{self._port}/pay/{payment_id}"
        return Created(reference=f"null_{payment_id.hex}", next_action=Redirect(url=url))

    async def fetch(self, ref: PaymentRef) -> Found | Absent:
        """Find every object, still open."""
        open_now = Snapshot(
            status=ProviderStatus.OPEN,
            asset=ref.asset,
            received=0,
            confirmed=0,
            as_of=self._clock.now(),
        )
        return Found(created=self._created(ref.payment_id), snapshot=open_now)

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
            await trio.lowlevel.wait_readable(self._till)
            await sink.put(list(self._paid()))

    def _paid(self) -> Iterator[Observation]:
        """The payments that were paid since the last look."""
        with suppress(BlockingIOError):
            for _ in range(_BATCH_MAX):
                payment_id, asset, amount = self._till.recv(_DATAGRAM_MAX).decode().split()
                receipt = Receipt(
                    id=f"null_{payment_id}",
                    asset=asset,
                    amount=int(amount),
                    state=ReceiptState.CONFIRMED,
                    time=self._clock.now(),
                )
                yield Observation(id=receipt.id, reference=payment_id, fact=(receipt,))

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


@asynccontextmanager
async def _open(context: ProviderContext, _config: object) -> AsyncIterator[NullProvider]:
    with socket.socket(type=socket.SOCK_DGRAM) as till:
        till.setblocking(False)
        till.bind(("127.0.0.1", 0))
        yield NullProvider(context, till)


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

"""A provider as its author would write it: no payd but `payd.plugins`."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import trio

from payd.plugins import (
    Cancel,
    Capabilities,
    Created,
    CreateOperation,
    Found,
    Lookup,
    Observation,
    OutcomeUnknown,
    PaymentRef,
    Provider,
    ProviderConfig,
    ProviderEvent,
    ProviderManifest,
    ProviderStatus,
    Redirect,
    RefundCapabilities,
    RefundOperation,
    RefundRef,
    RefundSnapshot,
    RefundState,
    Sends,
    Sink,
    Snapshot,
    WebhookRequest,
)
from payd.providers.fence import Fence

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
#: Of a webhook that reports the first session as paid.
BODY = b"cs_1 is paid"
OPEN = Snapshot(status=ProviderStatus.OPEN, asset="USD", received=0, confirmed=0, as_of=NOON)


class CardRail:
    """Creates one session and one refund an operation; reports what a test puts into `happens`."""

    def __init__(self) -> None:
        self.operations: list[CreateOperation] = []
        self.refunds: list[RefundOperation] = []
        #: While set, its answer to a refund does not arrive.
        self.loses_answers = False
        self.happens, self._seen = trio.open_memory_channel[Observation](10)

    async def create(self, operation: CreateOperation, /) -> Created:
        self.operations.append(operation)
        return self._session()

    async def fetch(self, ref: PaymentRef, /) -> Found:
        return Found(created=self._session(), snapshot=OPEN)

    async def cancel(self, ref: PaymentRef, /) -> Snapshot:
        return OPEN

    async def refund(self, operation: RefundOperation, /) -> RefundSnapshot:
        self.refunds.append(operation)
        if self.loses_answers:
            raise OutcomeUnknown("no answer")
        return self.refunded(RefundState.PENDING)

    async def fetch_refund(self, ref: RefundRef, /) -> RefundSnapshot:
        return self.refunded(RefundState.PENDING)

    def refunded(self, state: RefundState) -> RefundSnapshot:
        """The only refund, as it stands."""
        [operation] = self.refunds
        return RefundSnapshot(
            reference="re_1",
            state=state,
            asset=operation.asset,
            amount=operation.amount,
            time=NOON,
            refund_id=operation.refund_id,
        )

    async def health(self) -> None:
        """Return at once: this rail always works."""

    def verify(
        self, request: WebhookRequest, secrets: Mapping[str, tuple[str, ...]], now: datetime, /
    ) -> ProviderEvent:
        """Believe every body."""
        return ProviderEvent(id="evt_1", type="paid", content={"text": request.body.decode()})

    def translate(self, event: ProviderEvent, /) -> Sequence[Observation]:
        """Report the session that the body names as paid."""
        paid = Snapshot(
            status=ProviderStatus.PAID, asset="USD", received=14900, confirmed=14900, as_of=NOON
        )
        return [Observation(id=event.id, reference=event.content["text"].split()[0], fact=paid)]

    async def watch(self, sink: Sink, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        async for observation in self._seen:
            await sink.put([observation])

    def _session(self) -> Created:
        return Created(
            reference="cs_1",
            next_action=Redirect(url="https://cards.example/cs_1"),
            aliases=("pi_1",),
        )


class Journal:
    """A logger that is not read."""

    def info(self, event: str, **fields: Any) -> None:
        """Drop the line."""

    def warning(self, event: str, **fields: Any) -> None:
        """Drop the line."""

    def error(self, event: str, **fields: Any) -> None:
        """Drop the line."""


def fenced(rail: CardRail) -> Fence:
    """The rail as the use cases see it."""
    manifest = ProviderManifest(
        name="mock",
        version="1.0",
        sdk=">=1.0,<2",
        config_model=ProviderConfig,
        methods=lambda config: (),
        capabilities=Capabilities(
            idempotency_window=timedelta(hours=24),
            lookup=Lookup.INCLUDING_ABSENCE,
            cancel=Cancel.CLOSES,
            refunds=RefundCapabilities(
                sends=Sends.PROVIDER,
                idempotency_window=timedelta(hours=24),
                lookup=Lookup.INCLUDING_ABSENCE,
            ),
        ),
        factory=lambda context, config: nullcontext(rail),
    )

    def build() -> AbstractAsyncContextManager[Provider]:
        return nullcontext(rail)

    return Fence(build, manifest, log=Journal(), random=Random(1).random)

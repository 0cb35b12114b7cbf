"""Ports with spans around their calls: of providers, of commits and of events."""

from collections.abc import Sequence
from typing import Any, cast

import attrs

from payd.domain.decide import Decision
from payd.domain.evidence import NotAttempted, OutcomeUnknown, Unanswered
from payd.domain.payment import Origin, Payment
from payd.ports import (
    Answer,
    Commit,
    OutboxRow,
    PaymentStore,
    ProviderPort,
    Publisher,
    PublishError,
    RefundReply,
)
from payd.telemetry.tracing import CURRENT, EndingOnError, Span, SpanKind, Tracer

_PROVIDER_CALLS = ("create", "fetch", "close", "refund", "fetch_refund")
#: Outcomes of a provider's call that are failures.
_FAILURES = (NotAttempted, OutcomeUnknown, Unanswered)


def traced_provider(provider: ProviderPort, tracer: Tracer) -> ProviderPort:
    """The provider with a span for each call of the remote side; the callers are on asyncio."""
    return cast(ProviderPort, _TracedProvider(provider, tracer))


def traced_store(store: PaymentStore, tracer: Tracer | None) -> PaymentStore:
    """The store with a span for each decision that is written. Events name it as their parent."""
    return store if tracer is None else cast(PaymentStore, _TracedStore(store, tracer))


def traced_publisher(publisher: Publisher, tracer: Tracer | None) -> Publisher:
    """The publisher with a span for each event."""
    return publisher if tracer is None else cast(Publisher, _TracedPublisher(publisher, tracer))


class _TracedProvider:
    """Passes everything on; calls in _PROVIDER_CALLS have a span."""

    def __init__(self, provider: ProviderPort, tracer: Tracer) -> None:
        self._provider = provider
        self._tracer = tracer

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._provider, name)
        if name not in _PROVIDER_CALLS:
            return value

        async def call(about: Any) -> Any:
            span = self._begin(name, about)
            with EndingOnError([span]):
                answer = await value(about)
            last = _outcome_of(answer)
            kind = type(last).__name__
            span.end({"payd.outcome": kind}, failure=kind if isinstance(last, _FAILURES) else "")
            return answer

        return call

    def _begin(self, name: str, about: Any) -> Span:
        attributes = {"payd.provider": self._provider.name, "payd.operation": name}
        payment_id = getattr(about, "payment_id", None)
        if payment_id is not None:
            attributes["payd.payment_id"] = str(payment_id)
        return self._tracer.begin(f"provider {name}", SpanKind.CLIENT, CURRENT.get(), attributes)


def _outcome_of(answer: Answer | RefundReply) -> object:
    if isinstance(answer, RefundReply):
        return answer.answer
    return answer.evidence[-1] if answer.evidence else None


class _TracedStore:
    """Passes everything on; commits have a span."""

    def __init__(self, store: PaymentStore, tracer: Tracer) -> None:
        self._store = store
        self._tracer = tracer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(
        self, before: Payment, decision: Decision, origin: Origin, inbox_ids: Sequence[int] = ()
    ) -> bool:
        """As the store, with a span."""
        span = self._begin(before, decision, origin)
        with EndingOnError([span]):
            here = attrs.evolve(origin, traceparent=span.traceparent)
            written = await self._store.commit(before, decision, here, inbox_ids)
        span.end({"payd.written": int(written)})
        return written

    async def commit_all(self, commits: Sequence[Commit]) -> Sequence[bool]:
        """As the store, with a span for each decision."""
        spans = [self._begin(one.before, one.decision, one.origin) for one in commits]
        here = [
            attrs.evolve(one, origin=attrs.evolve(one.origin, traceparent=span.traceparent))
            for one, span in zip(commits, spans, strict=True)
        ]
        with EndingOnError(spans):
            written = await self._store.commit_all(here)
        for span, is_written in zip(spans, written, strict=True):
            span.end({"payd.written": int(is_written)})
        return written

    def _begin(self, before: Payment, decision: Decision, origin: Origin) -> Span:
        after = decision.payment
        parent = CURRENT.get() or origin.traceparent or after.traceparent
        return self._tracer.begin(
            "settle",
            SpanKind.INTERNAL,
            parent,
            {
                "payd.payment_id": str(after.id),
                "payd.provider": after.provider,
                "payd.method": after.method,
                "payd.status_before": before.status.value,
                "payd.status": after.status.value,
                "payd.audit_event": decision.audit_event,
                "payd.version": after.version,
            },
            origin.linked_spans,
        )


class _TracedPublisher:
    """Publishes each row within a span."""

    def __init__(self, publisher: Publisher, tracer: Tracer) -> None:
        self._publisher = publisher
        self._tracer = tracer

    async def publish_all(self, rows: Sequence[OutboxRow]) -> Sequence[PublishError | None]:
        """As the publisher, with spans."""
        spans = list(map(self._begin, rows))
        with EndingOnError(spans):
            errors = await self._publisher.publish_all(rows)
        for span, failed in zip(spans, errors, strict=True):
            span.end(failure="" if failed is None else type(failed).__name__)
        return errors

    def _begin(self, row: OutboxRow) -> Span:
        return self._tracer.begin(
            f"publish {row.subject}",
            SpanKind.PRODUCER,
            row.headers.get("traceparent", ""),
            {
                "messaging.system": "nats",
                "messaging.destination.name": row.subject,
                "messaging.message.id": str(row.event_id),
                "payd.payment_id": str(row.payment_id),
            },
        )

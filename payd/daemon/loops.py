"""The daemon's loops: which rows each one claims, what it does with them, what it waits for."""

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeAlias, TypeVar
from uuid import UUID

import attrs
import trio

from payd import telemetry
from payd.adapters import bridge
from payd.adapters.maintenance import maintain
from payd.adapters.systemd import ServiceManager
from payd.config import Config, ConfigError
from payd.daemon.builders import Adapters, UseCases
from payd.daemon.leases import Watches
from payd.daemon.readiness import ReadinessProbe
from payd.daemon.reload import Reloader, ReloadRequests
from payd.daemon.secrets import SecretRefresher
from payd.daemon.worker_loop import concurrently, run_worker, work_guarded
from payd.domain.errors import StoreUnavailable
from payd.domain.payment import Payment
from payd.ports import InboxRow, OutboxRow, ProviderPort, Reconciliation
from payd.providers.loader import OpenProviders
from payd.service.audit import AUDIT_KINDS
from payd.service.reconcile import FINDING_KINDS
from payd.service.scan import ScanStep
from payd.telemetry import Metrics
from payd.transport.grpc.server import GrpcServer

T = TypeVar("T")
#: Runs until it is cancelled or the daemon stops.
Loop: TypeAlias = Callable[[], Awaitable[object]]

_log = telemetry.get_logger(__name__)

_SAMPLE_S = 2.0
#: Money waits for hours, and counting it takes longer than the other samples.
_SAMPLE_MONEY_S = 30.0
#: Until then an overview adds up what has changed.
_FOLD_S = 60.0


@attrs.frozen(kw_only=True)
class Parts:
    """Everything that the supervisor and its loops need."""

    config: Config
    metrics: Metrics
    adapters: Adapters
    providers: OpenProviders
    use_cases: UseCases
    grpc: GrpcServer
    reloader: Reloader
    manager: ServiceManager
    #: None without a vault.
    secrets: SecretRefresher | None
    #: Set when the daemon is to end.
    stop: trio.Event
    #: Set when the servers are closed and the worker loops finish their rows.
    stopping: trio.Event
    readiness: ReadinessProbe


# -- worker loops: they finish the rows they have claimed before the daemon ends ----------------


def worker_loops(parts: Parts) -> Mapping[str, Loop]:
    """Every worker loop by name: claim rows, work them, wait."""
    adapters, use_cases = parts.adapters, parts.use_cases
    poll_s = parts.config.outbox.poll_interval_s
    rest = partial(adapters.clock.rest, parts.config.recovery.interval_s)
    set_worker, row_worker = partial(_set_worker, parts), partial(_row_worker, parts)
    return dict(
        (
            set_worker(
                "evidence worker",
                use_cases.reports.claim_batch,
                partial(_settle_reports, parts),
                partial(adapters.inbox.wait, poll_s),
                lambda: adapters.inbox.may_have_more,
            ),
            set_worker(
                "outbox publisher",
                partial(_claim_to_publish, parts),
                partial(_publish, parts),
                partial(adapters.outbox.wait, poll_s),
                lambda: adapters.outbox.may_have_more,
            ),
            row_worker("recovery", use_cases.recover.claim_batch, partial(_recover, parts), rest),
            row_worker(
                "refund recovery",
                use_cases.recover_refunds.claim_batch,
                partial(_recover_refund, parts),
                rest,
            ),
            row_worker("event scan", use_cases.scan.claim_batch, partial(_scan, parts), rest),
            row_worker(
                "reconciliation",
                use_cases.reconcile.claim_batch,
                partial(_reconcile, parts),
                rest,
            ),
            row_worker("audit", use_cases.audit.claim_batch, partial(_audit, parts), rest),
        )
    )


def _set_worker(
    parts: Parts,
    name: str,
    claim: Callable[[], Awaitable[Sequence[T]]],
    work: Callable[[Sequence[T]], Awaitable[object]],
    idle: Callable[[], Awaitable[None]],
    may_have_more: Callable[[], bool],
) -> tuple[str, Loop]:
    """A loop that works each batch as a whole."""
    guarded = _guarded(parts, name, work)
    return name, _worker(parts, claim, guarded, idle, may_have_more)


def _row_worker(
    parts: Parts,
    name: str,
    claim: Callable[[], Awaitable[Sequence[T]]],
    work: Callable[[T], Awaitable[object]],
    idle: Callable[[], Awaitable[None]],
) -> tuple[str, Loop]:
    """A loop that works each row of a batch by itself."""

    async def work_first(rows: Sequence[T]) -> object:
        return await work(rows[0])

    each = partial(concurrently, _guarded(parts, name, work_first))
    return name, _worker(parts, claim, each, idle)


def _worker(
    parts: Parts,
    claim: Callable[[], Awaitable[Sequence[T]]],
    work: Callable[[Sequence[T]], Awaitable[bool]],
    idle: Callable[[], Awaitable[None]],
    may_have_more: Callable[[], bool] = lambda: True,
) -> Loop:
    stopping = bridge.for_asyncio(parts.stopping)
    return partial(bridge.aio, run_worker, claim, work, idle, stopping, may_have_more)


def _guarded(
    parts: Parts, name: str, work: Callable[[Sequence[T]], Awaitable[object]]
) -> Callable[[Sequence[T]], Awaitable[bool]]:
    def failed(row: T, error: Exception) -> None:
        parts.metrics.failures.labels(name).inc()
        row_id = getattr(row, "id", None)
        _log.error("row_failed", task=name, row=row_id, error=repr(error), exc_info=error)

    return partial(work_guarded, work, failed)


async def _settle_reports(parts: Parts, rows: Sequence[InboxRow]) -> None:
    outcomes = await parts.use_cases.reports.work(rows)
    for row in rows:
        parts.metrics.evidence.labels(row.provider, outcomes[row.id]).inc()


async def _claim_to_publish(parts: Parts) -> Sequence[OutboxRow]:
    """Claim nothing while NATS is unreachable, so that no row uses up its lease, or while held."""
    if not parts.adapters.stream.state().connected or parts.adapters.sending.is_held:
        return ()
    return await parts.use_cases.publish.claim_batch()


async def _publish(parts: Parts, rows: Sequence[OutboxRow]) -> bool:
    """Publish events. Return False when the stream acknowledged none of them."""
    errors = await parts.use_cases.publish.publish(rows)
    for row in rows:
        error = errors.get(row.id)
        parts.metrics.published.labels(row.subject, "failed" if error else "ok").inc()
        if error is not None:
            _log.warning("publish_failed", event_id=str(row.event_id), error=str(error))
    return len(errors) < len(rows)


async def _recover(parts: Parts, payment: Payment) -> None:
    after = await parts.use_cases.recover.recover(payment)
    parts.metrics.status_checks.labels(after.status.value.lower()).inc()


async def _recover_refund(parts: Parts, claimed: tuple[Payment, UUID]) -> None:
    refund = await parts.use_cases.recover_refunds.recover(*claimed)
    parts.metrics.status_checks.labels(f"refund_{refund.status.value.lower()}").inc()


async def _scan(parts: Parts, step: ScanStep) -> None:
    new = await parts.use_cases.scan.work(step)
    parts.metrics.scanned.labels(step.provider.name).inc(new)


async def _reconcile(parts: Parts, provider: ProviderPort) -> None:
    result = await parts.use_cases.reconcile.work(provider)
    if result is not None:
        _report_findings(parts.metrics, result, FINDING_KINDS)


async def _audit(parts: Parts, provider: ProviderPort) -> None:
    result = await parts.use_cases.audit.work(provider)
    if result is not None:
        _report_findings(parts.metrics, result, AUDIT_KINDS)


# -- support loops: cancelled when the worker loops have ended -----------------------------------


def support_loops(parts: Parts, reloads: ReloadRequests | None) -> Mapping[str, Loop]:
    """Every support loop by name. Each may be cancelled at any moment."""
    config, adapters = parts.config, parts.adapters
    loops: dict[str, Loop] = {
        "stream connection": partial(bridge.aio, adapters.stream.run),
        "sending hold": partial(bridge.aio, adapters.sending.run),
        "outbox listener": partial(bridge.aio, adapters.outbox.listen),
        "watched payments": partial(bridge.aio, adapters.changes.run, adapters.store.newer),
        "outbox retention": _maintenance(
            adapters.outbox.delete_published, timedelta(days=config.outbox.retention_days)
        ),
        "webhook retention": _maintenance(
            adapters.inbox.forget_raw_bodies, timedelta(days=config.inbox.raw_retention_days)
        ),
        "ledger sums": _maintenance(adapters.receipts.fold),
        "audit checkpoints": partial(bridge.aio, adapters.checkpoints.run),
        "payment sums": partial(bridge.aio, maintain, adapters.sums.fold, _FOLD_S),
        "measurements": partial(_measure, parts),
        "money to watch": partial(_measure_money, parts),
        "certificates": partial(_watch_certificates, parts),
    }
    if reloads is not None:
        loops["reload on SIGHUP"] = partial(_reload_on_sighup, parts, reloads)
    if parts.secrets is not None:
        loops["secrets"] = partial(parts.secrets.run, parts.reloader.apply_secrets)
    loops |= _provider_loops(parts)
    return loops


def _provider_loops(parts: Parts) -> Iterator[tuple[str, Loop]]:
    for fence in parts.providers.fences:
        watches = Watches(
            provider=fence.name,
            intake=parts.use_cases.intake,
            cursors=parts.adapters.inbox,
            leases=parts.adapters.leases,
        )
        yield f"{fence.name} watch", partial(fence.run_watch, watches)
        yield f"{fence.name} health", fence.run_health


def _maintenance(batch: Callable[..., Awaitable[int]], *arguments: object) -> Loop:
    return partial(bridge.aio, maintain, partial(batch, *arguments))


async def _reload_on_sighup(parts: Parts, reloads: ReloadRequests) -> None:
    async for _ in reloads.requests:
        parts.manager.is_reloading()
        try:
            version = await parts.reloader.reload(reloads.read())
        except ConfigError as error:
            _log.error("reload_refused", error=str(error))
            parts.manager.has_reloaded("reload refused, configuration unchanged: see the log")
            continue
        _log.info("configuration_reloaded", pricing_version=version)
        parts.manager.has_reloaded(f"reloaded, prices {version[:12]}")


async def _watch_certificates(parts: Parts) -> None:
    while True:
        parts.reloader.set_gauges()
        await trio.sleep(parts.config.grpc.tls_check_interval_s)
        await parts.reloader.reload_certificates()


async def _measure(parts: Parts) -> None:
    """Sample the gauges, set gRPC health, and send the service manager its heartbeat.

    Each heartbeat follows a round trip through both event loops. When one of them hangs, the
    heartbeat stops and systemd restarts the daemon.
    """
    metrics, manager = parts.metrics, parts.manager
    sample_s = min(_SAMPLE_S, (manager.watchdog_s or math.inf) / 4)
    while True:
        began = trio.current_time()
        await trio.sleep(sample_s)
        metrics.loop_lag.labels("trio").set(max(0.0, trio.current_time() - began - sample_s))
        began = trio.current_time()
        await bridge.aio(asyncio.sleep, 0)
        metrics.loop_lag.labels("asyncio").set(trio.current_time() - began)
        metrics.rpcs_in_flight.set(parts.grpc.in_flight())
        metrics.connections.set(parts.grpc.connections())
        metrics.watchers.set(parts.adapters.changes.watchers)
        now = await parts.readiness.sample(metrics)
        parts.grpc.set_serving(now.ready)
        manager.beat(ready=now.ready, alive=now.checks["database"].ok, status=now.summary())


async def _measure_money(parts: Parts) -> None:
    """Sample the gauges of money that waits; without the database they keep their values."""
    watch, metrics = parts.adapters.money_to_watch, parts.metrics
    while True:
        with contextlib.suppress(StoreUnavailable):
            for reason, waiting in (await bridge.aio(watch.open_attention)).items():
                metrics.attention.labels(reason.value).set(waiting.count)
                metrics.attention_age.labels(reason.value).set(waiting.oldest_age_s)
            for status, waiting in (await bridge.aio(watch.open_refunds)).items():
                metrics.refunds_open.labels(status.value.lower()).set(waiting.count)
                metrics.refunds_age.labels(status.value.lower()).set(waiting.oldest_age_s)
        await trio.sleep(_SAMPLE_MONEY_S)


def _report_findings(metrics: Metrics, result: Reconciliation, kinds: Sequence[str]) -> None:
    """Log each finding, and set the gauge of every kind that could have been found."""
    provider = result.provider
    metrics.reconciled_at.labels(provider).set(result.end_time.timestamp())
    found = Counter(finding["kind"] for finding in result.findings)
    for kind in kinds:
        metrics.findings.labels(provider, kind).set(found[kind])
    for finding in result.findings:
        _log.error("reconciliation_finding", provider=provider, **finding)
    _log.info(
        "reconciliation_finished",
        provider=provider,
        objects=result.objects,
        payments=result.payments,
        findings=len(result.findings),
    )

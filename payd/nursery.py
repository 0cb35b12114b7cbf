"""Who runs: the supervisor, and the table of contents of the daemon.

Start: secrets, providers, working loops, metrics, HTTP, and gRPC last. Stop, the other way round:
gRPC refuses new calls and finishes those under way, the loops finish what they have claimed, then
everything closes. A loop that fails starts again with back-off. What ends the process: a
signal, a door that cannot open, and in strict mode a provider that cannot start.
"""

import gc
import math
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeAlias, TypeVar

import attrs
import trio

from payd import telemetry
from payd.adapters import bridge
from payd.adapters.bites import maintain
from payd.adapters.system import SystemClock
from payd.adapters.systemd import ServiceManager
from payd.config import (
    Config,
    ConfigError,
    load_prices,
    with_vault,
)
from payd.daemon.build import (
    Holder,
    MethodMapForAsyncio,
    Outside,
    UseCases,
    build_grpc,
    build_outside,
    build_use_cases,
    build_vault,
    http_limits,
    new_metrics,
    provider_observer,
)
from payd.daemon.leases import Watches, cursor_reader
from payd.daemon.preflight import build_tls, check_prices, enabled_plugins, offered_methods
from payd.daemon.readiness import Condition
from payd.daemon.reload import Reloads, Rotation
from payd.daemon.secrets import Held, SecretKeeper
from payd.daemon.worker_loop import nap, pump
from payd.domain.errors import PaydError, StoreUnavailable
from payd.domain.payment import Payment
from payd.ports import InboxRow, OutboxRow, ProviderPort, Reconciliation
from payd.providers.loader import FailureMode, OpenProviders, open_providers
from payd.service.audit import AUDIT_KINDS
from payd.service.intake import same_payment
from payd.service.reconcile import FINDING_KINDS
from payd.service.scan import ScanStep
from payd.telemetry import Metrics
from payd.transport.grpc.server import GrpcServer
from payd.transport.http.app import build_app
from payd.transport.http.serve import metrics_app, serve_app
from payd.transport.http.webhooks import Webhooks

T = TypeVar("T")
Claim: TypeAlias = Callable[[], Awaitable[Sequence[T]]]
Work: TypeAlias = Callable[[T], Awaitable[object]]
Idle: TypeAlias = Callable[[], Awaitable[None]]

_log = telemetry.get_logger(__name__)

#: What the loops may take to finish the rows they have claimed.
_FINISH_S = 5.0
_BACKOFF_MAX_S = 5.0
#: A loop that ran this long has recovered: its back-off starts anew.
_HEALTHY_S = 30.0
_SAMPLE_S = 2.0


@attrs.frozen(kw_only=True)
class Addresses:
    """Where the doors are, as host:port."""

    grpc: str
    http: str
    metrics: str


@attrs.frozen(kw_only=True)
class _Daemon:
    """Everything that was built."""

    config: Config
    metrics: Metrics
    outside: Outside
    providers: OpenProviders
    use_cases: UseCases
    grpc: GrpcServer
    rotation: Rotation
    manager: ServiceManager
    #: None without a vault.
    keeper: SecretKeeper | None
    #: Somebody wants us to end.
    stop: trio.Event
    #: The doors are shut: the loops finish.
    stopping: trio.Event
    condition: Condition


async def run(
    config: Config,
    stop: trio.Event,
    *,
    reloads: Reloads | None = None,
    started: Callable[[Addresses], None] = lambda addresses: None,
) -> None:
    """The daemon, from its first task to its last; returns after `stop` and a full drain."""
    metrics, manager = new_metrics(), ServiceManager(os.environ)
    # What is wrong here is wrong for good: it is told before anything is waited for.
    load_prices(config.pricing.file)
    tls = build_tls(config)
    vault = build_vault(config, metrics)
    keeper = SecretKeeper(vault, config, metrics) if vault else None
    held: Held | None = await keeper.first(manager, stop) if keeper else {}
    if held is None:
        return
    config = with_vault(config, held)
    holder = Holder(config)
    outside = build_outside(config, metrics, holder.config, keeper.look_now if keeper else None)
    plugins = enabled_plugins(config)
    check_prices(config, holder.current(), offered_methods(plugins))
    async with (
        bridge.open_loop(partial(_count_exception, metrics)),
        open_providers(
            plugins,
            environment=config.environment,
            clock=SystemClock(),
            failure_mode=FailureMode(config.providers.failure_mode),
            log_of=telemetry.get_logger,
            random=random.random,
            on_call=provider_observer(metrics),
            metrics_of=metrics.of_provider,
            read_cursor=cursor_reader(outside.inbox),
        ) as providers,
    ):
        for error in providers.report.failed:
            _log.error(
                "provider_not_loaded",
                provider=error.provider,
                reason=error.reason,
                what_to_do=error.what_to_do,
            )
        rotation = Rotation(
            holder=holder,
            outside=outside,
            providers=providers,
            tls=tls,
            metrics=metrics,
            held=held,
        )
        use_cases = build_use_cases(config, outside, MethodMapForAsyncio(providers.methods), holder)
        daemon = _Daemon(
            config=config,
            metrics=metrics,
            outside=outside,
            providers=providers,
            use_cases=use_cases,
            grpc=build_grpc(config, tls, use_cases.door, holder, metrics, outside),
            rotation=rotation,
            manager=manager,
            keeper=keeper,
            stop=stop,
            stopping=trio.Event(),
            condition=Condition(outside=outside, providers=providers, stop=stop, keeper=keeper),
        )
        await _until_stopped(daemon, reloads, started)
    _log.info("daemon_stopped")


async def _until_stopped(
    daemon: _Daemon, reloads: Reloads | None, started: Callable[[Addresses], None]
) -> None:
    outside = daemon.outside
    try:
        async with trio.open_nursery() as support:
            _start_support(daemon, support, reloads)
            async with trio.open_nursery() as pumps:
                _start_pumps(daemon, pumps)
                await _keep_doors_open(daemon, started)
                daemon.stopping.set()
                pumps.cancel_scope.deadline = trio.current_time() + _FINISH_S
            support.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await bridge.aio(outside.store.drain)
            await bridge.aio(outside.inbox.drain)
            await bridge.aio(outside.limiter.close)
            await bridge.aio(outside.database.close)


async def _keep_doors_open(daemon: _Daemon, started: Callable[[Addresses], None]) -> None:
    config, metrics = daemon.config, daemon.metrics
    app = build_app(
        daemon.use_cases.door.query,
        Webhooks(
            intake=bridge.for_trio(daemon.use_cases.intake),
            on_webhook=lambda provider, outcome: metrics.webhooks.labels(provider, outcome).inc(),
        ),
        daemon.condition.readiness,
        telemetry.http_observer(metrics),
        config.http.max_body_bytes,
    )
    shut = trio.Event()
    async with trio.open_nursery() as doors:
        open_metrics = partial(serve_app, metrics_app(metrics.registry))
        metrics_port = await doors.start(
            open_metrics, config.metrics.host, config.metrics.port, shut
        )
        http_port = await doors.start(
            serve_app, app, config.http.host, config.http.port, shut, http_limits(config)
        )
        grpc_port = await bridge.aio(daemon.grpc.start)
        now = await daemon.condition.readiness()
        daemon.grpc.set_serving(now.ready)
        addresses = Addresses(
            grpc=f"{config.grpc.host}:{grpc_port}",
            http=f"{config.http.host}:{http_port}",
            metrics=f"{config.metrics.host}:{metrics_port}",
        )
        _spare_the_collector()
        _log.info("daemon_started", **attrs.asdict(addresses))
        daemon.manager.beat(ready=now.ready, alive=True, status=now.summary())
        started(addresses)
        await daemon.stop.wait()
        daemon.manager.is_stopping()
        await bridge.aio(daemon.grpc.stop, config.grpc.drain_timeout_s)
        shut.set()


def _spare_the_collector() -> None:
    """What was built stays; and requests make few cycles, so that looking for them can wait."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


# -- the loops ---------------------------------------------------------------------------------


def _start_pumps(daemon: _Daemon, pumps: trio.Nursery) -> None:
    """The loops that finish what they have claimed before the daemon ends."""
    config, outside, use_cases = daemon.config, daemon.outside, daemon.use_cases
    intake, recover = use_cases.intake, use_cases.recover
    poll_s = config.outbox.poll_interval_s
    rest_s = config.recovery.interval_s

    def pumped(
        name: str, claim: Claim[T], work: Work[T], idle: Idle, same: Callable[[T], Hashable] = id
    ) -> None:
        pumps.start_soon(_supervise, name, _pump(daemon, name, claim, work, idle, same), daemon)

    pumped(
        "evidence worker",
        intake.claim_batch,
        partial(_settle_evidence, daemon),
        partial(outside.inbox.wait, poll_s),
        same_payment,
    )
    pumped(
        "recovery",
        recover.claim_batch,
        partial(_recover, daemon),
        partial(nap, rest_s, daemon.stopping),
    )
    pumped(
        "event scan",
        use_cases.scan.claim_batch,
        partial(_scan, daemon),
        partial(nap, rest_s, daemon.stopping),
    )
    pumped(
        "reconciliation",
        use_cases.reconcile.claim_batch,
        partial(_reconcile, daemon),
        partial(nap, rest_s, daemon.stopping),
    )
    pumped(
        "audit",
        use_cases.audit.claim_batch,
        partial(_audit, daemon),
        partial(nap, rest_s, daemon.stopping),
    )
    pumped(
        "outbox publisher",
        partial(_claim_to_publish, daemon),
        partial(_publish, daemon),
        partial(outside.outbox.wait, poll_s),
    )


def _start_support(daemon: _Daemon, support: trio.Nursery, reloads: Reloads | None) -> None:
    """The loops that may end at any moment."""
    config, outside = daemon.config, daemon.outside
    loops: dict[str, Callable[[], Awaitable[object]]] = {
        "stream connection": partial(bridge.aio, outside.stream.run),
        "outbox listener": partial(bridge.aio, outside.outbox.listen),
        "outbox retention": _maintained(
            outside.outbox.delete_published, timedelta(days=config.outbox.retention_days)
        ),
        "webhook retention": _maintained(
            outside.inbox.forget_raw_bodies, timedelta(days=config.inbox.raw_retention_days)
        ),
        "ledger sums": _maintained(outside.receipts.fold),
        "measurements": partial(_measure, daemon),
        "certificates": partial(_look_at_certificates, daemon),
    }
    if reloads is not None:
        loops["reload on SIGHUP"] = partial(_reload_on_sighup, daemon, reloads)
    if daemon.keeper is not None:
        loops["secrets"] = partial(daemon.keeper.run, daemon.rotation.take_secrets)
    for fence in daemon.providers.fences:
        watches = Watches(
            provider=fence.name,
            intake=daemon.use_cases.intake,
            cursors=outside.inbox,
            leases=outside.leases,
        )
        loops[f"{fence.name} watch"] = partial(fence.run_watch, watches)
        loops[f"{fence.name} health"] = fence.run_health
    for name, work in loops.items():
        support.start_soon(_supervise, name, work, daemon)


def _maintained(bite: Callable[..., Awaitable[int]], *arguments: object) -> Idle:
    return partial(bridge.aio, maintain, partial(bite, *arguments))


async def _supervise(name: str, work: Callable[[], Awaitable[object]], daemon: _Daemon) -> None:
    """Run a loop; when it fails, again after a full-jitter back-off. Siblings go on."""
    failures = 0
    while not daemon.stopping.is_set():
        began = trio.current_time()
        try:
            await work()
            return
        except Exception as error:  # noqa: BLE001 - a loop's failure must not end the daemon
            if trio.current_time() - began > _HEALTHY_S:
                failures = 0
            failures += 1
            daemon.metrics.restarts.labels(name).inc()
            known = _is_known(error)
            _log.warning("task_failed", task=name, error=repr(error), exc_info=not known)
        pause_s = min(_BACKOFF_MAX_S, 0.1 * 2**failures)
        with trio.move_on_after(random.uniform(0, pause_s)):  # noqa: S311 - jitter, no secret
            await daemon.stopping.wait()


def _is_known(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_known(inner) for inner in error.exceptions)
    return isinstance(error, PaydError)


def _pump(
    daemon: _Daemon,
    name: str,
    claim: Claim[T],
    work: Work[T],
    idle: Idle,
    same: Callable[[T], Hashable],
) -> Callable[[], Awaitable[None]]:
    async def guarded(row: T) -> object:
        try:
            return await work(row)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one row must not stop its neighbours
            daemon.metrics.failures.labels(name).inc()
            _log.exception("row_failed", task=name, row=getattr(row, "id", None), error=repr(error))
            return False

    return partial(bridge.aio, pump, claim, guarded, idle, daemon.stopping, same)


async def _claim_to_publish(daemon: _Daemon) -> Sequence[OutboxRow]:
    """Nothing while the stream is away: rows keep their places without being touched."""
    if not daemon.outside.stream.state().connected:
        return ()
    return await daemon.use_cases.publish.claim_batch()


async def _publish(daemon: _Daemon, row: OutboxRow) -> bool:
    """Whether the stream has it."""
    error = await daemon.use_cases.publish.publish(row)
    daemon.metrics.published.labels(row.subject, "failed" if error else "ok").inc()
    if error is not None:
        _log.warning("publish_failed", event_id=str(row.event_id), error=str(error))
    return error is None


async def _settle_evidence(daemon: _Daemon, row: InboxRow) -> None:
    outcome = await daemon.use_cases.intake.work(row)
    daemon.metrics.evidence.labels(row.provider, outcome).inc()


async def _scan(daemon: _Daemon, step: ScanStep) -> None:
    new = await daemon.use_cases.scan.work(step)
    daemon.metrics.scanned.labels(step.provider.name).inc(new)


async def _reconcile(daemon: _Daemon, provider: ProviderPort) -> None:
    result = await daemon.use_cases.reconcile.work(provider)
    if result is not None:
        _tell_findings(daemon, result, FINDING_KINDS)


async def _audit(daemon: _Daemon, provider: ProviderPort) -> None:
    result = await daemon.use_cases.audit.work(provider)
    if result is not None:
        _tell_findings(daemon, result, AUDIT_KINDS)


def _tell_findings(daemon: _Daemon, result: Reconciliation, kinds: Sequence[str]) -> None:
    metrics, provider = daemon.metrics, result.provider
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


async def _recover(daemon: _Daemon, payment: Payment) -> None:
    after = await daemon.use_cases.recover.recover(payment)
    daemon.metrics.looks.labels(after.status.value.lower()).inc()


async def _reload_on_sighup(daemon: _Daemon, reloads: Reloads) -> None:
    async for _ in reloads.requests:
        daemon.manager.is_reloading()
        try:
            version = await daemon.rotation.reload(reloads.read())
        except ConfigError as error:
            _log.error("reload_refused", error=str(error))
            daemon.manager.has_reloaded("reload refused, all stays as it was: see the log")
            continue
        _log.info("configuration_reloaded", pricing_version=version)
        daemon.manager.has_reloaded(f"reloaded, prices {version[:12]}")


async def _look_at_certificates(daemon: _Daemon) -> None:
    while True:
        daemon.rotation.tell()
        await trio.sleep(daemon.config.grpc.tls_check_interval_s)
        await daemon.rotation.look_at_certificates()


async def _measure(daemon: _Daemon) -> None:
    """Sample the gauges; tell health whether work can be taken, and the service manager all.

    It hears of us only while both loops come round and the database answers.
    """
    metrics, manager = daemon.metrics, daemon.manager
    sample_s = min(_SAMPLE_S, (manager.watchdog_s or math.inf) / 4)
    while True:
        began = trio.current_time()
        await trio.sleep(sample_s)
        metrics.loop_lag.labels("trio").set(max(0.0, trio.current_time() - began - sample_s))
        began = trio.current_time()
        await bridge.aio(nap, 0, daemon.stopping)
        metrics.loop_lag.labels("asyncio").set(trio.current_time() - began)
        metrics.rpcs_in_flight.set(daemon.grpc.in_flight())
        metrics.connections.set(daemon.grpc.connections())
        now = await daemon.condition.sample(metrics)
        daemon.grpc.set_serving(now.ready)
        manager.beat(ready=now.ready, alive=now.checks["database"].ok, status=now.summary())


def _count_exception(metrics: Metrics, message: str, error: BaseException | None) -> None:
    """What nobody caught on the asyncio loop: a client's broken frame, a cut connection."""
    metrics.loop_exceptions.inc()
    _log.warning("loop_exception", message=message, error=repr(error))

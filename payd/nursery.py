"""Daemon supervisor: starts, restarts and stops every task. The table of contents of the parts.

Start: secrets, providers, loops, metrics, HTTP, and gRPC last. Stop, the other way round: gRPC
refuses new calls and finishes those under way, the worker loops finish the rows they have claimed,
then everything closes. A loop that fails starts again after a back-off. Three things end the
process: a signal, a server that cannot open its port, and in strict mode a provider that cannot
start.
"""

import os
import random
from collections.abc import Callable, Mapping
from functools import partial

import attrs
import trio

from payd import telemetry
from payd.adapters import bridge
from payd.adapters.systemd import ServiceManager
from payd.config import Config, load_prices, with_vault
from payd.daemon.builders import (
    CurrentConfig,
    build_adapters,
    build_grpc,
    build_pages,
    build_tracer,
    build_use_cases,
    build_vault,
    build_webhooks,
    guarded_methods,
    http_limits,
    new_metrics,
    open_console,
    provider_observer,
)
from payd.daemon.leases import cursor_reader
from payd.daemon.loops import Loop, Parts, support_loops, worker_loops
from payd.daemon.own_state import OwnState
from payd.daemon.preflight import build_tls, check_prices, enabled_plugins, offered_methods
from payd.daemon.process import tune_garbage_collection
from payd.daemon.readiness import ReadinessProbe
from payd.daemon.reload import Reloader, ReloadRequests
from payd.daemon.secrets import SecretRefresher
from payd.domain.errors import PaydError
from payd.ports import BusinessClock
from payd.providers.loader import FailureMode, OpenProviders, open_providers
from payd.telemetry import Metrics
from payd.transport.http.app import build_app
from payd.transport.http.serve import metrics_app, serve_app

_log = telemetry.get_logger(__name__)

#: Seconds for the worker loops to finish the rows they have claimed.
_FINISH_S = 5.0
_BACKOFF_MAX_S = 5.0
#: A loop that ran this many seconds has recovered: its back-off starts over.
_HEALTHY_S = 30.0


@attrs.frozen(kw_only=True)
class Addresses:
    """Where the servers listen, as host:port."""

    grpc: str
    http: str
    metrics: str
    #: Empty when the console is off.
    console: str


async def run(
    config: Config,
    stop: trio.Event,
    *,
    clock: BusinessClock | None = None,
    reloads: ReloadRequests | None = None,
    started: Callable[[Addresses], None] = lambda addresses: None,
) -> None:
    """Run the daemon until `stop`, drain it and return. Production refuses a `clock`.

    Raises ConfigError and PluginError for a start that cannot succeed, OSError for a taken port.
    """
    metrics, manager = new_metrics(), ServiceManager(os.environ)
    # Check prices and certificates before waiting for Vault, which cannot fix them.
    load_prices(config.pricing.file)
    tls = build_tls(config)
    vault = build_vault(config, metrics)
    secrets = SecretRefresher(vault, config, metrics) if vault else None
    values = await secrets.wait_until_complete(manager, stop) if secrets else {}
    if values is None:
        return
    config = with_vault(config, values)
    current = CurrentConfig(config)
    refresh = secrets.refresh_now if secrets else None
    adapters = build_adapters(config, metrics, current.config, refresh, build_tracer(config), clock)
    plugins = enabled_plugins(config)
    check_prices(config.pricing.file, current.current(), offered_methods(plugins))
    async with (
        bridge.open_loop(partial(_count_exception, metrics)),
        open_providers(
            plugins,
            environment=config.environment,
            clock=adapters.clock,
            failure_mode=FailureMode(config.providers.failure_mode),
            log_of=telemetry.get_logger,
            random=random.random,
            on_call=provider_observer(metrics),
            metrics_of=metrics.of_provider,
            read_cursor=cursor_reader(adapters.inbox),
            stop=stop,
        ) as providers,
    ):
        _log_failed(providers)
        methods = guarded_methods(providers.methods.wrapped(bridge.for_asyncio), adapters)
        probe = ReadinessProbe(adapters=adapters, providers=providers, stop=stop, secrets=secrets)
        own = OwnState(readiness=probe, current=current, metrics=metrics)
        use_cases = build_use_cases(config, adapters, methods, current, bridge.for_asyncio(own))
        parts = Parts(
            config=config,
            metrics=metrics,
            adapters=adapters,
            providers=providers,
            use_cases=use_cases,
            grpc=build_grpc(config, tls, use_cases.grpc_services, current, metrics, adapters),
            reloader=Reloader(
                current=current,
                adapters=adapters,
                providers=providers,
                tls=tls,
                metrics=metrics,
                secret_values=values,
            ),
            manager=manager,
            secrets=secrets,
            stop=stop,
            stopping=trio.Event(),
            readiness=probe,
        )
        await _until_stopped(parts, reloads, started)
    _log.info("daemon_stopped")


async def _until_stopped(
    parts: Parts, reloads: ReloadRequests | None, started: Callable[[Addresses], None]
) -> None:
    try:
        async with trio.open_nursery() as support:
            _start(support_loops(parts, reloads), parts, support)
            async with trio.open_nursery() as workers:
                _start(worker_loops(parts), parts, workers)
                await _serve_until_stopped(parts, started)
                parts.stopping.set()
                workers.cancel_scope.deadline = trio.current_time() + _FINISH_S
            support.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await bridge.aio(parts.adapters.close)


async def _serve_until_stopped(parts: Parts, started: Callable[[Addresses], None]) -> None:
    config, metrics = parts.config, parts.metrics
    app = build_app(
        parts.use_cases.grpc_services.query,
        build_webhooks(parts.use_cases, metrics, parts.adapters),
        build_pages(config, parts.use_cases),
        parts.readiness.check,
        telemetry.http_observer(metrics),
        config.http.max_body_bytes,
    )
    shut = trio.Event()
    async with trio.open_nursery() as servers:
        open_metrics = partial(serve_app, metrics_app(metrics.registry))
        metrics_port = await servers.start(
            open_metrics, config.metrics.host, config.metrics.port, shut
        )
        open_http = partial(serve_app, shares_port=config.share_ports)
        http_port = await servers.start(
            open_http, app, config.http.host, config.http.port, shut, http_limits(config)
        )
        console = await open_console(
            servers, shut, config, parts.use_cases, parts.reloader.current, metrics
        )
        await bridge.aio(parts.adapters.sending.look)
        grpc_port = await bridge.aio(parts.grpc.start)
        now = await parts.readiness.check()
        parts.grpc.set_serving(now.ready)
        addresses = Addresses(
            grpc=f"{config.grpc.host}:{grpc_port}",
            http=f"{config.http.host}:{http_port}",
            metrics=f"{config.metrics.host}:{metrics_port}",
            console=console,
        )
        tune_garbage_collection()
        _log.info("daemon_started", **attrs.asdict(addresses))
        parts.manager.beat(ready=now.ready, alive=True, status=now.summary())
        started(addresses)
        await parts.stop.wait()
        parts.manager.is_stopping()
        await bridge.aio(parts.grpc.stop, config.grpc.drain_timeout_s)
        shut.set()


def _start(loops: Mapping[str, Loop], parts: Parts, nursery: trio.Nursery) -> None:
    for name, loop in loops.items():
        nursery.start_soon(_supervise, name, loop, parts, name=name)


async def _supervise(name: str, loop: Loop, parts: Parts) -> None:
    """Run a loop; when it fails, restart it after a full-jitter back-off. Other loops continue."""
    failures, restarts = 0, parts.metrics.restarts.labels(name)
    while not parts.stopping.is_set():
        began = trio.current_time()
        try:
            await loop()
            return
        except Exception as error:  # noqa: BLE001 - a failed loop must not end the daemon
            if trio.current_time() - began > _HEALTHY_S:
                failures = 0
            failures += 1
            restarts.inc()
            _log.warning("task_failed", task=name, error=repr(error), exc_info=not _is_known(error))
        pause_s = min(_BACKOFF_MAX_S, 0.1 * 2**failures)
        with trio.move_on_after(random.uniform(0, pause_s)):  # noqa: S311 - jitter, no secret
            await parts.stopping.wait()


def _is_known(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_known(inner) for inner in error.exceptions)
    return isinstance(error, PaydError)


def _log_failed(providers: OpenProviders) -> None:
    for error in providers.report.failed:
        _log.error(
            "provider_not_loaded",
            provider=error.provider,
            reason=error.reason,
            what_to_do=error.what_to_do,
        )


def _count_exception(metrics: Metrics, message: str, error: BaseException | None) -> None:
    """Log an exception that no asyncio task caught, such as a broken frame or a cut connection."""
    metrics.loop_exceptions.inc()
    _log.warning("loop_exception", message=message, error=repr(error))

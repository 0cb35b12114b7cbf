"""The daemon as a process: signals, exit codes, a stop deadline, no core dump."""

import gc
import os
import resource
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import trio

from payd import telemetry
from payd.config import EXIT_BAD_CONFIGURATION, Config, ConfigError, unencrypted_connections
from payd.daemon.reload import ReloadRequests, open_reloads
from payd.providers.discovery import PluginError
from payd.providers.loop_monitor import resisting

_log = telemetry.get_logger(__name__)

#: Seconds after the gRPC drain for loops, providers and connections to end. With the default
#: drain_timeout_s this stays below the 40 s of the systemd unit.
_STOP_S = 10.0
#: Further seconds before a thread ends a process whose event loop is blocked.
_BLOCKED_LOOP_S = 3.0


class Run(Protocol):
    """The supervisor's `run` (payd.nursery)."""

    async def __call__(
        self, config: Config, stop: trio.Event, *, reloads: ReloadRequests | None
    ) -> None:
        """Run the daemon until `stop`."""


def serve(run: Run, config: Config, reload: Callable[[], Config]) -> int:
    """Run the daemon until a signal and return its exit code. SIGHUP calls `reload`."""
    telemetry.configure_logging(config.log.level, config.log.format)
    # A core dump would contain every secret. A sandbox that forbids the call sets the limit itself.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if config.in_production and (exposed := unencrypted_connections(config)):
        # Only trusted_network allows this.
        _log.warning("network_trusted", unencrypted=[key for key, _ in exposed])
    code = 0
    try:
        trio.run(_serve_until_signal, run, config, reload)
    except* OSError as failures:
        _log_failures(failures)
        code = 1
    except* (ConfigError, PluginError) as failures:
        _log_failures(failures)
        code = EXIT_BAD_CONFIGURATION
    return code


def _log_failures(failures: BaseExceptionGroup[BaseException]) -> None:
    for failure in failures.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            _log_failures(failure)
        else:
            _log.critical("daemon_failed", error=str(failure))


async def _serve_until_signal(run: Run, config: Config, reload: Callable[[], Config]) -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(_until_signal, stop)
        nursery.start_soon(_enforce_deadline, stop, config.grpc.drain_timeout_s + _STOP_S)
        async with open_reloads(reload) as reloads:
            await run(config, stop, reloads=reloads)
        nursery.cancel_scope.cancel()


async def _enforce_deadline(stop: trio.Event, limit_s: float) -> None:
    """End the process after `limit_s` seconds, even if a plugin prevents it.

    A plugin that swallows cancellation or blocks the event loop keeps trio from ending. Exiting is
    safe: the next daemon continues from the database, as after a kill.
    """
    await stop.wait()
    # A thread, because a blocked event loop would never run the code below.
    last = threading.Timer(limit_s + _BLOCKED_LOOP_S, _exit, ((),))
    last.daemon = True
    last.start()
    try:
        await trio.sleep(limit_s)
        root = trio.lowlevel.current_root_task()
        _exit(sorted(set(resisting(root))) if root else ())
    finally:
        last.cancel()


def _exit(providers: Sequence[str]) -> None:
    _log.critical(
        "daemon_did_not_end",
        providers=providers,
        what_to_do="disable the named providers and report it to their authors; no data is lost",
    )
    os._exit(1)


async def _until_signal(stop: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            _log.info("stop_requested", signal=signal.Signals(number).name)
            stop.set()


def tune_garbage_collection() -> None:
    """Exclude the objects built so far from garbage collection, and collect less often.

    They live as long as the process, and a request creates few reference cycles. Garbage among
    them stays, 1 MiB: looking for it takes a twelfth of the start's time.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)

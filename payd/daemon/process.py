"""The daemon as a process: signals, exit codes, and no core."""

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
from payd.daemon.reload import Reloads, open_reloads
from payd.providers.loader import PluginError
from payd.providers.loop_monitor import resisting

_log = telemetry.get_logger(__name__)

#: After a stop and the calls under way: for the loops, the providers and the connections to end.
#: With those calls' usual deadline less than the 40 s of the systemd unit.
_END_S = 10.0
#: Longer than a loop that is only busy is held.
_HELD_S = 3.0


class Run(Protocol):
    """The supervisor's `run` (payd.nursery)."""

    async def __call__(self, config: Config, stop: trio.Event, *, reloads: Reloads | None) -> None:
        """Run the daemon until `stop`."""


def serve(run: Run, config: Config, reload: Callable[[], Config]) -> int:
    """Run the daemon until a signal and return the exit code. `reload` reads anew on SIGHUP."""
    telemetry.configure_logging(config.log.level, config.log.format)
    # A core would hold every secret. A sandbox that forbids the call has set it already.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if config.in_production and (exposed := unencrypted_connections(config)):
        # Allowed by trusted_network only.
        _log.warning("network_trusted", unencrypted=[key for key, _ in exposed])
    code = 0
    try:
        trio.run(_serve_until_signal, run, config, reload)
    except* (ConfigError, PluginError) as failures:
        _tell(failures)
        code = EXIT_BAD_CONFIGURATION
    except* OSError as failures:
        _tell(failures)
        code = 1
    return code


def _tell(failures: BaseExceptionGroup[BaseException]) -> None:
    for failure in failures.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            _tell(failure)
        else:
            _log.critical("daemon_failed", error=str(failure))


async def _serve_until_signal(run: Run, config: Config, reload: Callable[[], Config]) -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(_until_signal, stop)
        nursery.start_soon(_end_in_time, stop, config.grpc.drain_timeout_s + _END_S)
        async with open_reloads(reload) as reloads:
            await run(config, stop, reloads=reloads)
        nursery.cancel_scope.cancel()


async def _end_in_time(stop: trio.Event, limit_s: float) -> None:
    """A process that is to stop ends, whatever a plugin does.

    One that resists its cancellation, or holds the loop, keeps trio from ending. Whatever a daemon
    leaves that is killed, the next one goes on with; so it may end itself.
    """
    await stop.wait()
    # For when the loop is held, and nothing here is reached any more.
    last = threading.Timer(limit_s + _HELD_S, _end, ((),))
    last.daemon = True
    last.start()
    try:
        await trio.sleep(limit_s)
        root = trio.lowlevel.current_root_task()
        _end(sorted(set(resisting(root))) if root else ())
    finally:
        last.cancel()


def _end(providers: Sequence[str]) -> None:
    _log.critical(
        "daemon_did_not_end",
        providers=providers,
        what_to_do="disable what resists, and tell its author; nothing is lost",
    )
    os._exit(1)


async def _until_signal(stop: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            _log.info("stop_requested", signal=signal.Signals(number).name)
            stop.set()

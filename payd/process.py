"""The daemon as a process: signals, exit codes, and no core."""

import resource
import signal
from collections.abc import Callable
from contextlib import suppress

import trio

from payd import telemetry
from payd.config import EXIT_BAD_CONFIGURATION, Config, ConfigError
from payd.nursery import run
from payd.plugins.loader import PluginError

_log = telemetry.get_logger(__name__)


def serve(config: Config, reload: Callable[[], Config] | None = None) -> int:
    """Run the daemon until a signal; the process's exit code. `reload` reads anew on SIGHUP."""
    telemetry.configure_logging(config.log.level, config.log.format)
    # A core would hold every secret. A sandbox that forbids the call has set it already.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    code = 0
    try:
        trio.run(_serve_until_signal, config, reload)
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


async def _serve_until_signal(config: Config, reload: Callable[[], Config] | None) -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(_until_signal, stop)
        await run(config, stop, reload=reload)
        nursery.cancel_scope.cancel()


async def _until_signal(stop: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            _log.info("stop_requested", signal=signal.Signals(number).name)
            stop.set()

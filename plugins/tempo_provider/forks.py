"""The protocol version that the chain runs, and whether payd was tested with it."""

import re
from contextlib import suppress
from typing import Any, Final

import trio

from payd.plugins import Logger
from tempo_provider.rpc import RpcError
from tempo_provider.witnesses import Witnesses

#: T4 on a real node. T6's withheld transfers and T12's `burnAt` by logs that Tempo's SDKs or its
#: node's own tests define. By the release notes of tempoxyz/tempo, nothing in T5 and in T7 to T11
#: changes what is read here.
TESTED_FORKS: Final = ("T4", "T5", "T6", "T7", "T8", "T9", "T10", "T11", "T12")

#: Seconds to wait for the version: only a log line depends on it.
WAIT_S = 1.0

_NAME = re.compile(r"[A-Za-z0-9]{1,32}")


async def log_fork(witnesses: Witnesses, log: Logger) -> None:
    """Log the active fork, and warn if payd was not tested with it. Takes at most `WAIT_S`."""
    fork = ""
    with trio.move_on_after(WAIT_S):
        fork = await active_fork(witnesses)
    if not fork:
        log.info("chain_fork_unknown", reason="no endpoint answers tempo_forkSchedule")
        return
    log.info("chain_fork", fork=fork)
    if fork not in TESTED_FORKS:
        advice = "compare its release notes with what this provider reads, or update payd"
        log.warning("chain_fork_untested", fork=fork, tested=", ".join(TESTED_FORKS), advice=advice)


async def active_fork(witnesses: Witnesses) -> str:
    """Ask the endpoints in order; return an empty string when none knows the fork."""
    for endpoint in witnesses.endpoints:
        with suppress(RpcError):
            if fork := _active(await endpoint.call("tempo_forkSchedule")):
                return fork
    return ""


def _active(schedule: Any) -> str:
    name = schedule.get("active") if isinstance(schedule, dict) else None
    return name if isinstance(name, str) and _NAME.fullmatch(name) else ""

"""Warn when two applications read from one durable consumer and take each other's events.

NATS gives each event to one reader of a durable consumer. The processes of one application share a
consumer on purpose, but another application with the same name takes its events away. The name of
the application is stored in the metadata of the consumer (since nats-server 2.10, ADR-33).
"""

import asyncio
import json
import math
from logging import getLogger
from pathlib import Path
from typing import Any

_log = getLogger("payd_client")

#: Metadata key of the application's name.
APPLICATION = "payd-application"
_ANSWER_S = 5.0
#: How often, and at which interval, to look whether a known application still reads: between two
#: of its requests none waits at the server.
_LOOKS_MAX = 10
_LOOK_S = 0.1
_CHECK_FIRST_S = 2.0
_CHECK_EVERY_S = 60.0


def application_of(handler: Any) -> str:
    """Name the application after its handler, as `module:name`; all of its processes share that.

    For a handler in the program that was started, the module is the file name without its folder,
    which may change with each release, or the module's name after `python -m`.
    """
    while hasattr(handler, "func"):
        # functools.partial
        handler = handler.func
    named = handler if hasattr(handler, "__qualname__") else type(handler)
    module = named.__module__
    if module == "__main__":
        module = _started_program() or module
    return f"{module}:{named.__qualname__}"


def _started_program() -> str:
    """Return the module or file name; empty in an interactive session."""
    import __main__

    spec = getattr(__main__, "__spec__", None)
    return spec.name if spec is not None else Path(getattr(__main__, "__file__", "")).name


async def warn_if_shared(client: Any, info: Any, application: str) -> bool:
    """Log a warning when another application reads from this consumer; return whether it does.

    Otherwise store our name in the consumer. `info` describes the consumer before this process
    reads from it. Raises nats.errors.Error.
    """
    owner = (info.config.metadata or {}).get(APPLICATION)
    if owner == application:
        return False
    is_read = bool(info.num_waiting)
    if owner is not None and not is_read:
        is_read = await _is_read_soon(client, info)
    if is_read:
        warn(info.name, owner, application)
    if owner is None or not is_read:
        await _put_name(client, info.stream_name, info.name, application)
    return is_read


async def warn_if_renamed(client: Any, info: Any, application: str) -> None:
    """While reading: warn if another application has put its name in place of ours.

    Put ours back, so that the other one is warned as well. Raises nats.errors.Error.
    """
    owner = (info.config.metadata or {}).get(APPLICATION)
    if owner is not None and owner != application:
        warn(info.name, owner, application)
        await _put_name(client, info.stream_name, info.name, application)


class OwnerChecks:
    """When to check the name in the consumer while reading: soon at first, then every minute."""

    def __init__(self) -> None:
        self._next = -math.inf
        self._pause_s = _CHECK_FIRST_S

    def is_due(self, now: float) -> bool:
        """Return whether to check now, in seconds of any clock; plan the next check if so."""
        if now < self._next:
            return False
        self._next = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, _CHECK_EVERY_S)
        return True


async def _is_read_soon(client: Any, info: Any) -> bool:
    """Return whether a reader's request comes to the consumer within a second."""
    for _ in range(_LOOKS_MAX):
        await asyncio.sleep(_LOOK_S)
        found = await _ask(client, f"CONSUMER.INFO.{info.stream_name}.{info.name}", None)
        if found.get("num_waiting"):
            return True
    return False


def warn(durable: str, owner: str | None, application: str) -> None:
    """Log which applications share the consumer, and what to change."""
    _log.warning(
        "two applications share the durable consumer %s: this one, %s, and %s. Each event goes to"
        " only one of them. Give each application its own ConsumerSettings.durable",
        durable,
        application,
        owner or "one without a name",
    )


async def _put_name(client: Any, stream: str, durable: str, application: str) -> None:
    """Store our name, and keep the rest of the configuration, even what nats-py does not know."""
    found = await _ask(client, f"CONSUMER.INFO.{stream}.{durable}", None)
    config = found.get("config")
    if config is None:
        return
    # nats-server adds its own keys.
    metadata = config.get("metadata") or {}
    kept = {key: value for key, value in metadata.items() if not key.startswith("_nats.")}
    config["metadata"] = {**kept, APPLICATION: application}
    wanted = {"stream_name": stream, "config": config}
    changed = await _ask(client, f"CONSUMER.DURABLE.CREATE.{stream}.{durable}", wanted)
    if "error" in changed:
        _log.info("the name was not stored in consumer %s: %s", durable, changed["error"])


async def _ask(client: Any, request: str, body: object) -> dict[str, Any]:
    payload = b"" if body is None else json.dumps(body).encode()
    answer = await client.request(f"$JS.API.{request}", payload, timeout=_ANSWER_S)
    document: dict[str, Any] = json.loads(answer.data)
    return document

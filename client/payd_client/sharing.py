"""Warn where two different applications read one durable consumer and take each other's events.

A durable consumer gives each event to one reader. Processes of one application share one on purpose;
another application on the same name takes events away from it. The application's name is kept in the
consumer's metadata (nats-server 2.10, ADR-33).
"""

import json
from logging import getLogger
from pathlib import Path
from typing import Any

_log = getLogger("payd_client")

#: The metadata's key for the name of the application that reads the consumer.
APPLICATION = "payd-application"
_ANSWER_S = 5.0


def application_of(handler: Any) -> str:
    """A name for the application: its handler's, which all of its processes share.

    A handler of the program that was started is named by its file without the folder, which may
    change with each release, or by its module after `python -m`.
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
    """Empty in an interactive session."""
    import __main__

    spec = getattr(__main__, "__spec__", None)
    return spec.name if spec is not None else Path(getattr(__main__, "__file__", "")).name


async def warn_if_shared(client: Any, info: Any, application: str) -> bool:
    """Log a warning where another application reads this consumer now; whether that was so.

    Else put our name on it. `info` is the consumer before this process reads from it. Raises
    nats.errors.Error.
    """
    owner = (info.config.metadata or {}).get(APPLICATION)
    if owner == application:
        return False
    is_read = bool(info.num_waiting)
    if is_read:
        warn(info.name, owner, application)
    if owner is None or not is_read:
        await _put_name(client, info.stream_name, info.name, application)
    return is_read


def warn(durable: str, owner: str | None, application: str) -> None:
    """Say who reads it, and what to do."""
    _log.warning(
        "two applications share the durable consumer %s: this one, %s, and %s. Each event goes to"
        " one of them only. Give each a name of its own: ConsumerSettings.durable",
        durable,
        application,
        owner or "one that gives no name",
    )


async def _put_name(client: Any, stream: str, durable: str, application: str) -> None:
    """Change nothing else of its configuration, not even what this client does not know."""
    found = await _ask(client, f"CONSUMER.INFO.{stream}.{durable}", None)
    config = found.get("config")
    if config is None:
        return
    # The server adds its own keys by itself.
    metadata = config.get("metadata") or {}
    kept = {key: value for key, value in metadata.items() if not key.startswith("_nats.")}
    config["metadata"] = {**kept, APPLICATION: application}
    wanted = {"stream_name": stream, "config": config}
    changed = await _ask(client, f"CONSUMER.DURABLE.CREATE.{stream}.{durable}", wanted)
    if "error" in changed:
        _log.info("the durable consumer %s keeps no name: %s", durable, changed["error"])


async def _ask(client: Any, request: str, body: object) -> dict[str, Any]:
    payload = b"" if body is None else json.dumps(body).encode()
    answer = await client.request(f"$JS.API.{request}", payload, timeout=_ANSWER_S)
    document: dict[str, Any] = json.loads(answer.data)
    return document

"""Log lines, and nothing secret in them.

Lines go to stderr, JSON unless that is a terminal, the standard library's too. A value that was registered as secret, or that is kept under a name that looks
like one, is masked wherever it turns up; a reader of stderr that stalls loses lines, and never
stops the daemon.
"""

import json
import logging
import os
import re
import select
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote

import attrs
import structlog

MASK = "**********"

#: Shorter ones would mask half of every line, and are no secrets.
_SECRET_LENGTH_MIN = 4
_SECRET_KEY = re.compile(
    r"passw|secret|authorization|credential|cookie|seed|private_?key|api_?key|signing_?key"
    r"|memo_?key|key_?material|token(?!_address)",
    re.IGNORECASE,
)
#: Ours, and the same for every line of a kind: never masked.
_PLAIN_FIELDS = frozenset({"timestamp", "level", "logger"})

#: Bytes that a pipe which polls as writable takes without blocking.
_CHUNK_BYTES = 4096
#: How long one line may wait for a stalled reader; the lines after it do not wait.
_STALL_MS = 50


def get_logger(name: str) -> Any:
    """A structlog logger: a past-tense event word, then fields."""
    return structlog.get_logger(name)


def register_secret(value: str) -> None:
    """Mask `value` in every line from now on; of several lines (a key file) each one, too."""
    _state.secrets.update(_looks_of(value))
    # The longest first: one secret may be part of another.
    _state.traces = tuple(sorted(_state.secrets, key=len, reverse=True))


def forget_secret(value: str) -> None:
    """It is worth nothing any more: each one that is looked for makes every line dearer."""
    _state.secrets.difference_update(_looks_of(value))
    _state.traces = tuple(sorted(_state.secrets, key=len, reverse=True))


def _looks_of(value: str) -> Iterator[str]:
    """How a secret may look in a line: plain, in a URL, in a repr, in JSON; each of its lines."""
    for part in {value, *(line.strip() for line in value.splitlines())}:
        if len(part) >= _SECRET_LENGTH_MIN:
            for look in (part, quote(part, safe=""), repr(part)[1:-1]):
                yield look
                yield json.dumps(look)[1:-1]


def configure_logging(level: str, form: Literal["auto", "json", "console"]) -> None:
    """Set up structlog, and the standard library's logging through it. Repeatable."""
    as_console = form == "console" or (form == "auto" and sys.stderr.isatty())
    _state.render = _console_renderer() if as_console else _as_json
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _finish],
        logger_factory=_Line,
        wrapper_class=_BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.getLogger().handlers[:] = [_FromStandardLibrary()]
    logging.captureWarnings(True)
    # Libraries speak of what payd reports itself, and of each client's hiccup.
    for noisy in ("nats", "grpclib", "hypercorn", "asyncio", "hpack", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    sys.excepthook = _tell_uncaught
    set_level(level)


def set_level(level: str) -> None:
    """Change the least severe level that is written."""
    logging.getLogger().setLevel(level.upper())
    _state.threshold = logging.getLogger().level


# -- a line's way ------------------------------------------------------------------------------


class _BoundLogger(structlog.BoundLoggerBase):
    """Asks for the level first: a line that is not written costs nothing, and SIGHUP changes it."""

    def debug(self, event: str, **fields: Any) -> None:
        if _state.threshold <= logging.DEBUG:
            self._proxy_to_logger("debug", event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        if _state.threshold <= logging.INFO:
            self._proxy_to_logger("info", event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        if _state.threshold <= logging.WARNING:
            self._proxy_to_logger("warning", event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        self._proxy_to_logger("error", event, **fields)

    def exception(self, event: str, **fields: Any) -> None:
        self._proxy_to_logger("error", event, **{"exc_info": True, **fields})

    def critical(self, event: str, **fields: Any) -> None:
        self._proxy_to_logger("critical", event, **fields)


class _Line:
    """What a bound logger ends in: its name, and the way out."""

    def __init__(self, name: str = "payd") -> None:
        self.name = name

    def debug(self, text: str) -> None:
        _stderr.write(text)

    info = warning = error = critical = debug


class _FromStandardLibrary(logging.Handler):
    """Lines of grpclib, hypercorn, nats, asyncpg and their like, in the shape of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = record.getMessage()
        except (TypeError, ValueError):
            event = str(record.msg)
        fields: dict[str, Any] = {"event": event, "exc_info": record.exc_info}
        fields = {**structlog.contextvars.get_contextvars(), **fields}
        _stderr.write(_finish(_Line(record.name), record.levelname.lower(), fields))


def _finish(logger: Any, level: str, fields: Any) -> str:
    """The line, ready to write."""
    ours = {
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "level": level,
        "logger": logger.name,
        "event": fields.pop("event", ""),
    }
    told = {key: _hidden(key, value) for key, value in fields.items()}
    # Ours come first, and no field of the same name replaces them.
    line = dict(structlog.processors.format_exc_info(logger, level, ours | told | ours))
    text = _state.render(line)
    if any(trace in text for trace in _state.traces):
        text = _state.render({key: _masked(key, value) for key, value in line.items()})
    return text + "\n"


def _as_json(line: dict[str, Any]) -> str:
    try:
        return json.dumps(line, default=repr)
    except (TypeError, ValueError):
        # A key that is no string, or a circle.
        return json.dumps({key: repr(value) for key, value in line.items()})


def _console_renderer() -> Callable[[dict[str, Any]], str]:
    # Plain, because the pretty one shows local variables.
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return lambda line: renderer(None, "", dict(line))


@attrs.define
class _State:
    """What can be changed while we run."""

    threshold: int = logging.INFO
    render: Callable[[dict[str, Any]], str] = _as_json
    secrets: set[str] = attrs.Factory(set)
    #: How the secrets look, in a value or inside a finished line.
    traces: tuple[str, ...] = ()


_state = _State()


# -- nothing secret ----------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _looks_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _hidden(key: object, value: Any) -> Any:
    """`value` without what is kept under a name that looks secret, however deep."""
    if value is not None and isinstance(key, str) and _looks_secret(key):
        return MASK
    if isinstance(value, Mapping):
        return {inner: _hidden(inner, inside) for inner, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(None, inside) for inside in value] if key != "exc_info" else value
    return value


def _masked(key: object, value: Any) -> Any:
    """`value` without any known secret; what is not a string is masked as it would be shown."""
    if key in _PLAIN_FIELDS or value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {_without_secrets(str(k)): _masked(None, inside) for k, inside in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(None, inside) for inside in value]
    if isinstance(value, str):
        return _without_secrets(value)
    shown = repr(value)
    masked = _without_secrets(shown)
    return value if masked == shown else masked


def _without_secrets(text: str) -> str:
    for trace in _state.traces:
        text = text.replace(trace, MASK)
    return text


def _tell_uncaught(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:
    """The interpreter's own report would show what is secret."""
    if issubclass(kind, KeyboardInterrupt):
        return
    get_logger("payd").critical("process_failed", exc_info=(kind, error, where))


class _Stderr:
    """Whole lines, from any thread. What its reader does not take in time is dropped, and counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dropped = 0
        #: The last line stopped in its middle.
        self._cut = False

    def write(self, text: str) -> None:
        """Returns within some 50 ms, whatever becomes of the line."""
        with self._lock:
            try:
                self._write(text)
            except (OSError, ValueError):
                # Closed: there is nobody to tell.
                self._dropped += 1

    def _write(self, text: str) -> None:
        handle = _stderr_handle()
        if handle is None:
            sys.stderr.write(text)
            return
        wait_ms = 0 if self._dropped else _STALL_MS
        poll = select.poll()
        poll.register(handle, select.POLLOUT)
        if self._dropped and poll.poll(0):
            told = {"level": "warning", "event": "log_lines_dropped", "count": self._dropped}
            text = "\n" * self._cut + json.dumps(told) + "\n" + text
        data = text.encode(errors="backslashreplace")
        sent = 0
        while sent < len(data):
            if not poll.poll(wait_ms):
                self._dropped += 1
                self._cut = self._cut or sent > 0
                return
            sent += os.write(handle, data[sent : sent + _CHUNK_BYTES])
        self._dropped = 0
        self._cut = False


def _stderr_handle() -> int | None:
    """None where a test or a program around us has put something else in its place."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return None


_stderr = _Stderr()

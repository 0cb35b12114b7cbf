"""Log lines on stderr, with secrets masked.

Lines are JSON, or plain text on a terminal; those of the standard library's logging have the same
form. A value that was registered as secret, or whose field name looks like a secret's, is masked
wherever it occurs. If the reader of stderr stalls, lines are dropped: the daemon does not wait.
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

from payd.spared import without

# For tracebacks in colours: payd writes plain ones, and this takes 4 MiB.
with without("rich"):
    import structlog

MASK = "**********"

#: Shorter values are no secrets, and masking them would hide half of every line.
_SECRET_LENGTH_MIN = 4
_SECRET_KEY = re.compile(
    r"passw|secret|authorization|credential|cookie|seed|private_?key|api_?key|signing_?key"
    r"|memo_?key|key_?material|token(?!_address)",
    re.IGNORECASE,
)
#: Fields that payd sets itself, never masked.
_PLAIN_FIELDS = frozenset({"timestamp", "level", "logger"})

_JSON = json.JSONEncoder(default=repr)
_SIMPLE = frozenset({str, int, float, bool, type(None)})

#: Bytes that a pipe which polls as writable takes without blocking.
_CHUNK_BYTES = 4096
#: How long one line waits for a stalled reader; the lines after it do not wait.
_STALL_MS = 50


def get_logger(name: str) -> Any:
    """Return a structlog logger. Events are past-tense words; everything else is a field."""
    return structlog.get_logger(name)


def register_secret(value: str) -> None:
    """Mask `value` in every line from now on, and each line of it (of a key file, for example)."""
    _state.secrets.update(_forms_of(value))
    # Longest first: one secret may be part of another.
    _state.forms = tuple(sorted(_state.secrets, key=len, reverse=True))


def forget_secret(value: str) -> None:
    """Stop masking a value that is no longer secret, since each one makes every line slower."""
    _state.secrets.difference_update(_forms_of(value))
    _state.forms = tuple(sorted(_state.secrets, key=len, reverse=True))


def _forms_of(value: str) -> Iterator[str]:
    """Forms of a secret in a line: plain, in a URL, in a repr, in JSON; for each of its lines."""
    for part in {value, *(line.strip() for line in value.splitlines())}:
        if len(part) >= _SECRET_LENGTH_MIN:
            for form in (part, quote(part, safe=""), repr(part)[1:-1]):
                yield form
                yield json.dumps(form)[1:-1]


def configure_logging(level: str, form: Literal["auto", "json", "console"]) -> None:
    """Set up structlog and the standard library's logging. It can be called again.

    `form` "auto" is console on a terminal, otherwise JSON.
    """
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
    # These libraries log what payd reports itself, and each client's connection errors.
    for noisy in ("nats", "grpclib", "hypercorn", "asyncio", "hpack", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    sys.excepthook = _log_uncaught
    set_level(level)


def set_level(level: str) -> None:
    """Set the least severe level that is written."""
    logging.getLogger().setLevel(level.upper())
    _state.threshold = logging.getLogger().level


# -- from an event to a line -------------------------------------------------------------------


class _BoundLogger(structlog.BoundLoggerBase):
    """Checks the level first, so that lines below it cost nothing, and SIGHUP can change it."""

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
    """The innermost logger: has the name, and writes the finished line."""

    def __init__(self, name: str = "payd") -> None:
        self.name = name

    def debug(self, text: str) -> None:
        _stderr.write(text)

    info = warning = error = critical = debug


class _FromStandardLibrary(logging.Handler):
    """Writes records of libraries that use `logging` (grpclib, hypercorn, …) in our form."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = record.getMessage()
        except (TypeError, ValueError):
            event = str(record.msg)
        fields: dict[str, Any] = {"event": event, "exc_info": record.exc_info}
        fields = {**structlog.contextvars.get_contextvars(), **fields}
        _stderr.write(_finish(_Line(record.name), record.levelname.lower(), fields))


def _finish(logger: Any, level: str, fields: Any) -> str:
    """Render the line with secrets masked."""
    line = {
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "level": level,
        "logger": logger.name,
        "event": fields.pop("event", ""),
    }
    # Ours come first, and a field with the same name does not replace them.
    for key, value in fields.items():
        line.setdefault(key, _hidden(key, value))
    line = dict(structlog.processors.format_exc_info(logger, level, line))
    text = _state.render(line)
    if any(one in text for one in _state.forms):
        text = _state.render({key: _masked(key, value) for key, value in line.items()})
    return text + "\n"


def _as_json(line: dict[str, Any]) -> str:
    try:
        return _JSON.encode(line)
    except (TypeError, ValueError):
        # A key is not a string, or a value contains itself.
        return json.dumps({key: repr(value) for key, value in line.items()})


def _console_renderer() -> Callable[[dict[str, Any]], str]:
    # Plain tracebacks, because the pretty ones show local variables.
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return lambda line: renderer(None, "", dict(line))


@attrs.define
class _State:
    """Settings that may change while the daemon runs."""

    threshold: int = logging.INFO
    render: Callable[[dict[str, Any]], str] = _as_json
    secrets: set[str] = attrs.Factory(set)
    #: The forms of all secrets, longest first.
    forms: tuple[str, ...] = ()


_state = _State()


# -- masking -----------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _looks_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _hidden(key: object, value: Any) -> Any:
    """Mask values whose field name looks like a secret's, at any depth."""
    if value is not None and isinstance(key, str) and _looks_secret(key):
        return MASK
    if type(value) in _SIMPLE:
        # Most fields; asking whether they are a Mapping costs more than all else here.
        return value
    if isinstance(value, Mapping):
        return {inner: _hidden(inner, inside) for inner, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(None, inside) for inside in value] if key != "exc_info" else value
    return value


def _masked(key: object, value: Any) -> Any:
    """Mask registered secrets in a value; values that are not text are masked in their repr."""
    if key in _PLAIN_FIELDS or value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {without_secrets(str(k)): _masked(None, inside) for k, inside in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(None, inside) for inside in value]
    if isinstance(value, str):
        return without_secrets(value)
    shown = repr(value)
    masked = without_secrets(shown)
    return value if masked == shown else masked


def without_secrets(text: str) -> str:
    """Mask the registered secrets in a text that does not go through the log."""
    for one in _state.forms:
        text = text.replace(one, MASK)
    return text


def _log_uncaught(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:
    """Log an uncaught exception; the interpreter's own report would not mask secrets."""
    if issubclass(kind, KeyboardInterrupt):
        return
    get_logger("payd").critical("process_failed", exc_info=(kind, error, where))


class _Stderr:
    """Writes whole lines, from any thread. Lines that a slow reader misses are dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dropped = 0
        #: Whether the last line was written only in part.
        self._cut = False

    def write(self, text: str) -> None:
        """Write a line, or drop it; return within about 50 ms."""
        with self._lock:
            try:
                self._write(text)
            except (OSError, ValueError):
                # stderr is closed.
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
            notice = {"level": "warning", "event": "log_lines_dropped", "count": self._dropped}
            text = "\n" * self._cut + json.dumps(notice) + "\n" + text
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
    """File descriptor of stderr; None if a test or a surrounding program replaced it."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return None


_stderr = _Stderr()

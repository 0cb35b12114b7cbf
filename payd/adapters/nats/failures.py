"""Errors of NATS that are no defect of payd: a lost connection, a refusal, a broken answer."""

import nats.errors
import nats.js.errors

#: ValueError and KeyError: the answer was not one of JetStream.
FAILURES = (
    nats.errors.Error,
    nats.js.errors.Error,
    OSError,
    EOFError,
    TimeoutError,
    ValueError,
    KeyError,
    # Raised by asyncio before Python 3.13.6 when it writes lines to a lost connection
    # (github.com/python/cpython/issues/136234).
    AttributeError,
    TypeError,
)


def describe(error: BaseException) -> str:
    """Return an error's kind and text."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__

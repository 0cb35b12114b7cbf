"""Spans: what begins and ends them, without a tracing system.

Without a tracer nothing is traced, and nothing of OpenTelemetry is imported. A span has names, ids
of payments, and outcomes: no value of a customer, no secret, no text of an error.
"""

import enum
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType
from typing import Protocol

import attrs

Attributes = Mapping[str, str | int]
NOTHING: Attributes = MappingProxyType({})


class SpanKind(enum.Enum):
    """What a span is about: a request to payd, one of payd, an event, or work of its own."""

    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    INTERNAL = "INTERNAL"


class Span(Protocol):
    """A span under way."""

    @property
    def traceparent(self) -> str:
        """Its place in the trace, as W3C Trace Context writes it: the parent of other spans."""

    def end(self, attributes: Attributes = NOTHING, *, failure: str = "") -> None:
        """End it; `failure` names the kind of a failure."""


class Tracer(Protocol):
    """A tracing system. It never raises and never waits."""

    def begin(
        self,
        name: str,
        kind: SpanKind,
        parent: str,
        attributes: Attributes,
        links: Sequence[str] = (),
    ) -> Span:
        """Begin a span; without a `parent`, a traceparent, it begins a trace.

        `links` are the traceparents of other spans that led to it.
        """

    async def close(self) -> None:
        """Export what is left, within a short time. Runs on asyncio."""


#: The traceparent of the call that the current task answers; empty without one.
CURRENT: ContextVar[str] = ContextVar("CURRENT", default="")


@attrs.frozen
class EndingOnError:
    """Ends spans if the block raises; otherwise the block itself ends them."""

    spans: Sequence[Span]

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Name the error by payd's reason or its class: its text may have a customer's values."""
        if error is not None:
            for span in self.spans:
                span.end(failure=str(getattr(error, "reason", type(error).__name__)))

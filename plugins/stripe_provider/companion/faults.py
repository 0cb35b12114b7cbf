"""Injected faults of the API: errors, timeouts, lost responses."""

import re
from typing import Any

import attrs

KINDS = (
    # Do nothing, save nothing.
    "500_before",
    # Do nothing, and save the 500 under the idempotency key.
    "500_failed",
    # Do the work, and save the 500 under the idempotency key.
    "500_after",
    # Hang, then close the connection: before the work, or after it with its response saved.
    "timeout_before",
    "timeout_after",
    # Respond late; the idempotency key stays in use until then.
    "slow",
    "429",
    # Reject the secret key.
    "401",
    # Deny the key a permission.
    "403",
    # Reject a parameter as unknown; save nothing.
    "unknown_parameter",
    # Do the work, and send an unreadable response.
    "garbage",
    # Close the connection without doing the work.
    "reset",
)


@attrs.define(kw_only=True)
class Fault:
    """One fault: its kind, the requests it applies to, and how often."""

    method: str
    path: str
    kind: str
    times: int = attrs.field(default=1, converter=int)
    hold_s: float = attrs.field(default=30.0, converter=float)
    #: Seconds of the header Retry-After of a 429; without them there is no such header.
    retry_after_s: int | None = None

    def matches(self, method: str, path: str) -> bool:
        """Match the path literally, or as a regular expression for all of it."""
        if self.times <= 0 or self.method.upper() not in (method, "*"):
            return False
        return self.path == path or re.fullmatch(self.path, path) is not None


def read(order: dict[str, Any]) -> Fault:
    """Parse an order of the control API. Raises ValueError."""
    try:
        fault = Fault(**order)
    except TypeError as error:
        raise ValueError(str(error)) from error
    if fault.kind not in KINDS:
        raise ValueError(f"kind: one of {', '.join(KINDS)}")
    try:
        re.compile(fault.path)
    except re.error as error:
        raise ValueError(f"path: {error}") from error
    return fault


class Faults:
    """Ordered faults; the first that matches a request applies to it."""

    def __init__(self) -> None:
        self._ordered: list[Fault] = []

    def order(self, fault: Fault) -> None:
        """Add a fault."""
        self._ordered.append(fault)

    def clear(self) -> None:
        """Remove all faults."""
        self._ordered.clear()

    def left(self) -> list[dict[str, Any]]:
        """Return the faults that have not run out."""
        return [attrs.asdict(fault) for fault in self._ordered if fault.times > 0]

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that applies to a request, and count it."""
        for fault in self._ordered:
            if fault.matches(method, path):
                fault.times -= 1
                return fault
        return None

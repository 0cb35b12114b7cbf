"""Faults of the API, as a test orders them: refusals, hangs, lost answers."""

import re
from typing import Any

import attrs

KINDS = (
    # Work not done, nothing saved.
    "500_before",
    # Work not done, and the 500 is saved under the idempotency key.
    "500_failed",
    # Work done; the 500 is saved under the idempotency key.
    "500_after",
    # Hang, then close: the work is not done, or done and its answer saved.
    "timeout_before",
    "timeout_after",
    # Answer late, and hold the idempotency key as long.
    "slow",
    "429",
    # The key is refused.
    "401",
    # Refused as if the API knew a parameter no longer; nothing is saved.
    "unknown_parameter",
    # Work done; its answer cannot be read.
    "garbage",
    # Close without an answer, work not done.
    "reset",
)


@attrs.define(kw_only=True)
class Fault:
    """What goes wrong, where, and how often."""

    method: str
    path: str
    kind: str
    times: int = attrs.field(default=1, converter=int)
    hold_s: float = attrs.field(default=30.0, converter=float)

    def matches(self, method: str, path: str) -> bool:
        """The path as it stands, or as a regular expression for the whole of it."""
        if self.times <= 0 or self.method.upper() not in (method, "*"):
            return False
        return self.path == path or re.fullmatch(self.path, path) is not None


def read(order: dict[str, Any]) -> Fault:
    """As ordered. Raises ValueError."""
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
    """Those that are ordered; the first that matches happens."""

    def __init__(self) -> None:
        self._ordered: list[Fault] = []

    def order(self, fault: Fault) -> None:
        """From now on."""
        self._ordered.append(fault)

    def clear(self) -> None:
        """All is well again."""
        self._ordered.clear()

    def left(self) -> list[dict[str, Any]]:
        """Those still to happen."""
        return [attrs.asdict(fault) for fault in self._ordered if fault.times > 0]

    def take(self, method: str, path: str) -> Fault | None:
        """What goes wrong with this request."""
        for fault in self._ordered:
            if fault.matches(method, path):
                fault.times -= 1
                return fault
        return None

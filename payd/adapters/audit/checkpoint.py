"""A checkpoint: what was signed about the heads that changed since the checkpoint before."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Checkpoint:
    """One checkpoint, with the line that was signed."""

    number: int
    #: Hash of the checkpoint before; empty for the first one.
    before: str
    #: Transactions before this one are covered, by this checkpoint or by an earlier one.
    horizon: int
    time: datetime
    #: How many payments changed, and the digest of their heads.
    payments: int
    heads: str
    #: The signed document, as stored and exported.
    line: str

    @property
    def name(self) -> str:
        """How a person refers to it."""
        return f"checkpoint {self.number} of {self.time:%Y-%m-%d %H:%M:%S} UTC"

    @property
    def hash(self) -> str:
        """What the next checkpoint names as the one before."""
        return hashlib.sha256(self.line.encode()).hexdigest()


def checkpoint_document(
    before: Checkpoint | None, *, horizon: int, time: datetime, payments: int, heads: str
) -> Mapping[str, Any]:
    """What is to be signed."""
    return {
        "kind": "checkpoint",
        "number": before.number + 1 if before else 1,
        "before": before.hash if before else "",
        "after_horizon": before.horizon if before else 0,
        "horizon": horizon,
        "time": time,
        "payments": payments,
        "heads": heads,
    }


def checkpoint_of(line: str) -> Checkpoint:
    """The checkpoint of a signed line."""
    document = json.loads(line)
    return Checkpoint(
        number=document["number"],
        before=document["before"],
        horizon=document["horizon"],
        time=datetime.fromisoformat(document["time"]),
        payments=document["payments"],
        heads=document["heads"],
        line=line,
    )

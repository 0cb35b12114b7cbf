"""Leases: the right of one daemon to do alone what a name says."""

from typing import Protocol

import attrs


@attrs.frozen(kw_only=True)
class Lease:
    """The right to do alone what `name` says; a greater fence has replaced a smaller one."""

    name: str
    fence: int


class LeaseLost(Exception):
    """Another has the lease, or nobody can say who has."""


class HeldLease(Protocol):
    """A lease as long as its session lives."""

    @property
    def lease(self) -> Lease:
        """What to store with."""

    async def check(self) -> None:
        """Return while it is held; raises LeaseLost."""

    async def release(self) -> None:
        """Let another take it. Repeating it is harmless."""


class Leases(Protocol):
    """Who does alone what only one may do."""

    async def acquire(self, name: str) -> HeldLease | None:
        """The lease, under a fence that was never given before; None while another holds it."""

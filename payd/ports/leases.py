"""Leases: let only one daemon at a time do a piece of work, such as running a watch."""

from typing import Protocol

import attrs


@attrs.frozen(kw_only=True)
class Lease:
    """The exclusive right to the work `name`.

    Each new holder gets a greater `fence`; writes with a smaller fence are refused.
    """

    name: str
    fence: int


class LeaseLost(Exception):
    """Another daemon has the lease, or it is unknown which daemon has it."""


class HeldLease(Protocol):
    """A lease that this daemon has until it releases it or its session ends."""

    @property
    def lease(self) -> Lease:
        """The name and fence, to pass to `Inbox.put`."""

    async def check(self) -> None:
        """Return if the lease is still held; otherwise raise LeaseLost."""

    async def release(self) -> None:
        """Give the lease up, so that another daemon can take it. Idempotent."""


class Leases(Protocol):
    """Grants leases."""

    async def acquire(self, name: str) -> HeldLease | None:
        """Take a lease with a new fence; return None while another daemon has it."""

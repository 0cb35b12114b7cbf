"""A provider as the core sees it: behind its fence, found by its method."""

from collections.abc import Sequence
from typing import Protocol

import attrs

from payd.domain.errors import PaydError
from payd.domain.evidence import Evidence
from payd.plugins.interface import Capabilities, CreateOperation, Method, PaymentRef


@attrs.frozen(kw_only=True)
class Answer:
    """What came of asking a provider: evidence for `decide`, in order, and what to tell a caller."""

    evidence: tuple[Evidence, ...]
    error: PaydError | None = None


class ProviderPort(Protocol):
    """A provider behind its fence: every outcome is an Answer, nothing else escapes."""

    @property
    def name(self) -> str:
        """As in the manifest."""

    @property
    def capabilities(self) -> Capabilities:
        """As in the manifest."""

    async def create(self, operation: CreateOperation) -> Answer:
        """Created, Declined, NotAttempted or OutcomeUnknown."""

    async def look(self, ref: PaymentRef) -> Answer:
        """Created and a Snapshot; Absent; or Unanswered."""

    async def close(self, ref: PaymentRef) -> Answer:
        """A Snapshot or NotClosable; Unanswered when the provider said nothing readable."""


@attrs.frozen(kw_only=True)
class Registered:
    """One entry of the method → provider map."""

    method: Method
    provider: ProviderPort


class Providers(Protocol):
    """The method → provider map, built at start."""

    def by_method(self, method: str) -> Registered | None:
        """Who takes this method now."""

    def by_name(self, provider: str) -> ProviderPort | None:
        """The provider of a stored payment."""

    def registered(self) -> Sequence[Registered]:
        """All of them, in the order of their keys."""

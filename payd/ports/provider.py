"""A provider as the core sees it: behind its fence, found by its method."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import attrs

from payd.domain.errors import PaydError
from payd.domain.evidence import Evidence, Observation
from payd.plugins.interface import (
    Capabilities,
    CreateOperation,
    Holding,
    Method,
    ObjectPage,
    Page,
    PaymentRef,
    ProviderEvent,
    WebhookRequest,
)


@attrs.frozen(kw_only=True)
class Answer:
    """What came of asking a provider: evidence for `decide`, in order, and what to tell a caller."""

    evidence: tuple[Evidence, ...]
    error: PaydError | None = None
    #: A look at an object that payd has the name of, and that is not there.
    is_missing: bool = False


class Untranslatable(Exception):
    """A provider's own code failed on an event that it had verified; the message says how."""


class ProviderPort(Protocol):
    """A provider behind its fence: every outcome is an Answer, nothing else escapes."""

    @property
    def name(self) -> str:
        """As in the manifest."""

    @property
    def capabilities(self) -> Capabilities:
        """As in the manifest."""

    @property
    def can_scan(self) -> bool:
        """Whether `scan` brings anything."""

    @property
    def can_list_objects(self) -> bool:
        """Whether `objects` brings anything."""

    @property
    def can_audit(self) -> bool:
        """Whether `holdings` brings anything."""

    def prepare(self, operation: CreateOperation) -> Mapping[str, Any]:
        """The parameters to store before the first `create`; empty where it needs none.

        Raises InvalidField, and ProviderUnavailable while the provider is not running.
        """

    async def create(self, operation: CreateOperation) -> Answer:
        """Created, Declined, NotAttempted or OutcomeUnknown."""

    async def fetch(self, ref: PaymentRef) -> Answer:
        """Created and a Snapshot; Absent; or Unanswered."""

    async def close(self, ref: PaymentRef) -> Answer:
        """A Snapshot or NotClosable; Unanswered when the provider said nothing readable."""

    def verify(self, request: WebhookRequest, now: datetime) -> ProviderEvent:
        """What a webhook says; raises WebhookRefused, WebhookUnknown and ProviderUnavailable."""

    def translate(self, event: ProviderEvent) -> Sequence[Observation]:
        """What an event says about payments; raises Untranslatable."""

    async def scan(self, cursor: str | None) -> Page | None:
        """Events since the cursor; None when the provider said nothing readable."""

    async def objects(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> ObjectPage | None:
        """One page of its objects; None when the provider said nothing readable."""

    async def holdings(self, cursor: str) -> Sequence[Holding] | None:
        """What it holds at its watch's cursor; None when it said nothing readable."""


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

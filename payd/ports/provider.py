"""A provider as the core sees it, and the map from payment methods to providers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import attrs

from payd.domain.errors import PaydError
from payd.domain.evidence import (
    Absent,
    Declined,
    Evidence,
    NotAttempted,
    Observation,
    OutcomeUnknown,
    Unanswered,
)
from payd.domain.refund import RefundInstructions, RefundSnapshot
from payd.plugins.capabilities import Capabilities
from payd.plugins.interface import (
    CreateOperation,
    Holding,
    Method,
    ObjectPage,
    Page,
    PaymentRef,
    ProviderEvent,
    WebhookRequest,
)
from payd.plugins.refunding import RefundOperation, RefundRef
from payd.plugins.sponsoring import SponsorRequest


@attrs.frozen(kw_only=True)
class Answer:
    """Outcome of a provider call: evidence, to settle in order, and an error for the caller."""

    evidence: tuple[Evidence, ...]
    error: PaydError | None = None
    #: Whether a fetch by a known reference found no object.
    is_missing: bool = False


@attrs.frozen(kw_only=True)
class RefundReply:
    """Outcome of a provider call about one refund, and an error for the caller."""

    answer: (
        RefundSnapshot
        | RefundInstructions
        | Declined
        | NotAttempted
        | OutcomeUnknown
        | Absent
        | Unanswered
    )
    error: PaydError | None = None
    #: Whether the provider has another refund under this operation id: the answer is
    #: OutcomeUnknown, and CONFLICTING_EVIDENCE must be raised.
    is_conflict: bool = False


class Untranslatable(Exception):
    """The provider's code failed to translate an event; the message says how."""


class ProviderPort(Protocol):
    """A provider behind its fence: every outcome of a call is an Answer; no error escapes."""

    @property
    def name(self) -> str:
        """Name of the provider, from its manifest."""

    @property
    def capabilities(self) -> Capabilities:
        """What the remote side can do, from the manifest."""

    @property
    def can_refund(self) -> bool:
        """Whether it can refund, from the manifest; also while it is not running."""

    @property
    def can_scan(self) -> bool:
        """Whether the provider implements `scan`."""

    @property
    def can_list_objects(self) -> bool:
        """Whether the provider implements `objects`."""

    @property
    def can_audit(self) -> bool:
        """Whether the provider implements `holdings`."""

    def prepare(self, operation: CreateOperation) -> Mapping[str, Any]:
        """Request parameters to store before the first `create`; empty if it needs none.

        Raises InvalidField, and ProviderUnavailable while the provider is not running.
        """

    async def create(self, operation: CreateOperation) -> Answer:
        """Create the object; the evidence is Created, Declined, NotAttempted or OutcomeUnknown."""

    async def fetch(self, ref: PaymentRef) -> Answer:
        """Read the object; the evidence is Created and a Snapshot, or Absent, or Unanswered."""

    async def close(self, ref: PaymentRef) -> Answer:
        """Close the object; the evidence is a Snapshot or NotClosable, or Unanswered."""

    async def refund(self, operation: RefundOperation) -> RefundReply:
        """Refund, or say what to send.

        The answer is a RefundSnapshot (Sends.PROVIDER), RefundInstructions (Sends.INSTRUCTIONS),
        Declined, NotAttempted or OutcomeUnknown.
        """

    async def fetch_refund(self, ref: RefundRef) -> RefundReply:
        """Read a refund; the answer is a RefundSnapshot, Absent or Unanswered."""

    def verify(self, request: WebhookRequest, now: datetime) -> Sequence[ProviderEvent]:
        """Verify a webhook and return its events, each with another id.

        Raises WebhookRefused, WebhookUnknown and ProviderUnavailable.
        """

    def translate(self, event: ProviderEvent) -> Sequence[Observation]:
        """Translate an event into observations of payments; raises Untranslatable."""

    async def scan(self, cursor: str | None) -> Page | None:
        """One page of events after the cursor; None without a readable answer."""

    async def objects(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> ObjectPage | None:
        """One page of objects created in [since, until); None without a readable answer."""

    async def holdings(self, cursor: str) -> Sequence[Holding] | None:
        """Balances at the cursor of its watch; None without a readable answer."""

    async def sponsor(self, request: SponsorRequest) -> bytes | None:
        """The response to a wallet that wants its fee paid; None without a readable answer."""


@attrs.frozen(kw_only=True)
class Registered:
    """A payment method with its provider."""

    method: Method
    provider: ProviderPort


class Providers(Protocol):
    """The map from payment methods to providers, built when the daemon starts."""

    def by_method(self, method: str) -> Registered | None:
        """The method's entry; None if no running provider takes it."""

    def by_name(self, provider: str) -> ProviderPort | None:
        """The enabled provider of this name, if any."""

    def registered(self) -> Sequence[Registered]:
        """All entries, by method key."""

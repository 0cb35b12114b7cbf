"""Port for the explanation of a payment: what is stored about it, read and never changed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import attrs

from payd.domain.evidence import Receipt
from payd.domain.history import Change, StoredEvent, StoredReport
from payd.domain.payment import Payment
from payd.plugins.interface import ProviderEvent


@attrs.frozen(kw_only=True)
class Trail:
    """The audit trail of a payment up to a time, replayed."""

    #: The newest changes, oldest first; at least one.
    changes: tuple[Change, ...]
    #: The payment before the first of them; None when that is its creation.
    before: Payment | None
    #: Number of versions that are older than `changes`.
    left_out: int


class Histories(Protocol):
    """What is stored about payments. Every method raises StoreUnavailable."""

    async def trail(self, payment_id: UUID, until: datetime, most: int) -> Trail | None:
        """The newest `most` changes up to a time; None if the payment did not exist by then.

        Status checks without news that follow one another are one change.
        """

    async def events(self, payment_id: UUID, until: datetime, most: int) -> Sequence[StoredEvent]:
        """The newest `most` events that were made up to a time, oldest first.

        One that was published after that time waits.
        """

    async def reports(
        self, ids: Collection[int]
    ) -> Mapping[int, tuple[StoredReport, ProviderEvent | None]]:
        """Rows of the inbox by their ids, as for `waiting_reports`; unknown ones are left out."""

    async def later_reports(
        self, payment_id: UUID, until: datetime, most: int
    ) -> Sequence[StoredReport]:
        """Reports that were stored by then, and settled by one of the next `most` changes."""

    async def waiting_reports(
        self, provider: str, names: Collection[str], most: int
    ) -> Sequence[tuple[StoredReport, ProviderEvent | None]]:
        """Up to `most` reports of a provider that are not settled, oldest first.

        Those that name one of `names`, and events, which have no name until they are translated.
        The facts of an event are not known either; it comes with the report.
        """

    async def unmatched_receipts(
        self, payment: Payment, names: Collection[str], until: datetime, most: int
    ) -> Sequence[Receipt]:
        """Up to `most` receipts of the provider that no payment has, newest first.

        They were stored up to that time and moved since the payment's creation, and name the
        payment or bring exactly what is missing.
        """

"""Calls for operators beside payments. Each needs an operator's certificate."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from uuid import UUID

from payd_client.messages import payment_of
from payd_client.operation_messages import (
    configuration_of,
    dead_letter_of,
    overview_of,
    receipt_filter_message,
    receipt_of,
    reconciliation_of,
    stored_table_of,
    timestamp,
)
from payd_client.operations import (
    Configuration,
    DeadLetter,
    Overview,
    Receipt,
    ReceiptFilter,
    Reconciliation,
    Republished,
    StoredTable,
)
from payd_client.paging import PagedCalls
from payd_client.proto import payment_pb2 as pb
from payd_client.values import Caller, Payment

_ALL = ReceiptFilter()


class OperatorCalls(PagedCalls):
    """The part of PaymentClient that is for operators; each list is read page by page."""

    async def list_receipts(
        self,
        wanted: ReceiptFilter = _ALL,
        *,
        page_size: int = 0,
        caller: Caller | None = None,
        deadline_s: float = 0.0,
    ) -> AsyncGenerator[Receipt, None]:
        """Yield receipts, newest first."""
        request = pb.ListReceiptsRequest(filter=receipt_filter_message(wanted), page_size=page_size)
        async for page in self._pages("ListReceipts", request, caller, deadline_s):
            for one in page.receipts:
                yield receipt_of(one)

    async def attach_receipt(
        self,
        receipt_id: str,
        payment_id: UUID | str,
        note: str = "",
        *,
        caller: Caller | None = None,
        deadline_s: float = 0.0,
    ) -> Payment:
        """Attach a receipt to the payment it was meant for; the payment's rules decide the rest."""
        request = pb.AttachReceiptRequest(
            receipt_id=receipt_id, payment_id=str(payment_id), note=note
        )
        return payment_of((await self._call("AttachReceipt", request, caller, deadline_s)).payment)

    async def republish_events(
        self,
        *,
        payment_id: UUID | str = "",
        event_id: UUID | str = "",
        since: datetime | None = None,
        before: datetime | None = None,
        caller: Caller | None = None,
        deadline_s: float = 0.0,
    ) -> Republished:
        """Publish again all events of a payment, one event, or those published in a span.

        Each page is a call of its own; one that fails has published the pages before it.
        """
        if payment_id:
            request = pb.RepublishEventsRequest(payment_id=str(payment_id))
        elif event_id:
            request = pb.RepublishEventsRequest(event_id=str(event_id))
        else:
            span = pb.TimeRange(
                from_time=timestamp("since", since), before_time=timestamp("before", before)
            )
            request = pb.RepublishEventsRequest(publish_time=span)
        stored = duplicates = 0
        async for page in self._pages("RepublishEvents", request, caller, deadline_s):
            stored += page.stored
            duplicates += page.duplicates
        return Republished(stored=stored, duplicates=duplicates)

    async def list_dead_letters(
        self,
        *,
        sequence: int = 0,
        page_size: int = 0,
        caller: Caller | None = None,
        deadline_s: float = 0.0,
    ) -> AsyncGenerator[DeadLetter, None]:
        """Yield events that a consumer could not handle, oldest first; with `sequence` one."""
        request = pb.ListDeadLettersRequest(sequence=sequence, page_size=page_size)
        async for page in self._pages("ListDeadLetters", request, caller, deadline_s):
            for one in page.dead_letters:
                yield dead_letter_of(one)

    async def replay_dead_letters(
        self, sequences: Sequence[int], *, caller: Caller | None = None, deadline_s: float = 0.0
    ) -> tuple[int, ...]:
        """Put at most 200 dead letters back into the stream; return those that still existed."""
        request = pb.ReplayDeadLettersRequest(sequences=sequences)
        answer = await self._call("ReplayDeadLetters", request, caller, deadline_s)
        return tuple(answer.replayed)

    async def list_reconciliations(
        self,
        provider: str = "",
        *,
        page_size: int = 0,
        caller: Caller | None = None,
        deadline_s: float = 0.0,
    ) -> AsyncGenerator[Reconciliation, None]:
        """Yield results of comparing providers with payd, newest first."""
        request = pb.ListReconciliationsRequest(provider=provider, page_size=page_size)
        async for page in self._pages("ListReconciliations", request, caller, deadline_s):
            for one in page.reconciliations:
                yield reconciliation_of(one)

    async def overview(
        self, days: int = 0, *, caller: Caller | None = None, deadline_s: float = 0.0
    ) -> Overview:
        """Return the last days, by default seven, open attention, and the daemon's health."""
        request = pb.GetOverviewRequest(days=days)
        answer = await self._call("GetOverview", request, caller, deadline_s)
        return overview_of(answer.overview)

    async def stored_rows(
        self, payment_id: UUID | str, *, caller: Caller | None = None, deadline_s: float = 0.0
    ) -> tuple[StoredTable, ...]:
        """Return the rows of a payment as payd's database has them."""
        request = pb.GetStoredRowsRequest(payment_id=str(payment_id))
        answer = await self._call("GetStoredRows", request, caller, deadline_s)
        return tuple(map(stored_table_of, answer.tables))

    async def configuration(
        self, *, caller: Caller | None = None, deadline_s: float = 0.0
    ) -> Configuration:
        """Return the daemon's settings, without secrets, and its versions."""
        request = pb.GetConfigurationRequest()
        answer = await self._call("GetConfiguration", request, caller, deadline_s)
        return configuration_of(answer.configuration)

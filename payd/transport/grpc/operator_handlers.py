"""The methods for operators beside payments: receipts, events, reconciliations, the daemon."""

from collections.abc import Awaitable, Callable, Mapping

import attrs
import structlog
from payd_client.proto import payment_pb2 as pb

from payd import telemetry
from payd.codec import operator_messages as messages
from payd.codec import operator_requests as requests
from payd.domain.errors import PaymentNotFound
from payd.domain.payment import Payment
from payd.domain.published import DeadLetters
from payd.ports import (
    DaemonState,
    Providers,
    Receipts,
    ReconciliationLists,
    StoredRows,
)
from payd.service.attach import Attach
from payd.service.dead_letters import ReadDeadLetters
from payd.service.overview import GetOverview
from payd.service.replay import ReplayDeadLetters
from payd.service.republish import Republish
from payd.transport.grpc.one_call import Call, Handle

_log = telemetry.get_logger(__name__)


@attrs.frozen(kw_only=True)
class OperatorServices:
    """What operators read and do; a list without rules of its own is read from its port."""

    receipts: Receipts
    attach: Attach
    republish: Republish
    dead_letters: ReadDeadLetters
    replay: ReplayDeadLetters
    reconciliations: ReconciliationLists
    overview: GetOverview
    daemon: DaemonState
    stored_rows: StoredRows
    providers: Providers


@attrs.frozen
class OperatorHandlers:
    """The methods. What changes something that is no payment's is logged with the operator."""

    services: OperatorServices
    #: How a payment is shown.
    message: Callable[[Payment], Awaitable[pb.Payment]]

    async def list_receipts(
        self, request: pb.ListReceiptsRequest, call: Call
    ) -> pb.ListReceiptsResponse:
        """Return a page of receipts."""
        page = requests.list_receipts_request(request)
        found = await self.services.receipts.newest(page.filter, page.after, page.size + 1)
        return messages.receipts_response(found, page, self._tokens())

    async def attach_receipt(
        self, request: pb.AttachReceiptRequest, call: Call
    ) -> pb.AttachReceiptResponse:
        """Attach a receipt to a payment; its audit row names the operator."""
        wanted = requests.attach_request(request)
        structlog.contextvars.bind_contextvars(payment_id=str(wanted.payment_id))
        payment = await self.services.attach.attach(
            wanted.receipt_id, wanted.payment_id, call.origin, wanted.note
        )
        return pb.AttachReceiptResponse(payment=await self.message(payment))

    async def republish_events(
        self, request: pb.RepublishEventsRequest, call: Call
    ) -> pb.RepublishEventsResponse:
        """Publish a page of events again; the audit rows of their payments name the operator."""
        wanted = requests.republish_request(request)
        events = attrs.asdict(wanted.events, filter=lambda _, value: value is not None)
        shown = {name: str(value) for name, value in events.items()}
        result = await self.services.republish.republish(wanted.events, wanted.after, call.origin)
        _log.info(
            "events_republished",
            operator=call.origin.actor,
            stored=result.stored,
            duplicates=result.duplicates,
            **shown,
        )
        return messages.republished_response(result, wanted)

    async def list_dead_letters(
        self, request: pb.ListDeadLettersRequest, call: Call
    ) -> pb.ListDeadLettersResponse:
        """Return a page of dead letters."""
        page = requests.list_dead_letters_request(request)
        if sequence := requests.sequence(request):
            letter = await self.services.dead_letters.get(sequence)
            found = DeadLetters(letters=(letter,), total=1) if letter else DeadLetters()
        else:
            found = await self.services.dead_letters.read(page.after or 0, page.size)
        return messages.dead_letters_response(found, page)

    async def replay_dead_letters(
        self, request: pb.ReplayDeadLettersRequest, call: Call
    ) -> pb.ReplayDeadLettersResponse:
        """Put dead letters back into the stream; the audit rows of payments name the operator."""
        wanted = requests.sequences(request)
        replayed = await self.services.replay.replay(wanted, call.origin)
        _log.info("dead_letters_replayed", operator=call.origin.actor, sequences=list(replayed))
        return pb.ReplayDeadLettersResponse(replayed=replayed)

    async def list_reconciliations(
        self, request: pb.ListReconciliationsRequest, call: Call
    ) -> pb.ListReconciliationsResponse:
        """Return a page of results."""
        page = requests.list_reconciliations_request(request)
        found = await self.services.reconciliations.newest(page.filter, page.after, page.size + 1)
        return messages.reconciliations_response(found, page)

    async def get_overview(
        self, request: pb.GetOverviewRequest, call: Call
    ) -> pb.GetOverviewResponse:
        """Return sums by day, open attention and health."""
        overview = await self.services.overview.overview(requests.days(request))
        return pb.GetOverviewResponse(overview=messages.overview_message(overview))

    async def get_configuration(
        self, request: pb.GetConfigurationRequest, call: Call
    ) -> pb.GetConfigurationResponse:
        """Return the settings in force, and the versions."""
        running = self.services.daemon.running()
        return pb.GetConfigurationResponse(configuration=messages.configuration_message(running))

    async def get_stored_rows(
        self, request: pb.GetStoredRowsRequest, call: Call
    ) -> pb.GetStoredRowsResponse:
        """Return the rows of a payment as they are stored."""
        payment_id = requests.stored_payment(request)
        tables = await self.services.stored_rows.of_payment(payment_id)
        if not tables:
            raise PaymentNotFound("no payment has this id", payment_id=str(payment_id))
        return messages.stored_rows_response(tables)

    def handles(self) -> Mapping[str, Handle]:
        """Return name → method."""
        return {
            "ListReceipts": self.list_receipts,
            "AttachReceipt": self.attach_receipt,
            "RepublishEvents": self.republish_events,
            "ListDeadLetters": self.list_dead_letters,
            "ReplayDeadLetters": self.replay_dead_letters,
            "ListReconciliations": self.list_reconciliations,
            "GetOverview": self.get_overview,
            "GetConfiguration": self.get_configuration,
            "GetStoredRows": self.get_stored_rows,
        }

    def _tokens(self) -> messages.Tokens:
        return {
            token.token_address.lower(): (token.code, token.decimals)
            for entry in self.services.providers.registered()
            for token in entry.method.crypto_currencies
        }

"""The methods of the service: decode, call one use case, encode."""

from collections.abc import Callable, Sequence
from uuid import UUID

import attrs
import structlog
from payd_client.proto import payment_pb2 as pb

from payd.codec import fields, list_requests, refund_requests, requests
from payd.codec.accounting import days_message, export_request, movement_message
from payd.codec.attention_requests import resolve_request
from payd.codec.explanations import explain_request, explanation_message
from payd.codec.forgetting import forget_request, forgotten_message
from payd.codec.messages import payment_message, quote_message
from payd.codec.refunds import refund_message
from payd.domain.evidence import Receipt
from payd.domain.page import Position, first_of
from payd.domain.payment import Payment
from payd.domain.refund import Refund
from payd.service.approve_refund import ApproveRefund
from payd.service.cancel import Cancel
from payd.service.cancel_refund import CancelRefund
from payd.service.explain import ExplainPayment
from payd.service.export_payments import ExportPayments
from payd.service.forget_customer import ForgetCustomer
from payd.service.initiate import Initiate
from payd.service.list_payments import ListPayments
from payd.service.query import Query
from payd.service.refund import RefundPayment
from payd.service.resolve_attention import ResolveAttention
from payd.service.settle_refund import SettleRefund
from payd.service.show_receipts import ShowReceipts
from payd.service.sync import SyncPayment
from payd.service.wallet_request import wallet_request
from payd.service.watch import Watch
from payd.transport.grpc.one_call import Call, Handle, Method
from payd.transport.grpc.operator_handlers import OperatorHandlers, OperatorServices
from payd.transport.grpc.roles import ACCESS
from payd.transport.grpc.settled import add_settled

SERVICE = "payd.v1.PaymentService"


@attrs.frozen(kw_only=True)
class Services:
    """The use cases behind the server."""

    initiate: Initiate
    cancel: Cancel
    query: Query
    watch: Watch
    refund: RefundPayment
    cancel_refund: CancelRefund
    approve_refund: ApproveRefund
    settle_refund: SettleRefund
    resolve_attention: ResolveAttention
    forget_customer: ForgetCustomer
    list_payments: ListPayments
    explain: ExplainPayment
    sync: SyncPayment
    export_payments: ExportPayments
    operators: OperatorServices
    show_receipts: ShowReceipts
    #: The address of a payment's page; empty where there are no pages.
    page_url: Callable[[UUID], str] = lambda payment_id: ""

    async def message(
        self, payment: Payment, newest: Sequence[Receipt] | None = None
    ) -> pb.Payment:
        """Build the message of one payment, with all that only answers have.

        `newest` are its receipts where they were read with it.
        """
        receipts = await self.show_receipts.receipts_of(payment, newest)
        message = payment_message(payment, self.page_url(payment.id), receipts)
        if message.next_action.HasField("crypto_transfer"):
            request = wallet_request(payment, self.operators.providers, message.page_url)
            message.next_action.crypto_transfer.wallet_request = request
        if payment.may_have_receipts:
            add_settled(message, payment)
        return message


@attrs.frozen
class Handlers:
    """The methods; each is about five lines."""

    services: Services

    async def get_quote(self, request: pb.GetQuoteRequest, call: Call) -> pb.GetQuoteResponse:
        """Price items, without side effect."""
        quote = self.services.query.quote(requests.quote_request(request))
        return pb.GetQuoteResponse(quote=quote_message(quote))

    async def initiate_payment(
        self, request: pb.InitiatePaymentRequest, call: Call
    ) -> pb.InitiatePaymentResponse:
        """Create the payment, once per idempotency key."""
        wanted = requests.initiate_request(request)
        payment = await self.services.initiate.initiate(wanted, call.origin, call.wait_s)
        structlog.contextvars.bind_contextvars(payment_id=str(payment.id))
        return pb.InitiatePaymentResponse(payment=await self.services.message(payment))

    async def get_payment(self, request: pb.GetPaymentRequest, call: Call) -> pb.GetPaymentResponse:
        """Return the current state of a payment."""
        query, newest = self.services.query, None
        if request.WhichOneof("key") == "idempotency_key":
            payment = await query.get_by_key(fields.idempotency_key(request.idempotency_key))
        else:
            payment, newest = await query.get(requests.payment_id(request.payment_id))
        structlog.contextvars.bind_contextvars(payment_id=str(payment.id))
        return pb.GetPaymentResponse(payment=await self.services.message(payment, newest))

    async def cancel_payment(
        self, request: pb.CancelPaymentRequest, call: Call
    ) -> pb.CancelPaymentResponse:
        """Close a payment that is still open."""
        payment_id = requests.payment_id(request.payment_id)
        structlog.contextvars.bind_contextvars(payment_id=str(payment_id))
        reason = requests.cancel_reason(request.reason)
        payment = await self.services.cancel.cancel(payment_id, reason, call.origin)
        return pb.CancelPaymentResponse(payment=await self.services.message(payment))

    async def refund_payment(
        self, request: pb.RefundPaymentRequest, call: Call
    ) -> pb.RefundPaymentResponse:
        """Send money back, once per idempotency key."""
        wanted = refund_requests.refund_request(request)
        structlog.contextvars.bind_contextvars(payment_id=str(wanted.payment_id))
        found = await self.services.refund.refund(wanted, call.origin, call.budget_s)
        return pb.RefundPaymentResponse(refund=_logged(*found))

    async def get_refund(self, request: pb.GetRefundRequest, call: Call) -> pb.GetRefundResponse:
        """Return the current state of a refund."""
        query = self.services.query
        if request.WhichOneof("key") == "idempotency_key":
            found = await query.get_refund_by_key(fields.idempotency_key(request.idempotency_key))
        else:
            found = await query.get_refund(refund_requests.refund_id(request.refund_id))
        return pb.GetRefundResponse(refund=_logged(*found))

    async def list_refunds(
        self, request: pb.ListRefundsRequest, call: Call
    ) -> pb.ListRefundsResponse:
        """Return a page of refunds."""
        page = refund_requests.list_request(request)
        # One more than asked for tells whether there is a next page.
        found = await self.services.query.list_refunds(page.filter, page.after, page.size + 1)
        listed = first_of(
            [(one, Position(one[1].create_time, one[1].id)) for one in found], page.size
        )
        refunds = [refund_message(*one) for one in listed.items]
        return pb.ListRefundsResponse(refunds=refunds, next_page_token=page.token_of(listed.next))

    async def cancel_refund(
        self, request: pb.CancelRefundRequest, call: Call
    ) -> pb.CancelRefundResponse:
        """Withdraw a refund that waits for a person."""
        refund_id = refund_requests.refund_id(request.refund_id)
        note = refund_requests.note(request.note)
        found = await self.services.cancel_refund.cancel(refund_id, note, call.origin)
        return pb.CancelRefundResponse(refund=_logged(*found))

    async def approve_refund(
        self, request: pb.ApproveRefundRequest, call: Call
    ) -> pb.ApproveRefundResponse:
        """Approve a refund of another person, and send it."""
        refund_id = refund_requests.refund_id(request.refund_id)
        note = refund_requests.note(request.note)
        found = await self.services.approve_refund.approve(refund_id, note, call.origin)
        return pb.ApproveRefundResponse(refund=_logged(*found))

    async def settle_refund(
        self, request: pb.SettleRefundRequest, call: Call
    ) -> pb.SettleRefundResponse:
        """Say what became of a refund without an answer."""
        wanted = refund_requests.settle_request(request)
        found = await self.services.settle_refund.settle_refund(wanted, call.origin)
        return pb.SettleRefundResponse(refund=_logged(*found))

    async def resolve_attention(
        self, request: pb.ResolveAttentionRequest, call: Call
    ) -> pb.ResolveAttentionResponse:
        """End reasons for attention."""
        wanted = resolve_request(request)
        structlog.contextvars.bind_contextvars(payment_id=str(wanted.payment_id))
        payment = await self.services.resolve_attention.resolve(wanted, call.origin)
        return pb.ResolveAttentionResponse(payment=await self.services.message(payment))

    async def forget_customer(
        self, request: pb.ForgetCustomerRequest, call: Call
    ) -> pb.ForgetCustomerResponse:
        """Erase the personal data of a customer, or count it."""
        wanted = forget_request(request)
        forgotten = await self.services.forget_customer.forget(wanted, call.origin)
        return forgotten_message(forgotten)

    async def list_payments(
        self, request: pb.ListPaymentsRequest, call: Call
    ) -> pb.ListPaymentsResponse:
        """Return a page of payments."""
        page = list_requests.list_payments_request(request)
        use_case = self.services.list_payments
        listed = await use_case.newest_first(page.filter, page.after, page.size)
        return pb.ListPaymentsResponse(
            payments=map(self._listed, listed.items), next_page_token=page.token_of(listed.next)
        )

    async def list_attention(
        self, request: pb.ListAttentionRequest, call: Call
    ) -> pb.ListAttentionResponse:
        """Return a page of payments that a person has to look at."""
        page = list_requests.list_attention_request(request)
        use_case = self.services.list_payments
        listed = await use_case.longest_attention_first(page.filter, page.after, page.size)
        return pb.ListAttentionResponse(
            payments=map(self._listed, listed.items), next_page_token=page.token_of(listed.next)
        )

    async def explain_payment(
        self, request: pb.ExplainPaymentRequest, call: Call
    ) -> pb.ExplainPaymentResponse:
        """Say what happened to a payment, why, and what now."""
        payment_id, at_time = explain_request(request)
        structlog.contextvars.bind_contextvars(payment_id=str(payment_id))
        explanation = await self.services.explain.explain(payment_id, at_time)
        return pb.ExplainPaymentResponse(explanation=explanation_message(explanation))

    async def sync_payment(
        self, request: pb.SyncPaymentRequest, call: Call
    ) -> pb.SyncPaymentResponse:
        """Ask the provider about a payment now."""
        payment_id = requests.payment_id(request.payment_id)
        structlog.contextvars.bind_contextvars(payment_id=str(payment_id))
        payment = await self.services.sync.sync(payment_id, call.origin)
        return pb.SyncPaymentResponse(payment=await self.services.message(payment))

    def _listed(self, payment: Payment) -> pb.Payment:
        """Build the message without receipts: each payment of a list would cost a read more."""
        message = payment_message(payment, self.services.page_url(payment.id))
        return add_settled(message, payment) if payment.may_have_receipts else message

    async def export_payments(
        self, request: pb.ExportPaymentsRequest, call: Call
    ) -> pb.ExportPaymentsResponse:
        """Return a page of the accounting for a period."""
        page = export_request(request)
        period, use_case = page.filter.period, self.services.export_payments
        if page.filter.one_by_one:
            moved = await use_case.movements(period, page.after, page.size)
            return pb.ExportPaymentsResponse(
                movements=[movement_message(one, period) for one in moved.items],
                next_page_token=page.token_of(moved.next),
            )
        days = await use_case.days(period, page.after)
        return pb.ExportPaymentsResponse(
            days=map(days_message, days.items), next_page_token=page.token_of(days.next)
        )

    def methods(self) -> dict[str, Method]:
        """Return path → method."""
        handles: dict[str, Handle] = {
            "GetQuote": self.get_quote,
            "InitiatePayment": self.initiate_payment,
            "GetPayment": self.get_payment,
            "CancelPayment": self.cancel_payment,
            "RefundPayment": self.refund_payment,
            "GetRefund": self.get_refund,
            "ListRefunds": self.list_refunds,
            "CancelRefund": self.cancel_refund,
            "ApproveRefund": self.approve_refund,
            "SettleRefund": self.settle_refund,
            "ResolveAttention": self.resolve_attention,
            "ForgetCustomer": self.forget_customer,
            "ExportPayments": self.export_payments,
            "ListPayments": self.list_payments,
            "ListAttention": self.list_attention,
            "ExplainPayment": self.explain_payment,
            "SyncPayment": self.sync_payment,
            **OperatorHandlers(self.services.operators, self.services.message).handles(),
        }
        # The proto names the messages as the method.
        return {
            f"/{SERVICE}/{name}": Method(
                request=getattr(pb, f"{name}Request"),
                response=getattr(pb, f"{name}Response"),
                handle=handle,
                access=ACCESS[name],
            )
            for name, handle in handles.items()
        }


def _logged(payment: Payment, refund: Refund) -> pb.Refund:
    """Build the message; the call's log lines name the payment and the refund from now on."""
    structlog.contextvars.bind_contextvars(payment_id=str(payment.id), refund_id=str(refund.id))
    return refund_message(payment, refund)

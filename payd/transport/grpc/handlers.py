"""The four methods of the service: decode, call one use case, encode."""

from collections.abc import Callable, Coroutine
from typing import Any

import attrs
import structlog
from payd_client.proto import payment_pb2 as pb

from payd.codec import fields, requests
from payd.codec.messages import payment_message, quote_message
from payd.domain.payment import Origin
from payd.service.cancel import Cancel
from payd.service.initiate import Initiate
from payd.service.query import Query

SERVICE = "payd.v1.PaymentService"


@attrs.frozen(kw_only=True)
class Services:
    """The use cases behind the server."""

    initiate: Initiate
    cancel: Cancel
    query: Query


@attrs.frozen(kw_only=True)
class Call:
    """One call: its origin, and how long it may wait for another call's answer."""

    origin: Origin
    wait_s: float


Handle = Callable[[Any, Call], Coroutine[Any, Any, Any]]


@attrs.frozen(kw_only=True)
class Method:
    """One method of the service, for the server to wrap."""

    request: type[Any]
    response: type[Any]
    handle: Handle
    #: It changes something: once begun it continues when the caller leaves.
    is_write: bool
    #: It decides what a person answers for: an app's certificate may not call it.
    is_for_operators: bool = False


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
        return pb.InitiatePaymentResponse(payment=payment_message(payment))

    async def get_payment(self, request: pb.GetPaymentRequest, call: Call) -> pb.GetPaymentResponse:
        """Return the current state of a payment."""
        query = self.services.query
        if request.WhichOneof("key") == "idempotency_key":
            payment = await query.get_by_key(fields.idempotency_key(request.idempotency_key))
        else:
            payment = await query.get(requests.payment_id(request.payment_id))
        structlog.contextvars.bind_contextvars(payment_id=str(payment.id))
        return pb.GetPaymentResponse(payment=payment_message(payment))

    async def cancel_payment(
        self, request: pb.CancelPaymentRequest, call: Call
    ) -> pb.CancelPaymentResponse:
        """Close a payment that is still open."""
        payment_id = requests.payment_id(request.payment_id)
        structlog.contextvars.bind_contextvars(payment_id=str(payment_id))
        reason = requests.cancel_reason(request.reason)
        payment = await self.services.cancel.cancel(payment_id, reason, call.origin)
        return pb.CancelPaymentResponse(payment=payment_message(payment))

    def methods(self) -> dict[str, Method]:
        """Return path → method."""
        return {
            f"/{SERVICE}/GetQuote": Method(
                request=pb.GetQuoteRequest,
                response=pb.GetQuoteResponse,
                handle=self.get_quote,
                is_write=False,
            ),
            f"/{SERVICE}/InitiatePayment": Method(
                request=pb.InitiatePaymentRequest,
                response=pb.InitiatePaymentResponse,
                handle=self.initiate_payment,
                is_write=True,
            ),
            f"/{SERVICE}/GetPayment": Method(
                request=pb.GetPaymentRequest,
                response=pb.GetPaymentResponse,
                handle=self.get_payment,
                is_write=False,
            ),
            f"/{SERVICE}/CancelPayment": Method(
                request=pb.CancelPaymentRequest,
                response=pb.CancelPaymentResponse,
                handle=self.cancel_payment,
                is_write=True,
            ),
        }

"""Typed client of the gRPC service: mutual TLS, deadlines, safe retries, named errors."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from logging import getLogger
from types import TracebackType
from typing import Any
from uuid import UUID
from weakref import WeakSet

from grpclib.exceptions import GRPCError, StreamTerminatedError

from payd_client.bridge import Bridge, check_cancelled
from payd_client.connection import BoundedChannel, Connection
from payd_client.credentials import CredentialsUnavailable, Pem, TlsSource
from payd_client.errors import PaydClientError, Unavailable, error_of
from payd_client.explanations import Explanation, explain_message, explanation_of
from payd_client.exports import ExportCalls
from payd_client.forgetting import ForgottenCustomer, forgotten_of
from payd_client.lists import PaymentFilter, PaymentPage, filter_message, payment_page_of
from payd_client.messages import initiate_message, payment_of, quote_message, quote_of
from payd_client.operator_calls import OperatorCalls
from payd_client.proto import payment_pb2 as pb
from payd_client.proto.payment_grpc import PaymentServiceStub
from payd_client.refund_messages import (
    list_refunds_message,
    refund_of,
    refund_page_of,
    refund_payment_message,
    settle_refund_message,
)
from payd_client.refunds import Refund, RefundPage, RefundRequest, RefundStatus
from payd_client.values import Caller, InitiateRequest, Payment, Quote, QuoteRequest
from payd_client.watching import STREAM_S, Opened, Watched

_log = getLogger("payd_client")

DEADLINE_S = 10.0
#: For ForgetCustomer.
FORGET_S = 3600.0
#: Attempts of one call, the first included: enough to wait out a restart of payd.
ATTEMPTS_MAX = 4
_BACKOFF_S = 0.1
_ALL = PaymentFilter()
#: After a failed connection the certificates are read at once, but at most this often.
_REREAD_MIN_S = 1.0


class PaymentClient(ExportCalls, OperatorCalls):
    """Client of one payd: an async context manager, on asyncio or trio.

    It opens one connection with the first call, and a new one when the connection was lost or the
    certificates have changed. A call that ends with UNAVAILABLE is repeated within its deadline.
    All methods may be repeated: InitiatePayment and RefundPayment because of their idempotency key.
    Each raises PaydClientError, or its subclasses Unavailable and NotFound.
    """

    def __init__(
        self,
        target: str,
        tls: TlsSource,
        *,
        deadline_s: float = DEADLINE_S,
        attempts_max: int = ATTEMPTS_MAX,
    ) -> None:
        """Take `target` as host:port. `deadline_s` limits a whole call with its repetitions."""
        host, _, port = target.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._tls = tls
        self._deadline_s = deadline_s
        self._attempts_max = attempts_max
        self._bridge = Bridge()
        self._watched: WeakSet[Watched] = WeakSet()

    async def __aenter__(self) -> "PaymentClient":
        """Raises CredentialsUnavailable, and ValueError for invalid certificates."""
        async with contextlib.AsyncExitStack() as exits:
            await exits.enter_async_context(self._bridge)
            await self._bridge.call(self._open)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._bridge.close(self._close)
        finally:
            await self._exits.__aexit__(kind, error, traceback)

    async def quote(
        self, request: QuoteRequest, *, caller: Caller | None = None, deadline_s: float = 0.0
    ) -> Quote:
        """Price items. payd stores nothing.

        `deadline_s` replaces the client's own deadline, here and in the other calls.
        """
        answer = await self._call("GetQuote", quote_message(request), caller, deadline_s)
        return quote_of(answer.quote)

    async def initiate(
        self, request: InitiateRequest, *, caller: Caller | None = None, deadline_s: float = 0.0
    ) -> Payment:
        """Create a payment, or return the one that has this idempotency key."""
        answer = await self._call("InitiatePayment", initiate_message(request), caller, deadline_s)
        return payment_of(answer.payment)

    async def get(
        self, payment_id: UUID | str, *, caller: Caller | None = None, deadline_s: float = 0.0
    ) -> Payment:
        """Return the current state of a payment."""
        request = pb.GetPaymentRequest(payment_id=str(payment_id))
        return payment_of((await self._call("GetPayment", request, caller, deadline_s)).payment)

    async def get_by_key(
        self, idempotency_key: str, *, caller: Caller | None = None, deadline_s: float = 0.0
    ) -> Payment:
        """Return the current state of the payment with this idempotency key."""
        request = pb.GetPaymentRequest(idempotency_key=idempotency_key)
        return payment_of((await self._call("GetPayment", request, caller, deadline_s)).payment)

    def watch(
        self,
        payment_id: UUID | str,
        *,
        after_version: int = 0,
        linger: timedelta = timedelta(0),
        patience_s: float = 60.0,
        caller: Caller | None = None,
    ) -> Watched:
        """Iterate over the payment's current state and every newer version: `async for`.

        Only versions after `after_version` are given, rising, none twice; if the loop's body is
        slow it may miss some, but never the newest. It ends `linger` after a final status. While
        payd restarts it waits, up to `patience_s`, then raises Unavailable.
        """
        follow = partial(self._follow, caller or Caller())
        watched = Watched(self._bridge, follow, payment_id, after_version, linger, patience_s)
        self._watched.add(watched)
        return watched

    async def cancel(
        self,
        payment_id: UUID | str,
        reason: str = "",
        *,
        caller: Caller | None = None,
        deadline_s: float = 0.0,
    ) -> Payment:
        """Cancel an open payment. It stays CANCELING until the provider has confirmed it.

        `reason` is for the audit trail.
        """
        request = pb.CancelPaymentRequest(payment_id=str(payment_id), reason=reason)
        return payment_of((await self._call("CancelPayment", request, caller, deadline_s)).payment)

    async def refund(
        self, request: RefundRequest, *, caller: Caller | None = None, deadline_s: float = 0.0
    ) -> Refund:
        """Send money back, or return the refund that has this idempotency key.

        It may still be CREATING, PENDING or AWAITING_APPROVAL: its events tell the end.
        """
        message = refund_payment_message(request)
        return refund_of((await self._call("RefundPayment", message, caller, deadline_s)).refund)

    async def get_refund(
        self, refund_id: UUID | str, *, caller: Caller | None = None, deadline_s: float = 0.0
    ) -> Refund:
        """Return the current state of a refund."""
        request = pb.GetRefundRequest(refund_id=str(refund_id))
        return refund_of((await self._call("GetRefund", request, caller, deadline_s)).refund)

    async def get_refund_by_key(
        self, idempotency_key: str, *, caller: Caller | None = None, deadline_s: float = 0.0
    ) -> Refund:
        """Return the current state of the refund with this idempotency key."""
        request = pb.GetRefundRequest(idempotency_key=idempotency_key)
        return refund_of((await self._call("GetRefund", request, caller, deadline_s)).refund)

    async def list_refunds(
        self,
        *,
        payment_id: UUID | str = "",
        statuses: Sequence[RefundStatus] = (),
        page_size: int = 0,
        page_token: str = "",
        caller: Caller | None = None,
        deadline_s: float = 0.0,
    ) -> RefundPage:
        """Return a page of refunds, newest first: of one payment or of all, in any status."""
        request = list_refunds_message(payment_id, statuses, page_size, page_token)
        return refund_page_of(await self._call("ListRefunds", request, caller, deadline_s))

    async def approve_refund(
        self,
        refund_id: UUID | str,
        note: str = "",
        *,
        caller: Caller | None = None,
        deadline_s: float = 0.0,
    ) -> Refund:
        """Approve a refund that is AWAITING_APPROVAL. Needs an operator's certificate."""
        request = pb.ApproveRefundRequest(refund_id=str(refund_id), note=note)
        return refund_of((await self._call("ApproveRefund", request, caller, deadline_s)).refund)

    async def cancel_refund(
        self,
        refund_id: UUID | str,
        note: str,
        *,
        caller: Caller | None = None,
        deadline_s: float = 0.0,
    ) -> Refund:
        """Withdraw a refund that waits for a person. Needs an operator's certificate."""
        request = pb.CancelRefundRequest(refund_id=str(refund_id), note=note)
        return refund_of((await self._call("CancelRefund", request, caller, deadline_s)).refund)

    async def settle_refund(
        self,
        refund_id: UUID | str,
        outcome: RefundStatus,
        note: str,
        *,
        reference: str = "",
        caller: Caller | None = None,
        deadline_s: float = 0.0,
    ) -> Refund:
        """Say that a refund without an answer SUCCEEDED or FAILED. Needs an operator's certificate.

        `reference` is the provider's id of the refund, if there is one.
        """
        request = settle_refund_message(refund_id, outcome, reference, note)
        return refund_of((await self._call("SettleRefund", request, caller, deadline_s)).refund)

    async def resolve_attention(
        self,
        payment_id: UUID | str,
        note: str,
        *,
        reasons: Sequence[str] = (),
        expected_version: int = 0,
        caller: Caller | None = None,
        deadline_s: float = 0.0,
    ) -> Payment:
        """Resolve reasons for attention, by default all. Needs an operator's certificate."""
        request = pb.ResolveAttentionRequest(
            payment_id=str(payment_id),
            reasons=reasons,
            note=note,
            expected_version=expected_version,
        )
        answer = await self._call("ResolveAttention", request, caller, deadline_s)
        return payment_of(answer.payment)

    async def forget_customer(
        self,
        customer_id: str,
        *,
        dry_run: bool = False,
        note: str = "",
        caller: Caller | None = None,
        deadline_s: float = FORGET_S,
    ) -> ForgottenCustomer:
        """Erase the personal data of a customer whose payments are all closed, or count it.

        Needs an operator's certificate. It searches the whole inbox, which may take minutes.
        """
        request = pb.ForgetCustomerRequest(customer_id=customer_id, dry_run=dry_run, note=note)
        return forgotten_of(await self._call("ForgetCustomer", request, caller, deadline_s))

    async def list_payments(
        self,
        wanted: PaymentFilter = _ALL,
        *,
        page_size: int = 0,
        caller: Caller | None = None,
        deadline_s: float = 0.0,
    ) -> AsyncGenerator[Payment, None]:
        """Yield payments, newest first, over all pages: `async for payment in …`.

        Each page is a call of its own, made when the one before is used up.
        """
        token = ""
        while True:
            page = await self.list_payments_page(
                wanted, page_size=page_size, page_token=token, caller=caller, deadline_s=deadline_s
            )
            for payment in page.payments:
                yield payment
            if not (token := page.next_page_token):
                return

    async def list_payments_page(
        self,
        wanted: PaymentFilter = _ALL,
        *,
        page_size: int = 0,
        page_token: str = "",
        caller: Caller | None = None,
        deadline_s: float = 0.0,
    ) -> PaymentPage:
        """Return one page of payments, newest first."""
        request = pb.ListPaymentsRequest(
            filter=filter_message(wanted), page_size=page_size, page_token=page_token
        )
        return payment_page_of(await self._call("ListPayments", request, caller, deadline_s))

    async def list_attention(
        self,
        wanted: PaymentFilter = _ALL,
        *,
        page_size: int = 0,
        caller: Caller | None = None,
        deadline_s: float = 0.0,
    ) -> AsyncGenerator[Payment, None]:
        """Yield payments with open attention, those first that have waited longest.

        Each comes once, and each page is a call of its own. Needs an operator's certificate.
        """
        token, seen = "", set[UUID]()
        while True:
            request = pb.ListAttentionRequest(
                filter=filter_message(wanted), page_size=page_size, page_token=token
            )
            answer = await self._call("ListAttention", request, caller, deadline_s)
            page = payment_page_of(answer)
            for payment in page.payments:
                if payment.id not in seen:
                    yield payment
            seen.update(payment.id for payment in page.payments)
            if not (token := page.next_page_token):
                return

    async def explain(
        self,
        payment_id: UUID | str,
        *,
        at_time: datetime | None = None,
        caller: Caller | None = None,
        deadline_s: float = 0.0,
    ) -> Explanation:
        """Say what happened to a payment and why, now or as payd knew it at a time."""
        request = explain_message(payment_id, at_time)
        answer = await self._call("ExplainPayment", request, caller, deadline_s)
        return explanation_of(answer.explanation)

    async def sync(
        self, payment_id: UUID | str, *, caller: Caller | None = None, deadline_s: float = 0.0
    ) -> Payment:
        """Let payd ask the provider about a payment now, at most once in 5 seconds."""
        request = pb.SyncPaymentRequest(payment_id=str(payment_id))
        return payment_of((await self._call("SyncPayment", request, caller, deadline_s)).payment)

    async def _call(
        self, method: str, request: Any, caller: Caller | None, deadline_s: float
    ) -> Any:
        return await self._bridge.call(
            self._retry, method, request, caller or Caller(), deadline_s or self._deadline_s
        )

    # -- on asyncio ------------------------------------------------------------------------------

    async def _open(self) -> None:
        self._pem = await self._tls.read()
        self._connection = self._new_connection(self._pem)
        self._is_suspect = asyncio.Event()
        self._renewing = asyncio.create_task(self._renew())

    async def _close(self) -> None:
        for watched in list(self._watched):
            await watched.leave()
        self._renewing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._renewing
        self._connection.close()
        # Let the loop run the transport's callbacks before it ends.
        await asyncio.sleep(0)

    def _new_connection(self, pem: Pem) -> Connection:
        return Connection(BoundedChannel(self._host, self._port, ssl=pem.context()))

    async def _renew(self) -> None:
        """Take over changed certificates. Running calls end on the connection they began on."""
        while True:
            check_cancelled()
            await asyncio.sleep(_REREAD_MIN_S)
            with contextlib.suppress(TimeoutError):
                wait_s = max(0.0, self._tls.reread_s - _REREAD_MIN_S)
                await asyncio.wait_for(self._is_suspect.wait(), wait_s)
            self._is_suspect.clear()
            try:
                pem = await self._tls.read()
                if pem == self._pem:
                    continue
                fresh = self._new_connection(pem)
            except (CredentialsUnavailable, ValueError) as error:
                # A change may be half written, or the vault may be away: keep what works.
                _log.warning("the client certificate was not renewed, the old one stays: %s", error)
                continue
            self._pem = pem
            old, self._connection = self._connection, fresh
            old.is_retired = True
            old.close_if_unused()

    async def _retry(self, method: str, request: Any, caller: Caller, deadline_s: float) -> Any:
        """Send until payd answers, the attempts are used up or the deadline would pass."""
        now: Callable[[], float] = asyncio.get_running_loop().time
        until = now() + deadline_s
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._send(method, request, caller, until - now())
            except TimeoutError:
                message = f"no answer within {deadline_s:g} s"
                code = "DEADLINE_EXCEEDED"
                raise error_of(code, message, request_id=caller.request_id) from None
            except Unavailable as error:
                backoff_s = _BACKOFF_S * 2**attempt * random.uniform(0.5, 1)  # noqa: S311 - jitter
                wait_s = max(backoff_s, error.retry_after_s or 0.0)
                may_retry = error.code == "UNAVAILABLE" and attempt < self._attempts_max
                if not may_retry or now() + wait_s >= until:
                    raise
            await asyncio.sleep(wait_s)

    async def _send(self, method: str, request: Any, caller: Caller, timeout_s: float) -> Any:
        async with self._channel(caller) as channel:
            call = getattr(PaymentServiceStub(channel), method)
            return await call(request, timeout=timeout_s, metadata=caller.metadata())

    async def _follow(
        self, caller: Caller, request: Any, opened: Opened, put: Callable[[Any], None]
    ) -> None:
        """Call `opened`, then `put` with each message of a WatchPayment stream."""
        async with self._channel(caller) as channel:
            method = PaymentServiceStub(channel).WatchPayment
            async with method.open(timeout=STREAM_S, metadata=caller.metadata()) as stream:
                await stream.send_message(request, end=True)
                opened()
                async for message in stream:
                    put(message)

    @contextlib.asynccontextmanager
    async def _channel(self, caller: Caller) -> AsyncIterator[BoundedChannel]:
        """Lend the connection to one call, and translate the errors of the call."""
        connection = self._connection
        connection.calls += 1
        try:
            yield connection.channel
        except GRPCError as error:
            raise _client_error(error, caller) from None
        except TimeoutError:
            raise
        except (OSError, StreamTerminatedError) as error:
            self._is_suspect.set()
            message = f"payd cannot be reached: {error}"
            raise error_of("UNAVAILABLE", message, request_id=caller.request_id) from None
        finally:
            connection.calls -= 1
            connection.close_if_unused()


def _client_error(error: GRPCError, caller: Caller) -> PaydClientError:
    message = error.message or error.status.name
    return error_of(error.status.name, message, error.details, caller.request_id)

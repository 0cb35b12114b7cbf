"""A daemon of one's own script: real gRPC over mutual TLS, whose answers a test writes down."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
from google.protobuf.timestamp_pb2 import Timestamp
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream
from payd_client.proto import payment_pb2 as pb
from payd_client.proto.payment_grpc import PaymentServiceBase

from payd.domain.errors import PaydError
from payd.transport.grpc.tls import CertificateFiles, tls_context
from payd.transport.problems import grpc_error

T = TypeVar("T")

PATIENCE_S = 60.0
PAYMENT_ID = "00000000-0000-0000-0000-000000000007"
REFUND_ID = "00000000-0000-0000-0000-000000000003"
ITEM = "ethereum-mainnet/full/30d"
_TIME = Timestamp(seconds=1_767_323_045)


def a_payment(status: str = "COMPLETED", **overrides: Any) -> pb.Payment:
    """149.00 USD by the mock."""
    price = pb.Money(currency_code="USD", minor_units=14900)
    item = pb.PricedItem(
        chain_profile_id="ethereum-mainnet", node_type="full", duration="30d", unit_price=price
    )
    fields: dict[str, Any] = {
        "id": PAYMENT_ID,
        "status": pb.PaymentStatus.Value(f"PAYMENT_STATUS_{status}"),
        "method": "mock",
        "provider": "mock",
        "amount": price,
        "customer_id": "cli",
        "idempotency_key": "key-1",
        "items": [item],
        "received": pb.Money(currency_code="USD"),
        "refunded": pb.Money(currency_code="USD"),
        "create_time": _TIME,
        "update_time": _TIME,
        "expire_time": _TIME,
    }
    return pb.Payment(**(fields | overrides))


def a_quote() -> pb.Quote:
    """One item, 149.00 USD."""
    payment = a_payment()
    return pb.Quote(
        items=payment.items,
        total=payment.amount,
        method="mock",
        pricing_version="0123456789abcdef",
        expire_time=_TIME,
        quote_token="a-token",
    )


def a_refund(status: str = "SUCCEEDED", **overrides: Any) -> pb.Refund:
    """10.00 USD of the payment."""
    fields: dict[str, Any] = {
        "id": REFUND_ID,
        "payment_id": PAYMENT_ID,
        "status": f"REFUND_STATUS_{status}",
        "amount": pb.Money(currency_code="USD", minor_units=1000),
        "idempotency_key": "refund-1",
        "create_time": _TIME,
        "update_time": _TIME,
    }
    return pb.Refund(**(fields | overrides))


def an_explanation(**overrides: Any) -> pb.Explanation:
    """A payment that waits for its customer."""
    created = pb.ExplanationStep(
        time=_TIME,
        actor="main-app",
        source="call of main-app, request req-1",
        what="The payment was stored: 149.00 USD by mock.",
        because="main-app called InitiatePayment.",
        changes=[pb.StepChange(field="status", after="CREATING")],
    )
    fields: dict[str, Any] = {
        "summary": "The customer has not paid yet.",
        "status": pb.PAYMENT_STATUS_PENDING,
        "waiting_for": pb.WaitingFor(
            what="The customer has to pay.", actor=pb.WAITING_FOR_ACTOR_CUSTOMER
        ),
        "next_look_time": _TIME,
        "steps": [created],
        "advice": [pb.Advice(text="To ask now:", command=f"payd payments sync {PAYMENT_ID}")],
        "steps_left_out": 2,
        "time": _TIME,
    }
    return pb.Explanation(**(fields | overrides))


def forgotten(**overrides: Any) -> pb.ForgetCustomerResponse:
    """Two tables, of which one has rows, and a retained event."""
    event = pb.RetainedEvent(
        event_id=REFUND_ID,
        payment_id=PAYMENT_ID,
        subject="payment.completed",
        publish_time=_TIME,
    )
    fields: dict[str, Any] = {
        "payments": 3,
        "erased": [
            pb.ErasedRows(table="customers", rows=1, columns="wallet_address, email"),
            pb.ErasedRows(table="outflows", rows=0, columns="details"),
        ],
        "retained_events": [event],
    }
    return pb.ForgetCustomerResponse(**(fields | overrides))


@attrs.frozen(kw_only=True)
class Asked:
    """One call as it came in."""

    method: str
    message: Any
    request_id: str
    #: The name in its certificate.
    client: str


class ScriptedDaemon(PaymentServiceBase):
    """Answers from a script; its last line again when all are used up."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[Asked] = []
        self._payments: list[pb.Payment | PaydError] = [a_payment()]
        self._refunds: list[pb.Refund | PaydError] = [a_refund()]
        self._pages: list[pb.ListRefundsResponse] = [pb.ListRefundsResponse()]
        self._lists: list[pb.ListPaymentsResponse | PaydError] = [pb.ListPaymentsResponse()]
        self._explanations: list[pb.Explanation | PaydError] = [an_explanation()]
        self._exports: list[pb.ExportPaymentsResponse] = [pb.ExportPaymentsResponse()]
        self._forgotten: list[pb.ForgetCustomerResponse | PaydError] = [forgotten()]
        #: Method → its script, for those without a script above.
        self._scripts: dict[str, list[Any]] = {}
        self._held = False

    def answer(self, *script: pb.Payment | PaydError) -> None:
        """What the next calls get, one after the other."""
        self._payments = list(script)

    def answer_refunds(self, *script: pb.Refund | PaydError) -> None:
        """What the next calls about a refund get."""
        self._refunds = list(script)

    def answer_pages(self, *script: pb.ListRefundsResponse) -> None:
        """What the next calls of ListRefunds get."""
        self._pages = list(script)

    def answer_lists(self, *script: pb.ListPaymentsResponse | PaydError) -> None:
        """What the next calls of ListPayments and ListAttention get."""
        self._lists = list(script)

    def answer_explanations(self, *script: pb.Explanation | PaydError) -> None:
        """What the next calls of ExplainPayment get."""
        self._explanations = list(script)

    def answer_exports(self, *script: pb.ExportPaymentsResponse) -> None:
        """What the next calls of ExportPayments get."""
        self._exports = list(script)

    def answer_forgotten(self, *script: pb.ForgetCustomerResponse | PaydError) -> None:
        """What the next calls of ForgetCustomer get."""
        self._forgotten = list(script)

    def answer_calls(self, method: str, *script: Any) -> None:
        """What the next calls of one of the other methods get."""
        self._scripts[method] = list(script)

    def hold(self) -> None:
        """Answer no call from now on."""
        self._held = True

    async def GetQuote(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - the proto names it
        await self._take("GetQuote", stream)
        await stream.send_message(pb.GetQuoteResponse(quote=a_quote()))

    async def InitiatePayment(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        payment = await self._payment("InitiatePayment", stream)
        await stream.send_message(pb.InitiatePaymentResponse(payment=payment))

    async def GetPayment(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - the proto names it
        payment = await self._payment("GetPayment", stream)
        await stream.send_message(pb.GetPaymentResponse(payment=payment))

    async def WatchPayment(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        payment = await self._payment("WatchPayment", stream)
        await stream.send_message(pb.WatchPaymentResponse(payment=payment))

    async def CancelPayment(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        payment = await self._payment("CancelPayment", stream)
        await stream.send_message(pb.CancelPaymentResponse(payment=payment))

    async def RefundPayment(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        refund = await self._refund("RefundPayment", stream)
        await stream.send_message(pb.RefundPaymentResponse(refund=refund))

    async def GetRefund(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - the proto names it
        refund = await self._refund("GetRefund", stream)
        await stream.send_message(pb.GetRefundResponse(refund=refund))

    async def ListRefunds(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        await self._take("ListRefunds", stream)
        await stream.send_message(_next(self._pages))

    async def CancelRefund(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        refund = await self._refund("CancelRefund", stream)
        await stream.send_message(pb.CancelRefundResponse(refund=refund))

    async def ApproveRefund(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        refund = await self._refund("ApproveRefund", stream)
        await stream.send_message(pb.ApproveRefundResponse(refund=refund))

    async def SettleRefund(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        refund = await self._refund("SettleRefund", stream)
        await stream.send_message(pb.SettleRefundResponse(refund=refund))

    async def ResolveAttention(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        payment = await self._payment("ResolveAttention", stream)
        await stream.send_message(pb.ResolveAttentionResponse(payment=payment))

    async def ForgetCustomer(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        await self._take("ForgetCustomer", stream)
        await stream.send_message(_next(self._forgotten))

    async def ListPayments(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        await self._take("ListPayments", stream)
        await stream.send_message(_next(self._lists))

    async def ListAttention(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        await self._take("ListAttention", stream)
        page = _next(self._lists)
        await stream.send_message(
            pb.ListAttentionResponse(payments=page.payments, next_page_token=page.next_page_token)
        )

    async def ExplainPayment(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        await self._take("ExplainPayment", stream)
        answer = pb.ExplainPaymentResponse(explanation=_next(self._explanations))
        await stream.send_message(answer)

    async def SyncPayment(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        payment = await self._payment("SyncPayment", stream)
        await stream.send_message(pb.SyncPaymentResponse(payment=payment))

    async def ExportPayments(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        await self._take("ExportPayments", stream)
        await stream.send_message(_next(self._exports))

    async def AttachReceipt(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        payment = await self._payment("AttachReceipt", stream)
        await stream.send_message(pb.AttachReceiptResponse(payment=payment))

    async def ListReceipts(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        await self._scripted("ListReceipts", stream)

    async def RepublishEvents(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        await self._scripted("RepublishEvents", stream)

    async def ListDeadLetters(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        await self._scripted("ListDeadLetters", stream)

    async def ReplayDeadLetters(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        await self._scripted("ReplayDeadLetters", stream)

    async def ListReconciliations(  # noqa: N802 - as in proto
        self, stream: Stream[Any, Any]
    ) -> None:
        await self._scripted("ListReconciliations", stream)

    async def GetOverview(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        await self._scripted("GetOverview", stream)

    async def GetConfiguration(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        await self._scripted("GetConfiguration", stream)

    async def GetStoredRows(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - as in proto
        await self._scripted("GetStoredRows", stream)

    async def _scripted(self, method: str, stream: Stream[Any, Any]) -> None:
        await self._take(method, stream)
        nothing = getattr(pb, f"{method}Response")()
        await stream.send_message(_next(self._scripts.setdefault(method, [nothing])))

    async def _payment(self, method: str, stream: Stream[Any, Any]) -> pb.Payment:
        await self._take(method, stream)
        return _next(self._payments)

    async def _refund(self, method: str, stream: Stream[Any, Any]) -> pb.Refund:
        await self._take(method, stream)
        return _next(self._refunds)

    async def _take(self, method: str, stream: Stream[Any, Any]) -> None:
        message = await stream.recv_message()
        metadata: Any = stream.metadata or {}
        request_id = str(metadata.get("x-request-id", ""))
        subject: Any = (stream.peer.cert() or {}).get("subject", ())
        client = dict(pair for [pair] in subject).get("commonName", "")
        asked = Asked(method=method, message=message, request_id=request_id, client=client)
        self.asked.append(asked)
        if self._held:
            await asyncio.sleep(PATIENCE_S)
            raise GRPCError(Status.INTERNAL, "nobody was to wait so long")


def _next(script: list[Any]) -> Any:
    """Take the next line; the last one stays."""
    answer = script.pop(0) if len(script) > 1 else script[0]
    if isinstance(answer, PaydError):
        raise grpc_error(answer)
    return answer


def on_plain_asyncio(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end. trio_asyncio, once imported, has `asyncio.run` make loops of its own."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(work)


@contextmanager
def scripted_daemon(pki: Path) -> Iterator[ScriptedDaemon]:
    """Listening, in a thread of its own, on a free port."""
    daemon = ScriptedDaemon()
    started: Future[Callable[[], object]] = Future()
    thread = threading.Thread(target=on_plain_asyncio, args=(_serve(daemon, pki, started),))
    thread.start()
    stop = started.result(PATIENCE_S)
    try:
        yield daemon
    finally:
        stop()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


async def _serve(daemon: ScriptedDaemon, pki: Path, started: Future[Callable[[], object]]) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    server = Server([daemon])
    files = CertificateFiles(cert=pki / "server.crt", key=pki / "server.key", ca=pki / "ca.crt")
    tls = tls_context(files)
    await server.start("127.0.0.1", 0, ssl=tls)
    listener: Any = server._server
    daemon.port = listener.sockets[0].getsockname()[1]
    started.set_result(lambda: loop.call_soon_threadsafe(stop.set))
    await stop.wait()
    server.close()
    await server.wait_closed()

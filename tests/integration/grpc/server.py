"""The real server over fake use cases, and a client that says exactly what a test wants."""

import asyncio
import ssl
import struct
from base64 import b64decode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID

import attrs
import trio
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as StatusProto
from grpclib.const import Status
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from payd_client.proto import payment_pb2 as pb

from payd.adapters import bridge
from payd.adapters.payment_changes import PolledChanges
from payd.adapters.system import SystemClock
from payd.domain.evidence import Receipt
from payd.domain.ledger import PaymentReceipts
from payd.domain.money import Money
from payd.domain.payment import Customer, LineItem, Origin, Payment
from payd.domain.request import InitiateRequest, QuoteAnswer, QuoteRequest
from payd.service.watch import Watch
from payd.transport.grpc.callers import Clients
from payd.transport.grpc.calls import Limits
from payd.transport.grpc.handlers import SERVICE, Services
from payd.transport.grpc.server import GrpcServer, GrpcSettings
from payd.transport.grpc.tls import CertificateFiles, Tls, load_certificates

M = TypeVar("M", bound=Message)

MESSAGE_BYTES_MAX = 16 * 1024
WATCHERS_MAX = 3
PATIENCE_S = 180.0
PAYMENT_ID = UUID(int=7)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
USD_1 = Money(currency_code="USD", minor_units=100)
ITEM = LineItem(
    chain_profile_id="ethereum-mainnet", node_type="full", duration="30d", unit_price=USD_1
)
PAYMENT = Payment(
    id=PAYMENT_ID,
    idempotency_key="key-1",
    request_hash=b"",
    customer=Customer(id="user-1"),
    method="card",
    provider="mock",
    amount=USD_1,
    items=(ITEM,),
    pricing_version="prices-1",
    create_time=NOW,
    update_time=NOW,
    expire_time=NOW,
)

QUOTE = pb.GetQuoteRequest(
    method="card",
    items=[pb.Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")],
)
GET = pb.GetPaymentRequest(payment_id=str(PAYMENT_ID))
CANCEL = pb.CancelPaymentRequest(payment_id=str(PAYMENT_ID))


def an_initiate() -> pb.InitiatePaymentRequest:
    """A good request."""
    return pb.InitiatePaymentRequest(
        idempotency_key="key-1",
        customer=pb.Customer(id="user-1"),
        items=QUOTE.items,
        method="card",
    )


class UseCases:
    """All three in one. With `hold()`, each call waits for `release()`."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.origins: list[Origin] = []
        self.waits_s: list[float] = []
        self.begun = trio.Event()
        self.ended = trio.Event()
        self._gate: asyncio.Event | None = None

    def hold(self) -> None:
        self._gate = asyncio.Event()

    def release(self) -> None:
        assert self._gate is not None
        self._gate.set()

    async def _work(self) -> Payment:
        self.begun.set()
        if self._gate is not None:
            await self._gate.wait()
        if self.error is not None:
            raise self.error
        self.ended.set()
        return PAYMENT

    async def receipts_of(self, payment: Payment, newest: object = None) -> PaymentReceipts:
        return PaymentReceipts()

    async def initiate(self, request: InitiateRequest, origin: Origin, wait_s: float) -> Payment:
        self.origins.append(origin)
        self.waits_s.append(wait_s)
        return await self._work()

    async def cancel(self, payment_id: UUID, reason: str, origin: Origin) -> Payment:
        self.origins.append(origin)
        return await self._work()

    async def get(self, payment_id: UUID) -> tuple[Payment, Sequence[Receipt]]:
        return await self._work(), ()

    async def get_by_key(self, idempotency_key: str) -> Payment:
        return await self._work()

    def quote(self, request: QuoteRequest) -> QuoteAnswer:
        return QuoteAnswer(
            items=(ITEM,),
            total=USD_1,
            method=request.method,
            crypto=None,
            pricing_version="prices-1",
            expire_time=NOW,
        )


@attrs.frozen(kw_only=True)
class Reply:
    """The response to one call."""

    grpc_status: Status
    trailers: dict[str, str]
    body: bytes = attrs.field(repr=False)

    def message(self, kind: type[M]) -> M:
        """Parse the response; fail the test if the call failed."""
        assert self.grpc_status is Status.OK, self
        return kind.FromString(self.body[5:])

    def detail(self, kind: type[M]) -> M:
        """The one error detail of this kind."""
        value = self.trailers["grpc-status-details-bin"]
        status = StatusProto.FromString(b64decode(value + "=" * (-len(value) % 4)))
        [found] = [any_ for any_ in status.details if any_.Is(cast(Any, kind.DESCRIPTOR))]
        detail = kind()
        found.Unpack(detail)
        return detail

    @property
    def reason(self) -> str:
        info = self.detail(ErrorInfo)
        assert info.domain == "payd"
        return str(info.reason)

    @property
    def field(self) -> str:
        [violation] = self.detail(BadRequest).field_violations
        return str(violation.field)

    @property
    def retry_after_s(self) -> float:
        return float(self.detail(RetryInfo).retry_delay.ToTimedelta().total_seconds())


class Caller:
    """One connection, one call at a time. Headers and bodies are sent unchanged."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self._stream = stream
        self._h2 = H2Connection(
            H2Configuration(validate_outbound_headers=False, header_encoding="latin-1")
        )

    async def start(self) -> None:
        await self._stream.do_handshake()
        self._h2.initiate_connection()
        await self._flush()

    async def call(
        self,
        method: str,
        request: Message | bytes,
        *headers: tuple[str, str | bytes],
        compressed: bool = False,
    ) -> Reply:
        """Make one call and return its response."""
        number = await self.begin(method, request, *headers, compressed=compressed)
        return await self.reply(number)

    async def begin(
        self,
        method: str,
        request: Message | bytes,
        *headers: tuple[str, str | bytes],
        compressed: bool = False,
    ) -> int:
        """Send a call without waiting for the response."""
        number = self._h2.get_next_available_stream_id()
        path = method if method.startswith("/") else f"/{SERVICE}/{method}"
        fixed: Sequence[tuple[str, str | bytes]] = (
            (":method", "POST"),
            (":scheme", "https"),
            (":path", path),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        )
        self._h2.send_headers(number, [*fixed, *headers])
        body = request.SerializeToString() if isinstance(request, Message) else request
        await self._send(number, struct.pack(">BI", compressed, len(body)) + body)
        return number

    async def _send(self, number: int, data: bytes) -> None:
        step = self._h2.max_outbound_frame_size
        for start in range(0, len(data), step):
            self._h2.send_data(number, data[start : start + step])
            await self._flush()
        self._h2.end_stream(number)
        await self._flush()

    async def reply(self, number: int) -> Reply:
        fields: dict[str, str] = {}
        body = b""
        with trio.fail_after(PATIENCE_S):
            while True:
                for event in await self._events():
                    if getattr(event, "stream_id", None) != number:
                        continue
                    if isinstance(event, ResponseReceived | TrailersReceived):
                        fields |= cast(dict[str, str], dict(event.headers or ()))
                    elif isinstance(event, DataReceived):
                        body += event.data or b""
                    elif isinstance(event, StreamEnded | StreamReset):
                        return Reply(
                            grpc_status=Status(int(fields["grpc-status"])),
                            trailers=fields,
                            body=body,
                        )

    async def _events(self) -> Sequence[Any]:
        data = await self._stream.receive_some()
        if not data:
            raise trio.BrokenResourceError("the server closed the connection")
        events = self._h2.receive_data(bytes(data))
        await self._flush()
        return events

    async def _flush(self) -> None:
        if data := self._h2.data_to_send():
            await self._stream.send_all(data)

    async def close(self) -> None:
        await trio.aclose_forcefully(self._stream)


@attrs.frozen(kw_only=True)
class RunningServer:
    """A listening server, with the use cases behind it and the calls that it reported."""

    server: GrpcServer
    port: int
    pki: Path
    use_cases: UseCases
    #: Method and status name of each finished call.
    rpcs: list[tuple[str, str]]

    def tls(self, certificate: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.pki / "ca.crt")
        context.set_alpn_protocols(["h2"])
        if certificate is not None:
            paths = self.pki / f"{certificate}.crt", self.pki / f"{certificate}.key"
            context.load_cert_chain(*paths)
        return context

    @asynccontextmanager
    async def caller(
        self, certificate: str | None = "client", tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[Caller]:
        """Open a new connection."""
        tcp = await trio.open_tcp_stream("127.0.0.1", self.port)
        context = tls or self.tls(certificate)
        caller = Caller(trio.SSLStream(tcp, context, server_hostname="localhost"))
        try:
            await caller.start()
            yield caller
        finally:
            await caller.close()


@asynccontextmanager
async def run_server(
    pki: Path, max_in_flight: int = 512, *, shares_port: bool = False
) -> AsyncIterator[RunningServer]:
    """Run the real server on a free port; only the main app is allowed."""
    use_cases = UseCases()
    rpcs: list[tuple[str, str]] = []
    limits = Limits(
        max_in_flight=max_in_flight, max_message_bytes=MESSAGE_BYTES_MAX, await_answer_s=5.0
    )
    settings = GrpcSettings(host="127.0.0.1", port=0, limits=limits, shares_port=shares_port)
    files = CertificateFiles(cert=pki / "server.crt", key=pki / "server.key", ca=pki / "ca.crt")
    tls = Tls(load_certificates(files, datetime.now(UTC)))
    behind: Any = use_cases
    changes = PolledChanges(WATCHERS_MAX)
    services = Services(
        initiate=behind,
        cancel=behind,
        query=behind,
        watch=Watch(store=behind, changes=changes, clock=SystemClock()),
        refund=behind,
        cancel_refund=behind,
        approve_refund=behind,
        settle_refund=behind,
        resolve_attention=behind,
        forget_customer=behind,
        list_payments=behind,
        explain=behind,
        sync=behind,
        export_payments=behind,
        operators=behind,
        show_receipts=behind,
    )
    async with bridge.open_loop(lambda message, error: None):
        server = GrpcServer(
            settings,
            tls,
            services,
            lambda: Clients(apps=frozenset({"main-app"}), operators=frozenset({"operator"})),
            lambda method, code, seconds, origin, error: rpcs.append((method, code)),
        )
        port = await bridge.aio(server.start)
        server.set_serving(True)
        try:
            yield RunningServer(server=server, port=port, pki=pki, use_cases=use_cases, rpcs=rpcs)
        finally:
            with trio.CancelScope(shield=True):
                await bridge.aio(server.stop, 1.0)

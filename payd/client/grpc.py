"""A small typed client of the gRPC service: mutual TLS from files, deadlines, named errors."""

import asyncio
import ssl
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import attrs
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpclib.client import Channel
from grpclib.exceptions import GRPCError, StreamTerminatedError

from payd.proto import payment_pb2 as pb
from payd.proto.payment_grpc import PaymentServiceStub

DEADLINE_S = 10.0


@attrs.frozen(kw_only=True)
class ClientTls:
    """PEM files: the CA of the server's certificate, and our own certificate with its key."""

    ca: Path
    cert: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """TLS 1.3. Raises OSError and ssl.SSLError."""
        for path in (self.ca, self.cert, self.key):
            # TLS itself names no file when one is missing.
            path.open("rb").close()
        context = ssl.create_default_context(cafile=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.cert, self.key)
        context.set_alpn_protocols(["h2"])
        return context


class PaydClientError(Exception):
    """payd's answer was an error; `reason` is that of the contract, empty when there is none."""

    def __init__(
        self, code: str, message: str, details: list[Any] | None = None, request_id: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.request_id = request_id
        self.reason = ""
        self.metadata: dict[str, str] = {}
        self.retry_after_s: float | None = None
        for detail in details or []:
            if isinstance(detail, ErrorInfo):
                self.reason = detail.reason
                self.metadata = dict(detail.metadata)
            elif isinstance(detail, RetryInfo):
                delay = detail.retry_delay
                self.retry_after_s = delay.seconds + delay.nanos / 1e9


class PaymentClient:
    """One connection, made when it is first needed. An async context manager on asyncio."""

    def __init__(self, target: str, tls: ClientTls, *, deadline_s: float = DEADLINE_S) -> None:
        """`target` is host:port."""
        host, _, port = target.rpartition(":")
        self._channel = Channel(host.strip("[]"), int(port), ssl=tls.context())
        self._stub = PaymentServiceStub(self._channel)
        self._deadline_s = deadline_s

    async def __aenter__(self) -> "PaymentClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        protocol: Any = self._channel._protocol
        transport = getattr(getattr(protocol, "connection", None), "_transport", None)
        self._channel.close()
        if transport is not None:
            # TLS would wait for the server's goodbye, longer than the caller's loop may run.
            transport.abort()
            await asyncio.sleep(0)

    async def quote(self, request: pb.GetQuoteRequest) -> pb.Quote:
        """Raises PaydClientError, as all methods do."""
        answer = await self._call(self._stub.GetQuote, request)
        return answer.quote  # type: ignore[no-any-return]  # generated code has no types here

    async def initiate(self, request: pb.InitiatePaymentRequest) -> pb.Payment:
        """Safe to repeat with the same idempotency key."""
        answer = await self._call(self._stub.InitiatePayment, request)
        return answer.payment  # type: ignore[no-any-return]  # generated code has no types here

    async def get(self, request: pb.GetPaymentRequest) -> pb.Payment:
        """By payment id or idempotency key."""
        answer = await self._call(self._stub.GetPayment, request)
        return answer.payment  # type: ignore[no-any-return]  # generated code has no types here

    async def cancel(self, request: pb.CancelPaymentRequest) -> pb.Payment:
        """Safe to repeat."""
        answer = await self._call(self._stub.CancelPayment, request)
        return answer.payment  # type: ignore[no-any-return]  # generated code has no types here

    async def _call(self, method: Any, request: Any) -> Any:
        request_id = uuid4().hex
        try:
            return await method(
                request, timeout=self._deadline_s, metadata={"x-request-id": request_id}
            )
        except GRPCError as error:
            message = error.message or error.status.name
            raise PaydClientError(error.status.name, message, error.details, request_id) from None
        except TimeoutError:
            message = f"no answer within {self._deadline_s:g} s"
            raise PaydClientError("DEADLINE_EXCEEDED", message, request_id=request_id) from None
        except (OSError, StreamTerminatedError) as error:
            message = f"payd cannot be reached: {error}"
            raise PaydClientError("UNAVAILABLE", message, request_id=request_id) from None

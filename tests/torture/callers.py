"""A main app's side: calls that are repeated with their key until they are answered."""

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
from payd_client.proto import payment_pb2 as pb
from support.daemon import Client, reason_of
from torture.record import Deal, Record, status_of
from torture.world import World

#: What a caller answers by the same call again.
AGAIN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
_CALL_S = 6.0
_BETWEEN_S = 0.3
#: A client of its own connection, so that the kernel gives it to any of the daemons.
_OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)


class GivenUp(Exception):
    """The torture is over, and the call was never answered."""


class Caller:
    """One thread's client; it connects anew after a failed call."""

    def __init__(self, world: World, record: Record, over: threading.Event) -> None:
        self._world = world
        self._record = record
        self._over = over
        self._client: Client | None = None

    def initiate(self, deal: Deal) -> Any:
        """Start the payment; return it."""
        return self._about(deal, "InitiatePayment", deal.request)

    def get(self, deal: Deal) -> Any:
        """Read the payment."""
        return self._about(deal, "GetPayment", pb.GetPaymentRequest(payment_id=deal.id))

    def cancel(self, deal: Deal) -> None:
        """Cancel the payment, unless payd says that it is too late."""
        request = pb.CancelPaymentRequest(payment_id=deal.id, reason="torture")
        with refusal("PAYMENT_NOT_CANCELABLE"):
            self._about(deal, "CancelPayment", request)

    def refund(self, deal: Deal, minor_units: int, key: str) -> None:
        """Refund a part of it."""
        money = pb.Money(currency_code=deal.payment.amount.currency_code, minor_units=minor_units)
        request = pb.RefundPaymentRequest(payment_id=deal.id, amount=money, idempotency_key=key)
        self.call("RefundPayment", request)
        deal.refunds[key] = minor_units

    def until(self, deal: Deal, *statuses: str) -> Any:
        """Read the payment until it has one of the statuses."""
        while status_of(payment := self.get(deal)) not in statuses:
            self.rest(_BETWEEN_S)
        return payment

    def call(self, method: str, request: Any) -> Any:
        """Make a call, and the same one again while payd may be asked again."""
        while True:
            try:
                answer = self._connected().call(method, request, _CALL_S)
            except grpc.RpcError as error:
                self._record.called(method, error.code().name)
                self.hang_up()
                if error.code() not in AGAIN:
                    raise
                self.rest(random.uniform(0.1, _BETWEEN_S))
                continue
            self._record.called(method, "OK")
            return answer

    def rest(self, seconds: float) -> None:
        """Wait; raise GivenUp when the torture is over."""
        if self._over.is_set():
            raise GivenUp
        time.sleep(seconds)

    def hang_up(self) -> None:
        """Close the connection; the next call opens another."""
        if self._client is not None:
            self._client.__exit__()
            self._client = None

    def _about(self, deal: Deal, method: str, request: Any) -> Any:
        before = self._record.newest_version(deal)
        payment = self.call(method, request).payment
        self._record.answered(deal, payment, before)
        return payment

    def _connected(self) -> Client:
        if self._client is None:
            pki = self._world.place.pki
            self._client = Client(self._world.grpc, pki, "client", _OWN_CONNECTION)
        return self._client


@contextlib.contextmanager
def refusal(*reasons: str) -> Iterator[None]:
    """Ignore an error with one of these reasons."""
    try:
        yield
    except grpc.RpcError as error:
        if reason_of(error) not in reasons:
            raise

"""The caller's client: named errors, deadlines, and no word to a server that it cannot trust."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from unit.cli.scripted_daemon import (
    PAYMENT_ID,
    ScriptedDaemon,
    a_payment,
    a_quote,
    on_plain_asyncio,
)

from payd.client.grpc import ClientTls, PaydClientError, PaymentClient
from payd.dev.pki import ensure_pki
from payd.domain import errors
from payd.proto import payment_pb2 as pb

T = TypeVar("T")

GET = pb.GetPaymentRequest(payment_id=PAYMENT_ID)


def certificates(pki: Path, ca: Path | None = None) -> ClientTls:
    return ClientTls(ca=ca or pki / "ca.crt", cert=pki / "client.crt", key=pki / "client.key")


def ask(
    port: int,
    tls: ClientTls,
    act: Callable[[PaymentClient], Awaitable[T]],
    *,
    host: str = "127.0.0.1",
    deadline_s: float = 10.0,
) -> T:
    """One connection, from its beginning to its end."""

    async def connected() -> T:
        async with PaymentClient(f"{host}:{port}", tls, deadline_s=deadline_s) as client:
            try:
                return await act(client)
            finally:
                await cut(client)

    return on_plain_asyncio(connected())


async def cut(client: PaymentClient) -> None:
    """Close its socket here: left open, the warning would fail whichever test runs next.

    That the client itself closes it is a test of its own, beside `payd get`.
    """
    protocol: Any = client._channel._protocol
    transport = getattr(getattr(protocol, "connection", None), "_transport", None)
    if transport is not None:
        transport.abort()
        await asyncio.sleep(0)


def refused(port: int, tls: ClientTls, *, deadline_s: float = 10.0) -> PaydClientError:
    """The error that a GetPayment ends with."""
    with pytest.raises(PaydClientError) as caught:
        ask(port, tls, lambda client: client.get(GET), deadline_s=deadline_s)
    return caught.value


@pytest.fixture
def other_pki(tmp_path: Path) -> Path:
    """Certificates of a CA that the daemon does not know, with the same names in them."""
    ensure_pki(tmp_path, datetime.now(UTC))
    return tmp_path


def test_each_method_takes_its_request_and_gives_the_message_in_the_answer(
    daemon: ScriptedDaemon, pki: Path
) -> None:
    async def all_four(client: PaymentClient) -> list[object]:
        return [
            await client.quote(pb.GetQuoteRequest(method="mock")),
            await client.initiate(pb.InitiatePaymentRequest(idempotency_key="key-1")),
            await client.get(GET),
            await client.cancel(pb.CancelPaymentRequest(payment_id=PAYMENT_ID)),
        ]

    answers = ask(daemon.port, certificates(pki), all_four)
    assert answers == [a_quote(), a_payment(), a_payment(), a_payment()]
    methods = [asked.method for asked in daemon.asked]
    assert methods == ["GetQuote", "InitiatePayment", "GetPayment", "CancelPayment"]
    assert len({asked.request_id for asked in daemon.asked}) == 4


def test_the_server_may_be_named_instead_of_numbered(daemon: ScriptedDaemon, pki: Path) -> None:
    payment = ask(daemon.port, certificates(pki), lambda c: c.get(GET), host="localhost")
    assert payment.id == PAYMENT_ID


def test_an_error_has_the_reason_its_data_and_the_id_of_its_request(
    daemon: ScriptedDaemon, pki: Path
) -> None:
    daemon.answer(errors.UnknownMethod("nobody takes it", method="cash"))
    error = refused(daemon.port, certificates(pki))
    [asked] = daemon.asked
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", "UNKNOWN_METHOD")
    assert (error.message, str(error)) == ("nobody takes it", "nobody takes it")
    assert error.metadata == {"method": "cash"}
    assert error.retry_after_s is None
    assert error.request_id == asked.request_id != ""


def test_an_error_that_passes_says_after_how_long(daemon: ScriptedDaemon, pki: Path) -> None:
    daemon.answer(errors.RateLimited("too fast", retry_after_s=0.25))
    assert refused(daemon.port, certificates(pki)).retry_after_s == 0.25


def test_a_connection_outlives_an_error(daemon: ScriptedDaemon, pki: Path) -> None:
    daemon.answer(errors.StoreUnavailable("away"), a_payment("PENDING"))

    async def twice(client: PaymentClient) -> pb.Payment:
        with pytest.raises(PaydClientError):
            await client.get(GET)
        return await client.get(GET)

    assert ask(daemon.port, certificates(pki), twice) == a_payment("PENDING")


def test_a_daemon_that_does_not_answer_is_waited_for_no_longer_than_the_deadline(
    daemon: ScriptedDaemon, pki: Path
) -> None:
    daemon.hold()
    error = refused(daemon.port, certificates(pki), deadline_s=0.3)
    assert (error.code, error.reason) == ("DEADLINE_EXCEEDED", "")
    assert "0.3 s" in error.message


def test_a_port_that_nobody_serves_is_unavailable(pki: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = refused(taken.getsockname()[1], certificates(pki))
    assert error.code == "UNAVAILABLE"
    assert "cannot be reached" in error.message


def test_a_server_of_another_ca_hears_nothing(
    daemon: ScriptedDaemon, pki: Path, other_pki: Path
) -> None:
    error = refused(daemon.port, certificates(pki, ca=other_pki / "ca.crt"))
    assert error.code == "UNAVAILABLE"
    assert "certificate verify failed" in error.message
    assert daemon.asked == []


def test_a_server_that_does_not_know_our_ca_is_told_as_unavailable(
    daemon: ScriptedDaemon, pki: Path, other_pki: Path
) -> None:
    error = refused(daemon.port, certificates(other_pki, ca=pki / "ca.crt"))
    assert error.code == "UNAVAILABLE"
    assert daemon.asked == []

"""The caller's client: named errors, deadlines, and no word to a server that it cannot trust."""

import shutil
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import attrs
import pytest
import trio
from payd_client import (
    Caller,
    Customer,
    InitiateRequest,
    NotFound,
    PaydClientError,
    Payment,
    PaymentClient,
    QuoteRequest,
    Status,
    TlsFiles,
    Unavailable,
)
from payd_client.messages import payment_of, quote_of
from unit.cli.scripted_daemon import (
    PATIENCE_S,
    PAYMENT_ID,
    ScriptedDaemon,
    a_payment,
    a_quote,
    on_plain_asyncio,
)

from payd.dev.pki import ensure_pki
from payd.domain import errors

T = TypeVar("T")

INITIATE = InitiateRequest(
    idempotency_key="key-1", customer=Customer(id="alice"), items=(), method="mock"
)


def certificates(pki: Path, ca: Path | None = None) -> TlsFiles:
    return TlsFiles(ca=ca or pki / "ca.crt", cert=pki / "client.crt", key=pki / "client.key")


def ask(
    port: int,
    tls: TlsFiles,
    act: Callable[[PaymentClient], Awaitable[T]],
    *,
    host: str = "127.0.0.1",
    deadline_s: float = 10.0,
    attempts_max: int = 1,
) -> T:
    """One connection, from its beginning to its end."""

    async def connected() -> T:
        target = f"{host}:{port}"
        async with PaymentClient(
            target, tls, deadline_s=deadline_s, attempts_max=attempts_max
        ) as client:
            return await act(client)

    return on_plain_asyncio(connected())


def refused(port: int, tls: TlsFiles, *, deadline_s: float = 10.0) -> PaydClientError:
    """The error that a GetPayment ends with."""
    with pytest.raises(PaydClientError) as caught:
        ask(port, tls, lambda client: client.get(PAYMENT_ID), deadline_s=deadline_s)
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
            await client.quote(QuoteRequest(items=(), method="mock")),
            await client.initiate(INITIATE),
            await client.get(PAYMENT_ID),
            await client.cancel(PAYMENT_ID),
        ]

    answers = ask(daemon.port, certificates(pki), all_four)
    assert answers == [quote_of(a_quote()), *[payment_of(a_payment())] * 3]
    methods = [asked.method for asked in daemon.asked]
    assert methods == ["GetQuote", "InitiatePayment", "GetPayment", "CancelPayment"]
    assert len({asked.request_id for asked in daemon.asked}) == 4


def test_the_server_may_be_named_instead_of_numbered(daemon: ScriptedDaemon, pki: Path) -> None:
    payment = ask(daemon.port, certificates(pki), lambda c: c.get(PAYMENT_ID), host="localhost")
    assert str(payment.id) == PAYMENT_ID


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

    async def twice(client: PaymentClient) -> Payment:
        with pytest.raises(PaydClientError):
            await client.get(PAYMENT_ID)
        return await client.get(PAYMENT_ID)

    assert ask(daemon.port, certificates(pki), twice) == payment_of(a_payment("PENDING"))


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


def test_a_server_of_another_ca_receives_nothing(
    daemon: ScriptedDaemon, pki: Path, other_pki: Path
) -> None:
    error = refused(daemon.port, certificates(pki, ca=other_pki / "ca.crt"))
    assert error.code == "UNAVAILABLE"
    assert "certificate verify failed" in error.message
    assert daemon.asked == []


def test_a_server_that_does_not_know_our_ca_is_reported_as_unavailable(
    daemon: ScriptedDaemon, pki: Path, other_pki: Path
) -> None:
    error = refused(daemon.port, certificates(other_pki, ca=pki / "ca.crt"))
    assert error.code == "UNAVAILABLE"
    assert daemon.asked == []


# -- trying again ------------------------------------------------------------------------------


def test_what_was_unavailable_is_asked_again_with_the_same_key_and_request_id(
    daemon: ScriptedDaemon, pki: Path
) -> None:
    daemon.answer(errors.StoreUnavailable("away"), errors.StoreUnavailable("away"), a_payment())
    payment = ask(daemon.port, certificates(pki), lambda c: c.initiate(INITIATE), attempts_max=4)
    assert payment == payment_of(a_payment())
    assert [asked.method for asked in daemon.asked] == ["InitiatePayment"] * 3
    assert {asked.message.idempotency_key for asked in daemon.asked} == {"key-1"}
    assert len({asked.request_id for asked in daemon.asked}) == 1


def test_it_is_not_asked_again_for_ever(daemon: ScriptedDaemon, pki: Path) -> None:
    daemon.answer(errors.StoreUnavailable("away"))
    with pytest.raises(Unavailable) as caught:
        ask(daemon.port, certificates(pki), lambda c: c.get(PAYMENT_ID), attempts_max=3)
    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert len(daemon.asked) == 3


def test_patience_that_goes_beyond_the_deadline_is_the_callers(
    daemon: ScriptedDaemon, pki: Path
) -> None:
    daemon.answer(errors.ProviderUnavailable("away", retry_after_s=60.0))
    with pytest.raises(Unavailable) as caught:
        ask(daemon.port, certificates(pki), lambda c: c.initiate(INITIATE), attempts_max=4)
    assert caught.value.retry_after_s == 60.0
    assert len(daemon.asked) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        errors.UnknownMethod("nobody takes it"),
        errors.RateLimited("too fast", retry_after_s=0.01),
        errors.PaymentNotFound("no such payment"),
        errors.InvalidField("items", "too few"),
    ],
    ids=lambda refusal: refusal.reason,
)
def test_nothing_else_is_asked_again(
    daemon: ScriptedDaemon, pki: Path, refusal: errors.PaydError
) -> None:
    daemon.answer(refusal)
    with pytest.raises(PaydClientError) as caught:
        ask(daemon.port, certificates(pki), lambda c: c.get(PAYMENT_ID), attempts_max=4)
    assert caught.value.reason == refusal.reason
    assert len(daemon.asked) == 1
    assert isinstance(caught.value, NotFound) == (refusal.reason == "PAYMENT_NOT_FOUND")


# -- on trio -----------------------------------------------------------------------------------


async def test_on_trio_it_is_the_same(daemon: ScriptedDaemon, pki: Path) -> None:
    daemon.answer(a_payment("PENDING"), errors.PaymentNotFound("no such payment"))
    target = f"127.0.0.1:{daemon.port}"
    async with PaymentClient(target, certificates(pki)) as client:
        payment = await client.get(PAYMENT_ID, caller=Caller(request_id="mine"))
        assert payment.status is Status.PENDING
        with pytest.raises(NotFound):
            await client.get(PAYMENT_ID)
    assert daemon.asked[0].request_id == "mine"


async def test_on_trio_a_call_ends_when_its_caller_is_canceled(
    daemon: ScriptedDaemon, pki: Path
) -> None:
    daemon.hold()
    async with PaymentClient(f"127.0.0.1:{daemon.port}", certificates(pki)) as client:
        with trio.fail_after(PATIENCE_S), trio.move_on_after(0.2) as scope:
            await client.get(PAYMENT_ID)
        assert scope.cancelled_caught
    with trio.fail_after(PATIENCE_S), trio.move_on_after(0.2) as scope:
        async with PaymentClient(f"127.0.0.1:{daemon.port}", certificates(pki)) as client:
            await client.get(PAYMENT_ID)
    assert scope.cancelled_caught


# -- certificates that change ------------------------------------------------------------------


async def test_changed_certificates_are_taken_over_and_bad_ones_are_not(
    daemon: ScriptedDaemon, pki: Path, tmp_path: Path
) -> None:
    for name in ("ca.crt", "client.crt", "client.key"):
        shutil.copy(pki / name, tmp_path / name)
    tls = attrs.evolve(certificates(tmp_path), reread_s=0.1)
    async with PaymentClient(f"127.0.0.1:{daemon.port}", tls) as client:
        await client.get(PAYMENT_ID)
        for name in ("crt", "key"):
            (tmp_path / f"client.{name}").write_text("half a file")
        await trio.sleep(1.5)
        await client.get(PAYMENT_ID)
        for name in ("crt", "key"):
            shutil.copy(pki / f"client-b.{name}", tmp_path / f"client.{name}")
        with trio.fail_after(PATIENCE_S):
            while True:
                await client.get(PAYMENT_ID)
                if daemon.asked[-1].client == "main-app-b":
                    break
                await trio.sleep(0.1)
    assert {asked.client for asked in daemon.asked} == {"main-app", "main-app-b"}

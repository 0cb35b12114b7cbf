"""The accounts of a period over gRPC and through the client, of payments that a daemon completed."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import grpc
import pytest
from payd_client import DaySums, Movement, MovementKind, PaymentClient, TlsFiles
from payd_client.proto import payment_pb2 as pb
from support.daemon import Client, Daemon, Place, reason_of, running_daemon
from support.waiting import wait_until
from unit.cli.scripted_daemon import on_plain_asyncio

T = TypeVar("T")
Code = grpc.StatusCode


@pytest.fixture(scope="module")
def daemon(module_place: Place) -> Iterator[Daemon]:
    with running_daemon(module_place) as daemon:
        yield daemon


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as client:
        yield client


def asked(daemon: Daemon, ask: Callable[[PaymentClient], AsyncIterator[T]]) -> list[T]:
    """What the client yields, as an operator."""

    async def read() -> list[T]:
        pki = daemon.place.pki
        tls = TlsFiles(ca=pki / "ca.crt", cert=pki / "operator.crt", key=pki / "operator.key")
        async with PaymentClient(daemon.grpc, tls) as payd:
            return [one async for one in ask(payd)]

    return on_plain_asyncio(read())


def exported(daemon: Daemon) -> tuple[list[DaySums], list[Movement]]:
    """Yesterday, today and tomorrow: the test may run at midnight."""
    today, day = datetime.now(UTC).date(), timedelta(days=1)
    period: tuple[date, date] = (today - day, today + day)
    return (
        asked(daemon, lambda payd: payd.export_days(*period)),
        asked(daemon, lambda payd: payd.export_movements(*period)),
    )


def test_what_was_paid_and_refunded_today_is_exported(daemon: Daemon, client: Client) -> None:
    made = [client.initiate().id for _ in range(3)]
    for payment_id in made:
        client.wait_for(payment_id, "COMPLETED")
    declined = client.initiate(scenario="decline").id
    client.wait_for(declined, "FAILED")
    request = pb.RefundPaymentRequest(
        payment_id=made[0],
        idempotency_key=uuid.uuid4().hex,
        amount=pb.Money(currency_code="USD", minor_units=900),
    )
    refund = client.call("RefundPayment", request).refund
    wait_until(lambda: client.get(made[0]).refunded.minor_units == 900, "the refund succeeds")

    days, movements = exported(daemon)

    assert {(one.provider, one.method, one.unit.currency) for one in days} == {
        ("mock", "mock", "USD")
    }
    assert sum(one.payments for one in days) == 3
    assert sum(one.amounts.gross for one in days) == 3 * 14900
    assert sum(one.amounts.refunded for one in days) == 900
    fees = sum(one.amounts.fee or 0 for one in days)
    assert sum(one.amounts.net for one in days) == 3 * 14900 - 900 - fees
    paid = [one for one in movements if one.kind is MovementKind.PAYMENT]
    assert sorted(str(one.payment_id) for one in paid) == sorted(made)
    first = client.get(made[0])
    [of_first] = [one for one in paid if str(one.payment_id) == made[0]]
    assert of_first.time == first.complete_time.ToDatetime(UTC)
    assert of_first.reference == first.provider_reference
    assert of_first.idempotency_key == first.idempotency_key
    [back] = [one for one in movements if one.kind is MovementKind.REFUND]
    assert (str(back.refund_id), str(back.payment_id)) == (refund.id, made[0])
    assert back.amounts.net == -900


def test_an_export_is_for_operators(client: Client) -> None:
    request = pb.ExportPaymentsRequest(
        first_day="2026-01-01", last_day="2026-01-31", by=pb.EXPORT_BY_DAY
    )
    with pytest.raises(grpc.RpcError) as error:
        client.call("ExportPayments", request)
    refused: Any = error.value
    assert (refused.code(), reason_of(refused)) == (Code.PERMISSION_DENIED, "CLIENT_NOT_ALLOWED")


def test_every_day_of_the_calendar_can_be_asked_for(daemon: Daemon) -> None:
    with daemon.client("operator") as operator:
        for day in ("1970-01-01", "9000-12-31"):
            for zone in ("", "Pacific/Kiritimati", "Pacific/Pago_Pago"):
                for by in (pb.EXPORT_BY_DAY, pb.EXPORT_BY_PAYMENT):
                    request = pb.ExportPaymentsRequest(
                        first_day=day, last_day=day, time_zone=zone, by=by
                    )
                    answer = operator.call("ExportPayments", request)
                    assert answer == pb.ExportPaymentsResponse()

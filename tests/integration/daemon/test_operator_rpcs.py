"""What operators see and do over gRPC: who did it is kept, and no secret comes out."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from payd_client import PaymentClient, ReceiptFilter, ReceiptState, Status, TlsFiles
from payd_client.proto import payment_pb2 as pb
from support.daemon import Client, Daemon, Place, reason_of, rows, running_daemon
from support.planted_secrets import WATCH
from support.waiting import wait_until
from unit.cli.scripted_daemon import on_plain_asyncio

from payd import __version__

Code = grpc.StatusCode


@pytest.fixture(scope="module")
def daemon(module_place: Place) -> Iterator[Daemon]:
    with running_daemon(module_place) as daemon:
        yield daemon


@pytest.fixture
def operator(daemon: Daemon) -> Iterator[Client]:
    with daemon.client("operator") as operator:
        yield operator


def money_arrives(daemon: Daemon, count: int = 1) -> list[str]:
    """Final receipts of the mock that no payment has, a second apart; the oldest first."""
    ids = [f"wire-{uuid.uuid4()}" for _ in range(count)]
    for number, receipt_id in enumerate(ids):
        rows(
            daemon.place,
            "INSERT INTO receipts (provider, id, asset, amount, state, time, details) "
            "VALUES ('mock', $1, 'USD', 14900, 'CONFIRMED', $2, $3)",
            receipt_id,
            datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=number),
            json.dumps({"sender": "Ann"}),
        )
    return ids


def refused(operator: Client, method: str, request: Any) -> tuple[Any, str]:
    with pytest.raises(grpc.RpcError) as caught:
        operator.call(method, request)
    return caught.value.code(), reason_of(caught.value)


# -- receipts --------------------------------------------------------------------------------------


def test_a_receipt_that_an_operator_attaches_pays_and_the_trail_names_the_operator(
    daemon: Daemon, operator: Client
) -> None:
    payment = operator.initiate(scenario="pending")
    [receipt] = money_arrives(daemon)

    request = pb.AttachReceiptRequest(receipt_id=receipt, payment_id=payment.id, note="he wrote")
    after = operator.call("AttachReceipt", request, x_actor="ada").payment

    assert after.status == pb.PAYMENT_STATUS_COMPLETED
    [row] = rows(
        daemon.place,
        "SELECT actor, certificate, value::text AS kept FROM payment_events "
        "LEFT JOIN payment_personal_values USING (payment_id, version) "
        "WHERE payment_id = $1 ORDER BY version DESC LIMIT 1",
        UUID(payment.id),
    )
    assert (row["actor"], row["certificate"]) == ("operator:operator/ada", "operator")
    # What a person wrote stands apart from the trail: it can be forgotten.
    assert "he wrote" in row["kept"]
    listing = pb.ListReceiptsRequest(filter=pb.ReceiptFilter(payment_id=payment.id))
    [listed] = operator.call("ListReceipts", listing).receipts
    assert (listed.id, listed.payment_id, listed.currency) == (receipt, payment.id, "USD")
    again = operator.call("AttachReceipt", request).payment
    assert again.version == after.version
    other = operator.initiate(scenario="pending")
    request.payment_id = other.id
    assert refused(operator, "AttachReceipt", request) == (
        Code.FAILED_PRECONDITION,
        "RECEIPT_NOT_ATTACHABLE",
    )


def test_receipts_come_page_by_page_newest_first(daemon: Daemon, operator: Client) -> None:
    ids = money_arrives(daemon, count=5)
    request = pb.ListReceiptsRequest(filter=pb.ReceiptFilter(unmatched=True), page_size=2)
    found: list[str] = []
    while True:
        page = operator.call("ListReceipts", request)
        assert len(page.receipts) <= 2
        found += [one.id for one in page.receipts]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert [one for one in found if one in ids] == ids[::-1]
    assert len(found) == len(set(found))
    request.filter.provider = "mock"
    assert refused(operator, "ListReceipts", request) == (
        Code.INVALID_ARGUMENT,
        "INVALID_PAGE_TOKEN",
    )
    wrong = pb.ReceiptFilter(unmatched=True, payment_id=str(uuid.uuid4()))
    assert refused(operator, "ListReceipts", pb.ListReceiptsRequest(filter=wrong)) == (
        Code.INVALID_ARGUMENT,
        "INVALID_FILTER",
    )


# -- events ----------------------------------------------------------------------------------------


def test_the_events_of_a_payment_go_out_again_and_the_trail_names_the_operator(
    daemon: Daemon, operator: Client
) -> None:
    payment = operator.initiate(scenario="decline")
    published = "SELECT 1 FROM outbox WHERE payment_id = $1 AND publish_time IS NOT NULL"
    wait_until(lambda: bool(rows(daemon.place, published, UUID(payment.id))), "it is published")
    before = len(daemon.lines)

    request = pb.RepublishEventsRequest(payment_id=payment.id)
    answer = operator.call("RepublishEvents", request, x_actor="ada")

    assert (answer.stored, answer.duplicates, answer.next_page_token) == (0, 1, "")
    line = daemon.wait_for_line("events_republished", before)
    assert (line["operator"], line["payment_id"]) == ("operator:operator/ada", payment.id)
    trail = (
        "SELECT content::jsonb AS row FROM payment_events WHERE payment_id = $1 ORDER BY version"
    )
    last = json.loads(rows(daemon.place, trail, UUID(payment.id))[-1]["row"])
    assert (last["event_type"], last["actor"]) == ("events_republished", "operator:operator/ada")
    [event] = last["details"]["republished"]
    assert event["subject"] == "payment.failed"
    explained = operator.call("ExplainPayment", pb.ExplainPaymentRequest(payment_id=payment.id))
    assert event["id"] in explained.explanation.steps[-1].what
    span = pb.TimeRange(from_time=Timestamp(seconds=1))
    everything = operator.call("RepublishEvents", pb.RepublishEventsRequest(publish_time=span))
    assert everything.duplicates >= 1


def test_what_does_not_exist_is_not_published(operator: Client) -> None:
    nobody = str(uuid.uuid4())
    for request, reason in (
        (pb.RepublishEventsRequest(payment_id=nobody), "PAYMENT_NOT_FOUND"),
        (pb.RepublishEventsRequest(event_id=nobody), "EVENT_NOT_FOUND"),
    ):
        assert refused(operator, "RepublishEvents", request) == (Code.NOT_FOUND, reason)


def test_a_replay_is_logged_with_the_operator(daemon: Daemon, operator: Client) -> None:
    before = len(daemon.lines)
    answer = operator.call("ReplayDeadLetters", pb.ReplayDeadLettersRequest(sequences=[2**40]))
    assert list(answer.replayed) == []
    line = daemon.wait_for_line("dead_letters_replayed", before)
    assert (line["operator"], line["sequences"]) == ("operator:operator", [])


# -- stored rows -----------------------------------------------------------------------------------


def test_stored_rows_are_those_of_the_database_without_the_salts(operator: Client) -> None:
    payment = operator.initiate(scenario="decline")
    answer = operator.call("GetStoredRows", pb.GetStoredRowsRequest(payment_id=payment.id))
    tables = {one.name: [json.loads(row) for row in one.rows] for one in answer.tables}
    assert list(tables) == ["payments", "payment_line_items", "payment_events", "outbox"]
    [row] = tables["payments"]
    assert (row["id"], row["status"]) == (payment.id, "FAILED")
    versions = [row["version"] for row in tables["payment_events"]]
    assert versions == list(range(1, row["version"] + 1))
    assert tables["payment_events"][0]["content"]["event_type"]
    [event] = tables["outbox"]
    assert (event["subject"], event["body"]["id"]) == ("payment.failed", payment.id)
    assert "salt" not in str(answer)
    assert refused(
        operator, "GetStoredRows", pb.GetStoredRowsRequest(payment_id=str(uuid.uuid4()))
    ) == (Code.NOT_FOUND, "PAYMENT_NOT_FOUND")


# -- overview and configuration --------------------------------------------------------------------


def test_an_overview_counts_payments_and_shows_the_daemons_health(operator: Client) -> None:
    def failed() -> int:
        overview = operator.call("GetOverview", pb.GetOverviewRequest(days=1)).overview
        return sum(one.payments for one in overview.sums if one.status == pb.PAYMENT_STATUS_FAILED)

    before = failed()
    for _ in range(3):
        operator.initiate(scenario="decline")
    assert failed() == before + 3

    overview = operator.call("GetOverview", pb.GetOverviewRequest()).overview
    checks = {one.name: one for one in overview.checks}
    assert checks["database"].ok
    assert checks["provider:mock"].detail
    assert overview.trail.unsigned_rows >= overview.trail.unsigned_payments >= 3
    assert (overview.trail.checkpoint, overview.trail.unchained_rows) == (0, 0)
    loops = {one.name for one in overview.loops}
    assert {"evidence worker", "outbox publisher", "recovery", "payment sums"} <= loops


def test_the_configuration_has_every_setting_and_no_secret(
    daemon: Daemon, operator: Client
) -> None:
    answer = operator.call("GetConfiguration", pb.GetConfigurationRequest())
    WATCH.search(str(answer), "GetConfiguration")
    found = answer.configuration
    settings = {one.key: one for one in found.settings}
    password = daemon.place.environment()["DB_PASSWORD"]
    assert password not in str(answer)
    assert set(settings["database.password"].value) == {"*"}
    assert settings["grpc.operator_cns"].value == "operator"
    assert settings["grpc.operator_cns"].variable == "GRPC_OPERATOR_CNS"
    assert (found.version, found.environment) == (__version__, "test")
    assert len(found.pricing_version) == 64
    [mock] = [one for one in found.providers if one.name == "mock"]
    assert (set(mock.methods), mock.problem) == ({"card", "mock"}, "")


# -- the client ------------------------------------------------------------------------------------


def test_the_client_reads_all_of_it_as_values(daemon: Daemon, operator: Client) -> None:
    payment = operator.initiate(scenario="pending")
    ids = money_arrives(daemon, count=3)

    async def use() -> None:
        pki = daemon.place.pki
        tls = TlsFiles(ca=pki / "ca.crt", cert=pki / "operator.crt", key=pki / "operator.key")
        async with PaymentClient(daemon.grpc, tls) as payd:
            unmatched = ReceiptFilter(unmatched=True, provider="mock")
            found = [one async for one in payd.list_receipts(unmatched, page_size=1)]
            mine = [one for one in found if one.id in ids]
            assert [one.id for one in mine] == ids[::-1]
            assert (mine[0].amount_base_units, mine[0].state) == (14900, ReceiptState.CONFIRMED)
            paid = await payd.attach_receipt(ids[0], payment.id, "found")
            assert paid.status is Status.COMPLETED
            assert [one async for one in payd.list_dead_letters()] == []
            assert await payd.replay_dead_letters([1]) == ()
            assert [one async for one in payd.list_reconciliations("nobody")] == []
            since = datetime.now(UTC) - timedelta(hours=1)
            assert (await payd.republish_events(since=since)).stored == 0
            overview = await payd.overview(1)
            assert overview.sums[0].day == overview.time.date()
            assert (await payd.configuration()).version == __version__

    on_plain_asyncio(use())

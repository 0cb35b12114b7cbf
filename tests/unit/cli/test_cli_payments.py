"""quote, pay, get and cancel against a scripted daemon: what is asked, shown and returned."""

import fcntl
import json
import socket
from pathlib import Path

import pytest
from payd_client.proto import payment_pb2 as pb
from unit.cli.conftest import Process
from unit.cli.scripted_daemon import ITEM, PAYMENT_ID, ScriptedDaemon, a_payment, a_quote

from payd.domain import errors

PAGE = "https://pay.example.com/pay/sealed"
PAY = ("pay", "--item", ITEM, "--method", "mock")


# -- how pay ends ------------------------------------------------------------------------------


def test_pay_is_good_when_the_payment_completes(payd: Process, daemon: ScriptedDaemon) -> None:
    daemon.answer(a_payment("PENDING"), a_payment("PENDING"), a_payment("COMPLETED"))
    result = payd(*PAY)
    assert result.returncode == 0, result.stderr
    assert "→ COMPLETED" in result.stdout
    methods = [asked.method for asked in daemon.asked]
    assert methods == ["InitiatePayment", "GetPayment", "GetPayment"]


@pytest.mark.parametrize("ended", ["FAILED", "EXPIRED", "CANCELED"])
def test_pay_fails_when_the_payment_ends_otherwise(
    payd: Process, daemon: ScriptedDaemon, ended: str
) -> None:
    daemon.answer(a_payment("PENDING"), a_payment(ended))
    result = payd(*PAY)
    assert result.returncode == 1
    assert f"→ {ended}" in result.stdout


@pytest.mark.parametrize("status", ["CREATING", "PENDING", "PROCESSING", "CANCELING"])
def test_pay_that_waited_long_enough_says_how_to_look_again(
    payd: Process, daemon: ScriptedDaemon, status: str
) -> None:
    daemon.answer(a_payment(status))
    result = payd(*PAY, "--timeout", "0")
    assert result.returncode == 1
    assert f"still {status} after 0 s; run payd get {PAYMENT_ID}" in result.stderr


@pytest.mark.parametrize("status", ["PENDING", "FAILED"])
def test_pay_that_need_not_wait_asks_once_and_is_good(
    payd: Process, daemon: ScriptedDaemon, status: str
) -> None:
    daemon.answer(a_payment(status))
    result = payd(*PAY, "--no-wait")
    assert result.returncode == 0
    assert [asked.method for asked in daemon.asked] == ["InitiatePayment"]


def test_pay_opens_the_page_in_the_browser(
    payd: Process, daemon: ScriptedDaemon, tmp_path: Path
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    daemon.answer(with_page())
    result = payd(*PAY, "--no-wait", "--open", BROWSER=f"{browser} %s")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "opened").read_text().strip() == PAGE
    assert PAGE not in result.stderr


def test_without_a_browser_pay_prints_where_the_page_is(
    payd: Process, daemon: ScriptedDaemon
) -> None:
    daemon.answer(with_page())
    result = payd(*PAY, "--no-wait", "--open", "--json", BROWSER="/nowhere %s", PATH="")
    assert result.returncode == 0
    assert result.stderr == f"no browser here; the payment's page is {PAGE}\n"
    assert json.loads(result.stdout)["page_url"] == PAGE


def test_pay_says_that_payd_serves_no_pages(payd: Process, daemon: ScriptedDaemon) -> None:
    daemon.answer(a_payment("PENDING"))
    result = payd(*PAY, "--no-wait", "--open")
    assert result.returncode == 0
    assert "payd has no http.public_url" in result.stderr


def with_page() -> pb.Payment:
    payment = a_payment("PENDING")
    payment.page_url = PAGE
    return payment


def test_pay_sends_what_was_typed(payd: Process, daemon: ScriptedDaemon) -> None:
    payd(
        *PAY,
        *("--item", "base/light/7d", "--crypto-currency", "USDC", "--customer", "user-1"),
        *("--idempotency-key", "key-9", "--metadata", "order=1", "--metadata", "note=a=b"),
        *("--return-url", "https://a.example/", "--cancel-url", "https://b.example/"),
        *("--quote", "a-token", "--currency", "EUR"),
    )
    [asked] = daemon.asked
    assert asked.message == pb.InitiatePaymentRequest(
        idempotency_key="key-9",
        customer=pb.Customer(id="user-1"),
        items=[
            pb.Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d"),
            pb.Item(chain_profile_id="base", node_type="light", duration="7d"),
        ],
        method="mock",
        crypto_currency="USDC",
        metadata={"order": "1", "note": "a=b"},
        return_url="https://a.example/",
        cancel_url="https://b.example/",
        quote_token="a-token",
        currency_code="EUR",
    )


def test_each_pay_without_a_key_makes_its_own(payd: Process, daemon: ScriptedDaemon) -> None:
    payd(*PAY)
    payd(*PAY)
    one, two = (asked.message.idempotency_key for asked in daemon.asked)
    assert one
    assert two
    assert one != two


# -- the others --------------------------------------------------------------------------------


def test_a_quote_shows_each_item_and_the_total(payd: Process) -> None:
    result = payd("quote", "--item", ITEM, "--method", "mock")
    assert result.returncode == 0, result.stderr
    words = [line.split() for line in result.stdout.splitlines()]
    assert [ITEM, "149.00", "USD"] in words
    assert ["total", "149.00", "USD"] in words
    assert ["token", "a-token"] in words
    # `payd pricing check` shows it whole, too: a person compares the two.
    assert ["prices", a_quote().pricing_version] in words


def test_a_quote_is_asked_in_the_currency_that_was_typed(
    payd: Process, daemon: ScriptedDaemon
) -> None:
    payd("quote", "--item", ITEM, "--method", "mock", "--currency", "JPY")
    [asked] = daemon.asked
    assert (asked.method, asked.message.currency_code) == ("GetQuote", "JPY")


@pytest.mark.parametrize(
    ("arguments", "request_"),
    [
        ((PAYMENT_ID,), pb.GetPaymentRequest(payment_id=PAYMENT_ID)),
        (("--idempotency-key", "key-1"), pb.GetPaymentRequest(idempotency_key="key-1")),
    ],
    ids=["id", "key"],
)
def test_get_asks_by_id_or_by_key(
    payd: Process,
    daemon: ScriptedDaemon,
    arguments: tuple[str, ...],
    request_: pb.GetPaymentRequest,
) -> None:
    daemon.answer(a_payment("FAILED"))
    result = payd("get", *arguments)
    # Looking succeeded, whatever was seen.
    assert result.returncode == 0, result.stderr
    assert "FAILED" in result.stdout
    [asked] = daemon.asked
    assert asked.message == request_


def test_get_shows_each_arrival_of_money_and_where_to_see_it(
    payd: Process, daemon: ScriptedDaemon
) -> None:
    terms = pb.CryptoFacts(
        currency="USDC",
        token_address="0x" + "ab" * 20,
        decimals=6,
        due_base_units="1",
        received_base_units="1",
        confirmed_base_units="1",
    )
    payment = a_payment(crypto=terms, receipts_total=12)
    for number in range(11):
        payment.receipts.add(
            id=f"r{number}",
            amount=payment.amount,
            time=payment.create_time,
            amount_base_units=f"{70_000_000 + number}",
            state=pb.RECEIPT_STATE_CONFIRMED,
            sender="0x5e",
            transaction=f"0x{number:02}",
            explorer_url="" if number == 1 else f"https://explore.example/tx/0x{number:02}",
        )
    daemon.answer(payment)
    result = payd("get", PAYMENT_ID)
    assert result.returncode == 0, result.stderr
    shown = result.stdout
    assert "70.000001 USDC CONFIRMED" in shown
    assert "from 0x5e" in shown
    assert "https://explore.example/tx/0x02" in shown
    assert next(line.split()[-1] for line in shown.splitlines() if "transaction" in line) == "0x01"
    assert "70.000000 USDC" not in shown
    assert f"2 older: `payd receipts list --payment {PAYMENT_ID}`" in shown


def test_cancel_sends_its_reason(payd: Process, daemon: ScriptedDaemon) -> None:
    daemon.answer(a_payment("CANCELED"))
    result = payd("cancel", PAYMENT_ID, "--reason", "changed their mind")
    assert result.returncode == 0, result.stderr
    assert "CANCELED" in result.stdout
    [asked] = daemon.asked
    assert asked.message == pb.CancelPaymentRequest(
        payment_id=PAYMENT_ID, reason="changed their mind"
    )


# -- one document ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [PAY, ("get", PAYMENT_ID), ("cancel", PAYMENT_ID)], ids=lambda a: a[0]
)
def test_json_is_the_whole_payment_and_nothing_else(
    payd: Process, daemon: ScriptedDaemon, arguments: tuple[str, ...]
) -> None:
    # A pay that waits tells its end, once.
    opening = [a_payment("PENDING")] if arguments == PAY else []
    daemon.answer(*opening, a_payment("COMPLETED"))
    result = payd(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["id"], document["status"]) == (PAYMENT_ID, "PAYMENT_STATUS_COMPLETED")
    assert result.stderr == ""


def test_a_quote_in_json_is_the_quote(payd: Process) -> None:
    document = json.loads(payd("quote", "--item", ITEM, "--method", "mock", "--json").stdout)
    assert document["total"] == {"currency_code": "USD", "minor_units": "14900"}


def test_an_error_in_json_has_all_that_a_program_needs(
    payd: Process, daemon: ScriptedDaemon
) -> None:
    daemon.answer(errors.StoreUnavailable("the database is away", retry_after_s=1.5))
    result = payd(*PAY, "--json")
    assert result.returncode == 1
    # Tried again, with the same key and id.
    asked = daemon.asked[-1]
    assert {each.message.idempotency_key for each in daemon.asked} == {
        asked.message.idempotency_key
    }
    assert json.loads(result.stdout) == {
        "error": {
            "code": "UNAVAILABLE",
            "reason": "STORE_UNAVAILABLE",
            "message": "the database is away",
            "metadata": {"idempotency_key": asked.message.idempotency_key},
            "retry_after_s": 1.5,
            "request_id": asked.request_id,
        }
    }


# -- what goes wrong ---------------------------------------------------------------------------


def test_an_error_is_printed_with_its_reason_its_data_and_its_request_id(
    payd: Process, daemon: ScriptedDaemon
) -> None:
    daemon.answer(errors.UnknownMethod("nobody takes it", method="cash"))
    result = payd(*PAY)
    assert (result.returncode, result.stdout) == (1, "")
    [asked] = daemon.asked
    assert asked.request_id
    assert result.stderr.splitlines() == [
        "UNKNOWN_METHOD: nobody takes it",
        "  method: cash",
        f"  idempotency_key: {asked.message.idempotency_key}",
        f"  request id: {asked.request_id}",
    ]


def test_an_error_that_passes_says_when_to_try_again(payd: Process, daemon: ScriptedDaemon) -> None:
    daemon.answer(errors.RateLimited("too fast", retry_after_s=2.0))
    assert "retry in 2 s with the same idempotency key" in payd(*PAY).stderr


def test_an_unreachable_daemon_is_reported(payd: Process) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = payd(*PAY, PAYD_TARGET=address)
    assert result.returncode == 1
    assert "UNAVAILABLE: payd cannot be reached" in result.stderr


def test_a_running_payd_dev_is_found_by_its_state_folder(
    process: Process, daemon: ScriptedDaemon, pki: Path, tmp_path: Path
) -> None:
    (tmp_path / "dev.json").write_text(json.dumps({"grpc": f"127.0.0.1:{daemon.port}"}))
    (tmp_path / "pki").symlink_to(pki)
    result = process("get", PAYMENT_ID, "--state-dir", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert PAYMENT_ID in result.stdout


def test_a_given_state_folder_wins_over_the_environment(
    process: Process, daemon: ScriptedDaemon, pki: Path, tmp_path: Path
) -> None:
    (tmp_path / "dev.json").write_text(json.dumps({"grpc": f"127.0.0.1:{daemon.port}"}))
    (tmp_path / "pki").symlink_to(pki)
    elsewhere = {"PAYD_TARGET": "127.0.0.1:1", "PAYD_CLIENT_CA": "/nowhere/ca"}
    result = process("get", PAYMENT_ID, "--state-dir", str(tmp_path), **elsewhere)
    assert result.returncode == 0, result.stderr


def test_a_dev_json_that_a_killed_payd_dev_left_behind_is_ignored(
    process: Process, daemon: ScriptedDaemon, pki: Path, tmp_path: Path
) -> None:
    (tmp_path / "dev.json").write_text(json.dumps({"grpc": f"127.0.0.1:{daemon.port}"}))
    (tmp_path / "pki").symlink_to(pki)
    (tmp_path / "lock").touch()
    command = ("get", PAYMENT_ID, "--state-dir", str(tmp_path))
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert process(*command).returncode == 0
    result = process(*command)
    assert result.returncode == 1
    assert result.stderr.startswith(f"Error: no `payd dev` is running on {tmp_path}: start it")


def test_a_missing_event_stream_is_reported_soon(process: Process) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{taken.getsockname()[1]}"
        result = process("events", "tail", "--no-follow", "--nats", url)
    assert result.returncode == 1
    assert result.stderr.startswith(f"Error: NATS at {url} does not answer")


def test_a_client_that_is_done_leaves_no_socket_open(payd: Process) -> None:
    stderr = [payd("get", PAYMENT_ID, PYTHONWARNINGS="default").stderr for _ in range(4)]
    assert not any("ResourceWarning: unclosed" in text for text in stderr)


def test_missing_files_are_reported_in_json_too(payd: Process) -> None:
    result = payd("get", PAYMENT_ID, "--json", PAYD_CLIENT_CA="/nowhere/ca")
    assert result.returncode == 1
    assert "No such file" in json.loads(result.stdout)["error"]["message"]

"""What `payd pay` shows for a token payment: the transfer, a QR code, a local wallet."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from payd_client.proto import payment_pb2 as pb
from unit.cli.conftest import Process
from unit.cli.scripted_daemon import ITEM, PAYMENT_ID, ScriptedDaemon, a_payment

PAY = ("pay", "--item", ITEM, "--method", "crypto", "--crypto-currency", "USDC", "--no-wait")
URI = "ethereum:0x20c0@42431/transfer?address=0x7ea5&uint256=149000000"
#: Half a line high, two modules one above the other.
QR_BLOCKS = {"█", "▀", "▄"}


@pytest.fixture(autouse=True)
def waiting(daemon: ScriptedDaemon) -> None:
    """The daemon's payment waits for a transfer."""
    transfer = pb.CryptoTransfer(
        chain_id=42431,
        token_address="0x20c0",
        currency="USDC",
        decimals=6,
        receiver_address="0x7ea5",
        amount_base_units="149000000",
        memo="0x5a5a",
        payment_uri=URI,
    )
    action = pb.NextAction(crypto_transfer=transfer)
    daemon.answer(a_payment("PENDING", method="crypto", provider="tempo", next_action=action))


@pytest.fixture
def state(daemon: ScriptedDaemon, pki: Path, tmp_path: Path) -> Path:
    """As a `payd dev` with a local chain leaves it, whose daemon is the scripted one."""
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "pki").symlink_to(pki)
    document = {"grpc": f"127.0.0.1:{daemon.port}", "wallet_command": "tempo pay"}
    (folder / "dev.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def scanned(daemon: ScriptedDaemon) -> None:
    """The daemon's payment waits for a person to scan a code, or to type its lines."""
    show = pb.Show(
        kind=pb.SHOW_KIND_QR,
        payload="instant:RF18/149.00",
        fields=[
            pb.ShowField(label="Account", value="DE02 1203 0000", copyable=True),
            pb.ShowField(label="Reference", value="RF18539007547034", copyable=True),
        ],
    )
    action = pb.NextAction(show=show)
    daemon.answer(a_payment("PENDING", method="instant", provider="instant", next_action=action))


def on_a_terminal(*arguments: str) -> str:
    """What `payd …` shows there."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "payd", *arguments],
            env={"PATH": os.environ["PATH"], "TERM": "xterm"},
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:
            """Linux's way to say that nobody writes any more."""
        assert process.wait(60) == 0, shown.decode()
    finally:
        os.close(ours)
    return shown.decode()


def test_the_transfer_is_shown_in_tokens_and_in_base_units(payd: Process) -> None:
    shown = payd(*PAY).stdout
    for part in ("149.000000 USDC", "149000000", "0x20c0", "0x7ea5", "0x5a5a", URI):
        assert part in shown


def test_a_terminal_shows_the_uri_as_a_code_for_a_camera(state: Path) -> None:
    assert QR_BLOCKS & set(on_a_terminal(*PAY, "--state-dir", str(state)))


def test_a_pipe_has_no_code(payd: Process) -> None:
    assert not QR_BLOCKS & set(payd(*PAY).stdout)


def test_beside_payd_dev_the_local_wallets_command_is_shown(process: Process, state: Path) -> None:
    shown = process(*PAY, "--state-dir", str(state)).stdout
    assert f"payd tempo pay --state-dir {state} {PAYMENT_ID}" in shown


def test_without_a_local_chain_no_wallet_is_shown(payd: Process) -> None:
    assert "payd tempo pay" not in payd(*PAY).stdout


def test_programs_get_one_document_and_nothing_beside_it(process: Process, state: Path) -> None:
    printed = process(*PAY, "--json", "--state-dir", str(state)).stdout
    assert json.loads(printed)["next_action"]["crypto_transfer"]["payment_uri"] == URI


@pytest.mark.usefixtures("scanned")
def test_instructions_are_a_code_and_lines_to_copy(state: Path) -> None:
    offered = on_a_terminal(*PAY, "--state-dir", str(state))
    assert set(offered) >= QR_BLOCKS
    for text in ("scan this code", "DE02 1203 0000", "RF18539007547034", "instant:RF18/149.00"):
        assert text in offered


@pytest.mark.usefixtures("scanned")
def test_get_shows_the_instructions_again_and_json_stays_json(state: Path) -> None:
    assert set(on_a_terminal("get", PAYMENT_ID, "--state-dir", str(state))) >= QR_BLOCKS
    document = json.loads(on_a_terminal("get", PAYMENT_ID, "--json", "--state-dir", str(state)))
    assert document["next_action"]["show"]["kind"] == "SHOW_KIND_QR"

"""`payd dev` with a local chain: a wallet pays, and the chain survives a restart."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.dev_process import (
    ITEM,
    assert_all_gone,
    children_of,
    payd,
    payd_json,
    running_dev,
    state_folder,
    wait_for_end,
)
from support.waiting import COMMAND_INTERVAL_S, wait_until
from tempo_provider.virtual import is_virtual

TOKENS = ("--method", "crypto", "--crypto-currency", "USDC")


@pytest.fixture
def state() -> Iterator[Path]:
    with state_folder() as state:
        yield state


def test_a_wallet_pays_and_the_chain_outlives_a_restart(state: Path, anvil: Path) -> None:
    where = ("--state-dir", str(state))
    path = f"{anvil.parent}{os.pathsep}{os.environ['PATH']}"
    with running_dev(state, TEMPO_ENABLED="true", PATH=path) as (_, dev):
        assert dev["tempo_chain_id"] == "42431"
        assert dev["tempo_rpc"].startswith("http://127.0.0.1:")
        _pay(state)
        audit = payd("tempo", "audit", "--json", *where)
        assert audit.returncode == 0, audit.stderr
        assert json.loads(audit.stdout)["balanced"]
        shown = payd("tempo", "audit", *where)
        assert "149.000000 USDC" in shown.stdout, shown.stderr

    with running_dev(state, TEMPO_ENABLED="true", PATH=path):
        _pay(state, "--from", "2", "--amount", "149.00", "--token", "USDC")
        astray = payd("tempo", "pay", _start(state), "--token", "USDT", *where)
        assert astray.returncode == 0, astray.stderr
        listed = _until_listed(where)
        assert "149.000000 USDT" in listed


def test_a_plain_transfer_pays_without_any_setting(state: Path, anvil: Path) -> None:
    where = ("--state-dir", str(state))
    path = f"{anvil.parent}{os.pathsep}{os.environ['PATH']}"
    with running_dev(state, TEMPO_ENABLED="true", PATH=path):
        payment_id = _start(state)
        assert is_virtual(_receiver(state, payment_id))
        _pay(state, "--plain")

        refused = payd("tempo", "pay", payment_id, "--from", "0", *where)
        assert refused.returncode == 1
        assert "account 0 is the one that receives the payments" in refused.stderr

    with running_dev(state, TEMPO_ENABLED="true", PATH=path):
        _pay(state, "--plain")


def test_another_receiver_has_no_addresses_of_its_payments(state: Path, anvil: Path) -> None:
    receiver = "0x" + "7ea5" * 10
    path = f"{anvil.parent}{os.pathsep}{os.environ['PATH']}"
    settings = {"TEMPO_ENABLED": "true", "TEMPO_RECEIVER_ADDRESS": receiver}
    with running_dev(state, PATH=path, **settings):
        assert _receiver(state, _start(state)) == receiver


def test_a_killed_run_loses_no_block_that_was_final(state: Path, anvil: Path) -> None:
    """Else the watch would halt: what it has read must still be on the chain."""
    path = f"{anvil.parent}{os.pathsep}{os.environ['PATH']}"
    with running_dev(state, TEMPO_ENABLED="true", PATH=path) as (process, _):
        _pay(state)
        servers = children_of(process)
        process.kill()
        process.wait()
        assert_all_gone(servers)
    (state / "dev.json").unlink()
    with running_dev(state, TEMPO_ENABLED="true", PATH=path):
        _pay(state)


def test_without_npm_it_goes_on_and_says_what_is_missing(state: Path, tmp_path: Path) -> None:
    """The PATH has what the servers need, and no npm."""
    with running_dev(state, TEMPO_ENABLED="true", PATH=str(tmp_path)) as (_, dev):
        assert "tempo_rpc" not in dev
    assert (
        "provider tempo is left out, its companion did not start: anvil is not installed, and npm"
        in (state / "out").read_text()
    )


def _start(state: Path) -> str:
    started = payd_json("pay", *ITEM, *TOKENS, "--no-wait", "--state-dir", str(state))
    return str(started["id"])


def _receiver(state: Path, payment_id: str) -> str:
    """Where the customer has to send the tokens."""

    def look() -> str:
        payment = payd_json("get", payment_id, "--state-dir", str(state))
        asked: dict[str, str] = payment.get("next_action", {}).get("crypto_transfer", {})
        return asked.get("receiver_address", "")

    return wait_until(look, "it waits for a transfer", interval_s=COMMAND_INTERVAL_S)


def _pay(state: Path, *how: str) -> None:
    payment_id = _start(state)
    paid = payd("tempo", "pay", payment_id, *how, "--state-dir", str(state))
    assert paid.returncode == 0, paid.stderr
    assert "in block" in paid.stdout
    assert wait_for_end(payment_id, state)["status"] == "PAYMENT_STATUS_COMPLETED"


def _until_listed(where: tuple[str, str]) -> str:
    """What `payd receipts list` shows, once it has a receipt."""

    def look() -> str:
        shown = payd("receipts", "list", *where).stdout
        return shown if "0x" in shown else ""

    return wait_until(look, "a receipt is listed", interval_s=COMMAND_INTERVAL_S)

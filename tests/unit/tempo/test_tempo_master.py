"""`payd tempo register-master`: the search for a salt, where it goes on, and what it prints."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tempo_provider import master_command
from tempo_provider.companion.anvil import MASTER_ID, MASTER_SALT
from tempo_provider.config import TempoConfig
from tempo_provider.keccak_search import first_salt
from tempo_provider.master_command import register_master
from tempo_provider.master_salt import Progress, find_salt, registration_hash

from payd.plugins import CommandContext

#: The account of the documented salt, and others.
ACCOUNT = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
ACCOUNTS = (ACCOUNT, "0x" + "7ea5" * 10, "0x" + "00" * 19 + "01", "0x" + "ff" * 20)
SALT = MASTER_SALT
SALT_HEX = f"{SALT:064x}"


def slowly(account: bytes, first: int, count: int, zero_bits: int) -> int:
    """The search, by another library."""
    for salt in range(first, first + count):
        found = registration_hash("0x" + account.hex(), salt)
        if int.from_bytes(found) >> 256 - zero_bits == 0:
            return salt
    return -1


def test_the_documented_salt_is_found_at_full_difficulty() -> None:
    account = bytes.fromhex(ACCOUNT[2:])
    assert first_salt(account, SALT - 1000, 2000, 32) == SALT
    assert first_salt(account, SALT - 1000, 1000, 32) == -1
    assert registration_hash(ACCOUNT, SALT)[:8].hex() == "00000000" + MASTER_ID[2:]


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("first", [0, 2**32 - 100, 2**40 + 12345])
def test_the_compiled_search_finds_what_another_library_finds(account: str, first: int) -> None:
    raw = bytes.fromhex(account[2:])
    assert first_salt(raw, first, 5000, 8) == slowly(raw, first, 5000, 8)


@pytest.mark.parametrize("cores", [1, 3])
def test_the_smallest_salt_is_found_on_any_number_of_cores(tmp_path: Path, cores: int) -> None:
    found = find_salt(ACCOUNT, first_salt, tmp_path / "s.json", print, zero_bits=16, cores=cores)
    assert found == slowly(bytes.fromhex(ACCOUNT[2:]), 0, 1_000_000, 16)


def test_an_interrupted_search_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempo_provider.master_salt._REPORT_S", 0.0)
    kept, tried = tmp_path / "s.json", list[int]()
    reports: list[Progress] = []

    def finds_nothing(account: bytes, first: int, count: int, zero_bits: int) -> int:
        tried.append(first)
        if len(tried) == 10:
            raise KeyboardInterrupt
        return -1

    with pytest.raises(KeyboardInterrupt):
        find_salt(ACCOUNT, finds_nothing, kept, reports.append, cores=1)
    begun: list[int] = []

    def finds_at_once(account: bytes, first: int, count: int, zero_bits: int) -> int:
        begun.append(first)
        return first + 7

    assert find_salt(ACCOUNT, finds_at_once, kept, reports.append, cores=1) == tried[-1] + 7
    assert begun == [tried[-1]]
    assert [one.tries for one in reports] == sorted(one.tries for one in reports)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"account": "0x01", "next_salt": 99}'])
def test_the_file_of_another_account_or_a_broken_one_is_begun_anew(
    tmp_path: Path, text: str
) -> None:
    kept = tmp_path / "s.json"
    kept.write_text(text)
    found = find_salt(ACCOUNT, lambda _, first, *__: first, kept, print, cores=1)
    assert found == 0


def test_an_expected_rest_does_not_become_less_by_waiting() -> None:
    early, late = (Progress(tries=tries, rate=2**22, zero_bits=32) for tries in (1, 2**33))
    assert early.expected_s == late.expected_s == 1024


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The command, with a search that was quick."""
    monkeypatch.setattr(master_command, "find_salt", lambda *_, **__: SALT)
    settings = {"receiver_address": ACCOUNT, "rpc_url": "http://127.0.0.1:9", "chain_id": 4217}
    config = TempoConfig.model_validate(settings)
    context = CommandContext(config=config, dev={}, get_payment=lambda _: {})
    return lambda *more: CliRunner().invoke(
        register_master, ["--state", str(tmp_path / "s.json"), *more], obj=context
    )


def test_it_prints_what_the_operator_signs_and_what_to_set_then(run: Any) -> None:
    shown = run()
    assert shown.exit_code == 0, shown.output
    assert f"Send this from {ACCOUNT} on chain 4217" in shown.output
    assert f"{SALT_HEX}\n" in shown.output
    assert f"when every daemon runs this version, set TEMPO_MASTER_ID={MASTER_ID}" in shown.output
    assert "Before you go back to an older version, unset it" in shown.output


def test_its_json_is_the_transaction(run: Any) -> None:
    document = json.loads(run("--json").stdout)
    assert document["master_id"] == MASTER_ID
    assert document["data"].endswith(SALT_HEX)
    assert len(document["data"]) == 2 + 8 + 64
    assert document["chain_id"] == 4217


def test_without_numba_it_says_what_to_install(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tempo_provider.keccak_search", None)
    monkeypatch.delattr("tempo_provider.keccak_search")
    shown = run()
    assert shown.exit_code == 1
    assert "pip install 'numba" in shown.output


def test_stopped_by_hand_it_says_how_to_go_on(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(master_command, "find_salt", stopped)
    shown = run()
    assert shown.exit_code == 1
    assert "stopped: the same command goes on from " in shown.output
    assert "s.json" in shown.output


def test_the_first_seconds_show_no_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    master_command._show(Progress(tries=0, rate=0.0, zero_bits=32))
    master_command._show(Progress(tries=10**6, rate=10**6, zero_bits=32))
    early, later = capsys.readouterr().err.split("\r")[1:]
    assert "measuring the rate" in early
    assert "inf" not in early
    assert "1.0 million/s · 72 min left on average" in later

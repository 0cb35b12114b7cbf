"""A main app in TypeScript, as examples/typescript shows it: nothing of payd but its proto."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from dev_process import running_dev, state_folder

ROOT = Path(__file__).parents[3]
NO_NPM = "no npm on this machine (apt-get install npm)"
NO_PACKAGES = "npm cannot install the packages of examples/typescript"
#: Of npm, where the network is slow.
INSTALL_S = 120
PATIENCE_S = 20


def _do_without(reason: str) -> NoReturn:
    """Skip the test, or fail it where all must run."""
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"{reason}; REQUIRE_ALL is set", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example in a folder of its own, with its packages; the proto lies where it is looked for."""
    npm = shutil.which("npm") or _do_without(NO_NPM)
    root = tmp_path_factory.mktemp("elsewhere")
    proto = Path("payd/proto/payment.proto")
    (root / proto).parent.mkdir(parents=True)
    shutil.copy(ROOT / proto, root / proto)
    app = root / "examples/typescript"
    shutil.copytree(
        ROOT / "examples/typescript", app, ignore=shutil.ignore_patterns("node_modules", "gen")
    )
    install = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--prefer-offline"]
    try:
        done = subprocess.run(
            install, cwd=app, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        _do_without(f"{NO_PACKAGES}: it took longer than {INSTALL_S} s")
    if done.returncode:
        _do_without(f"{NO_PACKAGES}: {(done.stderr.strip().splitlines() or ['?'])[-1]:.200}")
    return app


@pytest.fixture(scope="module")
def state(app: Path) -> Iterator[Path]:
    """Of a `payd dev` for all of them; not started where the packages are missing."""
    with state_folder() as state, running_dev(state, "--ephemeral"):
        yield state


def run(app: Path, *argv: str) -> "subprocess.CompletedProcess[str]":
    """A command in the example's folder, to its end."""
    return subprocess.run(
        argv, cwd=app, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def pay(app: Path, state: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`npx tsx pay.ts …`, without npx, which takes its time."""
    return run(app, "node", "--import", "tsx", "pay.ts", "--state", str(state), *arguments)


def paid(app: Path, state: Path, *arguments: str) -> str:
    """The id of a payment that pay.ts has completed."""
    done = pay(app, state, *arguments)
    assert done.returncode == 0, done.stderr
    assert "ended: PAYMENT_STATUS_COMPLETED" in done.stdout
    return payment_id_in(done.stdout)


def payment_id_in(text: str) -> str:
    found = re.search(r"^payment: (\S+) 14900 USD$", text, re.MULTILINE)
    assert found, text
    return found[1]


def test_its_types_fit_the_proto(app: Path) -> None:
    checked = run(app, "npm", "run", "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_an_order_that_is_asked_for_twice_is_paid_once(app: Path, state: Path) -> None:
    assert paid(app, state, "--order", "1") == paid(app, state, "--order", "1")
    assert paid(app, state, "--order", "2") != paid(app, state, "--order", "1")


def test_a_payment_is_canceled(app: Path, state: Path) -> None:
    done = pay(app, state, "--cancel")
    assert done.returncode == 0, done.stderr
    assert "ended: PAYMENT_STATUS_CANCELED" in done.stdout


@pytest.mark.parametrize(
    ("item", "reason", "variable"),
    [
        ("nonsense/full/30d", "UNKNOWN_PRODUCT", {"chain_profile_id": "nonsense"}),
        ("ethereum-mainnet/full", "INVALID_FIELD", {"field": "items[0].duration"}),
    ],
)
def test_a_refusal_is_read_by_its_reason(
    app: Path, state: Path, item: str, reason: str, variable: dict[str, str]
) -> None:
    done = pay(app, state, "--item", item)
    assert done.returncode == 1
    assert done.stdout == ""
    told, _, metadata = done.stderr.strip().partition(" ")
    assert told == reason
    assert variable.items() <= json.loads(metadata).items()


def test_while_payd_is_away_it_comes_again(app: Path, state: Path, tmp_path: Path) -> None:
    (tmp_path / "pki").symlink_to(state / "pki")
    dev = json.loads((state / "dev.json").read_text())
    with unreachable_at_first(dev["grpc"], refusals=2) as address:
        (tmp_path / "dev.json").write_text(json.dumps({**dev, "grpc": address}))
        done = pay(app, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "again: 14 UNAVAILABLE" in done.stderr
    assert "ended: PAYMENT_STATUS_COMPLETED" in done.stdout


@contextlib.contextmanager
def unreachable_at_first(target: str, *, refusals: int) -> Iterator[str]:
    """An address where connections are closed at once, and later lead to the target."""
    host, _, port = target.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            # Ends when the door is closed.
            with contextlib.suppress(OSError), contextlib.ExitStack() as open_ends:
                for _ in range(refusals):
                    door.accept()[0].close()
                while True:
                    ends = (door.accept()[0], socket.create_connection((host, int(port))))
                    for one, other in (ends, ends[::-1]):
                        open_ends.callback(one.close)
                        threading.Thread(target=forward, args=(one, other), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{door.getsockname()[1]}"
        with contextlib.suppress(OSError):
            door.shutdown(socket.SHUT_RDWR)


def forward(source: socket.socket, target: socket.socket) -> None:
    """Until either end is closed."""
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)


def test_an_event_has_its_effect_once_however_often_it_comes(
    app: Path, state: Path, tmp_path: Path
) -> None:
    database = tmp_path / "database" / "effects.jsonl"
    first = paid(app, state)
    completed = f"payment.completed {first}"

    with consuming(app, state, "main-app-payment", database) as seen:
        # Its database is away: the event is given back, and comes again.
        wait_for("again in 1000 ms", seen)
        database.parent.mkdir()
        wait_for(f"handled: {completed}", seen)
    second = paid(app, state)
    with consuming(app, state, "main-app-payment", database) as seen:
        wait_for(f"handled: payment.completed {second}", seen)
    assert first not in seen.read_text(), "it was acknowledged"
    with consuming(app, state, "another-durable", database) as seen:
        wait_for(f"known: payment.completed {second}", seen)
    assert f"known: {completed}" in seen.read_text(), "it came again, and was recognised"

    effects = [json.loads(line) for line in database.read_text().splitlines()]
    assert len(effects) == len({effect["event_id"] for effect in effects})
    for payment_id in (first, second):
        [effect] = [effect for effect in effects if effect["payment_id"] == payment_id]
        assert effect["why"] == "payment.completed"
        assert effect["order"]


@contextlib.contextmanager
def consuming(app: Path, state: Path, durable: str, database: Path) -> Iterator[Path]:
    """events.ts, until the end of the block; the file with what it prints."""
    printed = database.parent.with_suffix(f".{time.monotonic_ns()}.txt")
    argv = ["node", "--import", "tsx", "events.ts", "--state", str(state)]
    argv += ["--durable", durable, "--database", str(database)]
    with printed.open("w") as out:
        process = subprocess.Popen(argv, cwd=app, stdout=out, stderr=out)
    try:
        yield printed
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0, printed.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_for(text: str, file: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while text not in file.read_text():
        assert time.monotonic() < until, file.read_text()
        time.sleep(0.05)

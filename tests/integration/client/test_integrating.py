"""docs/integrating.md: its programs do what it says, against a running `payd dev`."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.dev_process import PATIENCE_S, running_dev, state_folder
from support.npm import install

ROOT = Path(__file__).parents[3]
PACKAGES = ("@grpc/grpc-js@1", "@grpc/proto-loader@0.8", "tsx@4")
PACKAGES_OF_NATS = ("@nats-io/transport-node@3", "@nats-io/jetstream@3")


def programs(language: str) -> list[str]:
    """In the order of the page."""
    text = (ROOT / "docs/integrating.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def surroundings() -> Iterator[Mapping[str, str]]:
    """A running payd, in words of the programs' environment."""
    with state_folder() as state, running_dev(state, "--ephemeral") as (_, dev):
        yield {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PAYD_TARGET": dev["grpc"],
            "PKI": str(state / "pki"),
            "PROTO": str(ROOT / "proto/payment.proto"),
            "NATS_URL": dev["nats"],
            "REDIS_URL": dev["redis"],
            "METHOD": "mock",
            "RUN_S": "2",
        }


def run(argv: list[str], environment: Mapping[str, str], folder: Path, **more: str) -> str:
    """All that it printed, and its exit code."""
    done = subprocess.run(
        argv,
        env={**environment, **more},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return f"{done.stdout}{done.stderr}exit {done.returncode}"


def read_until(word: str, argv: tuple[str | Path, ...], environment: Mapping[str, str]) -> str:
    """What a program prints until the word comes; then the program is stopped."""
    process = subprocess.Popen(
        argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    # Ends the reading below, too.
    limit = threading.Timer(PATIENCE_S, process.kill)
    limit.start()
    printed = ""
    assert process.stdout is not None
    try:
        for line in process.stdout:
            printed += line
            if word in line:
                break
    finally:
        limit.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
    return printed


# -- Python ------------------------------------------------------------------------------------


def python(program: str, environment: Mapping[str, str], folder: Path, **more: str) -> str:
    return run([sys.executable, "-c", program], environment, folder, **more)


def test_in_python_a_payment_is_started_and_its_event_handled_once(
    surroundings: Mapping[str, str], tmp_path: Path
) -> None:
    pay, consume, _ = programs("python")
    output = python(pay, surroundings, tmp_path)
    assert "send the customer to https://mock.invalid/pay/" in output
    assert "status=<Status." in output
    other = pay.replace("order-4711", "order-1")
    refused = python(other, surroundings, tmp_path, METHOD="cash")
    assert "refused: UNKNOWN_METHOD {" in refused
    assert "'method': 'cash'" in refused
    until, run_s, first = time.monotonic() + PATIENCE_S, 2, ""
    # A busy machine has not connected in two seconds.
    while "deliver ('subscription-1',)" not in first:
        assert time.monotonic() < until, first
        first = python(consume, surroundings, tmp_path, RUN_S=str(run_s))
        run_s *= 2
    assert first.endswith("exit 0")
    assert "deliver" not in python(consume, surroundings, tmp_path)


def test_in_python_an_unreachable_payd_is_reported_as_unavailable(
    surroundings: Mapping[str, str], tmp_path: Path
) -> None:
    pay, *_ = programs("python")
    output = python(pay, surroundings, tmp_path, PAYD_TARGET="127.0.0.1:9")
    assert "try again with the same key" in output
    assert output.endswith("exit 0")


def test_in_python_half_of_a_payment_goes_back(
    surroundings: Mapping[str, str], tmp_path: Path
) -> None:
    pay, _, refund = programs("python")
    started = python(pay.replace("order-4711", "order-4714"), surroundings, tmp_path)
    payment_id = found[1] if (found := re.search(r"Payment\(id=UUID\('([^']+)'\)", started)) else ""
    until = time.monotonic() + PATIENCE_S
    # It is confirmed after a moment.
    while (output := python(refund, surroundings, tmp_path, PAYMENT_ID=payment_id)).startswith(
        "refused: NOT_REFUNDABLE"
    ):
        assert time.monotonic() < until, output
    assert "RefundStatus.SUCCEEDED" in output
    assert "minor_units=7450" in output
    assert python(refund, surroundings, tmp_path, PAYMENT_ID=payment_id) == output


# -- TypeScript --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the page says to install, and both programs."""
    folder = install(tmp_path_factory.mktemp("typescript"), *PACKAGES, *PACKAGES_OF_NATS)
    pay, consume = programs("typescript")
    (folder / "pay.ts").write_text(pay)
    (folder / "events.ts").write_text(consume)
    return folder


def tsx(file: str, environment: Mapping[str, str], folder: Path, **more: str) -> str:
    program = str(folder / "node_modules" / ".bin" / "tsx")
    return run([program, file], environment, folder, **more)


def test_in_typescript_a_payment_is_started_and_its_event_handled_once(
    surroundings: Mapping[str, str], typescript: Path
) -> None:
    more = {"KEY": "order-4712", "DURABLE": "typescript"}
    output = tsx("pay.ts", surroundings, typescript, **more)
    assert "PAYMENT_STATUS_PENDING https://mock.invalid/pay/" in output
    payment_id = output.split()[0]
    assert tsx("pay.ts", surroundings, typescript, **more).split()[0] == payment_id
    refused = tsx("pay.ts", surroundings, typescript, KEY="order-2", METHOD="cash")
    assert "UNKNOWN_METHOD" in refused
    assert refused.endswith("exit 1")
    assert f"deliver {payment_id}" in tsx("events.ts", surroundings, typescript, **more)
    assert "deliver" not in tsx("events.ts", surroundings, typescript, **more)


# -- Go ----------------------------------------------------------------------------------------


def test_what_no_test_runs_is_marked_on_the_page() -> None:
    text = (ROOT / "docs/integrating.md").read_text()
    assert len(programs("go")) == 1
    assert "**Not run by our tests**" in text[: text.index("```go")].rpartition("###")[2]

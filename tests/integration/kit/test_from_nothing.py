"""Follow docs/providers.md in a new environment, up to a payment through a certified provider."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

import pytest
from support import plain_http
from support.dev_process import state_folder, wait_until_ready
from support.waiting import wait_until

from payd.dev.ports import USUAL

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/providers.md"
#: For one block of commands: a new environment takes minutes on a machine that is busy otherwise.
PATIENCE_S = 900


def blocks(language: str = "sh") -> list[str]:
    """The page's commands or programs, in its order."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def starting(text: str) -> list[str]:
    """The page's programs with this start. Its other ones have a test of their own."""
    return [block for block in blocks("python") if block.startswith(text)]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy: a build leaves its traces beside the source."""
    copy = tmp_path_factory.mktemp("source") / "payd"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(copy)], check=True)
    return copy


class Newcomer:
    """A shell in an empty folder with a new virtual environment."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        ours = ("PYTHONPATH", "VIRTUAL_ENV", "PAYD_", "NATS_", "COV_")
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(ours)},
            "PATH": f"{folder}/venv/bin:{os.environ['PATH']}",
            "PAYD": str(checkout),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "XDG_STATE_HOME": str(folder / "state-home"),
            # The local chain comes from npm; it has its own tests.
            "TEMPO_ENABLED": "false",
            # A table as wide as it likes.
            "COLUMNS": "240",
        }

    def types(self, script: str) -> str:
        """All of it, to its end; what it printed."""
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout + done.stderr

    def starts(self, script: str, out: str) -> "subprocess.Popen[bytes]":
        """The last command stays in the foreground; what it prints is in the file `out`."""
        *before, last = script.strip().splitlines()
        with (self.folder / out).open("wb") as file:
            return subprocess.Popen(
                ["bash", "-euc", "\n".join((*before, f"exec {last}"))],
                cwd=self.folder,
                env=self.environment,
                stdout=file,
                stderr=file,
            )


@pytest.fixture(scope="module")
def newcomer(checkout: Path) -> Iterator[Newcomer]:
    with state_folder() as state:
        yield Newcomer(state.parent, checkout)


def test_an_afternoon(newcomer: Newcomer) -> None:
    install, daemon, pay = blocks()[:3]
    began = time.monotonic()
    said = newcomer.types(install)
    assert re.search(r"\d+ passed", said)
    assert "FAILED" not in said
    state = newcomer.folder / ".payd"
    state.mkdir()
    # Not the usual ports, which other tests may use at the same time.
    ports = dict.fromkeys((*USUAL, "hooli.api", "stripe.api"), 0)
    (state / "ports.json").write_text(json.dumps(ports))
    process = newcomer.starts(daemon, "dev.out")
    try:
        (state / "out").symlink_to(newcomer.folder / "dev.out")
        fake_api = wait_until_ready(state, process)["hooli_api"]
        show, start_payment = pay.strip().splitlines()
        [row] = [line for line in newcomer.types(show).splitlines() if " hooli " in f" {line} "]
        assert "passed basic, money, webhooks, resilience, scan, refunds on" in row
        assert "healthy" in row
        assert "closed" in row
        assert paid(newcomer, start_payment, fake_api).endswith("COMPLETED")
    finally:
        process.terminate()
        process.wait(60)
    # The five minutes, tenfold: a clock in a test proves nothing finer.
    assert time.monotonic() - began < 3000


def paid(newcomer: Newcomer, command: str, fake_api: str) -> str:
    """Return the output of `payd pay` after the customer has paid on the page that it names."""
    process, out = newcomer.starts(command, "pay.out"), newcomer.folder / "pay.out"
    found = wait_until(
        lambda: re.search(rf"{fake_api}/pay/\w+", out.read_text()),
        out.read_text,
        timeout_s=PATIENCE_S,
        process=process,
    )
    assert found
    assert plain_http.post(found[0]).status_code == 200
    assert process.wait(PATIENCE_S) == 0, out.read_text()
    return out.read_text().strip()


def test_the_rest_of_the_page_is_true(newcomer: Newcomer) -> None:
    """After the afternoon."""
    hooli = newcomer.folder / "hooli"
    [refund] = starting("async def refund(")
    [conformance] = starting("from hooli_provider")
    [companion] = starting("@asynccontextmanager\nasync def open_companion")
    assert indent(refund, "    ") in (hooli / "hooli_provider/provider.py").read_text()
    written = (hooli / "tests/test_conformance.py").read_text().splitlines()
    assert set(conformance.splitlines()) <= set(written)
    assert companion in (hooli / "hooli_provider/companion.py").read_text()
    for entry in blocks("toml"):
        assert entry in (hooli / "pyproject.toml").read_text()
    [checks] = blocks()[3:]
    assert "a lost response is unknown" in newcomer.types(checks)
    # The whole kit has run above; a report of one check is a report.
    report = "pytest -q --payd-report=report -k manifest && test -s report/hooli.json"
    newcomer.types(f"cd hooli && {report}")

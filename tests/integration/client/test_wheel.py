"""The client's wheel alone in a new environment: few packages, and enough for asyncio."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from integration.client.test_integrating import programs, read_until
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.daemon import Daemon, Place, running_daemon

ROOT = Path(__file__).parents[3]
PACKAGES_MAX = 10
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
#: An installation takes minutes on a busy machine.
INSTALL_S = 600


def run(*argv: str | Path, **environment: str) -> str:
    """What a command prints. Fails with it."""
    done = subprocess.run(
        argv,
        env={"PATH": os.environ["PATH"], **environment} if environment else None,
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def base_packages() -> set[str]:
    """Every distribution that the client's base dependencies need, without the client itself."""
    found: set[str] = set()
    waiting = ["payd-client"]
    while waiting:
        for line in importlib.metadata.requires(waiting.pop()) or ():
            wanted = Requirement(line)
            name = canonicalize_name(wanted.name)
            is_needed = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
            if is_needed and name not in found:
                found.add(name)
                waiting.append(name)
    return found


def locked(names: set[str]) -> str:
    """The part of the lock file that pins these distributions, with its hashes."""
    text = (ROOT / "requirements/run.lock").read_text()
    blocks = re.findall(r"^[\w.\-]+==.*\n(?: +--hash.*\n)+", text, re.MULTILINE)
    chosen = [block for block in blocks if canonicalize_name(block.partition("==")[0]) in names]
    assert len(chosen) == len(names), "run.lock lacks a dependency of the client: run make lock"
    return "".join(chosen)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with the locked tools of this environment, from a copy: a build leaves traces."""
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    source = shutil.copytree(ROOT / "client", folder / "client", ignore=ignored)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    run(*PIP, "wheel", *options, "--wheel-dir", folder, source)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a new environment that has the wheel and its locked base dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    python = folder / "venv/bin/python"
    (folder / "base.lock").write_text(locked(base_packages()))
    install = (*PIP, "--python", python, "install", "--quiet", "--no-deps")
    by_hash = ("--require-hashes", "--only-binary", ":all:")
    run(*install, *by_hash, "-r", folder / "base.lock")
    run(*install, "--no-index", wheel)
    return python


def test_ten_packages_are_enough(python: Path) -> None:
    run(*PIP, "--python", python, "check")
    code = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
    packages = run(python, "-c", code).split()
    assert "payd-client" in packages
    assert len(packages) <= PACKAGES_MAX, packages
    folder = python.parents[1] / "lib"
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    timing = "import time; start = time.perf_counter(); from payd_client import *"
    import_s = float(run(python, "-c", f"{timing}; print(time.perf_counter() - start)"))
    figures = f"{len(packages)} packages, {size / 1e6:.1f} MB, imported in {import_s:.2f} s"
    print(figures)  # noqa: T201 - with pytest -s, for a person


def test_the_wheel_is_typed_and_has_its_generated_code(python: Path) -> None:
    package = next(python.parents[1].glob("lib/*/site-packages/payd_client"))
    assert (package / "py.typed").is_file()
    assert {"payment_pb2.py", "payment_pb2.pyi", "payment_grpc.py"} <= {
        file.name for file in (package / "proto").iterdir()
    }


@pytest.mark.parametrize(
    ("settings", "extra"),
    [('redis="redis://localhost"', "redis"), ('credentials_file=Path("a.creds")', "nkey")],
)
def test_a_missing_extra_is_named(python: Path, settings: str, extra: str) -> None:
    program = f"""
import asyncio
from pathlib import Path
from payd_client import ConsumerSettings, EventConsumer, MissingExtra
consumer = EventConsumer(ConsumerSettings(nats="nats://localhost", {settings}), print)
try:
    asyncio.run(consumer.run())
except MissingExtra as error:
    print(error)
"""
    assert f"pip install 'payd_client-….whl[{extra}]'" in run(python, "-c", program)


@pytest.fixture(scope="module")
def daemon(module_place: Place) -> Iterator[Daemon]:
    with running_daemon(module_place) as daemon:
        yield daemon


def test_a_payment_is_made_and_its_event_taken(python: Path, daemon: Daemon) -> None:
    """The programs of docs/integrating.md, without Redis."""
    pay, consume, _ = programs("python")
    name = uuid4().hex
    environment = {
        "PATH": os.environ["PATH"],
        "PAYD_TARGET": daemon.grpc,
        "PKI": str(daemon.place.pki),
        "NATS_URL": daemon.place.nats,
        "METHOD": "mock",
    }
    pay = pay.replace("order-4711", f"order-{name}").replace("subscription-1", name)
    assert "send the customer to https://mock.invalid/pay/" in run(python, "-c", pay, **environment)
    consume = consume.replace("my-app", name)
    printed = read_until(name, (python, "-u", "-c", consume), environment)
    assert f"deliver ('{name}',)" in printed

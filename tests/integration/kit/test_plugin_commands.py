"""`payd plugin` and `payd providers`, run as in a terminal."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Place, running_daemon
from support.forks import run_payd
from support.site import install

from payd.cli import certified
from payd.plugins.testing import CHECKS

Payd = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def payd(tmp_path: Path) -> Payd:
    """In a folder of its own, with a home of its own."""

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        env = {
            "PATH": os.environ["PATH"],
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "COLUMNS": "240",
            **environment,
        }
        return run_payd(*arguments, env=env, cwd=tmp_path)

    return run


def test_a_new_plugin_bears_its_name_everywhere(payd: Payd, tmp_path: Path) -> None:
    done = payd("plugin", "new", "big_bank")
    assert done.returncode == 0, done.stderr
    assert "pip install -e './big_bank[test]'" in done.stdout
    written = [path for path in (tmp_path / "big_bank").rglob("*") if path.is_file()]
    assert tmp_path / "big_bank/big_bank_provider/__init__.py" in written
    assert tmp_path / "big_bank/.github/workflows/check.yml" in written
    assert not [path for path in written if "acme" in (str(path) + path.read_text()).lower()]
    provider = (tmp_path / "big_bank/big_bank_provider/provider.py").read_text()
    assert "class BigBankProvider:" in provider


def test_what_is_checked_can_be_read(payd: Payd) -> None:
    printed = payd("plugin", "checks").stdout
    for check in CHECKS:
        assert check.name in printed
        assert check.why in printed
    listed = json.loads(payd("plugin", "checks", "--json").stdout)["checks"]
    assert {one["name"] for one in listed} == {check.name for check in CHECKS}


@pytest.mark.parametrize("name", ["Acme", "4bank", "my-bank", "", "a" * 33])
def test_a_name_that_cannot_be_is_refused(payd: Payd, tmp_path: Path, name: str) -> None:
    done = payd("plugin", "new", name, "--folder", "here")
    assert done.returncode == 2
    assert "invalid name" in done.stderr
    assert not (tmp_path / "here").exists()


def test_nothing_is_written_over(payd: Payd, tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    done = payd("plugin", "new", "acme")
    assert (done.returncode, done.stderr) == (
        1,
        "Error: acme already exists: remove it, or pass --folder\n",
    )


def test_an_installed_provider_is_checked(payd: Payd) -> None:
    done = payd("plugin", "check", "mock", "--json")
    assert done.returncode == 0, done.stderr
    [report] = json.loads(done.stdout)["reports"]
    assert (report["provider"], report["passed"]) == ("mock", True)
    assert report["levels"]["basic"] == "passed"
    assert all(check["why"] for check in report["checks"])


@pytest.mark.parametrize("name", ["nobody", "pytest"])
def test_a_name_of_no_provider_is_refused(payd: Payd, name: str) -> None:
    done = payd("plugin", "check", name)
    assert done.returncode == 1
    assert f"{name} is not installed or contains no provider" in done.stderr


def test_a_provider_without_a_remote_side_is_refused(payd: Payd, tmp_path: Path) -> None:
    site = installed(tmp_path, "lonely", "from mock_provider import *\n")
    done = payd("plugin", "check", "lonely", PYTHONPATH=str(site))
    assert done.returncode == 1
    assert "offers no provider of this name" in done.stderr
    source = """
import attrs
from mock_provider import MANIFEST
from payd.plugins import hookimpl

@hookimpl
def payd_providers():
    return [attrs.evolve(MANIFEST, name="lonely")]
"""
    (site / "lonely_provider.py").write_text(source)
    # By whatever name.
    for name in ("lonely", "payd-lonely-provider", "payd_lonely_provider"):
        done = payd("plugin", "check", name, PYTHONPATH=str(site))
        assert done.returncode == 1
        assert "has no remote side for the kit" in done.stderr
        assert "lonely = PACKAGE.conformance:open_remote" in done.stderr


def test_a_failed_check_is_printed_with_its_reason(payd: Payd, tmp_path: Path) -> None:
    source = """
import attrs
from mock_provider import MANIFEST
from payd.plugins import hookimpl

@hookimpl
def payd_providers():
    return [attrs.evolve(MANIFEST, name="sloppy", version="none")]
"""
    site = installed(tmp_path, "sloppy", source, "mock_provider.conformance:open_remote")
    done = payd("plugin", "check", "payd-sloppy-provider", PYTHONPATH=str(site))
    assert done.returncode == 1
    assert "✗ basic      the manifest is valid" in done.stdout
    assert "FAILED  the manifest is valid\n  its version 'none' is invalid" in done.stdout
    assert "payd refuses a plugin with an invalid manifest" in done.stdout
    listed = payd("providers", "--json", PYTHONPATH=str(site), DB_PASSWORD="x")
    assert "basic failed on" in row(listed, "sloppy")["conformance"]


def installed(folder: Path, name: str, source: str, remote: str = "") -> Path:
    """A plugin as pip would have left it; where it is."""
    site = folder / "site"
    install(site, name, f"{name}_provider", source, remote)
    return site


def row(done: "subprocess.CompletedProcess[str]", name: str) -> dict[str, Any]:
    """Of `payd providers --json`."""
    assert done.returncode == 0, done.stderr
    [found] = [one for one in json.loads(done.stdout)["providers"] if one["provider"] == name]
    return dict(found)


def test_providers_are_shown_with_how_they_stand(place: Place, payd: Payd) -> None:
    with running_daemon(place.without_forks()) as daemon:
        settings = place.environment(HTTP_PORT=daemon.http.rpartition(":")[2])
        standing = row(payd("providers", "--json", **settings), "mock")
        as_text = payd("providers", **settings).stdout
    assert (standing["methods"], standing["health"], standing["breaker"]) == (
        ["mock", "card"],
        "healthy",
        "closed",
    )
    assert standing["conformance"] == "not run"
    assert "mock, card" in as_text
    away = row(payd("providers", "--json", **settings), "mock")
    assert (away["health"], away["breaker"]) == ("no daemon", "-")
    not_enabled = row(payd("providers", "--json", **settings), "stripe")
    assert (not_enabled["health"], not_enabled["methods"]) == ("-", ["card"])


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (None, "not run"),
        ({"version": "1.0"}, "not run"),
        (
            {"version": "0.9", "levels": {}, "time": "2026-01-02T00", "passed": True},
            "not run (last: 0.9)",
        ),
        (
            {
                "version": "1.0",
                "levels": {"basic": "passed", "scan": "unproven", "watch": "not claimed"},
                "time": "2026-01-02T03:04:05",
                "passed": True,
            },
            "scan unproven on 2026-01-02",
        ),
    ],
    ids=["nothing", "unreadable", "older", "unproven"],
)
def test_what_the_kit_said_in_a_few_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: dict[str, Any] | None, said: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    if kept is not None:
        certified.keep({"provider": "acme", **kept}, "c0de")
    assert certified.summary("acme", "1.0", "c0de") == said


def test_a_result_is_of_the_code_that_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    passed = {"version": "1.0", "levels": {"basic": "passed"}, "time": "2026-01-02", "passed": True}
    certified.keep({"provider": "acme", **passed}, "c0de")
    assert certified.summary("acme", "1.0", "c0de") == "passed basic on 2026-01-02"
    changed = "not run since its code changed (last: 2026-01-02)"
    assert certified.summary("acme", "1.0", "0ther") == changed


def test_the_code_is_known_by_its_content() -> None:
    codes = {certified.code_of(name) for name in ("mock", "stripe", "tempo")}
    assert len(codes) == 3
    assert certified.code_of("mock") in codes

"""The units for systemd: sound, sandboxed, and in step with what payd knows."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from payd.config import SETTINGS

UNITS = Path(__file__).parents[3] / "deploy" / "systemd"
#: Tenths, as systemd-analyze takes them.
EXPOSURE_MAX = 15


@pytest.fixture(params=["payd.service", "payd@.service"])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """With a program that exists here in the place of payd's."""
    text = (UNITS / request.param).read_text()
    copied = tmp_path / request.param
    copied.write_text(text.replace("/opt/payd/bin/payd", shutil.which("true") or "/bin/true"))
    return copied


def analyze(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_systemd_has_nothing_to_say_about_a_unit(systemd_analyze: str, unit: Path) -> None:
    # It exits 0 on keys that it does not know: any word is one too many.
    verified = analyze(systemd_analyze, "verify", str(unit))
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_a_mistake_in_a_unit_would_be_seen(systemd_analyze: str, unit: Path) -> None:
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSecond="))
    assert "WatchdogSecond" in analyze(systemd_analyze, "verify", str(unit)).stderr


def test_a_unit_is_exposed_no_more_than_it_must_be(systemd_analyze: str, unit: Path) -> None:
    arguments = ("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(unit))
    judged = analyze(systemd_analyze, *arguments)
    assert judged.returncode == 0, judged.stdout[-300:]
    [level] = re.findall(r"exposure level for \S+ ([0-9.]+)", judged.stdout)
    assert float(level) <= EXPOSURE_MAX / 10


@pytest.mark.parametrize(
    "file",
    [
        "payd.service",
        "payd@.service",
        *(f"payd.service.d/{n}.conf" for n in ("vault", "files-in-place", "pages-and-audit")),
    ],
)
def test_every_variable_of_a_unit_is_one_that_payd_knows(file: str) -> None:
    known = {setting.env for setting in SETTINGS} | {"PAYD_CONFIG"}
    given = re.findall(r"^Environment=([A-Z_]+)=", (UNITS / file).read_text(), re.MULTILINE)
    assert given
    assert {name for name in given if not name.startswith(("STRIPE_", "TEMPO_"))} <= known


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("payd.service", "%d/secrets_"),
        ("payd@.service", "%d/secrets_"),
        ("payd.service.d/files-in-place.conf", "/etc/payd/secrets/"),
    ],
)
def test_a_unit_names_a_file_for_every_secret_of_a_host(file: str, folder: str) -> None:
    unit = (UNITS / file).read_text()
    given = dict(re.findall(r"^Environment=([A-Z_]+)=(.*)$", unit, re.MULTILINE))
    assert {name: path for name, path in given.items() if path.startswith(folder)} == {
        "DB_PASSWORD_FILE": f"{folder}db_password",
        "PAYD_PAYMENTS_QUOTE_KEY_FILE": f"{folder}quote_key",
        "STRIPE_SECRET_KEY_FILE": f"{folder}stripe_secret_key",
        "STRIPE_WEBHOOK_SECRET_FILE": f"{folder}stripe_webhook_secret",
        "TEMPO_MEMO_KEY_FILE": f"{folder}tempo_memo_key",
    }


def test_with_vault_no_secret_that_payd_needs_at_the_start_is_read_from_a_file() -> None:
    given = (UNITS / "payd.service.d" / "vault.conf").read_text().splitlines()
    for name in ("DB_PASSWORD_FILE", "PAYD_PAYMENTS_QUOTE_KEY_FILE"):
        assert f"Environment={name}=" in given


def test_keys_of_later_versions_are_read_where_a_drop_in_says_so() -> None:
    """A unit that is replaced in an upgrade still starts without their files."""
    names = ("PAYD_HTTP_PAGE_KEY_FILE", "PAYD_AUDIT_SIGNING_KEY_FILE")
    drop_in = (UNITS / "payd.service.d" / "pages-and-audit.conf").read_text()
    for name, file in zip(names, ("page_key", "audit_signing_key"), strict=True):
        assert f"Environment={name}=%d/secrets_{file}" in drop_in.splitlines()
        assert name not in (UNITS / "payd.service").read_text()


def test_one_of_several_differs_from_the_only_one_by_its_name_and_its_file_alone() -> None:
    def settings(file: str) -> set[str]:
        lines = (UNITS / file).read_text().splitlines()
        return {line for line in lines if "=" in line and not line.startswith("#")}

    differing = {
        line.partition("=")[0] for line in settings("payd.service") ^ settings("payd@.service")
    }
    assert differing == {
        *("Description", "StateDirectory", "WorkingDirectory"),
        *("EnvironmentFile", "Environment", "User", "DefaultInstance"),
    }


def test_a_unit_gives_the_daemon_the_time_that_it_takes(unit: Path) -> None:
    values = dict(re.findall(r"^(\w+)=(\d+)$", unit.read_text(), re.MULTILINE))
    drain_s = next(s.default for s in SETTINGS if s.key == "grpc.drain_timeout_s")
    assert isinstance(drain_s, float)
    # The worker loops' five seconds and the servers' three come after the drain.
    assert float(values["TimeoutStopSec"]) > drain_s + 5 + 3
    assert values["RestartPreventExitStatus"] == "78"
    assert values["LimitCORE"] == "0"

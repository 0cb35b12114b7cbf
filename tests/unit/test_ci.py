"""CI on a hosted runner: nothing that a test needs is missing there."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
#: What sudo gives a command as PATH, whatever its caller has.
SECURE = "secure"
#: The programs of a machine on which nothing has to be installed, by folder.
STUBS = {
    f"tools/{name}": f'echo "{name} $*" >> "$LOG"'
    for name in ("apt-get", "chromium", "npm", "systemd-analyze", "pgbouncer", "chown")
}
STUBS |= {
    "tools/id": 'echo "${STUB_UID-1001}"',
    # Each target with the environment that it sees.
    "tools/make": 'echo "make $*" >> "$LOG"; env > "$LOG.$1"',
    # As the real one with -E and -H: its own PATH and HOME, and none of the loader's variables.
    "tools/sudo": """echo "sudo $*" >> "$LOG"
[ -n "${STUB_SUDO-}" ] || exit 1
while [ "${1#-}" != "$1" ]; do shift; done
[ "$1" != true ] || exit 0
unset LD_LIBRARY_PATH
export STUB_UID=0 SUDO_UID=1001 SUDO_GID=1002 HOME=/root PATH="$SECURE"
exec "$@"
""",
}
Run = Callable[..., list[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run .ci/run in a folder of its own, with stubs for what it calls. Returns the calls."""
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / ".ci", checkout / ".ci")
    for name, script in STUBS.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/bash\n{script}\n")
        file.chmod(0o755)
    secure = tmp_path / SECURE
    secure.mkdir()
    for name in ("bash", "env"):
        (secure / name).symlink_to(shutil.which(name) or "")

    def run(**variables: str) -> list[str]:
        environment = {
            "PATH": f"{tmp_path}/tools:{os.environ['PATH']}",
            "SECURE": str(secure),
            "LOG": str(tmp_path / "log"),
            "HOME": "/home/runner",
            **variables,
        }
        done = subprocess.run(
            ["bash", ".ci/run"],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return (tmp_path / "log").read_text().splitlines()

    return run


def seen_by(target: str, tmp_path: Path) -> Mapping[str, str]:
    """The environment of one `make TARGET`."""
    lines = (tmp_path / f"log.{target}").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_ci_has_the_whole_history() -> None:
    """The test of two versions builds the previous one from a commit; without it, it skips."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    [job] = workflow["jobs"].values()
    [checkout] = [step for step in job["steps"] if "actions/checkout@" in step.get("uses", "")]
    assert checkout["with"]["fetch-depth"] == 0


def test_root_runs_everything_itself(run: Run) -> None:
    calls = run(STUB_UID="0", STUB_SUDO="1")
    assert [call for call in calls if call.startswith(("make", "sudo", "chown"))] == [
        "make test",
        "make docs",
        "make pythons",
    ]


def test_a_user_with_sudo_goes_on_as_root_for_the_tests_that_need_it(
    run: Run, tmp_path: Path
) -> None:
    """Of root's files the user could change none afterwards."""
    calls = run(
        STUB_SUDO="1",
        CI="true",
        LD_LIBRARY_PATH="/opt/hostedtoolcache/Python/lib",
        XDG_CONFIG_HOME="/home/runner/.config",
    )
    made = [call for call in calls if call.startswith(("make", "chown"))]
    assert made == ["make test", "make docs", "make pythons", "chown -R --from=0 1001:1002 ."]
    given = seen_by("test", tmp_path)
    assert given["STUB_UID"] == "0"
    assert given["PATH"].startswith(f"{tmp_path}/tools:"), "Python is that of the runner"
    assert given["LD_LIBRARY_PATH"] == "/opt/hostedtoolcache/Python/lib"
    assert (given["CI"], given["REQUIRE_ALL"]) == ("true", "1")
    assert given["PYENV_ROOT"] == "/home/runner/.pyenv"
    assert given["HOME"] == "/root", "nothing of root's is written into the user's home"
    assert "XDG_CONFIG_HOME" not in given


def test_a_user_without_sudo_runs_what_a_user_can(run: Run, tmp_path: Path) -> None:
    calls = run()
    assert [call for call in calls if call.startswith("make")] == [
        "make test",
        "make docs",
        "make pythons",
    ]
    assert "STUB_UID" not in seen_by("test", tmp_path)

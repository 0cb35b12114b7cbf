"""requirements/install.py: what an index gives comes by hash, ours alone; with pip if uv fails."""

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

INSTALL = Path(__file__).parents[2] / "requirements" / "install.py"
ROOT = INSTALL.parents[1]
#: As a developer types them in the root folder, and as pip and uv can take them for nothing else.
PROJECTS = (".", "client")
FOLDERS = (str(ROOT), str(ROOT / "client"))
UV = [sys.executable, "-m", "uv", "pip", "install"]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
#: Where each step takes its packages from: the lock files, then the folders of ours.
STEPS = ("build.lock", "dev.lock", "client")
Command = list[str]
Install = Callable[..., tuple[int, list[Command]]]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Run the program without its commands; some fail. Returns its exit code and the commands."""

    def install(
        *arguments: str,
        fails: Callable[[Command], bool] = lambda command: False,
        prefix: str = f"{sys.base_prefix}/environment",
    ) -> tuple[int, list[Command]]:
        commands: list[Command] = []

        def run(command: Command, *, check: bool) -> "subprocess.CompletedProcess[str]":
            commands.append(command)
            return subprocess.CompletedProcess(command, returncode=int(fails(command)))

        monkeypatch.setattr(subprocess, "run", run)
        monkeypatch.setattr(sys, "argv", [str(INSTALL), *arguments])
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, "prefix", prefix)
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(INSTALL), run_name="__main__")
        return int(ended.value.code or 0), commands

    return install


def is_with(tool: Command, command: Command) -> bool:
    return command[: len(tool)] == tool


def is_step(command: Command) -> bool:
    """Whether it installs what was asked for, and not uv itself."""
    return not command[-1].endswith("installer.lock")


def last_names(commands: list[Command]) -> tuple[str, ...]:
    return tuple(Path(command[-1]).name for command in commands)


def test_uv_itself_comes_by_hash_and_never_from_source(install: Install) -> None:
    _, [first, *others] = install("dev", *PROJECTS)
    assert is_with(PIP, first)
    assert first[-2:] == ["-r", str(INSTALL.with_name("installer.lock"))]
    assert "--require-hashes" in first
    assert first[first.index("--only-binary") + 1] == ":all:"
    assert all(is_with(UV, each) and is_step(each) for each in others)


@pytest.mark.parametrize("uv_works", [True, False])
@pytest.mark.parametrize("lock", ["run", "otel", "dev", "test", "docs"])
def test_whatever_comes_from_an_index_has_a_hash_and_ours_brings_nothing(
    install: Install, lock: str, uv_works: bool
) -> None:
    """Build tools are there first: nothing is built in an environment that an index fills."""
    code, commands = install(lock, *PROJECTS, fails=lambda each: not uv_works and "uv" in each)
    assert code == 0
    *locked, ours = [each for each in commands if is_step(each)][-3:]
    for command, file in zip(locked, ("build.lock", f"{lock}.lock"), strict=True):
        assert command[-2:] == ["-r", str(INSTALL.with_name(file))]
        assert {"--require-hashes", "--no-build-isolation"} <= set(command)
    assert tuple(ours[-2:]) == FOLDERS
    assert {"--no-deps", "--no-build-isolation"} <= set(ours)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_with_uv_lets_pip_do_all_of_them(install: Install, step: str) -> None:
    def fails(command: Command) -> bool:
        return is_with(UV, command) and Path(command[-1]).name == step

    code, commands = install("dev", *PROJECTS, fails=fails)
    by_uv = [each for each in commands if is_with(UV, each)]
    by_pip = [each for each in commands if is_with(PIP, each) and is_step(each)]
    assert code == 0
    assert last_names(by_uv) == STEPS[: STEPS.index(step) + 1]
    assert last_names(by_pip) == STEPS
    assert commands[-3:] == by_pip


def test_without_uv_pip_does_all_steps(install: Install) -> None:
    code, commands = install("dev", *PROJECTS, fails=lambda command: not is_step(command))
    assert code == 0
    assert not [each for each in commands if is_with(UV, each)]
    assert last_names([each for each in commands if is_step(each)]) == STEPS


@pytest.mark.parametrize("step", STEPS)
def test_what_pip_cannot_install_either_is_an_error(install: Install, step: str) -> None:
    code, commands = install("dev", *PROJECTS, fails=lambda each: Path(each[-1]).name == step)
    assert code == 1
    assert last_names(commands)[-1] == step, "nothing is installed after it"


def test_each_project_is_editable_where_that_is_asked_for(install: Install) -> None:
    _, commands = install("dev", "--editable", *PROJECTS)
    assert commands[-1][-4:] == ["--editable", FOLDERS[0], "--editable", FOLDERS[1]]


@pytest.mark.parametrize("project", ["payd-service", "payd_client-0.1.0-py3-none-any.whl"])
def test_what_is_not_there_is_refused_and_not_asked_of_an_index(
    install: Install, capsys: pytest.CaptureFixture[str], project: str
) -> None:
    assert install("dev", project) == (2, [])
    assert f"{project}: no such folder or wheel" in capsys.readouterr().err


def test_without_a_virtual_environment_nothing_is_installed(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    code, commands = install("dev", *PROJECTS, prefix=sys.base_prefix)
    assert (code, commands) == (2, [])
    assert "virtual environment" in capsys.readouterr().err

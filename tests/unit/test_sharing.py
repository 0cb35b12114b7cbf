"""How a consumer names its application: alike in each release, apart for two programs."""

import runpy
from pathlib import Path

import pytest

PROGRAM = """
from payd_client.sharing import application_of


async def on_event(event, connection):
    ...


name = application_of(on_event)
"""


@pytest.fixture
def releases(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders with the same programs."""
    folders = tmp_path / "41", tmp_path / "42"
    for folder in folders:
        (folder / "shop").mkdir(parents=True)
        for file in ("app.py", "mails.py", "shop/__init__.py", "shop/worker.py"):
            (folder / file).write_text(PROGRAM)
    return folders


def started_as_a_file(path: Path) -> str:
    return str(runpy.run_path(str(path), run_name="__main__")["name"])


def started_as_a_module(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    with monkeypatch.context() as patch:
        patch.syspath_prepend(folder)
        return str(runpy.run_module(name, run_name="__main__", alter_sys=True)["name"])


def test_two_releases_of_a_program_are_one_application(releases: tuple[Path, Path]) -> None:
    names = [started_as_a_file(folder / "app.py") for folder in releases]
    assert names == ["app.py:on_event", "app.py:on_event"]


def test_a_program_that_was_started_as_a_module_has_the_modules_name(
    releases: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = started_as_a_module("shop.worker", releases[0], monkeypatch)
    assert name == "shop.worker:on_event"


def test_two_programs_are_two_applications(releases: tuple[Path, Path]) -> None:
    assert started_as_a_file(releases[0] / "app.py") != started_as_a_file(releases[0] / "mails.py")

"""`payd clock`: what it asks of `payd dev --clock`, and what it prints."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from click.testing import CliRunner, Result

from payd.cli.main import main
from payd.cli.typed import Span

SHOWN = {"time": "2026-12-01T16:37:56.000001Z", "ahead_s": 88260.0, "is_frozen": False}


class Desk:
    """A state directory with a clock that gives one answer and keeps what it was asked."""

    def __init__(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state = state
        self.answer = httpx.Response(200, json=SHOWN)
        self.asked: list[Any] = []
        state.mkdir()
        (state / "dev.json").write_text(json.dumps({"clock": "http://127.0.0.1:7"}))
        monkeypatch.setattr("httpx.request", self._request)

    def _request(self, method: str, url: str, **more: Any) -> httpx.Response:
        self.asked.append((method, url, more["json"]))
        return self.answer

    def clock(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["clock", *arguments, "--state-dir", str(self.state)])


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path / "state", monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (("now",), ("GET", "http://127.0.0.1:7/", None)),
        (("advance", "31m"), ("POST", "http://127.0.0.1:7/advance", {"seconds": 1860.0})),
        (("advance", "1d12h"), ("POST", "http://127.0.0.1:7/advance", {"seconds": 129600.0})),
        (("freeze",), ("POST", "http://127.0.0.1:7/freeze", None)),
        (("run",), ("POST", "http://127.0.0.1:7/run", None)),
    ],
)
def test_each_command_is_one_request(desk: Desk, arguments: tuple[str, ...], asked: Any) -> None:
    done = desk.clock(*arguments)
    assert done.output == "2026-12-01 16:37:56 UTC, 1 day, 0:31:00 ahead\n"
    assert desk.asked == [asked]


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ({"ahead_s": 0.2}, "2026-12-01 16:37:56 UTC\n"),
        ({"ahead_s": -600.0, "is_frozen": True}, "UTC, 0:10:00 behind, frozen\n"),
    ],
)
def test_it_says_how_far_the_clock_is_from_the_systems(
    desk: Desk, shown: dict[str, Any], printed: str
) -> None:
    desk.answer = httpx.Response(200, json=SHOWN | shown)
    assert desk.clock("now").output.endswith(printed)


def test_json_is_what_the_clock_answers(desk: Desk) -> None:
    assert json.loads(desk.clock("now", "--json").stdout) == SHOWN


def test_a_refusal_is_printed_as_it_is(desk: Desk) -> None:
    desk.answer = httpx.Response(409, json={"detail": "the companion of acme is away"})
    refused = desk.clock("advance", "1h")
    assert (refused.exit_code, refused.stderr) == (1, "Error: the companion of acme is away\n")


def test_the_time_does_not_go_back(desk: Desk) -> None:
    refused = desk.clock("advance", "-5m")
    assert refused.exit_code == 2
    assert "'-5m' is not a span like 90s, 31m, 24h or 1d12h" in refused.stderr


def test_what_is_no_clock_is_named(desk: Desk) -> None:
    desk.answer = httpx.Response(200, text="<html>")
    refused = desk.clock("now")
    assert refused.exit_code == 1
    assert "the clock at http://127.0.0.1:7 does not answer" in refused.stderr


@pytest.mark.parametrize("text", ["", "1", "m", "31 m", "-1m", "1w", "1m1", "9" * 20 + "d"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Span().convert(text, None, None)


def test_a_span_is_the_sum_of_its_parts() -> None:
    assert Span().convert("1d2h3m4s", None, None) == timedelta(
        days=1, hours=2, minutes=3, seconds=4
    )

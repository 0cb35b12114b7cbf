"""`payd clock`: show and move the time of `payd dev --clock`."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from payd.cli import render
from payd.cli.call import json_option
from payd.cli.target import dev_document, state_dir_option
from payd.cli.typed import Span

F = TypeVar("F", bound=Callable[..., Any])

#: Companions set their clocks meanwhile.
_TIMEOUT_S = 120.0


def _options(command: F) -> F:
    return json_option(state_dir_option(command))


@click.group()
def clock() -> None:
    """Move the time of `payd dev --clock`.

    payd, the companions and the local chain move together, and only forward. DURATION is a whole
    number with s, m, h or d, or several of them.
    """


@clock.command()
@_options
def now(state_dir: Path | None, as_json: bool) -> None:
    """Show the time."""
    _show(_ask(state_dir, "GET", "/"), as_json)


# A negative span is no option, but a span that is refused.
@clock.command(context_settings={"ignore_unknown_options": True})
@click.argument("span", metavar="DURATION", type=Span())
@_options
def advance(span: timedelta, state_dir: Path | None, as_json: bool) -> None:
    """Move the time forward by DURATION, such as 31m or 1d12h.

    What is due by then happens at once: payments expire, quotes and refund windows end, scans and
    reconciliations run.
    """
    _show(_ask(state_dir, "POST", "/advance", {"seconds": span.total_seconds()}), as_json)


@clock.command()
@_options
def freeze(state_dir: Path | None, as_json: bool) -> None:
    """Let the time stand still. It can still be advanced."""
    _show(_ask(state_dir, "POST", "/freeze"), as_json)


@clock.command()
@_options
def run(state_dir: Path | None, as_json: bool) -> None:
    """Let the time run on from where it stands."""
    _show(_ask(state_dir, "POST", "/run"), as_json)


def _ask(state_dir: Path | None, method: str, path: str, body: object = None) -> Mapping[str, Any]:
    """Call the clock of a running `payd dev`. Raises click.ClickException."""
    import httpx

    document = dev_document(state_dir, "--state-dir")
    url = document.get("clock")
    if url is None:
        raise click.ClickException(
            "this `payd dev` has no clock to move: start it with payd dev --clock"
        )
    try:
        answer = httpx.request(
            method, f"{url}{path}", json=body, timeout=_TIMEOUT_S, trust_env=False
        )
        shown: Mapping[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise click.ClickException(f"the clock at {url} does not answer: {error}") from None
    if not answer.is_success:
        raise click.ClickException(str(shown.get("detail")))
    return shown


def _show(shown: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        render.as_json(shown)
        return
    seconds = round(shown["ahead_s"])
    ahead = f"{timedelta(seconds=abs(seconds))} {'ahead' if seconds > 0 else 'behind'}"
    words = [
        datetime.fromisoformat(shown["time"]).strftime("%Y-%m-%d %H:%M:%S UTC"),
        *([ahead] if seconds else []),
        *(["frozen"] if shown["is_frozen"] else []),
    ]
    click.echo(", ".join(words))

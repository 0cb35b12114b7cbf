"""`payd events create-stream`: create the streams that payd and its consumers need."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from payd.cli import render
from payd.cli.operate import read_config
from payd.cli.target import state_dir_option

if TYPE_CHECKING:
    from payd.adapters.nats.setup import StreamReport


@click.command("create-stream")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@state_dir_option
def create_stream(as_json: bool, state_dir: Path | None) -> None:
    """Create the streams of events and of dead letters; change nothing that exists.

    Exit 1 when a stream exists with other settings than the configuration's, or NATS refuses.
    """
    from payd.adapters.nats.setup import StreamSetupFailed
    from payd.daemon.builders import build_stream_setup

    config = read_config(state_dir)
    try:
        reports = asyncio.run(build_stream_setup(config).run())
    except StreamSetupFailed as error:
        raise click.ClickException(f"NATS at {_shown(config)}: {error}; {_advice(error)}") from None
    if as_json:
        render.as_json({"streams": [_document(report) for report in reports]})
    else:
        for report in reports:
            _show(report)
    if any(report.differences for report in reports):
        sys.exit(1)


def _state(report: "StreamReport") -> str:
    if report.created:
        return "created"
    return "different" if report.differences else "unchanged"


def _document(report: "StreamReport") -> dict[str, Any]:
    return {
        "name": report.name,
        "state": _state(report),
        "differences": [
            {"setting": found.setting, "is": found.actual, "wanted": found.wanted}
            for found in report.differences
        ],
    }


def _show(report: "StreamReport") -> None:
    said = {
        "created": "created",
        "unchanged": "exists with these settings",
        "different": "exists with other settings, and was left as it is:",
    }
    click.echo(f"{report.name} {said[_state(report)]}")
    for found in report.differences:
        click.echo(f"  {found.setting} is {found.actual}, not {found.wanted}")
    if report.differences:
        click.echo(
            f"  change the stream (`nats stream edit {report.name}`), "
            "or payd's settings nats.stream_replicas, nats.stream_max_age_days and "
            "nats.stream_max_bytes"
        )


def _shown(config: Any) -> str:
    from payd_client.events import shown

    return shown(config.nats.url)


def _advice(error: Exception) -> str:
    """What to check, by what the server said."""
    text = str(error)
    if "replicas" in text:
        return "a single server keeps one replica: set PAYD_NATS_STREAM_REPLICAS=1"
    if "storage" in text or "resources" in text:
        return "the server has no room: set PAYD_NATS_STREAM_MAX_BYTES lower, or give it more disk"
    if "permission" in text.lower() or "authorization" in text.lower():
        return "give payd's NATS user the right to $JS.API.STREAM.CREATE and INFO of both streams"
    return "check NATS_URL, and that the server runs with JetStream"

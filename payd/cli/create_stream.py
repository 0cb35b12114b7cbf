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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@state_dir_option
def create_stream(as_json: bool, state_dir: Path | None) -> None:
    """Create the event and dead-letter streams. Existing streams stay unchanged.

    Exits with 1 if a stream exists with settings that differ from the configuration, or if NATS
    refuses.
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
    result = {
        "created": "created",
        "unchanged": "already exists with these settings",
        "different": "already exists with other settings; it was not changed:",
    }
    click.echo(f"{report.name} {result[_state(report)]}")
    for found in report.differences:
        click.echo(f"  {found.setting} is {found.actual}, expected {found.wanted}")
    if report.differences:
        click.echo(
            f"  edit the stream (`nats stream edit {report.name}`), "
            "or set nats.stream_replicas, nats.stream_max_age_days and nats.stream_max_bytes"
        )


def _shown(config: Any) -> str:
    from payd_client.events import shown

    return shown(config.nats.url)


def _advice(error: Exception) -> str:
    """Derive advice from the server's error text."""
    text = str(error)
    if "replicas" in text:
        return "a single server supports one replica: set PAYD_NATS_STREAM_REPLICAS=1"
    if "storage" in text or "resources" in text:
        return "not enough disk space: lower PAYD_NATS_STREAM_MAX_BYTES, or add disk space"
    if "permission" in text.lower() or "authorization" in text.lower():
        return "allow payd's NATS user to use $JS.API.STREAM.CREATE and INFO of both streams"
    return "check NATS_URL, and that JetStream is enabled on the server"

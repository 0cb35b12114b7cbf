"""`payd payments watch`: one line for every version of a payment, until it has ended."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from payd.cli import render
from payd.cli.call import run
from payd.cli.target import find_target, target_options

if TYPE_CHECKING:
    from payd_client import PaymentClient


@click.command()
@click.argument("payment_id")
@click.option(
    "--linger",
    "linger_s",
    type=click.FloatRange(min=0, max=3600),
    default=0.0,
    show_default=True,
    help="Seconds to go on after a final status.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line.")
@target_options
def watch(payment_id: str, linger_s: float, as_json: bool, **target: Path | str | None) -> None:
    """Show a payment's state and every change of it, until a final status.

    It goes on while payd restarts. Exits with 1 if payd stays away for a minute.
    """

    async def follow(client: "PaymentClient") -> None:
        linger = timedelta(seconds=linger_s)
        async with client.watch(payment_id, linger=linger) as versions:
            async for payment in versions:
                document = render.message_json(payment.message)
                click.echo(json.dumps(document) if as_json else _line(document))

    run(find_target(**target), follow, as_json)  # type: ignore[arg-type]  # options, by name


def _line(document: Mapping[str, Any]) -> str:
    status = render.status(document["status"])
    amounts = f"{render.amount(document['received'])} of {render.amount(document['amount'])}"
    refunded = document.get("refunded", {})
    back = int(refunded.get("minor_units", 0))
    return "  ".join(
        (
            document["update_time"],
            f"version {document['version']}",
            status,
            f"received {amounts}",
            *((f"refunded {render.amount(refunded)}",) if back else ()),
            *document["attention"],
        )
    )

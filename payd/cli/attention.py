"""`payd attention`: list what a person has to look at, and settle it."""

from collections.abc import Sequence
from typing import Any

import click

from payd.cli import payment_view, render
from payd.cli.call import json_option, run
from payd.cli.payment_lists import list_attention
from payd.cli.refunds import note_option
from payd.cli.target import find_operator, operator_options


@click.group()
def attention() -> None:
    """List what a person has to look at, and settle it."""


attention.add_command(list_attention)


@attention.command()
@click.argument("payment_id")
@click.argument("reasons", nargs=-1, metavar="[REASON]...")
@note_option
@click.option(
    "--version",
    "expected_version",
    type=click.IntRange(min=0),
    default=0,
    help="Refuse if the payment has another version by now.",
)
@json_option
@operator_options
def resolve(
    payment_id: str,
    reasons: Sequence[str],
    note: str,
    expected_version: int,
    as_json: bool,
    **target: Any,
) -> None:
    """Resolve these reasons for attention, or all that are open. For operators.

    New facts open a resolved reason again.
    """
    answer = run(
        find_operator(**target),
        lambda client: client.resolve_attention(
            payment_id, note, reasons=reasons, expected_version=expected_version
        ),
        as_json,
    )
    document = render.message_json(answer.message)
    if as_json:
        render.as_json(document)
    else:
        payment_view.payment(document)

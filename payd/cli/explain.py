"""`payd explain` and `payd payments sync`: why a payment stands so, and ask its provider now."""

from datetime import UTC, datetime
from typing import Any

import click

from payd.cli import explain_view, payment_view, render
from payd.cli.call import json_option, run
from payd.cli.target import find_target, target_options


class Moment(click.ParamType[datetime]):
    """Parameter type: an ISO 8601 time. A time without a zone is local."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return an aware datetime."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not an ISO time like 2026-11-23T12:30", param, ctx)


@click.command()
@click.argument("payment_id")
@click.option(
    "--at",
    "at_time",
    type=Moment(),
    help="Explain it as payd knew it at this ISO 8601 time; local without a zone.",
)
@json_option
@target_options
def explain(payment_id: str, at_time: datetime | None, as_json: bool, **target: Any) -> None:
    """Say what happened to a payment and why, what it waits for, and what to do."""
    found = find_target(**target)
    answer = run(found, lambda client: client.explain(payment_id, at_time=at_time), as_json)
    document = render.message_json(answer.message)
    if as_json:
        render.as_json(document)
    else:
        explain_view.explanation(document, found.options)


@click.command()
@click.argument("payment_id")
@json_option
@target_options
def sync(payment_id: str, as_json: bool, **target: Any) -> None:
    """Ask the provider about a payment now, instead of at the next status check."""
    answer = run(find_target(**target), lambda client: client.sync(payment_id), as_json)
    document = render.message_json(answer.message)
    if as_json:
        render.as_json(document)
    else:
        payment_view.payment(document)

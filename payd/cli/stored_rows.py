"""`payd payments rows`: the rows of a payment as the database has them."""

import json
from typing import Any

import click

from payd.cli import render
from payd.cli.call import json_option, run
from payd.cli.target import find_operator, operator_options


@click.command("rows")
@click.argument("payment_id")
@json_option
@operator_options
def stored_rows(payment_id: str, as_json: bool, **target: Any) -> None:
    """Print a payment's rows of every table, newest last. For operators.

    They are at most 200 of a table, and 1 MiB in all.
    """
    tables = run(find_operator(**target), lambda client: client.stored_rows(payment_id), as_json)
    if as_json:
        render.as_json({one.name: [dict(row) for row in one.rows] for one in tables})
        return
    for one in tables:
        click.secho(one.name, bold=True)
        if one.has_more:
            click.echo("  older rows are left out")
        for row in one.rows:
            click.echo(f"  {json.dumps(row, ensure_ascii=False)}")

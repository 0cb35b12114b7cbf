"""`payd reconciliations`: results of comparing the providers' objects with payments."""

from typing import TYPE_CHECKING, Any

import click

from payd.cli import render
from payd.cli.call import first, json_option, run
from payd.cli.target import find_operator, operator_options

if TYPE_CHECKING:
    from payd_client import PaymentClient, Reconciliation

_PAGE_MAX = 200


@click.command()
@click.option("--provider", default="", help="Results of this provider only: stripe, tempo, …")
@click.option(
    "--count",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    help="Number of results to show.",
)
@json_option
@operator_options
def reconciliations(provider: str, count: int, as_json: bool, **target: Any) -> None:
    """Show the latest reconciliations, newest first, with their findings. For operators."""

    async def read(client: "PaymentClient") -> "list[Reconciliation]":
        size = min(count, _PAGE_MAX)
        return await first(count, client.list_reconciliations(provider, page_size=size))

    found = run(find_operator(**target), read, as_json)
    documents = [render.message_json(one.message) for one in found]
    if as_json:
        render.as_json({"reconciliations": documents})
        return
    render.table(
        ("ended", "provider", "objects", "payments", "findings"),
        [
            (
                one["end_time"],
                one["provider"],
                str(one["objects"]),
                str(one["payments"]),
                str(len(one["findings"])),
            )
            for one in documents
        ],
    )
    findings = [(one["end_time"], finding) for one in documents for finding in one["findings"]]
    if findings:
        click.echo()
        render.table(
            ("ended", "finding", "object", "payment", "detail"),
            [(t, f["kind"], f["reference"], f["payment_id"], f["detail"]) for t, f in findings],
        )

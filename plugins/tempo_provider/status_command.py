"""`payd tempo status`: whether the chain, its endpoints and tokens are as payd needs them."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
import trio

from payd.plugins import CommandContext
from tempo_provider.status import read_status

_WIDTH = 20


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def status(context: CommandContext, as_json: bool) -> None:
    """Show the chain, its endpoints and tokens, and how far payd has read.

    Exits with 1 if the endpoints are too few or disagree, or if a token cannot be used.
    """
    document = trio.run(read_status, context.config, context.get_metrics())
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo("\n".join(lines_of(document)))
    sys.exit(0 if is_well(document) else 1)


def is_well(document: Mapping[str, Any]) -> bool:
    """Whether enough endpoints agree, none disagrees, and every token can be used."""
    endpoints = [one["state"] for one in document["endpoints"]]
    wrong = [one for one in endpoints if one.startswith(("disagrees", "of chain"))]
    tokens = [one["state"] for one in document["tokens"]]
    return (
        endpoints.count("agrees") >= document["quorum"]
        and not wrong
        and all(one == "ok" for one in tokens)
    )


def lines_of(document: Mapping[str, Any]) -> Iterator[str]:
    """The document as aligned text."""
    tests = {True: "", False: " (payd was not tested with it)", None: "unknown"}
    tested = tests[document["fork_is_tested"]]
    network = document["network"] or "unknown"
    pairs = [
        ("network", f"{network}, chain {document['chain_id']}"),
        ("fork", f"{document['fork']}{tested}"),
        ("head block", document["head_block"]),
        ("final block", _final(document)),
        ("payd has read", _read(document)),
        ("poll", _poll(document)),
        ("unmatched receipts", _number(document["unmatched_receipts"])),
    ]
    for name, value in pairs:
        yield f"{name:<{_WIDTH}}{'unknown' if value is None else value}"
    yield ""
    yield f"endpoints, of which {document['quorum']} must agree"
    yield from _rows([_endpoint(one) for one in document["endpoints"]])
    yield ""
    yield "tokens"
    yield from _rows([_token(one) for one in document["tokens"]])


def _final(document: Mapping[str, Any]) -> str | None:
    block, age_s = document["final_block"], document["final_age_s"]
    if block is None:
        return None
    if age_s is None:
        return str(block)
    age = f"{age_s:g} s old" if age_s >= 0 else f"{-age_s:g} s ahead of this machine's clock"
    return f"{block}, {age}"


def _read(document: Mapping[str, Any]) -> str:
    block, lag = document["watch_block"], document["watch_lag_blocks"]
    if block is None:
        return "unknown: no daemon on this machine reads the chain"
    return f"block {_number(block)}, {_number(lag)} blocks behind"


def _poll(document: Mapping[str, Any]) -> str:
    poll_s, within_s = document["poll_interval_s"], document["completes_within_s"]
    return f"every {poll_s:g} s: a payment completes within about {within_s:g} s"


def _endpoint(one: Mapping[str, Any]) -> tuple[str, ...]:
    limit = one["limit"]
    budget = "no known limit" if limit is None else f"{one['remaining']} of {limit} requests left"
    batches = "" if one["takes_batches"] else "no batches"
    final = "" if one["final_block"] is None else f"final {one['final_block']}"
    return one["name"], one["state"], final, budget, batches, one["detail"]


def _token(one: Mapping[str, Any]) -> tuple[str, ...]:
    policy = "" if one["transfer_policy"] is None else f"policy {one['transfer_policy']}"
    return one["code"], one["address"], one["currency"], policy, one["state"], one["detail"]


def _rows(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True) if width]
        yield "  " + "  ".join(cells).rstrip()


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f}"

"""Print results: aligned text, with colour on a terminal, or one JSON document."""

import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

#: Width of a table in a pipe: wider than any row, so that a program gets whole rows.
_PIPE_WIDTH = 10_000
_SHOW_TITLE = {"QR": "scan this code", "BANK_TRANSFER": "bank transfer", "TEXT": "instructions"}
_STATUS_STYLE = {
    "COMPLETED": "green",
    "FAILED": "red",
    "EXPIRED": "yellow",
    "CANCELED": "yellow",
}


def program() -> str:
    """Return how this program was called, such as `.venv/bin/payd`, for commands to copy."""
    called = Path(sys.argv[0])
    if called.name != "payd" or len(called.parts) == 1 or shutil.which("payd") == str(called):
        return "payd"
    here = Path.cwd()
    return str(called.relative_to(here) if called.is_relative_to(here) else called)


def as_json(document: object) -> None:
    """Print one JSON document on stdout."""
    click.echo(json.dumps(document, indent=2, default=str, ensure_ascii=False))


def refuse(errors: BaseExceptionGroup[BaseException]) -> NoReturn:
    """Print the first exception of a group, at any depth, and exit with 1."""
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    cause = f": {first.__cause__}" if first.__cause__ else ""
    click.echo(f"Error: {first}{cause}", err=True)
    sys.exit(1)


def message_json(message: Any) -> dict[str, Any]:
    """Convert a proto message to proto3 JSON with the proto's field names."""
    from google.protobuf.json_format import MessageToDict

    document: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return document


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Print aligned names and values; empty values are left out."""
    shown = [(name, str(value)) for name, value in pairs if value not in (None, "", [], ())]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{click.style(name.ljust(width), dim=True)}  {value}")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns, or a block of lines per row if the terminal is too narrow.

    Values are never shortened or wrapped, because people copy ids and amounts.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        grid.add_column(Text(heading), no_wrap=True)
    for row in rows:
        # Text, because rich takes "[…]" in a str for markup and removes it.
        grid.add_row(*map(Text, row))
    if console.measure(grid).maximum < console.width or not rows:
        # Printed by click, because rich itself ends the process when a pipe is closed.
        with console.capture() as lines:
            console.print(grid)
        click.echo(lines.get(), nl=False)
        return
    for number, row in enumerate(rows):
        if number:
            click.echo()
        fields(zip(headings, row, strict=True))


def status(name: str) -> str:
    """Return a payment status in its colour."""
    plain = name.removeprefix("PAYMENT_STATUS_")
    return click.style(plain, fg=_STATUS_STYLE.get(plain, "cyan"), bold=True)


def amount(money: Mapping[str, Any]) -> str:
    """Format a Money message: `149.00 USD`."""
    return f"{number(money)} {money['currency_code']}"


def number(money: Mapping[str, Any]) -> str:
    """Format a Money message without its currency: `149.00`."""
    from payd.domain.decimals import format_units
    from payd.domain.money import currency_exponent

    digits = currency_exponent(str(money["currency_code"]))
    return format_units(int(money["minor_units"]), digits)


#: Token address in lower case → currency code and number of decimals.
Tokens = Mapping[str, tuple[str, int]]


def units(asset: str, number: int, tokens: Tokens) -> str:
    """Format an amount in an asset: `149.00 USD` or `149.000000 USDC`.

    The asset is an ISO 4217 code or a token address. The decimals of a token that is not in
    `tokens` are unknown, so its amount is shown in base units.
    """
    from payd.domain.money import currency_exponent

    if asset.lower() in tokens:
        name, decimals = tokens[asset.lower()]
        return _decimal(number, decimals, name)
    if asset.startswith("0x"):
        return f"{number} base units"
    return _decimal(number, currency_exponent(asset), asset)


def base_units(receipt: Mapping[str, Any]) -> str:
    """Format the amount of a Receipt message; of an unknown token in base units."""
    number = int(receipt["amount_base_units"])
    if not receipt["currency"]:
        return f"{number} base units"
    return _decimal(number, receipt["decimals"], receipt["currency"])


def _decimal(number: int, digits: int, name: str) -> str:
    from payd.domain.decimals import format_units

    return f"{format_units(number, digits)} {name}"


def tokens(transfer: Mapping[str, Any]) -> str:
    """Format the amount of a crypto transfer: `149.000000 USDC`."""
    number, decimals = int(transfer["amount_base_units"]), int(transfer["decimals"])
    return _decimal(number, decimals, transfer["currency"])


def transfer(action: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Fields of a token transfer that a person has to make."""
    for name, value in action.get("crypto_transfer", {}).items():
        if name not in ("memo_text", "wallet_request") or value:
            yield f"transfer {name}", str(value)
    if text := action.get("crypto_transfer", {}).get("memo_text"):
        yield "memo in groups", " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def instructions(action: Mapping[str, Any], *, is_open: bool = True) -> None:
    """Print what a person has to send, as a block of its own; a QR code only while it is open.

    Values are printed whole and unchanged, because people copy them.
    """
    show = action.get("show")
    if show is None:
        return
    kind = show["kind"].removeprefix("SHOW_KIND_")
    title = _SHOW_TITLE.get(kind, kind.lower())
    click.echo(f"\n{click.style(title, bold=True)}")
    text = [("text", show["payload"]), ("valid until", show.get("expire_time"))]
    fields([*((field["label"], field["value"]) for field in show["fields"]), *text])
    if kind == "QR" and is_open:
        qr_code(show["payload"])


def qr_code(text: str) -> None:
    """Print a QR code for a phone's camera; only on a terminal."""
    if not sys.stdout.isatty():
        return
    import segno

    click.echo()
    segno.make(text, error="m").terminal(compact=True)

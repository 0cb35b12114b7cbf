"""Call the daemon: connect, act, and print what it refuses."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

import click

from payd.cli import render
from payd.cli.target import Target

if TYPE_CHECKING:
    from payd_client import PaymentClient

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def run(target: Target, act: Callable[["PaymentClient"], Awaitable[T]], as_json: bool) -> T:
    """Connect and act; print an error and exit with 1."""
    from payd_client import CredentialsUnavailable, PaydClientError, PaymentClient, TlsFiles

    async def connected() -> T:
        tls = TlsFiles(ca=target.ca, cert=target.cert, key=target.key)
        async with PaymentClient(target.address, tls) as client:
            return await act(client)

    try:
        return asyncio.run(connected())
    except PaydClientError as error:
        print_error(error, as_json)
    except (CredentialsUnavailable, ValueError) as error:
        print_error(PaydClientError("UNAVAILABLE", str(error)), as_json)
    sys.exit(1)


async def first(count: int, listed: AsyncGenerator[T, None]) -> list[T]:
    """Return at most so many elements of a list, and read no page beyond them."""
    found: list[T] = []
    async with aclosing(listed) as elements:
        async for one in elements:
            found.append(one)
            if len(found) == count:
                break
    return found


def print_error(error: Any, as_json: bool) -> None:
    """Print an error of the client, with its values and when to try again."""
    if as_json:
        names = ("code", "reason", "message", "metadata", "retry_after_s", "request_id")
        render.as_json({"error": {name: getattr(error, name) for name in names}})
        return
    click.echo(f"{click.style(error.reason or error.code, fg='red')}: {error.message}", err=True)
    for name, value in error.metadata.items():
        click.echo(f"  {name}: {value}", err=True)
    if error.retry_after_s is not None:
        click.echo(f"  retry in {error.retry_after_s:g} s with the same idempotency key", err=True)
    if error.request_id:
        click.echo(f"  request id: {error.request_id}", err=True)

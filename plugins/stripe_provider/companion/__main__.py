"""Run the stand-in as its own process; one JSON line on stdout has its URL."""

import json
from functools import partial
from pathlib import Path

import click
import trio

from stripe_provider.companion.app import StandIn, open_stand_in


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--port",
    type=int,
    default=0,
    show_default=True,
    help="Port to listen on; 0 chooses a free one.",
)
@click.option("--secret-key", required=True, help="Secret key that API requests must have.")
@click.option("--webhook-secret", required=True, help="Secret that signs webhooks.")
@click.option("--webhook-url", default=None, help="URL that receives webhooks.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=None,
    help="SQLite file for the state; in memory without it.",
)
def main(
    host: str,
    port: int,
    secret_key: str,
    webhook_secret: str,
    webhook_url: str | None,
    state: Path | None,
) -> None:
    """Run a stand-in for Stripe until it is stopped."""
    start = partial(
        open_stand_in,
        host,
        port,
        secret_key=secret_key,
        webhook_secret=webhook_secret,
        webhook_url=webhook_url,
        state_file=state,
    )

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            stand_in: StandIn = await nursery.start(start)
            click.echo(json.dumps({"url": stand_in.url}))

    trio.run(run)


if __name__ == "__main__":
    main()

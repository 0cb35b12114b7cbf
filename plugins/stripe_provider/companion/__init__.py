"""A stand-in for Stripe's API, hosted checkout page and webhooks, for `payd dev` and tests.

It serves the same HTTP API as Stripe, so that the provider under test is the one that runs in
production. No money moves; `/_control/` injects faults. Start it with `app.open_stand_in`, or as
its own process: `python -m stripe_provider.companion`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from payd.plugins import Companion, CompanionContext, RunningCompanion

__all__ = ["COMPANION"]

_USUAL_PORT = 52111


@asynccontextmanager
async def _open(context: CompanionContext) -> AsyncIterator[RunningCompanion]:
    # Quart and Stripe's SDK take half a second to import.
    from stripe_provider.companion.app import open_stand_in

    secret_key = f"sk_test_{context.secret('secret_key')}"
    webhook_secret = context.settings["webhook_secret"]
    start = partial(
        open_stand_in,
        context.host,
        context.port("api", _USUAL_PORT),
        secret_key=secret_key,
        webhook_secret=webhook_secret,
        webhook_url=context.webhook_url,
        state_file=context.folder / "stripe.sqlite3",
        wall=lambda: context.clock.now().timestamp(),
    )
    async with trio.open_nursery() as nursery:
        stand_in = await nursery.start(start)
        yield RunningCompanion(
            settings={"api_base": stand_in.url, "secret_key": secret_key},
            announced={"api": stand_in.url, "webhook_secret": webhook_secret},
            banner=(context.pay_command("card"),),
            shop=f"{stand_in.url}/shop",
        )
        nursery.cancel_scope.cancel()


COMPANION = Companion(
    open=_open,
    replaces=("api_base", "secret_key"),
    # Also for Stripe itself, whose webhooks cannot reach a development machine: the scan finds
    # what they would have delivered.
    generated={"webhook_secret": "whsec_"},
)

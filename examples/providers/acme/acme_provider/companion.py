"""The fake API as a companion: `payd dev` starts it while no account of Acme's is configured."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from acme_provider.fake_api import FakeAcme
from acme_provider.fake_server import serving
from payd.plugins import Companion, CompanionContext, RunningCompanion

_USUAL_PORT = 8099


@asynccontextmanager
async def open_companion(context: CompanionContext) -> AsyncIterator[RunningCompanion]:
    """Serve the fake API until the end of the block."""
    await trio.lowlevel.checkpoint()
    acme = FakeAcme(
        api_key=f"key-{context.secret('api_key')}",
        webhook_secret=f"secret-{context.secret('webhook_secret')}",
        webhook_url=context.webhook_url,
        clock=lambda: context.clock.now().timestamp(),
    )
    with serving(acme, context.port("api", _USUAL_PORT)):
        yield RunningCompanion(
            settings={
                "api_base": acme.url,
                "api_key": acme.api_key,
                "webhook_secret": acme.webhook_secret,
            },
            announced={"api": acme.url},
            banner=(context.pay_command("acme"),),
        )


COMPANION = Companion(open=open_companion, replaces=("api_base", "api_key", "webhook_secret"))

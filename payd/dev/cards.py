"""Who takes cards in `payd dev`: Stripe with a real test key, its stand-in, or the mock."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

import attrs
import trio

from payd.config import installed_providers, load_config, parse_switch
from payd.daemon.preflight import enabled_plugins
from payd.dev.ports import HOST
from payd.dev.state import StateDir
from payd.providers.loader import PluginError, methods_of

CARD = "card"
_STRIPE = "stripe"


@attrs.frozen(kw_only=True)
class Cards:
    """What the daemon's environment and dev.json hear of it."""

    environment: Mapping[str, str]
    #: Of dev.json; empty where no stand-in runs.
    announced: Mapping[str, str]


@asynccontextmanager
async def cards(
    state: StateDir, ports: Mapping[str, int], environ: Mapping[str, str]
) -> AsyncIterator[Cards]:
    """Settings of the Stripe provider; its stand-in runs until the end of the block."""
    if _STRIPE not in installed_providers() or not _is_wanted(environ):
        yield Cards(environment={}, announced={})
    elif _has_key(environ):
        # Stripe cannot reach this machine: the scan and the looks find what it has to say.
        secret = {"STRIPE_WEBHOOK_SECRET": f"whsec_{state.secret('stripe_webhook')}"}
        given = {"STRIPE_WEBHOOK_SECRET", "STRIPE_WEBHOOK_SECRET_FILE"} & environ.keys()
        settings = {"STRIPE_ENABLED": "true"} | ({} if given else secret)
        yield Cards(environment=settings, announced={})
    else:
        async with _stand_in(state, ports) as standing:
            yield standing


@asynccontextmanager
async def _stand_in(state: StateDir, ports: Mapping[str, int]) -> AsyncIterator[Cards]:
    # It reads Stripe's SDK, which comes with the provider's wheel.
    from stripe_provider.companion.app import open_stand_in

    secret_key = f"sk_test_{state.secret('stripe')}"
    webhook_secret = f"whsec_{state.secret('stripe_webhook')}"
    start = partial(
        open_stand_in,
        HOST,
        ports["stripe"],
        secret_key=secret_key,
        webhook_secret=webhook_secret,
        webhook_url=f"http://{HOST}:{ports['http']}/webhooks/stripe",
        state_file=state.data / "stripe.sqlite3",
    )
    async with trio.open_nursery() as nursery:
        stand_in = await nursery.start(start)
        yield Cards(
            environment={
                "STRIPE_ENABLED": "true",
                "STRIPE_API_BASE": stand_in.url,
                "STRIPE_SECRET_KEY": secret_key,
                "STRIPE_WEBHOOK_SECRET": webhook_secret,
            },
            announced={"stripe_api": stand_in.url, "stripe_webhook_secret": webhook_secret},
        )
        nursery.cancel_scope.cancel()


def mock_methods(environ: Mapping[str, str]) -> str:
    """The mock takes cards only while nobody else does."""
    config = load_config({**environ, "MOCK_METHODS": "mock"}, None)
    for plugin in enabled_plugins(config):
        try:
            methods = methods_of(plugin)
        except PluginError:
            # It cannot start, and the daemon will say why.
            continue
        if any(method.key == CARD for method in methods):
            return "mock"
    return "mock,card"


def _is_wanted(environ: Mapping[str, str]) -> bool:
    return parse_switch(environ.get("STRIPE_ENABLED", "true"))


def _has_key(environ: Mapping[str, str]) -> bool:
    return bool(environ.keys() & {"STRIPE_SECRET_KEY", "STRIPE_SECRET_KEY_FILE"})

"""`python -m main_app`: run the HTTP server and the event consumer until SIGTERM."""

import logging
import signal
import sys

import httpx
import trio
import trio_asyncio
from hypercorn.config import Config
from hypercorn.trio import serve
from payd_client import EventConsumer, PaymentClient
from quart_trio import QuartTrio

from main_app import store
from main_app.activation import Activation
from main_app.api import Parts, build_api
from main_app.checkout import Checkouts
from main_app.database import open_database
from main_app.methods import Methods
from main_app.refunds import Refunds
from main_app.settings import SettingMissing, Settings, read_settings

_log = logging.getLogger("main_app")


async def run(settings: Settings) -> None:
    """Wait for SIGINT or SIGTERM."""
    async with (
        trio_asyncio.open_loop(),
        open_database(settings.database_url) as database,
        PaymentClient(settings.payd_grpc, settings.tls) as payd,
        httpx.AsyncClient(base_url=settings.payd_http, timeout=5) as payd_http,
        trio.open_nursery() as nursery,
    ):
        for user_id, token in settings.users.items():
            await database.run(store.add_user, user_id, token)
        for user_id, token in settings.staff.items():
            await database.run(store.add_user, user_id, token, is_staff=True)
        consumer = EventConsumer(settings.events, Activation(database).handle)
        home = settings.public_url
        app = build_api(
            Parts(
                database=database,
                checkouts=Checkouts(database, payd),
                refunds=Refunds(database, payd),
                methods=Methods(payd_http),
                home=home,
            )
        )
        stop = trio.Event()
        nursery.start_soon(consumer.run)
        nursery.start_soon(_until_signal, stop)
        config = Config()
        config.bind = [f"{settings.host}:{settings.port}"]
        config.errorlog = "-"
        bound = await nursery.start(_serve, app, config, stop)
        _log.info("listening on %s", bound[0])
        await stop.wait()
        consumer.stop()


async def _serve(
    app: QuartTrio, config: Config, stop: trio.Event, *, task_status: trio.TaskStatus[list[str]]
) -> None:
    await serve(
        app,
        config,
        shutdown_trigger=stop.wait,
        task_status=task_status,
    )


async def _until_signal(stop: trio.Event) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            stop.set()
            return


def main() -> None:
    """Run the app. Exits with 78 when a setting is missing."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = read_settings()
    except SettingMissing as error:
        _log.error("%s", error)
        sys.exit(78)
    trio.run(run, settings)


if __name__ == "__main__":
    main()

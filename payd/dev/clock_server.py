"""The HTTP API of the test clock, for `payd clock` and a main app's tests; dev.json names it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import trio
from quart import request
from quart_trio import QuartTrio

from payd.adapters import bridge
from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.inbox import PostgresInbox
from payd.dev.clock import ClockRefused, MovableClock, PassTime
from payd.dev.ports import HOST, Ports
from payd.transport.http.serve import serve_app

Answer = dict[str, object]

_USUAL_PORT = 58087


@asynccontextmanager
async def serving_clock(
    clock: MovableClock | None, ports: Ports, database: DatabaseSettings
) -> AsyncIterator[dict[str, str]]:
    """Serve the clock, if there is one, and give its entry of dev.json."""
    if clock is None:
        yield {}
        return
    app, stop = build_app(clock, partial(_pass_rests, database)), trio.Event()
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(serve_app, app, HOST, ports.choose("clock", _USUAL_PORT), stop)
        yield {"clock": f"http://{HOST}:{bound}"}
        stop.set()


def build_app(clock: MovableClock, pass_time: PassTime) -> QuartTrio:
    """Build the application; `pass_time` lets the rests in the database pass as well."""
    app = QuartTrio("payd-clock")

    @app.get("/")
    async def shown() -> Answer:
        return _shown(clock)

    @app.post("/advance")
    async def advance() -> Answer:
        span = _span(await request.get_json(force=True, silent=True))
        await clock.advance(span, pass_time)
        return _shown(clock)

    @app.post("/freeze")
    async def freeze() -> Answer:
        await clock.freeze()
        return _shown(clock)

    @app.post("/run")
    async def run() -> Answer:
        await clock.run()
        return _shown(clock)

    @app.errorhandler(ClockRefused)
    async def refused(error: ClockRefused) -> tuple[Answer, int]:
        return {"detail": str(error)}, 409

    return app


def _span(order: object) -> timedelta:
    """Read {"seconds": 1860}. Raises ClockRefused."""
    seconds = order.get("seconds") if isinstance(order, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ClockRefused('send how far to move the clock, as JSON: {"seconds": 1860}')
    try:
        span = timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        raise ClockRefused(f"the clock cannot move by {seconds} seconds") from None
    return span


def _shown(clock: MovableClock) -> Answer:
    now = clock.now()
    return {
        "time": now.isoformat().replace("+00:00", "Z"),
        "ahead_s": round((now - datetime.now(UTC)).total_seconds(), 3),
        "is_frozen": clock.setting.frozen_time is not None,
    }


async def _pass_rests(settings: DatabaseSettings, span: timedelta) -> None:
    """Let scans and reconciliations come due as they would have."""
    async with bridge.open_loop(lambda message, error: None):
        database = Database(settings)
        try:
            await bridge.aio(PostgresInbox(database).pass_rests, span)
        finally:
            await bridge.aio(database.close)

"""The audit of the ledger: summing every stored receipt, by pages, beside the running sums."""

import asyncio
import time
from collections.abc import Iterator

from bench.cpu import tree_cpu_s
from bench.measured import Row
from bench.stage import Place, Stage
from payd.adapters.postgres.database import Database
from payd.adapters.postgres.receipts import PostgresReceipts
from payd.config import load_config
from payd.daemon.builders import database_settings

WHAT = "payd"
CALL = "receipts counted in an audit"


def measure(stage: Stage, place: Place) -> Iterator[Row]:
    """One row: receipts per second of a whole audit, and PostgreSQL's cost of each."""
    yield asyncio.run(_recount(stage, place))


async def _recount(stage: Stage, place: Place) -> Row:
    database = Database(database_settings(load_config(place.environ, None)))
    postgres = stage.server.server.pid
    try:
        before_s, began = tree_cpu_s(postgres), time.monotonic()
        running, counted = await PostgresReceipts(database).recount("null")
        took_s, spent_s = time.monotonic() - began, tree_cpu_s(postgres) - before_s
    finally:
        await database.close()
    return Row(
        what=WHAT,
        call=CALL,
        stored=place.stored,
        per_second=round(place.stored / took_s),
        postgres_cpu_us=round(spent_s / place.stored * 1e6, 2),
        errors=int(running != counted),
    )

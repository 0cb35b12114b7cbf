"""What one more receipt costs, of a payment with one receipt and of one with 20,000."""

import asyncio
import itertools
from collections.abc import Iterator
from datetime import timedelta

import asyncpg
import grpc
from payd_client.proto import payment_pb2 as pb

from bench.load import channel, initiate_stub, request
from bench.measured import Row, percentile
from bench.stage import WEBHOOK_SECRET, Daemon, Place, Stage
from bench.webhooks import http_request, receipts_body

WHAT = "payd, null provider"
RECEIPTS = (1, 20_000)
#: Receipts of one unit that are measured, one after the other.
_MORE = 60
#: A payment that costs more than this is not waited for.
_LONGEST_S = 45.0
_PER_WEBHOOK = 1_000
_WAITING = "SELECT count(*) FROM inbox WHERE settle_time IS NULL"
_DELAYS = """
    SELECT settle_time - receive_time AS delay FROM inbox
    WHERE provider = 'null' AND settle_time IS NOT NULL AND id > $1
"""


def call(count: int) -> str:
    """Return what the table calls a receipt of a payment that has so many."""
    return f"receipt → settled, payment of {count:,}"


def measure(stage: Stage, place: Place) -> Iterator[Row]:
    """A row for each number of receipts."""
    with stage.payd(stage.null(place)) as daemon:
        for count in RECEIPTS:
            yield asyncio.run(_measure(stage, place, daemon, count))


async def _measure(stage: Stage, place: Place, daemon: Daemon, count: int) -> Row:
    async with channel(daemon.grpc, stage.pki) as one:
        payment_id = await _payment(one)
    connection = await asyncpg.connect(place.url)
    try:
        numbers = itertools.count()
        # In few webhooks: the first receipts are not what is measured.
        for size in _sizes(count):
            await _send(daemon, payment_id, numbers, size)
        await _settled(connection)
        last = await connection.fetchval("SELECT coalesce(max(id), 0) FROM inbox")
        sent = 0
        with stage.cpu(daemon.process) as spent:
            began = asyncio.get_running_loop().time()
            while sent < _MORE and asyncio.get_running_loop().time() - began < _LONGEST_S:
                await _send(daemon, payment_id, numbers, 1)
                sent += 1
                await _settled(connection)
        delays = [
            row["delay"] / timedelta(seconds=1) for row in await connection.fetch(_DELAYS, last)
        ]
    finally:
        await connection.close()
    return Row(
        what=WHAT,
        call=call(count),
        concurrency=1,
        stored=place.stored,
        p50_ms=percentile(sorted(delays), 0.50),
        p99_ms=percentile(sorted(delays), 0.99),
        **spent.per_call(sent),
    )


async def _payment(one: grpc.aio.Channel) -> str:
    answer: pb.InitiatePaymentResponse = await initiate_stub(one)(request("null"), timeout=30)
    return answer.payment.id


def _sizes(count: int) -> Iterator[int]:
    while count > 0:
        yield min(count, _PER_WEBHOOK)
        count -= _PER_WEBHOOK


async def _send(
    daemon: Daemon, payment_id: str, numbers: "itertools.count[int]", size: int
) -> None:
    """Send one webhook with so many receipts of one unit."""
    receipts = [(f"dust_{payment_id}_{next(numbers)}", 1) for _ in range(size)]
    body = receipts_body(receipts[0][0].replace("dust", "evt"), payment_id, receipts)
    host, _, port = daemon.http.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(http_request("null", WEBHOOK_SECRET, body))
    status = await reader.readline()
    if b" 200 " not in status:
        raise AssertionError(f"a webhook was refused: {status.decode()}")
    writer.close()


async def _settled(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    async with asyncio.timeout(600):
        while await connection.fetchval(_WAITING):  # noqa: ASYNC110 - nothing notifies us
            await asyncio.sleep(0.002)

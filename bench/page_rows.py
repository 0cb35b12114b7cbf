"""What open payment pages with live status cost payd, and its callers."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import attrs

from bench.call_rows import CALLS, load
from bench.load import channel, initiate_stub, request
from bench.measured import Row
from bench.stage import ROOT, Daemon, Place, Stage

COUNTS = (0, 500)
#: What the table calls the cost of pages on which nothing happens.
REST = "nothing, for a second"
_CALLERS = 4
#: Long enough for each page to ask again.
_REST_S = 30.0
#: For a page's watch and its connection to settle.
_SETTLE_S = 3.0


def what(count: int) -> str:
    """Return what the table calls payd with so many open pages."""
    return f"payd, {count} open pages"


def is_page(row: Row) -> bool:
    """Whether a row of the results is one of open pages."""
    return row.what.endswith(" open pages")


def measure(stage: Stage, place: Place, seconds: float) -> Iterator[Row]:
    """For each number of pages: at rest, and beside callers."""
    most = max(COUNTS)
    environ = {
        **stage.null(place),
        "PAYD_HTTP_PUBLIC_URL": "http://127.0.0.1",
        "PAYD_HTTP_PAGE_KEY": "k" * 64,
        "PAYD_HTTP_MAX_LIVE_PAGES": str(most),
        "PAYD_HTTP_MAX_CONNECTIONS": str(2 * most),
    }
    with stage.payd(environ) as daemon:
        urls = asyncio.run(_links(stage, daemon, most))
        for count in COUNTS:
            with _open(daemon, urls[:count]):
                yield _at_rest(stage, place, daemon, count)
                yield _beside_callers(stage, place, daemon, count, seconds)


async def _links(stage: Stage, daemon: Daemon, count: int) -> Sequence[str]:
    async with channel(daemon.grpc, stage.pki) as one:
        initiate = initiate_stub(one)
        return [
            (await initiate(request("null"), timeout=30)).payment.page_url for _ in range(count)
        ]


@contextmanager
def _open(daemon: Daemon, urls: Sequence[str]) -> Iterator[None]:
    """Keep these pages open. None may be refused: it would cost nothing."""
    command = [sys.executable, "-m", "bench.page_watchers"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps({"http": daemon.http, "urls": urls}) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "open\n"
        time.sleep(_SETTLE_S)
        yield
        process.stdin.close()
        ended = json.loads(process.stdout.read())
    if ended["refused"]:
        raise AssertionError(f"pages were refused: {ended}")


def _at_rest(stage: Stage, place: Place, daemon: Daemon, count: int) -> Row:
    """The cost of a second in which nothing happens."""
    with stage.cpu(daemon.process) as spent:
        time.sleep(_REST_S)
    costs = {name: round(cpu_us / _REST_S) for name, cpu_us in spent.per_call(1).items()}
    return Row(what=what(count), call=REST, stored=place.stored, rss_mib=daemon.rss_mib(), **costs)


def _beside_callers(stage: Stage, place: Place, daemon: Daemon, count: int, seconds: float) -> Row:
    row = load(
        stage,
        place,
        daemon.process,
        what=what(count),
        call="initiate",
        method="null",
        target=daemon.grpc,
        concurrency=_CALLERS,
        seconds=seconds,
    )
    return attrs.evolve(row, call=f"{CALLS['initiate']} beside them", rss_mib=daemon.rss_mib())

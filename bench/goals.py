"""What payd should reach, as ratios within one run, and what a run gave."""

from collections.abc import Iterator

import attrs

from bench import dust, webhook_rows
from bench.call_rows import CALLS, PEER, payd
from bench.measured import Row
from bench.results import Results

_NULL = payd("null")
INITIATE, GET, WHOLE = CALLS["initiate"], CALLS["get"], CALLS["whole"]
#: What calls, webhooks and events wait for.
_HOT = (
    "insert_payments",
    "commit_decisions",
    "select_payment",
    "select_payments",
    "put_events",
    "put_reports",
    "claim_inbox",
    "claim_outbox",
    "mark_published",
)
#: Against 1,000 stored payments, and against a payment with one receipt.
_FLAT = 1.2
#: What a host needs for payd, against what it needs for the peer.
_NO_MORE = 1.0


@attrs.frozen(kw_only=True)
class Goal:
    """One goal, and the measured value."""

    name: str
    value: float
    limit: float
    is_least: bool = False
    unit: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the run reached it."""
        return self.value >= self.limit if self.is_least else self.value <= self.limit


def goals(results: Results) -> Iterator[Goal]:
    """Compare what was measured with its goal; what was not measured is left out."""
    yield from _against_peer(results, INITIATE, 16, PEER, cpu=1.0, rate=1.0)
    yield from _against_peer(results, INITIATE, 1, PEER, cpu=1.3, p50=1.3)
    yield from _against_peer(results, GET, 16, PEER, cpu=1.1, rate=0.9)
    if row := results.row(_NULL, WHOLE, 16):
        yield Goal(
            name=f"{WHOLE}, 16 at once: CPU of payd, PostgreSQL and NATS",
            value=round(total_cpu_us(row) / 1000, 2),
            limit=2.2,
            unit="ms",
        )
    if (row := results.row(_NULL, WHOLE, 4)) and row.server_cpu_us:
        cpu_ms = round(row.server_cpu_us / 1000, 2)
        yield Goal(name=f"{WHOLE}, 4 at once: CPU of payd", value=cpu_ms, limit=2.0, unit="ms")
    yield from _against_peer(results, webhook_rows.TO_2XX, 16, webhook_rows.PEER, rate=0.6)
    for way in (webhook_rows.TO_EVENT, webhook_rows.ALONE):
        if (row := results.row(_NULL, way, 1)) and row.p50_ms:
            yield Goal(name=f"{way}, 1 at once: p50", value=row.p50_ms, limit=6, unit="ms")
    yield from _flat(results)
    yield from _dust(results)
    yield from _daemon(results)


def _against_peer(
    results: Results,
    call: str,
    concurrency: int,
    peer: str,
    *,
    cpu: float | None = None,
    rate: float | None = None,
    p50: float | None = None,
) -> Iterator[Goal]:
    ours = results.row(_NULL, call, concurrency)
    theirs = results.row(peer, call, concurrency)
    if ours is None or theirs is None:
        return
    name = f"{call}, {concurrency} at once, payd / {peer}"
    if peer == PEER:
        whole = round(total_cpu_us(ours) / total_cpu_us(theirs), 2)
        yield Goal(name=f"{name}: CPU with PostgreSQL and NATS", value=whole, limit=_NO_MORE)
    wanted = (
        ("server_cpu_us", "CPU", cpu, False),
        ("per_second", "rate", rate, True),
        ("p50_ms", "p50", p50, False),
    )
    for figure, title, limit, is_least in wanted:
        value = ratio(ours, theirs, figure)
        if limit is not None and value is not None:
            yield Goal(name=f"{name}: {title}", value=value, limit=limit, is_least=is_least)


def _flat(results: Results) -> Iterator[Goal]:
    """Statements with many stored payments against the same ones with few."""
    few = min((one.stored for one in results.statements), default=0)
    small = {one.name: one for one in results.statements if one.stored == few}
    for one in results.statements:
        if one.stored != few and one.name in small and one.name in _HOT:
            name = f"{one.name}, {one.stored:,} / {few:,} stored payments: p50"
            value = round(one.p50_ms / small[one.name].p50_ms, 2)
            yield Goal(name=name, value=value, limit=_FLAT)


def _dust(results: Results) -> Iterator[Goal]:
    one, many = (results.row(dust.WHAT, dust.call(count)) for count in dust.RECEIPTS)
    if one and many and (value := ratio(many, one, "server_cpu_us")) is not None:
        name = f"receipt of a payment with {dust.RECEIPTS[1]:,} / {dust.RECEIPTS[0]}: CPU of payd"
        yield Goal(name=name, value=value, limit=_FLAT)


def _daemon(results: Results) -> Iterator[Goal]:
    if results.daemon:
        daemon = results.daemon
        yield Goal(name="memory at rest", value=daemon["rest_mib"], limit=100, unit="MiB")
        yield Goal(name="start to ready", value=daemon["ready_s"], limit=1, unit="s")
    for soak in results.soaks:
        name = f"memory under load, slope of {soak.daemons} daemon(s)"
        slope = soak.slope_mib_per_hour
        yield Goal(name=name, value=slope, limit=5, unit="MiB an hour")
        yield Goal(name=f"{name}: deadlocks", value=soak.deadlocks, limit=0, unit="")


def ratio(ours: Row, theirs: Row, figure: str) -> float | None:
    """Return our figure as a multiple of theirs."""
    mine, other = getattr(ours, figure), getattr(theirs, figure)
    return round(mine / other, 2) if mine is not None and other else None


def total_cpu_us(row: Row) -> float:
    """CPU per call of payd, PostgreSQL and NATS together."""
    return sum(filter(None, (row.server_cpu_us, row.postgres_cpu_us, row.nats_cpu_us)))

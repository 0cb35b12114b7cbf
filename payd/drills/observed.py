"""Read all that a drill can see: database, stream, the providers' own records and clients' answers.

The readers share no code with what they check: they are payd's stores and the client's own reader
of the stream, and the providers are asked for everything that they have.
"""

import io
import random
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import attrs
import trio
from payd_client.events import StreamEvent, tail

from payd import telemetry
from payd.adapters import bridge
from payd.adapters.audit.keys import PublicKeys
from payd.adapters.audit.verify import ExportBroken, Verified, verify
from payd.adapters.postgres.audit_chain import NotChained, PostgresAuditChain
from payd.adapters.postgres.database import Database
from payd.adapters.postgres.history import PostgresHistories
from payd.adapters.postgres.store import PostgresStore
from payd.adapters.system import SystemClock
from payd.config import Config
from payd.daemon.builders import audit_key, database_settings, payment_rules
from payd.daemon.preflight import enabled_plugins
from payd.domain.payment import Payment
from payd.drills.servers import Site
from payd.drills.traffic import Made
from payd.plugins import PaymentRef, RemoteObject, Snapshot
from payd.ports import ProviderPort
from payd.providers.loader import FailureMode, open_providers

#: Before every drill began.
_ALWAYS = timedelta(days=7)
_PAGES_MAX = 1000
_POLL_S = 0.2
_IDS = "SELECT id FROM payments"
_OUTBOX = """
    SELECT payment_id, event_id, subject, about, publish_time IS NOT NULL AS is_published
    FROM outbox ORDER BY id
"""
#: After three attempts a report is parked for a payment that nobody knows. What is about no payment
#: is left out: a provider also sends kinds of events that nobody asks it for.
_INBOX = """
    SELECT provider, event_id, settle_time IS NOT NULL OR attempts >= 3 AS is_settled
    FROM inbox WHERE outcome IS DISTINCT FROM 'not_ours'
"""
_RECEIPTS = "SELECT provider, id, payment_id, amount, state, reference FROM receipts"
_AUDIT = "SELECT payment_id, version FROM payment_events ORDER BY payment_id, version"
_WAITING = """
    SELECT (SELECT count(*) FROM outbox WHERE publish_time IS NULL)
         + (SELECT count(*) FROM inbox WHERE settle_time IS NULL AND attempts < 3) AS rows
"""


@attrs.frozen(kw_only=True)
class OutboxEvent:
    """A row of the outbox."""

    payment_id: UUID
    event_id: UUID
    subject: str
    about: str
    is_published: bool


@attrs.frozen(kw_only=True)
class LedgerReceipt:
    """A receipt of the ledger; without a payment it waits for an operator."""

    provider: str
    id: str
    payment_id: UUID | None
    amount: int
    state: str
    reference: str


@attrs.frozen(kw_only=True)
class Stored:
    """What one database has."""

    payments: Mapping[UUID, Payment]
    #: The same, put together from the audit trail.
    replayed: Mapping[UUID, Payment]
    #: The versions that have an audit row.
    versions: Mapping[UUID, Sequence[int]]
    outbox: Sequence[OutboxEvent]
    #: Provider and id of each report, and whether it is settled or parked.
    inbox: Mapping[tuple[str, str], bool]
    receipts: Sequence[LedgerReceipt]
    #: None if the audit trail is not intact: then `audit_problem` says why.
    audit: Verified | None
    audit_problem: str


@attrs.frozen(kw_only=True)
class Observed:
    """Everything that the invariants are checked on."""

    stored: Stored
    #: The events of the stream, oldest first.
    events: Sequence[StreamEvent]
    #: What the providers list that can list their objects, with the provider's name.
    objects: Sequence[tuple[str, RemoteObject]]
    made: Sequence[Made]
    #: Secrets that were found in a log or in an event: where.
    leaks: Sequence[str]


async def observe(site: Site, made: Sequence[Made], config: Config | None = None) -> Observed:
    """Read everything; `config` is that of the database to look at, by default the site's.

    Call it when the daemons have come to rest (`until_at_rest`) or were stopped.
    """
    config = config or site.config()
    async with bridge.open_loop(lambda message, error: None):
        stored = await bridge.aio(stored_in, config)
        events = await bridge.aio(_events, site.servers.nats)
        objects = await _objects(config)
    return Observed(
        stored=stored, events=events, objects=objects, made=made, leaks=_leaks(site, events)
    )


async def until_at_rest(config: Config, patience_s: float = 120.0) -> int:
    """Wait until no report and no event waits for its first attempts; return how many do."""
    async with bridge.open_loop(lambda message, error: None):
        database = Database(database_settings(config))
        waiting = -1
        try:
            with trio.move_on_after(patience_s):
                while True:
                    waiting = await bridge.aio(_count_waiting, database)
                    if not waiting:
                        break
                    await trio.sleep(_POLL_S)
        finally:
            await bridge.aio(database.close)
    return waiting


async def _count_waiting(database: Database) -> int:
    [row] = await _select(database, _WAITING)
    return int(row["rows"])


async def stored_in(config: Config) -> Stored:
    """Read a database. On asyncio."""
    database = Database(database_settings(config))
    try:
        ids = [UUID(int=row["id"].int) for row in await _select(database, _IDS)]
        store = PostgresStore(database, config.environment, payment_rules(config))
        payments = await _all_payments(store, ids)
        audit, problem = await _audit(database, config)
        return Stored(
            payments=payments,
            replayed=await _replayed(database, ids),
            versions=await _versions(database),
            outbox=[
                OutboxEvent(
                    payment_id=UUID(int=row["payment_id"].int),
                    event_id=UUID(int=row["event_id"].int),
                    **{name: row[name] for name in ("subject", "about", "is_published")},
                )
                for row in await _select(database, _OUTBOX)
            ],
            inbox={
                (row["provider"], row["event_id"]): row["is_settled"]
                for row in await _select(database, _INBOX)
            },
            receipts=[_receipt(row) for row in await _select(database, _RECEIPTS)],
            audit=audit,
            audit_problem=problem,
        )
    finally:
        await database.close()


async def _select(database: Database, sql: str) -> Sequence[Mapping[str, Any]]:
    async with database.reading({"statement_timeout": "0"}) as connection:
        return [dict(row) for row in await connection.fetch(sql)]


async def _all_payments(store: PostgresStore, ids: Sequence[UUID]) -> Mapping[UUID, Payment]:
    found = dict[UUID, Payment]()
    for begin in range(0, len(ids), 200):
        page = await store.get_all(ids[begin : begin + 200])
        found |= {payment.id: payment for payment in page}
    return found


async def _replayed(database: Database, ids: Sequence[UUID]) -> Mapping[UUID, Payment]:
    histories, now = PostgresHistories(database), datetime.now(UTC) + _ALWAYS
    found = dict[UUID, Payment]()
    for id_ in ids:
        trail = await histories.trail(id_, now, 1)
        if trail is not None:
            found[id_] = trail.changes[-1].payment
    return found


async def _versions(database: Database) -> Mapping[UUID, Sequence[int]]:
    found = defaultdict[UUID, list[int]](list)
    for row in await _select(database, _AUDIT):
        found[UUID(int=row["payment_id"].int)].append(row["version"])
    return found


def _receipt(row: Mapping[str, Any]) -> LedgerReceipt:
    payment_id = row["payment_id"]
    return LedgerReceipt(
        provider=row["provider"],
        id=row["id"],
        payment_id=payment_id and UUID(int=payment_id.int),
        amount=int(row["amount"]),
        state=row["state"],
        reference=row["reference"],
    )


async def _audit(database: Database, config: Config) -> tuple[Verified | None, str]:
    """Export the audit trail, and verify it with the public key alone."""
    key, lines = audit_key(config), list[str]()
    if key is None:
        return None, "audit.signing_key is not set"
    try:
        await PostgresAuditChain(database).export(
            lines.append, key, secrets.token_hex(16), datetime.now(UTC)
        )
        exported = io.BytesIO("".join(lines).encode())
        return verify(exported, PublicKeys(key.public_pem())), ""
    except (NotChained, ExportBroken) as error:
        return None, str(error)


async def _events(servers: str) -> Sequence[StreamEvent]:
    since = datetime.now(UTC) - _ALWAYS
    async with aclosing(tail(servers, since=since, follow=False)) as found:
        return [event async for event in found]


async def _objects(config: Config) -> Sequence[tuple[str, RemoteObject]]:
    """What the providers have; those of the drill's companions, by the code that payd runs."""
    found = list[tuple[str, RemoteObject]]()
    async with open_providers(
        enabled_plugins(config),
        environment=config.environment,
        clock=SystemClock(),
        failure_mode=FailureMode.STRICT,
        log_of=telemetry.get_logger,
        random=random.random,
    ) as providers:
        for fence in providers.fences:
            state = fence.state()
            if not state.running:
                raise ConnectionError(f"{fence.name} does not start: {state.last_error}")
            if fence.can_list_objects:
                found += [(fence.name, one) for one in await _listed(fence)]
    return found


async def _listed(provider: ProviderPort) -> Sequence[RemoteObject]:
    now, cursor, found = datetime.now(UTC), None, list[RemoteObject]()
    ask: Callable[[str | None], Awaitable[Any]] = partial(
        provider.objects, now - _ALWAYS, now + timedelta(minutes=1)
    )
    for _ in range(_PAGES_MAX):
        page = await ask(cursor)
        if page is None:
            raise ConnectionError(f"{provider.name} does not list its objects")
        found += [await _whole(provider, one) for one in page.objects]
        cursor = page.cursor
        if cursor is None:
            break
    return found


async def _whole(provider: ProviderPort, one: RemoteObject) -> RemoteObject:
    """The object with its refunds, which a list leaves out."""
    if one.payment_id is None:
        return one
    created, snapshot = one.found.created, one.found.snapshot
    ref = PaymentRef(
        operation_id=f"payd:{one.payment_id}:create:v1",
        payment_id=one.payment_id,
        reference=created.reference,
        asset=snapshot.asset,
        create_time=snapshot.as_of - _ALWAYS,
        aliases=(*created.aliases, *snapshot.aliases),
    )
    for piece in (await provider.fetch(ref)).evidence:
        if isinstance(piece, Snapshot):
            return attrs.evolve(one, found=attrs.evolve(one.found, snapshot=piece))
    raise ConnectionError(f"{provider.name} does not answer about {created.reference}")


def _leaks(site: Site, events: Sequence[StreamEvent]) -> Sequence[str]:
    """Where a generated secret of the site stands in a log or in an event."""
    secrets_ = {file.stem: file.read_text() for file in site.state.data.glob("*.secret")}
    texts = {log.name: log.read_text(errors="replace") for log in site.state.logs.glob("payd*.log")}
    texts["the stream"] = "\n".join(f"{one.headers} {one.body}" for one in events)
    return [
        f"{name} in {where}"
        for where, text in texts.items()
        for name, value in secrets_.items()
        if value in text
    ]

"""Calls of the store ports as plain values, so that one history runs on every implementation.

A call names what it works on by a slot, such as "payment 2 as last read". Each implementation fills
its own slots, so that row ids, which differ between stores, never leave it.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import attrs
from contract.stores import CALLER, NOW, Stores, a_new_payment
from support.memory.ledger import UNMATCHED

from payd.domain.actors import RECOVERY
from payd.domain.decide import Decision, decide
from payd.domain.errors import PaydError
from payd.domain.evidence import (
    Evidence,
    Observation,
    Outflow,
    RefundAnswered,
    RefundRequested,
)
from payd.domain.page import Position
from payd.domain.payment import Customer, Origin, Payment
from payd.domain.payment_filter import Names, PaymentFilter, Selection
from payd.domain.refund import RefundSnapshot
from payd.domain.request import RefundFilter
from payd.domain.sums import StaleSums
from payd.plugins.interface import ProviderEvent
from payd.ports import (
    Commit,
    Cursor,
    InboxRow,
    Lease,
    LeaseLost,
    Name,
    OutboxRow,
    PaymentStore,
)

PAYMENTS = [UUID(int=(1 << 100) + number, version=4) for number in range(4)]
#: Of the first payment; `refund_of` returns those of the others.
REFUNDS = [UUID(int=(2 << 100) + (number << 8), version=4) for number in range(4)]
RECEIPTS = [f"receipt-{number}" for number in range(4)]
PROVIDERS = ("mock", "other")
#: A lease that ends at once, and one that outlives every history.
LEASES_S = (0.0, 1000.0)
_RECOVERY = Origin(actor=RECOVERY)


@attrs.define
class Side:
    """One implementation, and what its callers hold in their hands."""

    stores: Stores
    #: The store of each daemon; two of them write at the same time.
    daemons: Sequence[PaymentStore]
    #: Runs a write with a fault: "", "lost before", "lost after" or "again".
    write: Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]
    payments: dict[int, Payment] = attrs.field(factory=dict)
    inbox: dict[str, InboxRow] = attrs.field(factory=dict)
    outbox: dict[UUID, OutboxRow] = attrs.field(factory=dict)
    #: Takes a lease, and gives it back at once.
    take: Callable[[str], Awaitable[Lease]] | None = None
    #: The leases that were taken, the oldest first.
    leases: list[Lease] = attrs.field(factory=list)

    def another(self) -> "Side":
        """Another caller of the same stores, with the same payments in its hands."""
        return attrs.evolve(self, payments=dict(self.payments))

    def learn_from(self, callers: Sequence["Side"]) -> None:
        """Hold the newest payments that any of the callers holds."""
        for caller in callers:
            for number, payment in caller.payments.items():
                known = self.payments.get(number)
                if known is None or known.version < payment.version:
                    self.payments[number] = payment


@attrs.frozen
class Call:
    """One call: the method, what it works on, and the fault that it meets."""

    run: Callable[..., Awaitable[Any]]
    arguments: Mapping[str, Any]
    fault: str = ""

    def __str__(self) -> str:
        lines = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.run.__name__}({lines})" + (f" [{self.fault}]" if self.fault else "")

    async def on(self, side: Side) -> Any:
        """What the call returns, or the name of what it raises, free of row ids."""
        arguments = dict(self.arguments)
        if self.run in WRITES:
            arguments["write"] = partial(side.write, self.fault)
        try:
            return await self.run(side, **arguments)
        except (PaydError, StaleSums, LeaseLost) as error:
            return type(error).__name__


# -- payments --------------------------------------------------------------------------------------


async def insert(
    side: Side, write: Any, payment: int, key: int, customer: Customer, daemon: int
) -> Any:
    new = a_new_payment(
        id=PAYMENTS[payment],
        idempotency_key=f"key-{key}",
        customer=customer,
        create_time=NOW + timedelta(seconds=payment),
        update_time=NOW + timedelta(seconds=payment),
        ask_deadline=NOW - timedelta(hours=1),
        next_check_time=NOW + timedelta(seconds=30),
    )
    stored = await write(partial(side.daemons[daemon].insert, new, CALLER))
    if stored.version == 1:
        # A payment that was there before came without its receipts: nothing is decided on it.
        side.payments.setdefault(PAYMENTS.index(stored.id), stored)
    return stored


async def read(side: Side, payment: int) -> Any:
    stored = await side.stores.payments.get(PAYMENTS[payment], RECEIPTS)
    if stored is not None:
        side.payments[payment] = stored
    return stored


async def decide_one(side: Side, write: Any, payment: int, what: Any, daemon: int) -> Any:
    commits = _commits(side, {payment: what})
    if not commits:
        return None
    [commit] = commits
    store = side.daemons[daemon]
    won = await write(
        partial(store.commit, commit.before, commit.decision, commit.origin, commit.inbox_ids)
    )
    if won:
        side.payments[payment] = commit.decision.payment
    return won


async def decide_all(side: Side, write: Any, what: Mapping[int, Any], daemon: int) -> Any:
    commits = _commits(side, what)
    if not commits:
        return ()
    won = await write(partial(side.daemons[daemon].commit_all, commits))
    for one, is_won in zip(commits, won, strict=True):
        if is_won:
            side.payments[PAYMENTS.index(one.before.id)] = one.decision.payment
    return list(won)


def _commits(side: Side, what: Mapping[int, Any]) -> list[Commit]:
    commits = []
    for payment, (evidence, minutes, marks) in what.items():
        before = side.payments.get(payment)
        own = _with_own_refunds(evidence, payment)
        decision = None if before is None else _decision(before, own, minutes)
        if before is None or decision is None:
            continue
        ids = tuple(side.inbox[mark].id for mark in marks if mark in side.inbox)
        commits.append(Commit(before=before, decision=decision, origin=_RECOVERY, inbox_ids=ids))
    return commits


def refund_of(payment: int, refund_id: UUID) -> UUID:
    """The payment's own id for this one: a refund's id never comes in two payments."""
    return UUID(int=refund_id.int + payment)


def _with_own_refunds(evidence: Evidence, payment: int) -> Evidence:
    match evidence:
        case RefundRequested(refund=refund):
            own = attrs.evolve(refund, id=refund_of(payment, refund.id))
            return attrs.evolve(evidence, refund=own)
        case RefundAnswered(refund_id=refund_id, answer=RefundSnapshot() as answer):
            own_id = refund_of(payment, refund_id)
            own_answer = attrs.evolve(answer, refund_id=own_id)
            return attrs.evolve(evidence, refund_id=own_id, answer=own_answer)
        case RefundAnswered(refund_id=refund_id):
            return attrs.evolve(evidence, refund_id=refund_of(payment, refund_id))
        case _:
            return evidence


def _decision(before: Payment, evidence: Evidence, minutes: int) -> Decision | None:
    try:
        return decide(before, evidence, NOW + timedelta(minutes=minutes))
    except (PaydError, StaleSums):
        return None


async def look_up(side: Side, names: Sequence[tuple[str, str]], key: int) -> Any:
    store = side.stores.payments
    asked = {Name(*name): RECEIPTS[:2] for name in names}
    found = await store.find_all(asked)
    return (
        [await store.find(*name) for name in names],
        {name: found.get(name) for name in asked},
        await store.get_by_key(f"key-{key}"),
        await store.get_all(PAYMENTS),
        _by_id(await store.newer(dict.fromkeys(PAYMENTS, 2))),
        await store.await_answer(PAYMENTS[key], 0),
        await store.oldest_unnamed("mock"),
    )


async def claim_checks(side: Side, minutes: int, lease_s: float) -> Any:
    """Without a limit: of payments that are due at the same time any may come first."""
    now = NOW + timedelta(minutes=minutes)
    claimed = await side.stores.payments.claim_status_checks(now, 10, lease_s)
    return _by_id(claimed)


async def schedule_check(side: Side, write: Any, payment: int, minutes: int) -> None:
    if payment in side.payments:
        time = NOW + timedelta(minutes=minutes, seconds=payment)
        store = side.stores.payments
        await write(partial(store.schedule_status_check, side.payments[payment], time))


async def list_all(side: Side, reference: str, limit: int) -> Any:
    lists = side.stores.lists
    selection = Selection(filter=PaymentFilter())
    return (
        await lists.newest_first(selection, None, limit),
        await lists.longest_attention_first(selection, None, limit),
        sorted(await lists.payments_named(Names(texts=(reference,)), limit=10)),
        sorted(await lists.customers_with_email("A@example.org", limit=10)),
    )


# -- refunds ---------------------------------------------------------------------------------------


async def refunds(side: Side, refund: int, key: int, limit: int, page: int) -> Any:
    store = side.stores.payments
    after = Position(NOW + timedelta(minutes=page), REFUNDS[0]) if page else None
    wanted = [RefundFilter(payment_id=one) for one in (None, PAYMENTS[0])]
    return (
        [await store.get_refund(refund_of(one, REFUNDS[refund])) for one in range(3)],
        await store.get_refund_by_key(f"refund-{key}"),
        [await store.list_refunds(one, after, limit) for one in wanted],
    )


async def claim_refund_checks(side: Side, minutes: int, lease_s: float) -> Any:
    now = NOW + timedelta(minutes=minutes)
    claimed = await side.stores.payments.claim_refund_checks(now, 10, lease_s)
    return sorted(claimed, key=lambda one: one[1])


async def schedule_refund_check(side: Side, write: Any, payment: int, minutes: int) -> None:
    for refund in side.payments[payment].refunds if payment in side.payments else ():
        time = NOW + timedelta(minutes=minutes)
        await write(partial(side.stores.payments.schedule_refund_check, refund, time))


# -- inbox, cursors, ledger ------------------------------------------------------------------------


async def put(
    side: Side,
    write: Any,
    provider: str,
    reports: Sequence[Observation | ProviderEvent],
    cursor: Cursor | None,
    outflows: Sequence[Outflow],
    lease: int | None = None,
) -> Any:
    """`lease` is the place of a lease among those that were taken; None writes without one."""
    held = None if lease is None or not side.leases else side.leases[lease]
    stores = side.stores
    return await write(
        partial(stores.inbox.put, provider, reports, cursor, outflows=outflows, lease=held)
    )


async def take_lease(side: Side) -> int:
    assert side.take is not None
    side.leases.append(await side.take("watch:mock"))
    return len(side.leases)


async def put_webhook(
    side: Side, write: Any, provider: str, events: Sequence[ProviderEvent]
) -> Any:
    return await write(partial(side.stores.inbox.put_webhook, provider, events, b"body"))


async def claim_reports(side: Side, limit: int, lease_s: float) -> Any:
    rows = await side.stores.inbox.claim(limit, lease_s)
    side.inbox |= {_name_of(row): row for row in rows}
    # Two contents under one id, in one call, get their numbers in another order in each store.
    return sorted((_name_of(row), row.attempts) for row in rows)


async def finish(side: Side, write: Any, rows: Sequence[str]) -> None:
    outcomes = {side.inbox[name].id: "nothing_new" for name in rows if name in side.inbox}
    if outcomes:
        await write(partial(side.stores.inbox.finish, outcomes))


async def park(side: Side, write: Any, rows: Mapping[str, float]) -> None:
    parked = {side.inbox[name].id: s for name, s in rows.items() if name in side.inbox}
    if parked:
        await write(partial(side.stores.inbox.park, parked))


async def waiting(side: Side, provider: str, references: Sequence[str]) -> Any:
    inbox = side.stores.inbox
    events = await inbox.waiting_events(provider, 0, 100)
    return await inbox.is_waiting(provider, references), sorted(event.id for _, event in events)


async def claim_cursor(side: Side, provider: str, name: str, lease_s: float) -> Any:
    return await side.stores.cursors.claim_cursor(provider, name, lease_s)


async def shorten_rest(side: Side, name: str) -> None:
    await side.stores.cursors.shorten_rest(name, timedelta(0))


async def ledger(side: Side) -> Any:
    receipts = side.stores.receipts
    return (
        [await receipts.get_receipt(provider, one) for provider in PROVIDERS for one in RECEIPTS],
        await receipts.newest(UNMATCHED, None, 10),
        [await receipts.book(provider) for provider in PROVIDERS],
        [await side.stores.cursors.read_cursor(provider, "events") for provider in PROVIDERS],
    )


async def recount(side: Side, provider: str) -> Any:
    return await side.stores.receipts.recount(provider)


# -- outbox ----------------------------------------------------------------------------------------


async def claim_events(side: Side, lease_s: float) -> Any:
    """Without a limit: events of different payments that one statement wrote have no order."""
    rows = await side.stores.outbox.claim(10, lease_s)
    side.outbox |= {row.event_id: row for row in rows}
    return sorted((attrs.evolve(row, id=0) for row in rows), key=lambda row: row.event_id)


async def mark_published(side: Side, write: Any, every: int) -> None:
    ids = [row.id for _, row in sorted(side.outbox.items())][::every]
    if ids:
        await write(partial(side.stores.outbox.mark_published, ids))


async def release(side: Side, write: Any, every: int) -> None:
    ids = [row.id for _, row in sorted(side.outbox.items())][::every]
    if ids:
        await write(partial(side.stores.outbox.release, dict.fromkeys(ids, "no answer")))


# -- everything ------------------------------------------------------------------------------------


async def everything(side: Side) -> Any:
    """All that can be read without a change."""
    payments = [await side.stores.payments.get(one, RECEIPTS) for one in PAYMENTS]
    rows = [row for one in PAYMENTS for row in await side.stores.payments.audit_trail(one)]
    trails = [(row.version, row.event_type, row.actor, _details(row.details)) for row in rows]
    depth, _ = await side.stores.outbox.depth()
    since, until = NOW - timedelta(days=1), NOW + timedelta(days=1)
    objects = await side.stores.reconciliations.stored_objects("mock", since, until)
    queues = [await waiting(side, one, ["cs-0", "cs-1", ""]) for one in PROVIDERS]
    return payments, trails, depth, _by_payment(objects), queues, await ledger(side)


def _details(details: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without ids of inbox rows, and sorted where a store keeps no order."""
    return {name: len(value) if name == "reports" else value for name, value in details.items()}


def _name_of(row: InboxRow) -> str:
    report = row.report
    assert isinstance(report, Observation | ProviderEvent)
    return f"{row.provider} {report.id} {'conflict' if row.conflicting else 'first'}"


def _by_id(payments: Collection[Payment]) -> list[Payment]:
    return sorted(payments, key=lambda one: one.id)


def _by_payment(objects: Collection[Any]) -> list[Any]:
    return sorted(objects, key=lambda one: one.payment_id)


#: Calls that a fault may meet: all of them can be repeated.
WRITES = frozenset({
    insert, decide_one, decide_all, schedule_check, schedule_refund_check, put, put_webhook,
    finish, park, mark_published, release,
})  # fmt: skip

"""PaymentStore on PostgreSQL: writes are batched by group commit."""

import asyncio
import json
import secrets
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg
import attrs

from payd.adapters.audit.chain import content_of
from payd.adapters.columns import (
    Json,
    changed_disputes,
    changed_refunds,
    changes,
    dumps,
    item_rows,
    payment_row,
    receipt_rows,
)
from payd.adapters.events import AuditRow, outbox_row_of
from payd.adapters.personal import SALT_BYTES, part
from payd.adapters.postgres.batch import Batcher
from payd.adapters.postgres.database import Database
from payd.adapters.postgres.rows import Row, audit_row_of, newest_receipts_of, payment_of
from payd.domain.decide import Decision, Event, Rules
from payd.domain.evidence import Receipt
from payd.domain.payment import Origin, Payment
from payd.domain.refund import Refund, RefundStatus
from payd.ports import Commit, Name, Position, RefundFilter

#: Interval of polling for the answer to another daemon; our own answers arrive at once.
_ANSWER_POLL_S = 0.1

#: The index that refuses the provider's object of another payment.
_ONE_PAYMENT_PER_OBJECT = "one_payment_per_provider_object"

#: The names in `find_payment`, all unset; a caller sets some.
_NO_NAME: dict[str, object] = dict.fromkeys(
    ("idempotency_key", "provider", "reference", "reference_as_id")
)


class _Record(NamedTuple):
    """What one payment adds to a statement."""

    id: UUID
    #: The payment's idempotency key.
    key: str
    #: Its element of the statement's JSON.
    fields: Json
    #: The bytes of its audit row.
    audit: str


class PostgresStore:
    """Implements the port PaymentStore, with one round trip per method, two for a name."""

    def __init__(
        self,
        database: Database,
        environment: str,
        rules: Rules,
        observe_batch: Callable[[str, int], None] = lambda statement, size: None,
        on_status: Callable[[Payment], None] = lambda payment: None,
        on_refund: Callable[[Refund], None] = lambda refund: None,
        on_change: Callable[[UUID], None] = lambda payment_id: None,
        salt: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """The late window of the `rules` divides the sums of receipts for their decisions.

        `salt` returns so many random bytes.
        """
        self._database = database
        self._environment = environment
        self._on_status = on_status
        self._on_refund = on_refund
        self._on_change = on_change
        self._salt = salt
        self._late_window_s = rules.late_window.total_seconds()
        self._waiting: defaultdict[UUID, list[asyncio.Future[None]]] = defaultdict(list)
        self._inserts: Batcher[_Record, bool] = Batcher(
            self._insert_all,
            keys=lambda record: (record.key,),
            observe=lambda size: observe_batch("insert_payments", size),
        )
        self._commits: Batcher[_Record, bool] = Batcher(
            self._commit_all,
            keys=lambda record: (record.id,),
            observe=lambda size: observe_batch("commit_decisions", size),
        )

    async def insert(self, payment: Payment, origin: Origin) -> Payment:
        """Insert in a batch with other new payments; a known key reads its payment instead."""
        customer = {"wallet_address": payment.customer.wallet_address}
        details = {"row": payment_row(payment), "items": item_rows(payment)}
        fields = {"customer": customer | {"email": payment.customer.email}}
        record = self._audited(payment, "payment_creating", details, origin, fields)
        if await self._inserts.submit(record):
            self._on_status(payment)
            return payment
        stored = await self.get_by_key(payment.idempotency_key)
        if stored is None:
            raise AssertionError("a payment disappeared between two statements")
        return stored

    async def get(self, payment_id: UUID, receipt_ids: Collection[str] = ()) -> Payment | None:
        return await self._get(payment_id, list(receipt_ids))

    async def get_with_receipts(
        self, payment_id: UUID, receipts_max: int
    ) -> tuple[Payment, Sequence[Receipt]] | None:
        return await self._select(payment_id, (), receipts_max)

    async def get_by_key(self, idempotency_key: str) -> Payment | None:
        return await self._get(await self._find(idempotency_key=idempotency_key))

    async def get_all(self, payment_ids: Sequence[UUID]) -> Sequence[Payment]:
        nothing = [None] * len(payment_ids)
        found = await self._select_all(nothing, nothing, payment_ids) if payment_ids else {}
        return [found[number] for number in sorted(found)]

    async def find(self, provider: str, reference: str) -> Payment | None:
        as_id = _uuid_or_none(reference)
        return await self._get(
            await self._find(provider=provider, reference=reference, reference_as_id=as_id)
        )

    async def find_all(self, names: Mapping[Name, Collection[str]]) -> Mapping[Name, Payment]:
        asked = list(names)
        found = await self._select_all(
            [name.provider for name in asked],
            [name.reference for name in asked],
            [_uuid_or_none(name.reference) for name in asked],
            [list(names[name]) for name in asked],
        )
        return {asked[number]: payment for number, payment in found.items()}

    async def oldest_unnamed(self, provider: str) -> datetime | None:
        row = await self._database.fetch_one("oldest_unnamed", provider=provider)
        return row["create_time"] if row else None

    async def newer(self, versions: Mapping[UUID, int]) -> Sequence[Payment]:
        rows = await self._database.fetch(
            "newer_payments",
            ids=list(versions),
            versions=list(versions.values()),
            late_window_s=self._late_window_s,
        )
        whole = await self._with_refunds(rows, [()] * len(rows))
        return [payment_of(row) for row in whole]

    async def commit(
        self, before: Payment, decision: Decision, origin: Origin, inbox_ids: Sequence[int] = ()
    ) -> bool:
        one = Commit(before=before, decision=decision, origin=origin, inbox_ids=tuple(inbox_ids))
        [won] = await self.commit_all([one])
        return won

    async def commit_all(self, commits: Sequence[Commit]) -> Sequence[bool]:
        """Write in a batch with other decisions, each with compare-and-set on the version."""
        records = [self._record(commit) for commit in commits]
        won = await self._commits.submit_all(records)
        for commit, is_won in zip(commits, won, strict=True):
            if is_won:
                self._notify(commit)
        return won

    def _record(self, commit: Commit) -> "_Record":
        before, decision, origin = commit.before, commit.decision, commit.origin
        after = decision.payment
        known = set(before.receipts)
        news = [receipt for receipt in after.receipts if receipt not in known]
        refunds, disputes = changed_refunds(before, after), changed_disputes(before, after)
        details: Json = {"changes": changes(before, after)}
        if decision.note:
            details["reason"] = decision.note
        if decision.republished:
            details["republished"] = [attrs.asdict(event) for event in decision.republished]
        if news:
            details["receipts"] = receipt_rows(news)
        if refunds:
            details["refunds"] = refunds
        if disputes:
            details["disputes"] = disputes
        if commit.inbox_ids:
            details["reports"] = list(commit.inbox_ids)
        fields = {
            "id": after.id,
            "provider": after.provider,
            "before_version": before.version,
            "receipts": details.get("receipts", []),
            "refunds": refunds,
            "disputes": disputes,
            "events": [
                _event_row(after, event, origin, self._environment) for event in decision.events
            ],
            "inbox_ids": list(commit.inbox_ids),
        }
        return self._audited(after, decision.audit_event, details, origin, fields)

    def _audited(
        self, after: Payment, event_type: str, details: Json, origin: Origin, fields: Json
    ) -> "_Record":
        """The record with its audit row; personal values stand apart from that."""
        salt = self._salt(SALT_BYTES)
        parted = part(details, origin.ip, origin.peer, salt)
        audit = content_of(
            after.id,
            after.version,
            event_type,
            parted.details,
            after.update_time,
            actor=origin.actor,
            request_id=origin.request_id,
            certificate=origin.certificate,
        )
        fields["personal"] = parted.value and {"salt": salt, "value": parted.value}
        return _Record(id=after.id, key=after.idempotency_key, fields=fields, audit=audit)

    def _notify(self, commit: Commit) -> None:
        after = commit.decision.payment
        self._on_change(after.id)
        if after.status is not commit.before.status:
            self._on_status(after)
        known = {refund.id: refund.status for refund in commit.before.refunds}
        for refund in after.refunds:
            if known.get(refund.id) is not refund.status:
                self._on_refund(refund)
        if after.ask_deadline is None:
            self._answered(after.id)

    async def await_answer(self, payment_id: UUID, timeout_s: float) -> Payment | None:
        """Wait for this daemon's own commit, and poll the database for one of another daemon."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        answered: asyncio.Future[None] = loop.create_future()
        self._waiting[payment_id].append(answered)
        try:
            while loop.time() < until and not answered.done():
                now = self._database.clock.now()
                row = await self._database.fetch_one(
                    "select_asking", payment_id=payment_id, now=now
                )
                if row is None or not row["is_asked"]:
                    break
                await asyncio.wait({answered}, timeout=min(_ANSWER_POLL_S, until - loop.time()))
        finally:
            self._forget(payment_id, answered)
        return await self.get(payment_id)

    async def claim_status_checks(
        self, now: datetime, limit: int, lease_s: float
    ) -> Sequence[Payment]:
        rows = await self._database.fetch(
            "claim_status_checks", now=now, limit=limit, lease=timedelta(seconds=lease_s)
        )
        return await self.get_all([row["id"] for row in rows])

    async def claim_sync(self, payment_id: UUID, now: datetime, rest: timedelta) -> bool:
        rows = await self._database.fetch("claim_sync", payment_id=payment_id, now=now, rest=rest)
        return bool(rows)

    async def schedule_status_check(self, payment: Payment, time: datetime) -> None:
        await self._database.fetch(
            "schedule_status_check", payment_id=payment.id, version=payment.version, time=time
        )

    async def get_refund(self, refund_id: UUID) -> tuple[Payment, Refund] | None:
        return await self._find_refund(refund_id, None)

    async def get_refund_by_key(self, idempotency_key: str) -> tuple[Payment, Refund] | None:
        return await self._find_refund(None, idempotency_key)

    async def list_refunds(
        self, wanted: RefundFilter, after: Position | None, limit: int
    ) -> Sequence[tuple[Payment, Refund]]:
        page = {
            "statuses": [status.value for status in wanted.statuses or RefundStatus],
            "before_time": after and after.time,
            "before_id": after and after.id,
            "limit": limit,
        }
        if wanted.payment_id is None:
            rows = await self._database.fetch("list_refunds", **page)
        else:
            rows = await self._database.fetch(
                "list_refunds_of_payment", payment_id=wanted.payment_id, **page
            )
        return await self._refunds_of(rows)

    async def claim_refund_checks(
        self, now: datetime, limit: int, lease_s: float
    ) -> Sequence[tuple[Payment, UUID]]:
        rows = await self._database.fetch(
            "claim_refund_checks", now=now, limit=limit, lease=timedelta(seconds=lease_s)
        )
        return [(payment, refund.id) for payment, refund in await self._refunds_of(rows)]

    async def schedule_refund_check(self, refund: Refund, time: datetime) -> None:
        await self._database.fetch(
            "schedule_refund_check", refund_id=refund.id, update_time=refund.update_time, time=time
        )

    async def audit_trail(self, payment_id: UUID) -> Sequence[AuditRow]:
        """All audit rows of a payment, oldest first."""
        rows = await self._database.fetch("audit_trail", payment_id=payment_id)
        return [audit_row_of(row) for row in rows]

    async def drain(self) -> None:
        """Return when no write is in flight."""
        await self._inserts.drain()
        await self._commits.drain()

    async def _find(self, **name: object) -> UUID | None:
        row = await self._database.fetch_one("find_payment", **(_NO_NAME | name))
        return row["id"] if row else None

    async def _find_refund(
        self, refund_id: UUID | None, idempotency_key: str | None
    ) -> tuple[Payment, Refund] | None:
        rows = await self._database.fetch(
            "find_refund", refund_id=refund_id, idempotency_key=idempotency_key
        )
        found = await self._refunds_of(rows)
        return found[0] if found else None

    async def _refunds_of(self, rows: Sequence[Row]) -> Sequence[tuple[Payment, Refund]]:
        """Refunds with their payments, by the ids of both."""
        payments = await self.get_all(list(dict.fromkeys(row["payment_id"] for row in rows)))
        refunds = {
            refund.id: (payment, refund) for payment in payments for refund in payment.refunds
        }
        return [refunds[row["id"]] for row in rows]

    async def _get(
        self, payment_id: UUID | None, receipt_ids: Collection[str] = ()
    ) -> Payment | None:
        found = await self._select(payment_id, receipt_ids) if payment_id else None
        return found and found[0]

    async def _select(
        self, payment_id: UUID, receipt_ids: Collection[str], receipts_max: int = 0
    ) -> tuple[Payment, Sequence[Receipt]] | None:
        async def select() -> Row | None:
            return await self._database.fetch_one(
                "select_payment",
                payment_id=payment_id,
                # None is sent in less time than an empty array, and finds nothing either.
                receipt_ids=receipt_ids or None,
                receipts_max=receipts_max,
                late_window_s=self._late_window_s,
            )

        row = await select()
        if row is None:
            return None
        [whole] = await self._with_refunds([row], [receipt_ids])
        if whole is not row and receipts_max:
            # It was read later: no receipt that its sums have may be missing in the list.
            row = await select() or row
        return payment_of(whole), newest_receipts_of(row)

    async def _select_all(
        self,
        providers: Sequence[str | None],
        references: Sequence[str | None],
        ids: Sequence[UUID | None],
        receipt_ids: Sequence[Sequence[str]] | None = None,
    ) -> Mapping[int, Payment]:
        """Payments by the position of their name or id; unknown ones are left out.

        `receipt_ids` are those of the receipts to read with each.
        """
        asked = receipt_ids or [()] * len(ids)
        rows = await self._database.fetch(
            "select_payments",
            providers=providers,
            references=references,
            ids=ids,
            receipt_ids=[json.dumps(of_one) for of_one in asked],
            late_window_s=self._late_window_s,
        )
        numbers = [row["number"] - 1 for row in rows]
        whole = await self._with_refunds(rows, [asked[number] for number in numbers])
        found = dict(zip(numbers, map(payment_of, whole), strict=True))
        if len({payment.id for payment in found.values()}) == len(found):
            return found
        return _with_all_receipts(found)

    async def _with_refunds(
        self, rows: Sequence[Row], receipt_ids: Sequence[Collection[str]]
    ) -> Sequence[Row]:
        """Read payments that have refunds or disputes again, with these; few have any."""
        again = [number for number, row in enumerate(rows) if row["money_goes_back"]]
        if not again:
            return rows
        found = await self._database.fetch(
            "select_with_refunds",
            ids=[rows[number]["id"] for number in again],
            receipt_ids=[json.dumps(list(receipt_ids[number])) for number in again],
            late_window_s=self._late_window_s,
        )
        whole = list(rows)
        for row in found:
            whole[again[row["number"] - 1]] = row
        return whole

    async def _insert_all(self, records: Sequence["_Record"]) -> Sequence[bool]:
        rows = await self._database.fetch(
            "insert_payments",
            payments=dumps([record.fields for record in records]),
            audits=[record.audit for record in records],
        )
        inserted = {row["id"] for row in rows}
        return [record.id in inserted for record in records]

    async def _commit_all(self, records: Sequence["_Record"]) -> Sequence[bool]:
        decisions = dumps([record.fields for record in records])
        audits = [record.audit for record in records]
        try:
            if any(record.fields["refunds"] or record.fields["disputes"] for record in records):
                rows = await self._database.fetch(
                    "commit_with_refunds", decisions=decisions, audits=audits
                )
            else:
                rows = await self._database.fetch(
                    "commit_decisions", decisions=decisions, audits=audits
                )
        except asyncpg.UniqueViolationError as error:
            # The batcher sends each decision of a batch that failed alone.
            if len(records) == 1 and error.constraint_name == _ONE_PAYMENT_PER_OBJECT:
                return [False]
            raise
        written = {row["id"] for row in rows}
        return [record.id in written for record in records]

    def _answered(self, payment_id: UUID) -> None:
        for future in self._waiting.get(payment_id, ()):
            if not future.done():
                future.set_result(None)

    def _forget(self, payment_id: UUID, answered: "asyncio.Future[None]") -> None:
        self._waiting[payment_id].remove(answered)
        if not self._waiting[payment_id]:
            del self._waiting[payment_id]


def _with_all_receipts(found: Mapping[int, Payment]) -> Mapping[int, Payment]:
    """Give a payment that was found by several names the receipts asked for with any of them."""
    receipts: defaultdict[UUID, dict[str, Receipt]] = defaultdict(dict)
    for payment in found.values():
        receipts[payment.id] |= {receipt.id: receipt for receipt in payment.receipts}
    return {
        number: attrs.evolve(
            payment, receipts=tuple(one for _, one in sorted(receipts[payment.id].items()))
        )
        for number, payment in found.items()
    }


def _event_row(payment: Payment, event: Event, origin: Origin, environment: str) -> Json:
    return outbox_row_of(payment, event, origin, environment)._asdict()


def _uuid_or_none(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None

"""Settle stored reports in the payments that they name, a batch at a time.

Each step of a batch is one statement: read the payments, commit the decisions, mark the other rows.
All reports of one payment are one decision. Settled one by one are reports that name several
payments or an unknown one, and those of a payment that another writer changed meanwhile.

A report may overtake the commit of the payment that it names. Therefore a report without a known
payment is parked and tried again: for 24 hours if it names an id in the form of ours, otherwise for
one hour. Receipts are not parked: payd reveals a receipt's reference only after the payment is
committed, and the ledger keeps the receipt for an operator.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import attrs

from payd.domain.actors import provider_actor
from payd.domain.decide import Decision
from payd.domain.evidence import Conflict, Evidence, Observation
from payd.domain.payment import Origin, Payment
from payd.domain.sums import StaleSums
from payd.plugins.interface import ProviderEvent
from payd.ports import Clock, Commit, Inbox, InboxRow, Name, PaymentStore, Providers, Unreadable
from payd.ports.provider import Untranslatable
from payd.service.settle import Settle

#: How long an observation that names a payment id waits for its payment.
PARKED_MAX = timedelta(hours=24)
#: The same for one that names a reference or an alias, which payd may learn a little later.
UNKNOWN_MAX = timedelta(hours=1)
#: The same while a payment that is older than the report does not know its object.
UNNAMED_MAX = timedelta(days=3)
#: Seconds until the next attempt, by the number of attempts. The last one repeats.
_PARK_S = (1.0, 2.0, 5.0, 15.0, 60.0, 300.0)
#: The same after UNKNOWN_MAX: an account that others use, too, may have many reports.
_PARK_LATE_S = 1800.0


@attrs.frozen
class _Report:
    """A row, its observations, and for each of them the payment that it names, if it exists."""

    row: InboxRow
    observations: tuple[Observation, ...]
    payments: tuple[Payment | None, ...]

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        if self.row.conflicting:
            return tuple(
                Conflict(detail=f"report {observation.id} came with two contents")
                for observation in self.observations
            )
        return tuple(map(_evidence_of, self.observations))

    @property
    def only_payment(self) -> Payment | None:
        """The payment that all observations name; None if they differ, or if it is unknown."""
        ids = {payment and payment.id for payment in self.payments}
        return self.payments[0] if len(ids) == 1 else None


def _evidence_of(observation: Observation) -> Evidence:
    fact = observation.fact
    if isinstance(fact, Conflict) and not fact.detail:
        # Two reports that do not say what contradicts are two facts.
        return Conflict(detail=f"report {observation.id}")
    return fact


@attrs.frozen
class _Group:
    """Reports of one payment, in the order in which they were stored."""

    payment: Payment
    reports: tuple[_Report, ...]
    #: What is still to be decided: row id, evidence.
    pieces: tuple[tuple[int, Evidence], ...]
    #: Ids of rows of which some evidence has changed the payment.
    written: frozenset[int] = frozenset()


@attrs.frozen
class _Step:
    """One decision for a group, what it settles, and what it leaves for the next one."""

    group: _Group
    decision: Decision | None
    #: Row id → outcome.
    settled: Mapping[int, str]
    rest: _Group | None
    #: Rows with something new in this decision.
    sources: frozenset[int]

    def commit(self) -> Commit | None:
        """What to write, if anything. The same statement marks the rows that it applies."""
        if self.decision is None:
            return None
        applied = tuple(row_id for row_id, end in self.settled.items() if end == "applied")
        rows = [report.row for report in self.group.reports]
        return Commit(
            before=self.group.payment,
            decision=self.decision,
            origin=_origin([row for row in rows if row.id in self.sources], self.group.payment),
            inbox_ids=applied,
        )


@attrs.define
class _Batch:
    """The outcomes of a batch, and the rows that are marked at its end."""

    outcomes: dict[int, str] = attrs.field(factory=dict)
    to_finish: dict[int, str] = attrs.field(factory=dict)
    to_park: dict[int, float] = attrs.field(factory=dict)
    #: Provider → when the oldest payment began that does not know its object, once asked.
    oldest_unnamed: dict[str, datetime | None] = attrs.field(factory=dict)

    def finish(self, row_id: int, outcome: str) -> None:
        self.outcomes[row_id] = self.to_finish[row_id] = outcome

    def park(self, row: InboxRow, outcome: str, *, is_late: bool = False) -> None:
        self.outcomes[row.id] = outcome
        pause_s = _PARK_S[min(row.attempts, len(_PARK_S)) - 1]
        self.to_park[row.id] = _PARK_LATE_S if is_late else pause_s


@attrs.frozen(kw_only=True)
class Reports:
    """Use case: settle stored reports."""

    inbox: Inbox
    store: PaymentStore
    providers: Providers
    settle: Settle
    clock: Clock
    batch_size: int = 100
    lease_s: float = 30.0

    async def claim_batch(self) -> Sequence[InboxRow]:
        """Claim stored reports; pass them to `work`."""
        return await self.inbox.claim(self.batch_size, self.lease_s)

    async def work(self, rows: Sequence[InboxRow]) -> Mapping[int, str]:
        """Settle stored reports; return the outcome of each, by row id.

        Repeating it changes nothing. One row may fail them all: then work the rows one by one.
        """
        batch = _Batch()
        reports = await self._find_payments(self._translate(rows, batch))
        alone = [report for report in reports if report.only_payment is None]
        alone += await self._settle_groups(_groups(reports), batch)
        for report in alone:
            await self._settle_alone(report, batch)
        if batch.to_finish:
            await self.inbox.finish(batch.to_finish)
        if batch.to_park:
            await self.inbox.park(batch.to_park)
        return batch.outcomes

    def _translate(
        self, rows: Sequence[InboxRow], batch: _Batch
    ) -> Sequence[tuple[InboxRow, Sequence[Observation]]]:
        """Rows with at least one observation; the others have their outcome after this."""
        translated = []
        for row in rows:
            try:
                observations = self._observations(row)
            except Untranslatable:
                # Kept for ever: a later version of the provider may be able to read it.
                batch.park(row, "untranslatable")
                continue
            if observations:
                translated.append((row, observations))
            else:
                batch.finish(row.id, "not_ours")
        return translated

    def _observations(self, row: InboxRow) -> Sequence[Observation]:
        if isinstance(row.report, Observation):
            return (row.report,)
        if isinstance(row.report, Unreadable):
            raise Untranslatable(row.report.why)
        port = self.providers.by_name(row.provider)
        if port is None:
            raise Untranslatable(f"the provider {row.provider!r} is not enabled")
        return port.translate(row.report)

    async def _find_payments(
        self, translated: Sequence[tuple[InboxRow, Sequence[Observation]]]
    ) -> Sequence[_Report]:
        names: defaultdict[Name, set[str]] = defaultdict(set)
        named_twice: set[int] = set()
        for row, observations in translated:
            for one in observations:
                receipts = one.fact if isinstance(one.fact, tuple) else ()
                names[Name(row.provider, one.reference)] |= {receipt.id for receipt in receipts}
                if one.also:
                    named_twice.add(row.id)
                    names[Name(row.provider, one.also)] |= {receipt.id for receipt in receipts}
        payments = await self.store.find_all(names) if names else {}
        reports = [
            _Report(
                row,
                tuple(observations),
                tuple(payments.get(Name(row.provider, one.reference)) for one in observations),
            )
            for row, observations in translated
        ]
        for number, report in enumerate(reports):
            if report.row.id in named_twice:
                reports[number] = _with_second_names(report, payments)
        return reports

    async def _settle_groups(self, groups: Sequence[_Group], batch: _Batch) -> Sequence[_Report]:
        """Decide on each group and commit them together, until nothing is left.

        Return the reports of payments that have to be read again: another writer has changed them
        meanwhile, or they were closed.
        """
        lost: list[_Report] = []
        while groups:
            steps = []
            for group in groups:
                try:
                    steps.append(self._decide(group))
                except StaleSums:
                    lost += group.reports
            written = await self._commit(steps)
            groups = []
            for step in steps:
                if step.decision is not None and step.group.payment.id not in written:
                    lost += step.group.reports
                    continue
                for row_id, outcome in step.settled.items():
                    if step.decision is not None and outcome == "applied":
                        batch.outcomes[row_id] = outcome
                    else:
                        batch.finish(row_id, outcome)
                if step.rest is not None:
                    groups.append(step.rest)
        return lost

    def _decide(self, group: _Group) -> _Step:
        made = self.settle.decide_set(group.payment, [piece for _, piece in group.pieces])
        used, left = group.pieces[: len(made.news)], group.pieces[len(made.news) :]
        sources = {row_id for (row_id, _), new in zip(used, made.news, strict=True) if new}
        written = group.written | (sources if made.decision is not None else set())
        waiting = {row_id for row_id, _ in left}
        settled = {
            row_id: "applied" if row_id in written else "nothing_new"
            for row_id, _ in used
            if row_id not in waiting
        }
        payment = made.decision.payment if made.decision is not None else group.payment
        rest = attrs.evolve(group, payment=payment, pieces=left, written=written)
        rest_or_none = rest if left else None
        return _Step(group, made.decision, settled, rest_or_none, frozenset(sources))

    async def _commit(self, steps: Sequence[_Step]) -> Collection[UUID]:
        """Commit the decisions; return the ids of the payments that were written."""
        commits = [commit for step in steps if (commit := step.commit()) is not None]
        if not commits:
            return ()
        won = await self.settle.commit_all(commits)
        return {one.before.id for one, is_won in zip(commits, won, strict=True) if is_won}

    async def _settle_alone(self, report: _Report, batch: _Batch) -> None:
        row = report.row
        known = [
            (payment, piece)
            for payment, piece in zip(report.payments, report.evidence, strict=True)
            if payment is not None
        ]
        if len(known) < len(report.observations):
            for payment, piece in known:
                await self._apply(row, payment, piece)
            await self._wait_for_payment(report, batch)
            return
        wrote = [await self._apply(row, *one) for one in known[:-1]]
        # The last decision also marks the row: one statement does both.
        if await self._apply(row, *known[-1], marks=(row.id,)):
            batch.outcomes[row.id] = "applied"
        else:
            batch.finish(row.id, "applied" if any(wrote) else "nothing_new")

    async def _apply(
        self, row: InboxRow, payment: Payment, piece: Evidence, marks: Sequence[int] = ()
    ) -> bool:
        """Settle one piece of evidence; return whether it changed the payment."""
        _, wrote = await self.settle.apply(payment, piece, _origin([row], payment), marks)
        return wrote

    async def _wait_for_payment(self, report: _Report, batch: _Batch) -> None:
        row, observations = report.row, report.observations
        if all(isinstance(one.fact, tuple) for one in observations):
            await self._keep_receipts(row, observations)
            batch.finish(row.id, "unmatched")
            return
        is_ours = any(_is_payment_id(one.reference) for one in observations)
        age = self.clock.now() - row.receive_time
        if age <= (PARKED_MAX if is_ours else UNKNOWN_MAX):
            batch.park(row, "parked")
        elif not is_ours and age <= UNNAMED_MAX and await self._may_be_named(row, batch):
            batch.park(row, "parked", is_late=True)
        else:
            await self._keep_receipts(row, observations)
            batch.finish(row.id, "never_matched" if is_ours else "not_ours")

    async def _may_be_named(self, row: InboxRow, batch: _Batch) -> bool:
        """Whether a payment that existed before the report may turn out to be what it is about."""
        if row.provider not in batch.oldest_unnamed:
            oldest = await self.store.oldest_unnamed(row.provider)
            batch.oldest_unnamed[row.provider] = oldest
        since = batch.oldest_unnamed[row.provider]
        return since is not None and since < row.receive_time

    async def _keep_receipts(self, row: InboxRow, observations: Sequence[Observation]) -> None:
        """Put receipts from a translated event into the ledger, for an operator to match.

        Receipts of a watch are there already. Repeating this changes nothing.
        """
        if not isinstance(row.report, ProviderEvent):
            return
        kept = [
            attrs.evolve(one, id=f"{row.report.id} receipts {number}")
            for number, one in enumerate(observations)
            if isinstance(one.fact, tuple)
        ]
        if kept:
            await self.inbox.put(row.provider, kept)


def _with_second_names(report: _Report, payments: Mapping[Name, Payment]) -> _Report:
    """Use the second name where the first names no payment; a conflict where they name two."""
    whole: list[tuple[Observation, Payment | None]] = []
    for one, named in zip(report.observations, report.payments, strict=True):
        other = payments.get(Name(report.row.provider, one.also)) if one.also else None
        whole.append((one, named or other))
        if named is not None and other is not None and named.id != other.id:
            detail = f"report {one.id} names payment {other.id}, too, by {one.also}"
            whole.append((attrs.evolve(one, fact=Conflict(detail=detail)), named))
    return _Report(report.row, tuple(one for one, _ in whole), tuple(named for _, named in whole))


def _groups(reports: Iterable[_Report]) -> Sequence[_Group]:
    """Reports by the only payment that they name."""
    by_id: defaultdict[UUID, list[_Report]] = defaultdict(list)
    payments: dict[UUID, Payment] = {}
    for report in reports:
        if payment := report.only_payment:
            payments[payment.id] = payment
            by_id[payment.id].append(report)
    return [
        _Group(
            payments[payment_id],
            tuple(of_payment),
            tuple((report.row.id, piece) for report in of_payment for piece in report.evidence),
        )
        for payment_id, of_payment in by_id.items()
    ]


def _origin(rows: Sequence[InboxRow], payment: Payment) -> Origin:
    return Origin(
        actor=provider_actor(rows[0].provider),
        request_id=payment.request_id,
        linked_spans=tuple(dict.fromkeys(row.traceparent for row in rows if row.traceparent)),
    )


def _is_payment_id(reference: str) -> bool:
    try:
        return str(UUID(reference)) == reference.lower()
    except ValueError:
        return False

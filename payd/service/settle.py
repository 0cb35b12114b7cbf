"""Settle evidence: decide on the newest version and commit, again if another writer was faster.

All evidence changes payments through here: answers to calls, webhooks, watches, scans, operators.

A commit can also fail although the payment has not changed: then something in the evidence belongs
to another payment, such as a receipt. Retrying would never help, so it becomes conflicting evidence
for a person.
"""

from collections.abc import Sequence
from uuid import UUID

import attrs

from payd.domain.decide import Decision, Rules, SetDecision, decide, decide_set
from payd.domain.dispute import Dispute
from payd.domain.errors import PaymentNotFound, StoreUnavailable
from payd.domain.evidence import (
    Conflict,
    Created,
    Evidence,
    NotClosable,
    RefundAnswered,
    RefundSettled,
    Snapshot,
)
from payd.domain.payment import Origin, Payment
from payd.domain.refund import RefundSnapshot
from payd.domain.sums import StaleSums
from payd.plugins.capabilities import Cancel as Closing
from payd.ports import Clock, Commit, CrashPoints, PaymentStore, Providers, Turns

#: A call, a watch and recovery may write one payment at once, and many daemons may refund it. After
#: some rounds each further one begins with a rest. More rounds than the most mean a defect.
_ROUNDS_AT_ONCE = 4
_ROUNDS_MAX = 200


class BelongsElsewhere(Exception):
    """Something in the evidence belongs to another payment; nothing was written.

    It is an object, a receipt, a refund or a dispute of the provider, or the idempotency key of a
    refund.
    """


@attrs.frozen(kw_only=True)
class Settle:
    """Use case: settle evidence in a payment."""

    store: PaymentStore
    providers: Providers
    clock: Clock
    crash: CrashPoints
    turns: Turns
    rules: Rules

    async def settle(self, payment: Payment, evidence: Evidence, origin: Origin) -> Payment:
        """Return the newest payment with `evidence` settled; `payment` may be an older version."""
        after, _ = await self.apply(payment, evidence, origin)
        return after

    async def apply(
        self,
        payment: Payment,
        evidence: Evidence,
        origin: Origin,
        inbox_ids: Sequence[int] = (),
        note: str = "",
    ) -> tuple[Payment, bool]:
        """As `settle`; also return whether anything was written.

        `inbox_ids` are marked as settled in the same statement, and `note` goes into the audit row.
        What belongs to another payment raises attention. Raises StoreUnavailable.
        """
        try:
            return await self.apply_or_raise(payment, evidence, origin, inbox_ids, note)
        except BelongsElsewhere:
            return await self._keep_the_rest(payment, evidence, origin, inbox_ids)

    async def apply_or_raise(
        self,
        payment: Payment,
        evidence: Evidence,
        origin: Origin,
        inbox_ids: Sequence[int] = (),
        note: str = "",
    ) -> tuple[Payment, bool]:
        """As `apply`, but raises BelongsElsewhere for what belongs to another payment."""
        reported = [receipt.id for receipt in evidence] if isinstance(evidence, tuple) else []
        if reported:
            # Those that are stored already must not be counted again.
            payment = await self.newest(payment.id, reported)
        for round_ in range(_ROUNDS_MAX):
            if round_ >= _ROUNDS_AT_ONCE:
                await self.turns.rest()
            try:
                decision = decide(payment, evidence, self.clock.now(), self.rules_of(payment))
            except StaleSums:
                payment = await self.newest(payment.id, reported)
                continue
            if decision is not None and note:
                decision = attrs.evolve(decision, note=note)
            if decision is not None and await self._commit(payment, decision, origin, inbox_ids):
                return decision.payment, True
            newest = await self.newest(payment.id, reported)
            if decision is None and newest.version == payment.version:
                return newest, False
            if newest.version == payment.version and _parts(evidence):
                raise BelongsElsewhere
            payment = newest
        raise StoreUnavailable(
            f"the payment changed {_ROUNDS_MAX} times meanwhile: retry", retry_after_s=1.0
        )

    async def _keep_the_rest(
        self,
        payment: Payment,
        evidence: Evidence,
        origin: Origin,
        inbox_ids: Sequence[int],
    ) -> tuple[Payment, bool]:
        """Settle the parts one by one; those of another payment become conflicting evidence."""
        taken = []
        for name, part in _parts(evidence):
            try:
                payment, _ = await self.apply_or_raise(payment, part, origin)
            except BelongsElsewhere:
                taken.append(name)
        note = f"reported for this payment, but another payment has: {', '.join(taken)}"
        return await self.apply_or_raise(payment, Conflict(detail=note), origin, inbox_ids, note)

    async def claim(
        self, payment: Payment, evidence: Evidence, origin: Origin
    ) -> tuple[Payment, bool]:
        """Settle evidence that is valid for this version only; return whether it was written.

        If the payment has changed since, nothing is written, and its newest version returns.
        """
        decision = decide(payment, evidence, self.clock.now(), self.rules_of(payment))
        if decision is not None and await self._commit(payment, decision, origin):
            return decision.payment, True
        return await self.newest(payment.id), False

    async def settle_all(
        self, payment: Payment, evidence: Sequence[Evidence], origin: Origin
    ) -> Payment:
        """Settle each piece of evidence in order."""
        for piece in evidence:
            payment, _ = await self.apply(payment, piece, origin)
        return payment

    def decide_set(self, payment: Payment, pieces: Sequence[Evidence]) -> SetDecision:
        """Decide on several pieces of evidence at once, without writing anything.

        Raises StaleSums.
        """
        return decide_set(payment, pieces, self.clock.now(), self.rules_of(payment))

    async def commit_all(self, commits: Sequence[Commit]) -> Sequence[bool]:
        """Write decisions of different payments together; return which of them were written."""
        self.crash.reach("settle.before_commit")
        won = await self.store.commit_all(commits)
        if any(won):
            self.crash.reach("settle.after_commit")
        return won

    async def newest(self, payment_id: UUID, receipt_ids: Sequence[str] = ()) -> Payment:
        """The newest stored version, with those of its receipts; raises PaymentNotFound."""
        payment = await self.store.get(payment_id, receipt_ids)
        if payment is None:
            raise PaymentNotFound("no payment has this id", payment_id=str(payment_id))
        return payment

    def rules_of(self, payment: Payment) -> Rules:
        """The rules by which this payment is decided, with those of its method and provider."""
        registered = self.providers.by_method(payment.method)
        if registered is None:
            return self.rules
        return attrs.evolve(
            self.rules,
            late_payments_complete=self.rules.late_payments_complete
            and registered.method.late_payments_complete,
            closes=registered.provider.capabilities.cancel is Closing.CLOSES,
        )

    async def _commit(
        self,
        payment: Payment,
        decision: Decision,
        origin: Origin,
        inbox_ids: Sequence[int] = (),
    ) -> bool:
        self.crash.reach("settle.before_commit")
        won = await self.store.commit(payment, decision, origin, inbox_ids)
        if won:
            self.crash.reach("settle.after_commit")
        return won


def _parts(evidence: Evidence) -> Sequence[tuple[str, Evidence]]:
    """Parts of evidence that may belong to another payment, each with its name."""
    match evidence:
        case tuple():
            return [(receipt.id, (receipt,)) for receipt in evidence]
        case Snapshot():
            return _parts_of_object(evidence, attrs.evolve(evidence, refunds=(), disputes=()))
        case NotClosable(snapshot=snapshot):
            bare = attrs.evolve(snapshot, refunds=(), disputes=())
            return _parts_of_object(snapshot, NotClosable(snapshot=bare))
        case Created(reference=name) | RefundSnapshot(reference=name) | Dispute(id=name):
            return [(name, evidence)]
        case RefundAnswered(answer=RefundSnapshot(reference=name)):
            return [(name, evidence)]
        case RefundSettled(reference=name) if name:
            return [(name, evidence)]
        case _:
            return ()


def _parts_of_object(snapshot: Snapshot, bare: Evidence) -> Sequence[tuple[str, Evidence]]:
    refunds = [(refund.reference, refund) for refund in snapshot.refunds]
    disputes = [(dispute.id, dispute) for dispute in snapshot.disputes]
    # Of the object itself only its reference can belong to another payment.
    return [(snapshot.reference or "its object", bare), *refunds, *disputes]

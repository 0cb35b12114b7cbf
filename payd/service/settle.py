"""Decide on the newest version and commit; again when another writer was first.

The one way in which evidence changes a payment, whoever brings it: an RPC's answer, a
watch, a poll, an operator.
"""

from collections.abc import Sequence
from uuid import UUID

import attrs

from payd.domain.decide import Decision, Rules, decide
from payd.domain.errors import PaymentNotFound, StoreUnavailable
from payd.domain.evidence import Evidence
from payd.domain.payment import Origin, Payment
from payd.ports import Clock, CrashPoints, PaymentStore, Providers

#: Writers of one payment: a call, a watch, recovery. More rounds than this is a defect.
_ROUNDS_MAX = 20


@attrs.frozen(kw_only=True)
class Settle:
    """Use case: believe evidence."""

    store: PaymentStore
    providers: Providers
    clock: Clock
    crash: CrashPoints
    rules: Rules

    async def settle(self, payment: Payment, evidence: Evidence, origin: Origin) -> Payment:
        """The payment as it stands after `evidence`; `payment` may be an older version."""
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
        """As `settle`, and whether anything was written; then `inbox_ids` are marked with it.

        A note is kept in the audit row.
        """
        for _ in range(_ROUNDS_MAX):
            decision = decide(payment, evidence, self.clock.now(), self._rules(payment))
            if decision is not None and note:
                decision = attrs.evolve(decision, note=note)
            if decision is not None and await self._commit(payment, decision, origin, inbox_ids):
                return decision.payment, True
            newest = await self.newest(payment.id)
            if decision is None and newest.version == payment.version:
                return newest, False
            payment = newest
        raise StoreUnavailable("too many writers at one payment", retry_after_s=1.0)

    async def claim(
        self, payment: Payment, evidence: Evidence, origin: Origin
    ) -> tuple[Payment, bool]:
        """Settle what holds for this version alone; the newest one, unchanged, if that is past."""
        decision = decide(payment, evidence, self.clock.now(), self._rules(payment))
        if decision is not None and await self._commit(payment, decision, origin):
            return decision.payment, True
        return await self.newest(payment.id), False

    async def settle_all(
        self, payment: Payment, evidence: Sequence[Evidence], origin: Origin
    ) -> Payment:
        """Settle each piece in its order."""
        for piece in evidence:
            payment = await self.settle(payment, piece, origin)
        return payment

    async def newest(self, payment_id: UUID) -> Payment:
        """The stored payment; raises PaymentNotFound."""
        payment = await self.store.get(payment_id)
        if payment is None:
            raise PaymentNotFound("no such payment", payment_id=str(payment_id))
        return payment

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

    def _rules(self, payment: Payment) -> Rules:
        registered = self.providers.by_method(payment.method)
        if registered is None or registered.method.late_payments_complete:
            return self.rules
        return attrs.evolve(self.rules, late_payments_complete=False)

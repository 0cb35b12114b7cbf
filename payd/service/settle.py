"""Decide on the newest version and commit; again when another writer was first.

The one way in which evidence changes a payment, whoever brings it: an RPC's answer, a
watch, a poll, an operator.

A commit that is lost although nobody else changed the payment wanted a receipt that belongs to
another payment. Trying again would never help: it is conflicting evidence, for a person.
"""

from collections.abc import Sequence
from uuid import UUID

import attrs

from payd.domain.decide import Decision, Rules, decide
from payd.domain.errors import PaymentNotFound, StoreUnavailable
from payd.domain.evidence import Conflict, Evidence, Receipt
from payd.domain.payment import Origin, Payment
from payd.ports import Clock, CrashPoints, PaymentStore, Providers

#: Writers of one payment: a call, a watch, recovery. More rounds than this is a defect.
_ROUNDS_MAX = 20


class ReceiptTaken(Exception):
    """A receipt of the evidence belongs to another payment; nothing was written."""


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

        A note is kept in the audit row. Receipts of another payment raise attention.
        """
        try:
            return await self.take(payment, evidence, origin, inbox_ids, note)
        except ReceiptTaken:
            receipts = evidence if isinstance(evidence, tuple) else ()
            return await self._keep_the_rest(payment, receipts, origin, inbox_ids)

    async def take(
        self,
        payment: Payment,
        evidence: Evidence,
        origin: Origin,
        inbox_ids: Sequence[int] = (),
        note: str = "",
    ) -> tuple[Payment, bool]:
        """As `apply`; raises ReceiptTaken where `apply` raises attention."""
        for _ in range(_ROUNDS_MAX):
            decision = decide(payment, evidence, self.clock.now(), self._rules(payment))
            if decision is not None and note:
                decision = attrs.evolve(decision, note=note)
            if decision is not None and await self._commit(payment, decision, origin, inbox_ids):
                return decision.payment, True
            newest = await self.newest(payment.id)
            if decision is None and newest.version == payment.version:
                return newest, False
            if isinstance(evidence, tuple) and newest.version == payment.version:
                raise ReceiptTaken
            payment = newest
        raise StoreUnavailable("too many writers at one payment", retry_after_s=1.0)

    async def _keep_the_rest(
        self,
        payment: Payment,
        receipts: Sequence[Receipt],
        origin: Origin,
        inbox_ids: Sequence[int],
    ) -> tuple[Payment, bool]:
        """Keep the receipts that no other payment has, and have a person look at the others."""
        taken = []
        for receipt in receipts:
            try:
                payment, _ = await self.take(payment, (receipt,), origin)
            except ReceiptTaken:
                taken.append(receipt.id)
        note = f"reported for this payment and owned by another: {', '.join(taken)}"
        return await self.take(payment, Conflict(), origin, inbox_ids, note)

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

"""ExplainPayment: read what is stored about a payment, and let the rules explain it."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta
from uuid import UUID

import attrs

from payd.domain.errors import InvalidField, PaymentNotFound
from payd.domain.evidence import Observation
from payd.domain.explain import explain
from payd.domain.explanation import Explanation
from payd.domain.history import Circumstances, History, StoredReport
from payd.domain.payment import Payment
from payd.domain.refund import RefundTerms
from payd.domain.refunds import REFUND_STUCK_AFTER
from payd.plugins.capabilities import Cancel, Lookup, RefundCapabilities
from payd.plugins.interface import ProviderEvent
from payd.ports import Histories, PaymentStore, ProviderPort, Trail
from payd.ports.provider import Untranslatable
from payd.service.refund import refund_terms
from payd.service.settle import Settle

#: Newest changes that have a step of their own, events, and receipts that may be meant for it.
_CHANGES_MAX = 200
_EVENTS_MAX = 100
_RECEIPTS_MAX = 5
#: Reports of the provider that are searched for the payment's.
_REPORTS_MAX = 200
#: A caller's clock may be ahead of ours by so much.
_AHEAD_MAX = timedelta(minutes=1)
#: Rows of another daemon whose clock is ahead belong to the present, too.
_PRESENT = timedelta(days=1)


@attrs.frozen(kw_only=True)
class ExplainPayment:
    """Use case: explain a payment. It changes nothing."""

    store: PaymentStore
    histories: Histories
    settle: Settle
    #: As for RefundPayment.
    approval_from: int | None = None

    async def explain(self, payment_id: UUID, at_time: datetime | None) -> Explanation:
        """Explain the payment as it stands, or as payd knew it at a time.

        Raises PaymentNotFound, also for a time before its creation, and InvalidField.
        """
        now = self.settle.clock.now()
        if at_time is not None and at_time > now + _AHEAD_MAX:
            raise InvalidField("at_time", "is in the future")
        time = min(at_time or now, now)
        is_present = at_time is None
        until = now + _PRESENT if at_time is None else time
        trail = await self.histories.trail(payment_id, until, _CHANGES_MAX)
        if trail is None:
            raise PaymentNotFound(
                "no payment had this id at that time" if at_time else "no payment has this id",
                payment_id=str(payment_id),
            )
        if is_present:
            trail = await self._scheduled(trail)
        payment = trail.changes[-1].payment
        provider = self.settle.providers.by_name(payment.provider)
        history = await self._history(trail, provider, until, is_present=is_present)
        return explain(history, self._circumstances(payment, provider, time, is_present=is_present))

    async def _scheduled(self, trail: Trail) -> Trail:
        """Take over the times of the next status checks, which recovery moves without a change."""
        *others, last = trail.changes
        stored = await self.store.get(last.payment.id)
        if stored is None or stored.version != last.payment.version:
            return trail
        checks = {refund.id: refund.next_check_time for refund in stored.refunds}
        payment = attrs.evolve(
            last.payment,
            checks=stored.checks,
            next_check_time=stored.next_check_time,
            refunds=tuple(
                attrs.evolve(refund, next_check_time=checks.get(refund.id))
                for refund in last.payment.refunds
            ),
        )
        return attrs.evolve(trail, changes=(*others, attrs.evolve(last, payment=payment)))

    async def _history(
        self, trail: Trail, provider: ProviderPort | None, until: datetime, *, is_present: bool
    ) -> History:
        payment = trail.changes[-1].payment
        names = {
            *filter(None, (payment.provider_reference, *payment.aliases)),
            *(str(payment.id), *(str(refund.id) for refund in payment.refunds)),
        }
        ids = {report_id for change in trail.changes for report_id in change.report_ids}
        if is_present:
            waiting = await self._waiting(payment, names, provider)
        else:
            waiting = await self.histories.later_reports(payment.id, until, _REPORTS_MAX)
        # A transfer that was meant for it moves while it can still complete the payment.
        moved_by = min(until, payment.late_end(self.settle.rules_of(payment).late_window))
        return History(
            changes=trail.changes,
            before=trail.before,
            left_out=trail.left_out,
            reports=await self._reports(ids, names, provider),
            waiting=tuple(waiting),
            events=tuple(await self.histories.events(payment.id, until, _EVENTS_MAX)),
            unmatched=tuple(
                await self.histories.unmatched_receipts(payment, names, moved_by, _RECEIPTS_MAX)
            ),
        )

    async def _reports(
        self, ids: Set[int], names: Set[str], provider: ProviderPort | None
    ) -> Mapping[int, StoredReport]:
        found = await self.histories.reports(ids) if ids else {}
        return {
            row_id: report if event is None else _translated(report, event, names, provider)
            for row_id, (report, event) in found.items()
        }

    async def _waiting(
        self, payment: Payment, names: Set[str], provider: ProviderPort | None
    ) -> Sequence[StoredReport]:
        found = await self.histories.waiting_reports(payment.provider, names, _REPORTS_MAX)
        return [
            report if event is None else _translated(report, event, names, provider)
            for report, event in found
            if event is None or (provider is not None and _names(event, provider) & names)
        ]

    def _circumstances(
        self, payment: Payment, provider: ProviderPort | None, time: datetime, *, is_present: bool
    ) -> Circumstances:
        capabilities = provider.capabilities if provider else None
        refunds = capabilities.refunds if capabilities else None
        return Circumstances(
            now=time,
            is_present=is_present,
            is_enabled=provider is not None,
            can_close=capabilities is None or capabilities.cancel is Cancel.CLOSES,
            tokens={
                token.token_address.lower(): (token.code, token.decimals)
                for entry in self.settle.providers.registered()
                if entry.provider.name == payment.provider
                for token in entry.method.crypto_currencies
            },
            can_look_up=capabilities is None or capabilities.lookup is not Lookup.NONE,
            refund_settle_after=refunds.idempotency_window if refunds else REFUND_STUCK_AFTER,
            refund_terms=self._terms(refunds),
            rules=self.settle.rules_of(payment),
        )

    def _terms(self, refunds: RefundCapabilities | None) -> RefundTerms | None:
        return None if refunds is None else refund_terms(refunds, self.approval_from)


def _translated(
    report: StoredReport, event: ProviderEvent, names: Set[str], provider: ProviderPort | None
) -> StoredReport:
    """The report with what its event says about the payment."""
    if provider is None:
        return report
    said = [one for one in _observations(event, provider) if {one.reference, one.also} & names]
    return attrs.evolve(report, facts=tuple(one.fact for one in said))


def _names(event: ProviderEvent, provider: ProviderPort) -> Set[str]:
    """References and second names in an event."""
    return {name for one in _observations(event, provider) for name in (one.reference, one.also)}


def _observations(event: ProviderEvent, provider: ProviderPort) -> Sequence[Observation]:
    """What an event says; nothing if it cannot be translated."""
    try:
        return provider.translate(event)
    except Untranslatable:
        return ()

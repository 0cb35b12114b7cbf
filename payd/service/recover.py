"""Recovery: check open payments with their provider when no report has come for a while.

It finishes payments in CREATING and CANCELING, and expires unpaid ones after a fresh status check.
A lost webhook therefore delays a payment by minutes and loses no money. Several daemons may run
recovery at once: each payment is claimed by one of them, and the answers are settled as evidence.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import attrs

from payd.domain.actors import RECOVERY
from payd.domain.decide import next_check_time
from payd.domain.evidence import Absent, NotAttempted, ProviderStatus, Snapshot, Unanswered
from payd.domain.outcome import Asking
from payd.domain.payment import Origin, Payment, Status
from payd.plugins.capabilities import Cancel as Closing
from payd.plugins.capabilities import Lookup
from payd.ports import Answer, Clock, PaymentStore, ProviderPort, Providers
from payd.service.ask import Ask, is_asked
from payd.service.cancel import Cancel
from payd.service.operation import payment_ref
from payd.service.settle import Settle
from payd.service.status_check import StatusCheck

_ORIGIN = Origin(actor=RECOVERY)
#: A payment that only waits until its provider has read past the expiry is checked again after
#: _BEHIND, for at most _BEHIND_MAX; then its delays are those of any other payment.
_BEHIND = timedelta(seconds=10)
_BEHIND_MAX = timedelta(hours=1)


@attrs.frozen(kw_only=True)
class Recover:
    """Use case: check open payments with their provider."""

    store: PaymentStore
    settle: Settle
    ask: Ask
    cancel: Cancel
    status_check: StatusCheck
    providers: Providers
    clock: Clock
    batch_size: int = 50
    lease_s: float = 60.0

    async def claim_batch(self) -> Sequence[Payment]:
        """Claim payments whose status check is due; pass each to `recover`."""
        return await self.store.claim_status_checks(self.clock.now(), self.batch_size, self.lease_s)

    async def recover(self, payment: Payment) -> Payment:
        """Ask the provider, settle its answer, and schedule the next check."""
        origin = attrs.evolve(_ORIGIN, request_id=payment.request_id)
        after, pause = await self.look(payment, origin)
        if pause is not None:
            await self.store.schedule_status_check(after, self.clock.now() + pause)
        elif after.version == payment.version or self._is_behind(after):
            await self._check_later(after)
        return after

    async def look(self, payment: Payment, origin: Origin) -> tuple[Payment, timedelta | None]:
        """Ask the provider and settle its answer.

        Returns the payment, and how long to wait where the provider's clock has not reached the
        expiry that ours has reached.
        """
        provider = self.providers.by_name(payment.provider)
        if provider is None:
            silence = NotAttempted() if _was_never_sent(payment) else Unanswered()
            after, _ = await self.settle.claim(payment, silence, origin)
            return after, None
        after = payment
        if payment.provider_reference is None:
            after = await self._find(payment, provider, origin)
        if after.provider_reference is None or not after.status.is_open:
            return after, None
        if after.status is Status.CANCELING:
            return await self.cancel.close(after, origin), None
        return await self._ask(after, provider, origin)

    async def _ask(
        self, payment: Payment, provider: ProviderPort, origin: Origin
    ) -> tuple[Payment, timedelta | None]:
        """Ask about an object, and close it at the provider before the payment expires here.

        This way no payable object is left behind. The payment may expire while the provider
        answers, so our clock is read after that. It may be wrong by hours: an open object is closed
        only when the provider's clock, which comes with its answer, has also reached the expiry. If
        ours reaches the expiry only while the answer is settled, the next check closes the object.
        """
        ref = payment_ref(payment)
        answer = await provider.fetch(ref)
        early = _early(answer, payment) if _closes(provider) else None
        has_ended = self.clock.now() >= payment.expire_time
        if has_ended and early is not None and early <= timedelta(0):
            answer, early = await provider.close(ref), None
        after = await self.status_check.apply(payment, provider, answer, origin)
        if early is None or not after.status.is_open or self.clock.now() < payment.expire_time:
            return after, None
        return after, max(_BEHIND, min(early, _BEHIND_MAX))

    async def _find(self, payment: Payment, provider: ProviderPort, origin: Origin) -> Payment:
        """Find out what became of a create without an answer; send it again where that is safe."""
        if is_asked(payment, self.clock.now()):
            return payment
        if not _was_never_sent(payment):
            payment = await self._fetch_created(payment, provider, origin)
        if payment.provider_reference is not None or not payment.status.is_open:
            return payment
        overdue = self.clock.now() >= payment.expire_time
        if _was_never_sent(payment) and (overdue or payment.status is Status.CANCELING):
            payment, _ = await self.settle.claim(payment, NotAttempted(), origin)
            return payment
        if overdue or not _may_send_again(payment, provider, self.clock.now()):
            return payment
        # Also while CANCELING: only the same request again reveals which object to close.
        sent, _ = await self.ask.send_again(payment, origin)
        return sent

    async def _fetch_created(
        self, payment: Payment, provider: ProviderPort, origin: Origin
    ) -> Payment:
        answer = await provider.fetch(payment_ref(payment))
        for piece in answer.evidence:
            if isinstance(piece, Absent):
                # Valid for this version only: a concurrent attempt may have created one since.
                payment, _ = await self.settle.claim(payment, piece, origin)
            elif not isinstance(piece, Snapshot):
                # The snapshot is fetched in the next step, when the reference is known.
                payment = await self.settle.settle(payment, piece, origin)
        return payment

    def _is_behind(self, payment: Payment) -> bool:
        """Whether the payment only waits until the provider has read past its expiry."""
        provider = self.providers.by_name(payment.provider)
        overdue = self.clock.now() - payment.expire_time
        return (
            payment.status.is_open
            and payment.provider_reference is not None
            and provider is not None
            and not _closes(provider)
            and timedelta(0) <= overdue < _BEHIND_MAX
        )

    async def _check_later(self, payment: Payment) -> None:
        now = self.clock.now()
        # While a daemon has the claim, its answer or the end of the claim comes next.
        time = payment.ask_deadline if is_asked(payment, now) else next_check_time(payment, now)
        if self._is_behind(payment):
            time = now + _BEHIND
        if time is not None:
            await self.store.schedule_status_check(payment, time)


def _early(answer: Answer, payment: Payment) -> timedelta | None:
    """Time from the open snapshot to the expiry; None without an open snapshot."""
    for piece in answer.evidence:
        if isinstance(piece, Snapshot) and piece.status is ProviderStatus.OPEN:
            return payment.expire_time - piece.as_of
    return None


def _may_send_again(payment: Payment, provider: ProviderPort, now: datetime) -> bool:
    """Whether sending the create again cannot make a second object.

    Either nothing was ever sent, or the provider still recognises the idempotency key.
    """
    capabilities = provider.capabilities
    if _was_never_sent(payment):
        return True
    if capabilities.lookup is Lookup.INCLUDING_ABSENCE:
        return False
    return now < payment.create_time + capabilities.idempotency_window


def _was_never_sent(payment: Payment) -> bool:
    return payment.asking is Asking.NOT_ATTEMPTED


def _closes(provider: ProviderPort) -> bool:
    return provider.capabilities.cancel is Closing.CLOSES

"""Ask a provider to create its object, and write what it said.

Only who wrote the claim may send: the insert is the first claim, AskAgain every later one.
"""

from datetime import datetime, timedelta

import attrs

from payd.domain.errors import PaydError, ProviderUnavailable
from payd.domain.evidence import AskAgain
from payd.domain.payment import Origin, Payment
from payd.ports import Clock, CrashPoints, ProviderPort, Providers
from payd.service.operation import create_operation
from payd.service.settle import Settle

#: What the writes and the network need on top of the provider's own deadline.
_MARGIN = timedelta(seconds=2)


@attrs.frozen(kw_only=True)
class Ask:
    """The step that initiation and recovery share."""

    settle: Settle
    providers: Providers
    clock: Clock
    crash: CrashPoints

    def deadline(self, provider: ProviderPort) -> datetime:
        """Until when a claim written now keeps others from asking."""
        return self.clock.now() + provider.capabilities.operation_timeout + _MARGIN

    async def send(self, payment: Payment, origin: Origin) -> tuple[Payment, PaydError | None]:
        """The payment after the provider's answer, and what to tell the caller if not that.

        Sends nothing when the claim has ended by now: another may be asking.
        """
        provider = self._provider(payment)
        if not is_asked(payment, self.clock.now()):
            return payment, None
        answer = await provider.create(create_operation(payment))
        self.crash.reach("initiate.after_provider")
        settled = await self.settle.settle_all(payment, answer.evidence, origin)
        self.crash.reach("initiate.before_answer")
        return settled, answer.error

    async def send_again(
        self, payment: Payment, origin: Origin
    ) -> tuple[Payment, PaydError | None]:
        """As `send`, under a new claim; sends nothing while another claim holds or was first."""
        if is_asked(payment, self.clock.now()):
            return payment, None
        claim = AskAgain(deadline=self.deadline(self._provider(payment)))
        claimed, mine = await self.settle.claim(payment, claim, origin)
        return await self.send(claimed, origin) if mine else (claimed, None)

    def _provider(self, payment: Payment) -> ProviderPort:
        provider = self.providers.by_name(payment.provider)
        if provider is None:
            raise ProviderUnavailable(
                f"provider {payment.provider!r} is not enabled", provider=payment.provider
            )
        return provider


def is_asked(payment: Payment, now: datetime) -> bool:
    """Whether somebody holds the claim, so that nobody else may send."""
    return payment.ask_deadline is not None and payment.ask_deadline > now

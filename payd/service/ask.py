"""Send a create operation to the provider and settle its answer.

A claim keeps two daemons from sending at once. Inserting the payment is the first claim, until its
`ask_deadline`; committing AskAgain is every later one. Only the daemon that wrote the claim sends.
"""

from datetime import datetime

import attrs

from payd.domain.errors import PaydError
from payd.domain.evidence import AskAgain
from payd.domain.payment import Origin, Payment
from payd.ports import Clock, CrashPoints, Providers
from payd.service.operation import claim_deadline, create_operation, enabled_provider
from payd.service.settle import Settle


@attrs.frozen(kw_only=True)
class Ask:
    """Send the create operation; initiation and recovery share this step."""

    settle: Settle
    providers: Providers
    clock: Clock
    crash: CrashPoints

    async def send(self, payment: Payment, origin: Origin) -> tuple[Payment, PaydError | None]:
        """Send under the claim that the payment carries.

        Returns the payment after the provider's answer, and the error for the caller, if any.
        Sends nothing if the claim has expired: another daemon may be sending.
        """
        provider = enabled_provider(self.providers, payment)
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
        """As `send`, under a new claim. Sends nothing while another daemon has the claim."""
        if is_asked(payment, self.clock.now()):
            return payment, None
        provider = enabled_provider(self.providers, payment)
        claim = AskAgain(deadline=claim_deadline(provider, self.clock.now()))
        claimed, mine = await self.settle.claim(payment, claim, origin)
        return await self.send(claimed, origin) if mine else (claimed, None)


def is_asked(payment: Payment, now: datetime) -> bool:
    """Whether a daemon has the claim, so that no other one may send."""
    return payment.ask_deadline is not None and payment.ask_deadline > now

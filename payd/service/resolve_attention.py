"""ResolveAttention: an operator has looked at a payment, and says what was done."""

import attrs

from payd.domain.errors import NoteRequired, NothingToResolve, VersionChanged
from payd.domain.evidence import AttentionResolved
from payd.domain.payment import Origin, Payment
from payd.domain.request import ResolveRequest
from payd.service.settle import Settle


@attrs.frozen(kw_only=True)
class ResolveAttention:
    """Use case: end reasons for attention."""

    settle: Settle

    async def resolve(self, request: ResolveRequest, origin: Origin) -> Payment:
        """Return the payment without those of the reasons that are open.

        What comes meanwhile is not resolved: the payment is read again, or with `expected_version`
        VersionChanged is raised. Raises PaymentNotFound, NoteRequired and NothingToResolve.
        """
        if not request.note.strip():
            raise NoteRequired("say what was done about it", field="note")
        payment = await self.settle.newest(request.payment_id)
        while True:
            _check(payment, request)
            reasons = request.reasons or payment.attention
            evidence = AttentionResolved(reasons=reasons, by=origin.actor, note=request.note)
            payment, mine = await self.settle.claim(payment, evidence, origin)
            if mine:
                return payment


def _check(payment: Payment, request: ResolveRequest) -> None:
    if request.expected_version not in (None, payment.version):
        raise VersionChanged(
            f"the payment is at version {payment.version}: read it again",
            payment_id=str(payment.id),
            version=str(payment.version),
        )
    if not payment.attention & (request.reasons or payment.attention):
        still_open = ",".join(sorted(reason.value for reason in payment.attention))
        raise NothingToResolve(
            f"none of the reasons is open; open are: {still_open or 'none'}",
            payment_id=str(payment.id),
            open=still_open,
        )

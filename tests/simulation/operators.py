"""Operators: they match money to payments, take refunds back, and end reasons for attention."""

from collections.abc import Callable
from random import Random
from typing import Any
from uuid import UUID

import attrs
import trio
from simulation.chain import Transfer
from simulation.history import History, name_of

from payd.domain.payment import Origin, Payment
from payd.domain.request import ResolveRequest

OPERATOR = Origin(actor="operator")
#: After how long an operator knows whose money it is: it is final by then, mostly.
MATCH_S = 1500.0
#: How often an operator looks at the payments that have ended with a reason for attention.
LOOK_S = 3600.0


@attrs.define
class Operators:
    """The people on call."""

    history: History
    #: Calls a daemon until it answers.
    ask: Any
    #: Starts an action; nothing rests before it has ended.
    start: Callable[..., None]
    _random: Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._random = Random(f"{self.history.plan.seed} operator")

    def match(self, transfer: Transfer, payment: Payment) -> None:
        """Let two operators attach money without a memo at once; one of them may be mistaken."""
        others = [one for one in self.history.store.all() if one.provider == payment.provider]
        for chosen in (payment.id, others[0].id):
            self.start(self._attach, transfer, chosen)

    async def _attach(self, transfer: Transfer, payment_id: UUID) -> None:
        await trio.sleep(MATCH_S)
        done = await self.ask(
            OPERATOR.actor,
            f"{transfer.id} to {payment_id}",
            lambda services: services.attach.attach(transfer.id, payment_id, OPERATOR, "asked"),
        )
        if done is not None:
            self.history.note(f"an operator attaches {transfer.id} to {name_of(done)}", "attached")
            transfer.attached.add(str(payment_id))

    async def withdraw(self, payment_id: UUID, refund_id: UUID) -> None:
        """Take a refund back, about when a person sends it and payd sees that."""
        await trio.sleep(self._random.uniform(300, 900))
        done = await self.ask(
            OPERATOR.actor,
            f"withdrawal of {refund_id}",
            lambda services: services.cancel_refund.cancel(refund_id, "not wanted", OPERATOR),
        )
        if done is not None:
            self.history.note(f"an operator takes a refund of {payment_id} back", "taken back")

    async def resolve(self) -> None:
        """End the reasons for attention of payments that have ended, now and then."""
        while True:
            await trio.sleep(LOOK_S)
            for payment in self.history.store.all():
                has_ended = not payment.status.is_open
                if payment.attention and has_ended and not _has_open_refund(payment):
                    await self._resolve(payment)

    async def _resolve(self, payment: Payment) -> None:
        request = ResolveRequest(payment_id=payment.id, note="looked at")
        done = await self.ask(
            OPERATOR.actor,
            f"attention of {name_of(payment)}",
            lambda services: services.resolve.resolve(request, OPERATOR),
        )
        if done is not None:
            self.history.note(f"an operator resolves {name_of(done)}", "resolved")


def _has_open_refund(payment: Payment) -> bool:
    return any(refund.status.is_open for refund in payment.refunds)

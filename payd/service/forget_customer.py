"""ForgetCustomer: erase the personal data of a customer whose payments are all closed.

First each payment gets a decision, and with it an audit row that says who forgot it. Then all that
stands beside the payments is erased, in batches, and at last the customer's own row. A crash in
between leaves a part: the same call again erases the rest, and finds all of it, because names and
the customer's row go last.
"""

from collections import Counter
from collections.abc import Sequence

import attrs

from payd.domain.errors import CustomerNotFound
from payd.domain.evidence import CustomerForgotten
from payd.domain.forget import Forgotten, RetainedEvent, forgotten, refuse_open, why_open
from payd.domain.page import Position
from payd.domain.payment import Origin, Payment
from payd.domain.request import ForgetRequest
from payd.ports import PersonalData, Traces
from payd.service.settle import Settle

#: Payments that are read and erased together.
_BATCH = 50
#: Reasons for a refusal that are collected.
_REASONS_MAX = 100
#: Retained events that are listed.
EVENTS_MAX = 1000


@attrs.frozen(kw_only=True)
class ForgetCustomer:
    """Use case: forget a customer."""

    settle: Settle
    personal: PersonalData

    async def forget(self, request: ForgetRequest, origin: Origin) -> Forgotten:
        """Erase what is personal; with `dry_run` only count it.

        Raises CustomerNotFound, and CustomerHasOpenPayments before anything is erased. Of a payment
        that opens meanwhile nothing is erased, and the call ends with CustomerHasOpenPayments.
        """
        customer_id, erase = request.customer_id, not request.dry_run
        if not await self.personal.knows(customer_id):
            raise CustomerNotFound("no customer has this id", customer_id=customer_id)
        await self._refuse_open(customer_id)
        counts, traces = Counter[str](), await self.personal.traces(customer_id, ())
        retained: list[RetainedEvent] = []
        count, batch = 0, await self._batch(customer_id, None)
        while batch is not None:
            payments, last = batch
            ids = [payment.id for payment in payments]
            traces = _with(traces, await self.personal.traces(customer_id, ids))
            counts.update(_counted(payments))
            if erase:
                for payment in payments:
                    await self.settle.apply(payment, CustomerForgotten(note=request.note), origin)
            counts.update(await self.personal.erase_payments(ids, erase=erase))
            retained += await self.personal.retained_events(ids, EVENTS_MAX)
            count += len(ids)
            batch = await self._batch(customer_id, last)
        found, waiting = await self._search_inbox(traces, erase=erase)
        # Last: it has what the inbox was searched for.
        counts["customers"] = await self.personal.erase_customer(customer_id, erase=erase)
        newest = sorted(retained, key=lambda event: event.publish_time, reverse=True)
        return Forgotten(
            payments=count,
            erased=dict(counts) | {"inbox": len(found)},
            retained=tuple(newest[:EVENTS_MAX]),
            waiting_reports=len(waiting),
        )

    async def _refuse_open(self, customer_id: str) -> None:
        reasons: list[str] = []
        batch = await self._batch(customer_id, None)
        while batch is not None and len(reasons) < _REASONS_MAX:
            payments, last = batch
            reasons += [reason for payment in payments for reason in why_open(payment)]
            reasons += [
                f"an event of payment {payment_id} is not published yet"
                for payment_id in await self.personal.unpublished([p.id for p in payments])
            ]
            batch = await self._batch(customer_id, last)
        refuse_open(reasons)

    async def _batch(
        self, customer_id: str, after: Position | None
    ) -> tuple[Sequence[Payment], Position] | None:
        """The next payments of the customer and the last one's position; None at the end."""
        positions = await self.personal.payments_of(customer_id, after, _BATCH)
        if not positions:
            return None
        payments = await self.settle.store.get_all([position.id for position in positions])
        return payments, positions[-1]

    async def _search_inbox(self, traces: Traces, *, erase: bool) -> tuple[set[int], set[int]]:
        """Ids of the reports that were found, and of those that wait to be settled."""
        found, waiting = set[int](), set[int]()
        after: int | None = 0
        while after is not None:
            part = await self.personal.erase_reports(traces, after, erase=erase)
            found |= part.found
            waiting |= part.waiting
            after = part.next_after
        return found, waiting


def _counted(payments: Sequence[Payment]) -> Counter[str]:
    """How many of the payments and of their refunds have personal values."""
    pairs = [(payment, forgotten(payment)) for payment in payments]
    refunds = [
        refund != bare
        for payment, after in pairs
        for refund, bare in zip(payment.refunds, after.refunds, strict=True)
    ]
    return Counter(payments=sum(before != after for before, after in pairs), refunds=sum(refunds))


def _with(traces: Traces, more: Traces) -> Traces:
    return Traces(names=traces.names | more.names, report_ids=traces.report_ids | more.report_ids)

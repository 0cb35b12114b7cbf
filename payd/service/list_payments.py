"""Use case: list payments for the main app and for operators."""

from uuid import UUID

import attrs

from payd.domain.errors import InvalidFilter
from payd.domain.page import Page, Position
from payd.domain.payment import Payment
from payd.domain.payment_filter import PaymentFilter, Selection, names_of
from payd.ports import Clock, PaymentLists

#: Most customers with one e-mail address. A list reads a page of each.
CUSTOMERS_MAX = 20
#: Most payments with one name. Names are unique within a provider.
NAMED_MAX = 200


@attrs.frozen(kw_only=True)
class ListPayments:
    """Use case: find payments, and those that a person has to look at."""

    lists: PaymentLists
    clock: Clock

    async def newest_first(
        self, wanted: PaymentFilter, after: Position | None, limit: int
    ) -> Page[Payment]:
        """A page of payments, newest first; raises InvalidFilter.

        It may have fewer than `limit` and still not be the last one.
        """
        wanted.check(self.clock.now())
        selection = await self._look_up(wanted)
        if selection is None:
            return Page()
        return await self.lists.newest_first(selection, after, limit)

    async def longest_attention_first(
        self, wanted: PaymentFilter, after: Position | None, limit: int
    ) -> Page[Payment]:
        """A page of payments with open attention, by the oldest open reason.

        Raises InvalidFilter only for a filter that contradicts itself: few payments have attention,
        so that each can be looked at.
        """
        wanted.check_ranges()
        selection = await self._look_up(wanted)
        if selection is None:
            return Page()
        return await self.lists.longest_attention_first(selection, after, limit)

    async def _look_up(self, wanted: PaymentFilter) -> Selection | None:
        """Find whom the e-mail and what the reference mean; None if no payment can have them."""
        customers = await self._customers(wanted)
        payments = await self._payments(wanted)
        if customers == frozenset() or payments == frozenset():
            return None
        return Selection(filter=wanted, customer_ids=customers, payment_ids=payments)

    async def _customers(self, wanted: PaymentFilter) -> frozenset[str] | None:
        by_id = frozenset({wanted.customer_id}) if wanted.customer_id else None
        if not wanted.email:
            return by_id
        found = frozenset(await self.lists.customers_with_email(wanted.email, CUSTOMERS_MAX + 1))
        if len(found) > CUSTOMERS_MAX:
            raise InvalidFilter(
                f"more than {CUSTOMERS_MAX} customers have this email: pass customer_id instead",
                filter="email",
                add="customer_id",
            )
        return found if by_id is None else found & by_id

    async def _payments(self, wanted: PaymentFilter) -> frozenset[UUID] | None:
        if not wanted.reference:
            return None
        return frozenset(await self.lists.payments_named(names_of(wanted.reference), NAMED_MAX))

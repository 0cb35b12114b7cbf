"""A claim in PostgreSQL says whether it may have left rows, so that no empty claim follows it."""

from uuid import uuid4

from contract.stores import OpenStores, created, paid

from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.outbox import PostgresOutbox
from payd.domain.evidence import Conflict, Observation

LEASE_S = 60.0


def observations(count: int) -> list[Observation]:
    fact = Conflict(detail="")
    return [Observation(id=f"evt_{uuid4()}", reference="cs_1", fact=fact) for _ in range(count)]


async def test_a_provider_that_used_its_share_up_may_have_more(open_postgres: OpenStores) -> None:
    async with open_postgres() as stores:
        inbox: PostgresInbox = stores.inbox  # type: ignore[assignment]  # bridged
        await inbox.put("flood", observations(8))
        await inbox.put("quiet", observations(1))
        left = []
        for _ in range(3):
            rows = await inbox.claim(10, LEASE_S)
            left.append((len(rows), inbox.may_have_more))

    # The share is 5 rows each, although all but 6 of the 10 would be free.
    assert left == [(6, True), (3, False), (0, False)]


async def test_an_event_with_a_next_one_of_its_payment_may_have_more(
    open_postgres: OpenStores,
) -> None:
    async with open_postgres() as stores:
        outbox: PostgresOutbox = stores.outbox  # type: ignore[assignment]  # bridged
        payment = await stores.learn(await stores.add(), created())
        too_much = payment.due + 1
        await stores.learn(payment, paid(payment, received=too_much, confirmed=too_much))
        left = []
        for _ in range(3):
            rows = await outbox.claim(10, LEASE_S)
            left.append(([row.subject for row in rows], outbox.may_have_more))
            await outbox.mark_published([row.id for row in rows])

    assert left == [
        (["payment.completed"], True),
        (["payment.attention"], False),
        ([], False),
    ]


async def test_a_claim_that_took_all_it_asked_for_may_have_more(open_postgres: OpenStores) -> None:
    async with open_postgres() as stores:
        outbox: PostgresOutbox = stores.outbox  # type: ignore[assignment]  # bridged
        for _ in range(2):
            payment = await stores.learn(await stores.add(), created())
            await stores.learn(payment, paid(payment))
        await outbox.claim(1, LEASE_S)
        assert outbox.may_have_more
        await outbox.claim(2, LEASE_S)
        assert not outbox.may_have_more

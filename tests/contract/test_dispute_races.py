"""Two daemons that hear at once of one dispute or refund, for two payments: it goes to one."""

import asyncio
from functools import partial
from typing import Any

import attrs
import pytest
from contract.stores import CALLER, Stores, a_new_payment, all_at_once
from contract.test_lock_order import a_session, held, two_daemons, until_waiting
from contract.test_refunds import a_dispute, a_refund

from payd.adapters.postgres.database import DatabaseSettings
from payd.adapters.postgres.store import PostgresStore
from payd.domain.decide import Decision
from payd.domain.payment import Customer, Payment
from payd.ports import Commit

#: What the provider has once, and may be reported for two payments.
ONCE = pytest.mark.parametrize("kind", ["disputes", "refunds"])


def for_two(kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What each payment learns; the amounts show whose report is stored."""
    if kind == "disputes":
        dispute = a_dispute(amount=1)
        return {kind: (dispute,)}, {kind: (attrs.evolve(dispute, amount=2),)}
    fields = {"idempotency_key": "", "external": True, "provider_reference": a_dispute().id}
    one, other = [a_refund(amount=amount, **fields) for amount in (1, 2)]
    return {kind: (one,)}, {kind: (other,)}


def a_commit(payment: Payment, changes: dict[str, Any]) -> Commit:
    after = attrs.evolve(payment, version=payment.version + 1, **changes)
    decision = Decision(payment=after, audit_event="money_goes_back")
    return Commit(before=payment, decision=decision, origin=CALLER)


@ONCE
def test_of_two_daemons_that_write_it_at_the_same_moment_one_gets_it(
    migrated_database: DatabaseSettings, kind: str
) -> None:
    asyncio.run(_write_at_the_same_moment(migrated_database, kind))


async def _write_at_the_same_moment(settings: DatabaseSettings, kind: str) -> None:
    async with two_daemons(settings) as daemons:
        payments = [await daemon.insert(_payment(), CALLER) for daemon in daemons]
        commits = [
            a_commit(payment, changes)
            for payment, changes in zip(payments, for_two(kind), strict=True)
        ]
        async with (
            a_session(settings) as keeper,
            a_session(settings) as watch,
            held(keeper, "payments", [payment.id for payment in payments]) as release,
        ):
            # Both have looked whose it is, and found nobody, before one of them writes.
            writing = [
                asyncio.ensure_future(daemon.commit_all([commit]))
                for daemon, commit in zip(daemons, commits, strict=True)
            ]
            await until_waiting(watch, 2)
            await release()
            won = [is_won for [is_won] in await asyncio.gather(*writing)]

        assert sorted(won) == [False, True]
        for daemon, commit, is_won in zip(daemons, commits, won, strict=True):
            expected = commit.decision.payment if is_won else commit.before
            assert await _stored(daemon, commit) == _parts(expected)


@ONCE
async def test_of_two_decisions_that_are_written_together_one_gets_it(
    stores: Stores, kind: str
) -> None:
    commits = [a_commit(await stores.add(), changes) for changes in for_two(kind)]

    won = list(await stores.payments.commit_all(commits))

    assert sorted(won) == [False, True]
    for commit, is_won in zip(commits, won, strict=True):
        expected = commit.decision.payment if is_won else commit.before
        assert _parts(await stores.newest(commit.before)) == _parts(expected)


@ONCE
async def test_the_later_of_two_reports_is_refused(stores: Stores, kind: str) -> None:
    first, later = [a_commit(await stores.add(), changes) for changes in for_two(kind)]
    assert list(await stores.payments.commit_all([first])) == [True]

    again = await all_at_once([partial(stores.payments.commit_all, [later]) for _ in range(2)])

    assert [list(won) for won in again] == [[False], [False]]
    assert _parts(await stores.newest(first.before)) == _parts(first.decision.payment)
    assert await stores.newest(later.before) == later.before


def _payment() -> Payment:
    payment = a_new_payment()
    return attrs.evolve(payment, customer=Customer(id=f"user-{payment.id}"))


async def _stored(daemon: PostgresStore, commit: Commit) -> tuple[object, ...]:
    payment = await daemon.get(commit.before.id)
    assert payment is not None
    return _parts(payment)


def _parts(payment: Payment) -> tuple[object, ...]:
    return payment.version, payment.disputes, payment.refunds

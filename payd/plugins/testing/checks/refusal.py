"""Refused payments: the customer's bank says no, and no channel may report money."""

from payd.plugins import ProviderStatus
from payd.plugins.testing.bench import Bench
from payd.plugins.testing.checks.followed import follow
from payd.plugins.testing.checks.standing import looked, stands
from payd.plugins.testing.registry import Failed, Level, check


@check(Level.BASIC, "A refused payment that looks paid, or on its way, gives the service away.")
async def a_refused_payment_is_found_declined(bench: Bench) -> None:
    operation, ref, created = await bench.opened()
    await bench.remote.refuse(ref)
    await bench.settled()
    snapshot = await looked(bench, operation, ref, created)
    stands(snapshot, operation, ProviderStatus.DECLINED, received=0)
    if not snapshot.failure_code or not snapshot.failure_message:
        raise Failed("a DECLINED snapshot has no failure_code, or no failure_message for people")


@check(Level.MONEY, "A refused payment has failed, whichever channel reports it.")
async def a_refused_payment_has_failed_by_every_channel(bench: Bench) -> None:
    following = await follow(bench)
    one = await following.open()
    await bench.remote.refuse(one.ref)
    one.happened(refused=True)
    await following.gather(last=True)
    following.compare()

"""Access tokens: one that has expired is replaced once, and a refusal ends in no loop."""

from functools import partial

import trio

from payd.plugins import Misconfigured
from payd.plugins.testing.bench import Bench
from payd.plugins.testing.registry import Failed, Level, check
from payd.plugins.testing.remote import CannotHappen, NotScripted

#: Requests beside its own that one call may send: the refused one, for a token, and a retry.
_MORE = 3
_AT_ONCE = 5


async def _cost(bench: Bench) -> int:
    """Number of requests of one create with a valid token."""
    await bench.opened()
    before = await bench.remote.requests()
    await bench.opened()
    return await bench.remote.requests() - before


async def _tokens(bench: Bench) -> int | None:
    try:
        return await bench.remote.tokens()
    except (NotScripted, CannotHappen):
        return None


@check(Level.RESILIENCE, "Tokens expire every few minutes, and payments go on.")
async def an_expired_token_is_replaced_once(bench: Bench) -> None:
    await bench.remote.expire_token()
    usual = await _cost(bench)
    _, ref, _ = await bench.opened()
    await bench.remote.expire_token()
    issued, before = await _tokens(bench), await bench.remote.requests()
    operation, _, _ = await bench.opened()
    if (number := await bench.objects(operation.payment_id)) != 1:
        raise Failed(f"after the token expired, the remote side has {number} objects, not 1")
    _bounded(await bench.remote.requests() - before, usual)
    if issued is not None and (new := await bench.remote.tokens() - issued) != 1:
        raise Failed(f"after one token expired, {new} were fetched")
    for call in (bench.found, bench.cancel):
        await bench.remote.expire_token()
        await call(ref)
    await bench.remote.expire_token()
    await bench.in_time(bench.provider.health)


@check(Level.RESILIENCE, "Many payments meet the expiry at once; a token endpoint limits requests.")
async def concurrent_calls_share_a_new_token(bench: Bench) -> None:
    await bench.opened()
    await bench.remote.expire_token()
    issued = await bench.remote.tokens()
    async with trio.open_nursery() as nursery:
        for _ in range(_AT_ONCE):
            nursery.start_soon(partial(bench.opened))
    if (new := await bench.remote.tokens() - issued) != 1:
        raise Failed(f"after one token expired, {_AT_ONCE} concurrent calls fetched {new}, not 1")


@check(Level.RESILIENCE, "Only an operator can mend it; a loop of requests gets us locked out.")
async def a_refused_token_is_a_misconfiguration_without_a_loop(bench: Bench) -> None:
    await bench.remote.expire_token()
    usual = await _cost(bench)
    operation = bench.operation()
    await bench.remote.refuse_tokens()
    await bench.remote.expire_token()
    for _ in range(2):
        before = await bench.remote.requests()
        error = await bench.raised(bench.provider.create, operation)
        if not isinstance(error, Misconfigured):
            raise Failed(
                f"while the token endpoint refuses us, create raised {error!r}, not Misconfigured"
            )
        _bounded(await bench.remote.requests() - before, usual)
    await bench.remote.mend()
    await bench.create(operation)
    if (number := await bench.objects(operation.payment_id)) != 1:
        raise Failed(f"after a refused token, the remote side has {number} objects, not 1")


def _bounded(sent: int, usual: int) -> None:
    if sent > usual + _MORE:
        raise Failed(f"one create sent {sent} requests, with a valid token it sends {usual}")

"""A sponsor of fees: it pays for the transfer that completes a payment, and for nothing else.

Everybody who knows a payment's page can send a request, and the sponsor pays for each transfer that
is forwarded to it.
"""

import json
from contextlib import suppress
from datetime import timedelta

import attrs

from payd.plugins import CryptoTransfer, ProviderError, SponsorRequest, SupportsSponsor
from payd.plugins.testing.bench import Bench
from payd.plugins.testing.operations import Way, due
from payd.plugins.testing.registry import Failed, Level, check, supports
from payd.plugins.testing.remote import CannotHappen, Fault

#: How long a wallet's transfer is valid: shorter than any payment.
_VALID = timedelta(minutes=4)
#: Longer than clocks are apart.
_A_LITTLE = timedelta(minutes=1)
#: Faults of the sponsor's server after which it may have signed, or may not.
_FAULTS = (
    Fault.LOST_REQUEST,
    Fault.LOST_ANSWER,
    Fault.SERVER_ERROR,
    Fault.GARBAGE,
    Fault.HANG,
)
_NESTED = 100_000
#: Bytes of a request that a message shows.
_SHOWN = 60
#: What is no request of a wallet, or none of a transfer.
_NONSENSE = (
    b"",
    b"\xff\xfe",
    b"[" * _NESTED,
    b"null",
    b"[]",
    b"{}",
    b'"transfer"',
    b"1" * 5_000,
    b"NaN",
    b'{"id": 1e999, "method": 1, "params": 1}',
    b'{"jsonrpc": "2.0", "id": 1, "method": "\\ud800", "params": ["\\ud800"]}',
    b'{"jsonrpc": "2.0", "id": 1, "method": "eth_sendTransaction", "params": [{}]}',
    b'{"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": ["0x"]}',
    b'{"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": ["0x76c0"]}',
)


@check(Level.BASIC, "payd names wallets an address for the fee, where nobody would answer.")
async def a_sponsored_token_has_a_sponsor(bench: Bench) -> None:
    if not isinstance(bench.provider, SupportsSponsor) and (way := _sponsored_way(bench)):
        assert way.token is not None
        raise Failed(f"{way.token.code} is_sponsored, but the provider has no method `sponsor`")


@check(
    Level.BASIC,
    "A customer who has nothing but the amount could not pay.",
    supports(SupportsSponsor),
)
async def a_transfer_that_pays_is_sponsored(bench: Bench) -> None:
    asking = await _asking(bench)
    before = await bench.remote.sponsored()
    await asking.send(await asking.body())
    if (number := await bench.remote.sponsored() - before) != 1:
        raise Failed(
            f"for a transfer that completes its payment, the sponsor was asked {number} times,"
            " not once"
        )


@check(
    Level.BASIC,
    "Strangers would let the sponsor pay for transfers that pay nothing.",
    supports(SupportsSponsor),
)
async def no_other_transfer_is_sponsored(bench: Bench) -> None:
    asking = await _asking(bench)
    other = await _asking(bench)
    left = asking.request.left
    before = await bench.remote.sponsored()
    for what, body in (
        ("of less than what is missing", await asking.body(left - 1)),
        ("of more than what is missing", await asking.body(left + 1)),
        ("of nothing", await asking.body(0)),
        ("for another payment", await other.body()),
    ):
        await asking.send(body)
        await _unasked(bench, before, f"a transfer {what}")
    ended = attrs.evolve(asking, request=attrs.evolve(asking.request, left=0))
    await ended.send(await asking.body())
    await _unasked(bench, before, "a payment that misses nothing")


@check(
    Level.BASIC,
    "A transfer that comes after the payment's end is late money, and its fee is paid in vain.",
    supports(SupportsSponsor),
)
async def no_transfer_after_the_end_of_its_payment_is_sponsored(bench: Bench) -> None:
    asking = await _asking(bench)
    before = await bench.remote.sponsored()
    soon = attrs.evolve(asking.request, expire_time=bench.clock.now() + _VALID - _A_LITTLE)
    await attrs.evolve(asking, request=soon).send(await asking.body())
    await _unasked(bench, before, "a transfer that is valid for longer than its payment")


@check(
    Level.BASIC,
    "Each account could let the sponsor pay for a transfer of the same payment, and all but one"
    " of them pay too much, or fail.",
    supports(SupportsSponsor),
)
async def a_payment_is_sponsored_once(bench: Bench) -> None:
    asking = await _asking(bench)
    await asking.send(await asking.body())
    before = await bench.remote.sponsored()
    await asking.send(await asking.body())
    await _unasked(bench, before, "a second account's transfer for the same payment")


@check(
    Level.BASIC,
    "Everybody can send something there; a wallet whose request raises learns nothing.",
    supports(SupportsSponsor),
)
async def whatever_a_wallet_sends_is_answered(bench: Bench) -> None:
    asking = await _asking(bench)
    before = await bench.remote.sponsored()
    whole = await asking.body()
    for body in (*_NONSENSE, whole[: len(whole) // 2], whole[:-1]):
        await asking.send(body)
        await _unasked(bench, before, f"the request {_short(body)}")


@check(
    Level.RESILIENCE,
    "The sponsor may have signed, or not: the wallet asks again, and could never pay.",
    supports(SupportsSponsor),
)
async def a_sponsor_that_failed_is_asked_again(bench: Bench) -> None:
    met = [fault for fault in _FAULTS if await _is_asked_again(bench, fault)]
    if not met:
        raise CannotHappen("the sponsor meets none of these faults")


async def _is_asked_again(bench: Bench, fault: Fault) -> bool:
    """Send a request before and after the end of a fault; False if the sponsor cannot have it."""
    asking = await _asking(bench)
    body = await asking.body()
    try:
        await bench.remote.sponsor_fault(fault)
    except CannotHappen:
        return False
    # Any ProviderError will do: nobody knows what has become of the request.
    with suppress(ProviderError):
        await asking.ask(body)
    await bench.remote.mend()
    before = await bench.remote.sponsored()
    await asking.send(body)
    if await bench.remote.sponsored() == before:
        raise Failed(
            f"after a {fault.value} of the sponsor, the same request did not reach it again"
        )
    return True


@attrs.frozen(kw_only=True)
class _Asking:
    """A payment whose customer lacks the fee, and what payd hands over for the wallet."""

    bench: Bench
    request: SponsorRequest

    async def body(self, amount: int | None = None) -> bytes:
        """What a new wallet sends for a transfer; by default of what the payment misses."""
        return await self.bench.remote.wallet_request(
            self.request.action,
            self.request.left if amount is None else amount,
            self.bench.clock.now() + _VALID,
        )

    async def ask(self, body: bytes) -> bytes:
        """Call sponsor. Raises ProviderError, and Failed for an invalid answer."""
        provider = self.bench.provider
        assert isinstance(provider, SupportsSponsor)
        asked = attrs.evolve(self.request, body=body)
        answer = await self.bench.in_time(provider.sponsor, asked)
        said = self.bench.expect(bytes, answer, "sponsor")
        try:
            json.loads(said)
        except ValueError:
            raise Failed(f"sponsor answered {_short(said)}, which is no JSON") from None
        for name, values in self.bench.secrets.items():
            if any(value and value.encode() in said for value in values):
                raise Failed(f"the answer for the wallet contains the credential {name}")
        return said

    async def send(self, body: bytes) -> bytes:
        """Call sponsor, which must answer. Raises Failed."""
        try:
            return await self.ask(body)
        except ProviderError as error:
            raise Failed(
                f"for {_short(body)} sponsor raised {error!r}: it must answer what it refuses"
            ) from error


async def _asking(bench: Bench) -> _Asking:
    """Open a payment in a sponsored token. Raises CannotHappen if none is."""
    way = _sponsored_way(bench)
    if way is None:
        raise CannotHappen("with these settings no token is_sponsored")
    operation, _, created = await bench.opened(way=way)
    action = created.next_action
    if not isinstance(action, CryptoTransfer):
        raise Failed(f"a token is_sponsored, but the next action is {action!r}, no transfer")
    request = SponsorRequest(
        payment_id=operation.payment_id,
        action=action,
        left=due(operation),
        expire_time=operation.expire_time,
        body=b"",
    )
    return _Asking(bench=bench, request=request)


def _sponsored_way(bench: Bench) -> Way | None:
    return next((way for way in bench.assets() if way.token and way.token.is_sponsored), None)


def _short(text: bytes) -> str:
    return repr(text[:_SHOWN]) + ("…" if len(text) > _SHOWN else "")


async def _unasked(bench: Bench, before: int, what: str) -> None:
    """Raise Failed if the sponsor was asked since."""
    if (number := await bench.remote.sponsored() - before) != 0:
        raise Failed(f"for {what} the sponsor was asked {number} times; it must not be")

"""Providers that are broken on purpose, one for each check of a sponsor of fees."""

import json
from typing import Any

import attrs
from integration.kit.broken import fails
from integration.kit.broken_watches import BROKEN
from mock_provider.config import methods_of
from mock_provider.provider import MockProvider
from tempo_provider.companion.scripted.conformance import open_remote_with_addresses
from tempo_provider.holds import Holds
from tempo_provider.provider import TempoProvider

from payd.plugins import OutcomeUnknown, SponsorRequest

__all__ = ["BROKEN"]


def sponsored_methods(config: Any) -> Any:
    """The mock's methods, with a sponsor for each token."""
    return [
        attrs.evolve(
            method,
            crypto_currencies=tuple(
                attrs.evolve(token, is_sponsored=True) for token in method.crypto_currencies
            ),
        )
        for method in methods_of(config)
    ]


@fails("a sponsored token has a sponsor", methods=sponsored_methods)
class NamesASponsorOnly(MockProvider):
    """It has no `sponsor`."""


@fails("a transfer that pays is sponsored")
class SponsorsNothing(TempoProvider):
    async def sponsor(self, request: SponsorRequest) -> bytes:
        return b'{"error": "no"}'


@fails("a transfer that pays is sponsored")
class SaysWhatIsNoJson(TempoProvider):
    async def sponsor(self, request: SponsorRequest) -> bytes:
        return await super().sponsor(request) + b"!"


@fails("a transfer that pays is sponsored")
class TellsItsKey(TempoProvider):
    async def sponsor(self, request: SponsorRequest) -> bytes:
        answer = json.loads(await super().sponsor(request))
        return json.dumps([answer, self._context.secrets["tempo_memo_key"][0]]).encode()


class Blind(TempoProvider):
    """Forwards what it should look at."""

    async def forward(self, request: SponsorRequest) -> bytes:
        asked = json.loads(request.body)
        assert self._sponsor is not None
        result = await self._sponsor._endpoint.call(asked["method"], *asked["params"])
        return json.dumps({"result": result}).encode()


@fails("no other transfer is sponsored")
@fails("no other transfer is sponsored", remote=open_remote_with_addresses)
class SponsorsEverything(Blind):
    async def sponsor(self, request: SponsorRequest) -> bytes:
        return await self.forward(request)


@fails("no other transfer is sponsored")
class SponsorsEndedPayments(Blind):
    async def sponsor(self, request: SponsorRequest) -> bytes:
        is_ended = request.left == 0
        return await (self.forward if is_ended else super().sponsor)(request)


@fails("no other transfer is sponsored")
class RaisesRefusals(TempoProvider):
    async def sponsor(self, request: SponsorRequest) -> bytes:
        answer = await super().sponsor(request)
        if b'"error"' in answer:
            raise OutcomeUnknown("somebody sends something else")
        return answer


@fails("no transfer after the end of its payment is sponsored")
class ForgetsTheEnd(TempoProvider):
    async def sponsor(self, request: SponsorRequest) -> bytes:
        endless = request.expire_time.replace(year=2999)
        return await super().sponsor(attrs.evolve(request, expire_time=endless))


@fails("a payment is sponsored once")
class SponsorsAgainAndAgain(TempoProvider):
    async def sponsor(self, request: SponsorRequest) -> bytes:
        assert self._sponsor is not None
        self._sponsor._holds = Holds()
        return await super().sponsor(request)


@fails("whatever a wallet sends is answered")
class ReadsWithoutCare(TempoProvider):
    async def sponsor(self, request: SponsorRequest) -> bytes:
        json.loads(request.body)["method"].lower()
        return await super().sponsor(request)


@fails("whatever a wallet sends is answered")
class RaisesAtNonsense(TempoProvider):
    async def sponsor(self, request: SponsorRequest) -> bytes:
        try:
            json.loads(request.body)
        except (ValueError, RecursionError):
            raise OutcomeUnknown("it is no JSON") from None
        return await super().sponsor(request)


@fails("a sponsor that failed is asked again")
class GivesUp(TempoProvider):
    has_failed = False

    async def sponsor(self, request: SponsorRequest) -> bytes:
        if self.has_failed:
            return b'{"error": "the payment has another one"}'
        try:
            return await super().sponsor(request)
        except OutcomeUnknown:
            self.has_failed = True
            raise


@fails("a sponsor that failed is asked again")
class Escapes(TempoProvider):
    async def sponsor(self, request: SponsorRequest) -> bytes:
        try:
            return await super().sponsor(request)
        except OutcomeUnknown as error:
            raise LookupError(str(error)) from None

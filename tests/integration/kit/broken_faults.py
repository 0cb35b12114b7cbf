"""Providers that are broken on purpose, one for each check: under faults, and in their lists."""

import contextlib
import uuid
from datetime import timedelta
from typing import Any

import attrs
import trio
from acme_provider import charges
from acme_provider.conformance import AcmeRemote
from acme_provider.provider import AcmeProvider
from integration.kit.broken import fails, saying
from integration.kit.broken_refunds import BROKEN
from integration.kit.remotes import TokenAcme, open_tokens, opening
from stripe_provider.provider import StripeProvider

from payd.plugins import (
    Absent,
    Created,
    Declined,
    Misconfigured,
    OutcomeUnknown,
    ProviderError,
    ProviderStatus,
    RateLimited,
)
from payd.plugins.testing import Fault

__all__ = ["BROKEN"]


# -- the remote side itself --------------------------------------------------------------------


class CountsNoRequests(AcmeRemote):
    async def requests(self) -> int:
        return 7


class CountsNoObjects(AcmeRemote):
    async def objects(self, payment_id: Any) -> int:
        return 0


class CountsNoRefunds(AcmeRemote):
    async def refunds(self, payment_id: Any) -> int:
        return 0


@fails("the remote side counts what happens", remote=opening(CountsNoRequests))
@fails("the remote side counts what happens", remote=opening(CountsNoObjects))
@fails("the remote side counts what happens", remote=opening(CountsNoRefunds))
class AsUsual(AcmeProvider):
    """As it was."""


class NoFault(AcmeRemote):
    async def fault(self, fault: Fault) -> None:
        """Do nothing."""


class DoesItAllTheSame(AcmeRemote):
    async def fault(self, fault: Fault) -> None:
        await super().fault(Fault.SERVER_ERROR)


@fails("a fault of the remote side changes something", remote=opening(NoFault))
@fails("a fault of the remote side changes something", remote=opening(DoesItAllTheSame))
class AsUsualUnderFaults(AcmeProvider):
    """As it was."""


# -- every call under every fault --------------------------------------------------------------


@fails("a fault of fetch is raised as what it is")
class DeclinesWhatItCannotRead(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        try:
            return await super().fetch(ref)
        except OutcomeUnknown:
            raise Declined("no_answer", "It did not answer.") from None


@fails("a fault of fetch is raised as what it is")
class ARefusedKeyIsUnknown(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        try:
            return await super().fetch(ref)
        except Misconfigured:
            raise OutcomeUnknown("refused") from None


@fails("a fault of cancel is raised and closes nothing by itself")
class CancelsWithoutAnAnswer(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        created = await super().create(operation)
        charge: Any = await self._api.get(f"/charges/{created.reference}")
        self.last = charges.snapshot(charge)
        return created

    async def cancel(self, ref: Any) -> Any:
        try:
            return await super().cancel(ref)
        except ProviderError:
            return attrs.evolve(self.last, status=ProviderStatus.CANCELED)


@fails("a hanging fetch or cancel can be cancelled")
class CannotStopCancelling(AcmeProvider):
    async def cancel(self, ref: Any) -> Any:
        with trio.CancelScope(shield=True), trio.move_on_after(3):
            return await super().cancel(ref)
        raise OutcomeUnknown("no answer")


@fails("a forbidden call is a misconfiguration")
class ForbiddenIsAbsent(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        try:
            return await super().fetch(ref)
        except Misconfigured:
            return Absent()


@fails("a forbidden call is a misconfiguration")
class ForbiddenIsDeclined(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        try:
            return await super().create(operation)
        except Misconfigured:
            raise Declined("forbidden", "It is forbidden.") from None


@fails("a retry delay is that of the remote side")
class IgnoresRetryAfter(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        try:
            return await super().create(operation)
        except RateLimited:
            raise RateLimited(30.0) from None


# -- access tokens -----------------------------------------------------------------------------


@fails("an expired token is replaced once", remote=open_tokens)
class NeverReplacesItsToken(TokenAcme):
    async def renew(self, used: str) -> None:
        if used == "none yet":
            await super().renew(used)


@fails("an expired token is replaced once", remote=open_tokens)
class ReplacesItInCreateAlone(TokenAcme):
    async def cancel(self, ref: Any) -> Any:
        return await AcmeProvider.cancel(self, ref)


@fails("an expired token is replaced once", remote=open_tokens)
class AsksForThreeTokens(TokenAcme):
    async def renew(self, used: str) -> None:
        for _ in range(3):
            self.token = await self.fetch_token()


@fails("concurrent calls share a new token", remote=open_tokens)
class EachCallFetchesItsOwn(TokenAcme):
    async def renew(self, used: str) -> None:
        self.token = await self.fetch_token()


@fails("a refused token is a misconfiguration without a loop", remote=open_tokens)
class AsksAgainAndAgain(TokenAcme):
    async def fetch_token(self) -> str:
        for _ in range(20):
            try:
                return await super().fetch_token()
            except Misconfigured:
                await trio.sleep(0.01)
        raise Misconfigured("refused")


@fails("a refused token is a misconfiguration without a loop", remote=open_tokens)
class ARefusedTokenIsUnknown(TokenAcme):
    async def fetch_token(self) -> str:
        try:
            return await super().fetch_token()
        except Misconfigured:
            raise OutcomeUnknown("no token") from None


# -- settings and expiry -----------------------------------------------------------------------


@fails("a setting changed between retries changes nothing")
class SendsItsOwnExpiry(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        minutes = timedelta(minutes=self._config.expiry_minutes)
        return await super().create(
            attrs.evolve(operation, expire_time=operation.create_time + minutes)
        )


@fails("a setting changed between retries changes nothing")
class ComputesItsParametersAgain(StripeProvider):
    def prepare(self, operation: Any) -> Any:
        minutes = timedelta(minutes=self._config.session_ttl_minutes)
        ends_at = int((operation.create_time + minutes).timestamp())
        return {**super().prepare(operation), "expires_at": ends_at}

    async def create(self, operation: Any) -> Created:
        return await super().create(attrs.evolve(operation, parameters=self.prepare(operation)))


@fails("a setting changed between retries changes nothing")
class FallsBackOnASetting(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        page = f"https://shop.example/{self._config.expiry_minutes}"
        operation = attrs.evolve(operation, return_url=operation.return_url or page)
        return await super().create(operation)


@fails("an object closes at its expiry")
class DropsTheZoneOfItsExpiry(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        created: Any = await super().create(operation)
        return attrs.evolve(created, expire_time=created.expire_time + timedelta(hours=2))


@fails("an object closes at its expiry")
class ClosesHalfAMinuteEarly(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        early = operation.expire_time - timedelta(seconds=30)
        created = await super().create(attrs.evolve(operation, expire_time=early))
        return attrs.evolve(created, expire_time=None)


@fails("an object closes at its expiry")
class NeverExpires(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        late = operation.expire_time + timedelta(days=1)
        return await super().create(attrs.evolve(operation, expire_time=late))


@fails("an object closes at its expiry")
class ExpiresSomeTimeAfterItWasSent(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        late = self.context.clock.now() + (operation.expire_time - operation.create_time)
        return await super().create(attrs.evolve(operation, expire_time=late))


@fails("an object closes at its expiry")
class EndsEarly(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        found = await super().fetch(ref)
        is_old = self.context.clock.now() - ref.create_time > timedelta(minutes=20)
        return saying(found, status=ProviderStatus.EXPIRED) if is_old else found


@fails("prepare is pure")
class AnotherEveryTime(AcmeProvider):
    def prepare(self, operation: Any) -> Any:
        return {"address": str(uuid.uuid4())}


@fails("health raises a fault as what it is")
class AlwaysWell(AcmeProvider):
    async def health(self) -> None:
        with contextlib.suppress(ProviderError):
            await super().health()


class SaysThatItIsSilent(AcmeRemote):
    sends_nothing = frozenset({"fetch"})


@fails("what sends nothing meets no fault", remote=opening(SaysThatItIsSilent))
class SendsAllTheSame(AcmeProvider):
    """As it was."""


# -- comparison --------------------------------------------------------------------------------


@fails("the list of objects ends")
class StartsAgainAtTheEnd(StripeProvider):
    async def objects(self, since: Any, until: Any, cursor: str | None) -> Any:
        return attrs.evolve(await super().objects(since, until, None), cursor="again")


@fails("no object is lost between pages")
class SkipsTheLastOfAPage(StripeProvider):
    async def objects(self, since: Any, until: Any, cursor: str | None) -> Any:
        page = await super().objects(since, until, cursor)
        return attrs.evolve(page, objects=page.objects[:-1]) if page.cursor else page


@fails("no object is lost between pages")
class ListsTheFirstPageOnly(StripeProvider):
    async def objects(self, since: Any, until: Any, cursor: str | None) -> Any:
        return attrs.evolve(await super().objects(since, until, cursor), cursor=None)


@fails("no object is lost between pages")
class ListsOnlyWhatIsPaydsOwn(StripeProvider):
    async def objects(self, since: Any, until: Any, cursor: str | None) -> Any:
        created = {"gte": int(since.timestamp()), "lt": int(until.timestamp())}
        more = {} if cursor is None else {"starting_after": cursor}
        for session in (await self._api.sessions(created=created, **more)).body["data"]:
            uuid.UUID(session["client_reference_id"])
        return await super().objects(since, until, cursor)


@fails("only objects of the period are listed")
class ListsEverything(StripeProvider):
    async def objects(self, since: Any, until: Any, cursor: str | None) -> Any:
        day = timedelta(days=1)
        return await super().objects(since - day, until + day, cursor)

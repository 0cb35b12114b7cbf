"""Providers that are broken on purpose, one for each check of the conformance kit."""

import time
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import nosy_provider
import trio
from acme_provider import MANIFEST as ACME
from acme_provider import webhooks
from acme_provider.config import AcmeConfig
from acme_provider.conformance import open_remote as open_acme
from acme_provider.provider import AcmeProvider
from mock_provider import MANIFEST as MOCK
from mock_provider.conformance import open_remote as open_mock
from mock_provider.provider import MockProvider
from sepa_provider import MANIFEST as SEPA
from sepa_provider.conformance import open_remote as open_sepa
from sepa_provider.provider import SepaProvider
from stripe_provider import MANIFEST as STRIPE
from stripe_provider.companion.conformance import open_remote as open_stripe
from stripe_provider.provider import StripeProvider
from tempo_provider import MANIFEST as TEMPO
from tempo_provider.companion.scripted.conformance import open_remote as open_tempo
from tempo_provider.provider import TempoProvider

from payd.plugins import (
    Absent,
    Cancel,
    Created,
    Declined,
    Found,
    IdempotencyConflict,
    InvalidRequest,
    Misconfigured,
    NotAttempted,
    OutcomeUnknown,
    ProviderError,
    ProviderEvent,
    ProviderManifest,
    ProviderStatus,
    RateLimited,
    Show,
    ShowKind,
    WebhookRefused,
)
from payd.plugins.testing import OpenRemote

#: Check, the manifest of a provider that fails it, and its remote side.
BROKEN: list[tuple[str, ProviderManifest, OpenRemote]] = []

#: What a broken provider is made of, with its usual manifest and remote side.
_BASES: tuple[tuple[type, ProviderManifest, OpenRemote], ...] = (
    (MockProvider, MOCK, open_mock),
    (AcmeProvider, ACME, open_acme),
    (SepaProvider, SEPA, open_sepa),
    (StripeProvider, STRIPE, open_stripe),
    (TempoProvider, TEMPO, open_tempo),
)


def fails(
    check: str, *, remote: OpenRemote | None = None, **changes: Any
) -> Callable[[type], type]:
    """The provider of this class, and with these changes to its manifest, fails that check."""

    def register(broken: type) -> type:
        usual = next(open_usual for base, _, open_usual in _BASES if issubclass(broken, base))
        BROKEN.append((check, manifest_of(broken, **changes), remote or usual))
        return broken

    return register


def manifest_of(broken: type, **changes: Any) -> ProviderManifest:
    """That of its base, but for the class and the changes."""
    manifest = next(usual for base, usual, _ in _BASES if issubclass(broken, base))
    return attrs.evolve(manifest, **{"factory": _factory(manifest, broken), **changes})


def _factory(manifest: ProviderManifest, broken: type) -> Callable[..., Any]:
    def factory(context: Any, config: Any) -> AbstractAsyncContextManager[Any]:
        @asynccontextmanager
        async def opened() -> Any:
            async with manifest.factory(context, config) as provider:
                provider.__class__ = broken
                provider.context = context
                yield provider

        return opened()

    factory.__module__ = manifest.factory.__module__
    return factory


def anew(operation: Any) -> Any:
    """The same operation under another id."""
    return attrs.evolve(operation, operation_id=str(uuid.uuid4()))


def saying(found: Any, **changes: Any) -> Any:
    """The same look with another snapshot."""
    return attrs.evolve(found, snapshot=attrs.evolve(found.snapshot, **changes))


# -- basic -------------------------------------------------------------------------------------


@fails("the manifest is valid", version="first")
class VersionOfNoKind(AcmeProvider):
    """As it was."""


@fails("it imports nothing of payd but the interface", factory=nosy_provider.factory)
class Nosy(AcmeProvider):
    """As it was."""


@fails("an audit is announced")
class UnannouncedAudit(AcmeProvider):
    """Its manifest announces no audit."""

    async def holdings(self, cursor: str) -> list[Any]:
        return []


class Lenient(AcmeConfig, extra="ignore"):
    """Takes any setting."""


@fails("an unknown setting is refused", config_model=Lenient)
class LenientProvider(AcmeProvider):
    """As it was."""


@fails("the same operation twice is one object")
@fails("the same operation concurrently is one object")
class NewEveryTime(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        return await super().create(anew(operation))


@fails("the same operation later is one object")
class NewEveryMinute(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        minute = self.context.clock.now().replace(second=0)
        operation_id = f"{operation.operation_id}:{minute}"
        return await super().create(attrs.evolve(operation, operation_id=operation_id))


@fails("the same operation with other parameters is a conflict")
class NoConflict(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        try:
            return await super().create(operation)
        except IdempotencyConflict:
            return await super().create(anew(operation))


@fails("create returns what the customer has to do")
class NothingToDo(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        return attrs.evolve(await super().create(operation), next_action=None)


@fails("create returns what the customer has to do")
class NoLongerValid(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        end = operation.create_time - timedelta(minutes=1)
        show = Show(kind=ShowKind.TEXT, payload="Pay.", expire_time=end)
        return attrs.evolve(await super().create(operation), next_action=show)


@fails("an open object is found open")
class NeverOpen(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        return saying(await super().fetch(ref), status=ProviderStatus.PROCESSING)


@fails("an object is found without its reference")
@fails("an object whose response was lost is found")
class NotFoundWithoutReference(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        return Absent() if ref.reference is None else await super().fetch(ref)


@fails("what was never created is absent")
class FindsAnother(AcmeProvider):
    first: Any = None

    async def fetch(self, ref: Any) -> Any:
        found = await super().fetch(ref)
        self.first = self.first or found
        return self.first

    async def create(self, operation: Any) -> Created:
        created = await super().create(operation)
        self.first = Found(created=created, snapshot=await self._snapshot(created))
        return created

    async def _snapshot(self, created: Created) -> Any:
        charge = await self._api.get(f"/charges/{created.reference}")
        return webhooks.charges.snapshot(charge)


@fails("fetch changes nothing")
class LooksByCreating(AcmeProvider):
    operation: Any = None

    async def create(self, operation: Any) -> Created:
        self.operation = operation
        return await super().create(operation)

    async def fetch(self, ref: Any) -> Any:
        await super().create(anew(self.operation))
        return await super().fetch(ref)


@fails("a paid object is found paid")
class NeverPaid(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        return saying(await super().fetch(ref), status=ProviderStatus.OPEN)


@fails("partial payments are reported exactly")
class AnyMoneyIsEnough(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        found = await super().fetch(ref)
        paid = found.snapshot.received > 0
        return saying(found, status=ProviderStatus.PAID) if paid else found


@fails("partial payments are reported exactly")
class TheLastPartOnly(AcmeProvider):
    reported: int = 0

    async def fetch(self, ref: Any) -> Any:
        found = await super().fetch(ref)
        part, self.reported = found.snapshot.received - self.reported, found.snapshot.received
        return saying(found, received=part, confirmed=part)


@fails("overpayments are reported exactly")
class NeverTooMuch(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        found = await super().fetch(ref)
        capped = min(found.snapshot.received, found.snapshot.due)
        return saying(found, received=capped, confirmed=capped)


@fails("cancel of a partly paid object reports the part")
class ForgetsThePart(AcmeProvider):
    async def cancel(self, ref: Any) -> Any:
        return attrs.evolve(await super().cancel(ref), received=0, confirmed=0)


@fails("fetch reports the time of its answer")
class LooksAtTheBeginning(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        return saying(await super().fetch(ref), as_of=ref.create_time)


@fails("fetch reports the time of its answer")
class LooksAtTheLastChange(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        found = await super().fetch(ref)
        page: Any = await self._api.get("/events", after="0", limit="100")
        times = [one["charge"]["as_of"] for one in page["events"]]
        return saying(found, as_of=datetime.fromtimestamp(max(times), UTC)) if times else found


@fails("amounts are exact")
class FrancsOnly(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        return saying(await super().fetch(ref), asset="CHF")


@fails("amounts are exact")
class WholeUnits(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        found = await super().fetch(ref)
        whole = round(found.snapshot.received / 100) * 100
        return saying(found, received=whole, confirmed=whole)


@fails("an open object is closed and stays closed")
class SaysThatItClosed(AcmeProvider):
    async def cancel(self, ref: Any) -> Any:
        found = await self.fetch(ref)
        return attrs.evolve(found.snapshot, status=ProviderStatus.CANCELED)


@fails("cancel of a paid object reports that it is paid")
class AlwaysCanceled(AcmeProvider):
    async def cancel(self, ref: Any) -> Any:
        return attrs.evolve(await super().cancel(ref), status=ProviderStatus.CANCELED)


@fails(
    "an object that cannot be closed stays payable",
    capabilities=attrs.evolve(ACME.capabilities, cancel=Cancel.NOT_CLOSABLE),
)
class ClosesAllTheSame(AcmeProvider):
    """As it was."""


@fails("cancel of an expired object reports that it is closed")
class RefusesToCancel(AcmeProvider):
    async def cancel(self, ref: Any) -> Any:
        if (await self.fetch(ref)).snapshot.status is not ProviderStatus.OPEN:
            raise InvalidRequest("payment_id", "it is not open")
        return await super().cancel(ref)


@fails("health is fast and free of effects")
class Talkative(AcmeProvider):
    async def health(self) -> Any:
        return "ok"


@fails("no call blocks the event loop")
class WaitsWithoutAwait(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        time.sleep(0.6)  # noqa: ASYNC251 - that is the point
        return await super().fetch(ref)


@fails("refunds are reported")
class NetOfRefunds(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        found = await super().fetch(ref)
        left = found.snapshot.received - sum(one.amount for one in found.snapshot.refunds)
        return saying(found, received=left, confirmed=left)


@fails("refunds are reported")
class PayableAgain(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        found = await super().fetch(ref)
        return saying(found, status=ProviderStatus.OPEN) if found.snapshot.refunds else found


@fails("refunds are reported")
class SilentAboutRefunds(AcmeProvider):
    def translate(self, event: ProviderEvent) -> Any:
        said = super().translate(event)
        return [attrs.evolve(one, fact=attrs.evolve(one.fact, refunds=())) for one in said]


@fails("concurrent operations do not mix")
class OneAtATime(AcmeProvider):
    amount: Any = None

    async def create(self, operation: Any) -> Created:
        self.amount = operation.amount
        await trio.sleep(0.01)
        return await super().create(attrs.evolve(operation, amount=self.amount))


@fails("a replaced key is used at once")
class KeepsItsFirstKey(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        key = self._api._read_key()
        self._api._read_key = lambda: key
        return await super().create(operation)


@fails("no secret is logged or raised")
class TellsItsKeyWhenRefused(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        try:
            return await super().create(operation)
        except Misconfigured:
            raise Misconfigured(f"refused: {self.context.secrets['api_key'][0]}") from None


@fails("no secret is logged or raised")
class TellsItsSecretToWhoHasNone(AcmeProvider):
    def verify(self, request: Any, secrets: Any, now: Any) -> ProviderEvent:
        try:
            return super().verify(request, secrets, now)
        except WebhookRefused as error:
            raise WebhookRefused("signature", f"{error} {secrets['webhook_secret']}") from None


@fails("no secret is logged or raised")
class TellsItsKey(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        self.context.log.info("looked", key=self.context.secrets["api_key"][0])
        return await super().fetch(ref)


# -- resilience --------------------------------------------------------------------------------


def misnamed(mistaken: type[ProviderError], name: Callable[[], ProviderError]) -> type:
    """A provider whose `create` calls one failure by another's name."""

    class Misnaming(AcmeProvider):
        async def create(self, operation: Any) -> Created:
            try:
                return await super().create(operation)
            except mistaken:
                raise name() from None

    return Misnaming


def misnamed_refund(mistaken: type[ProviderError], name: Callable[[], ProviderError]) -> type:
    """A provider whose `refund` calls one failure by another's name."""

    class Misnaming(AcmeProvider):
        async def refund(self, operation: Any) -> Any:
            try:
                return await super().refund(operation)
            except mistaken:
                raise name() from None

    return Misnaming


for check, mistaken, name in (
    (
        "a lost request is retried and done once",
        OutcomeUnknown,
        lambda: Declined("x", "y"),
    ),
    (
        "a lost response is unknown and done once",
        OutcomeUnknown,
        lambda: NotAttempted("z"),
    ),
    ("a server error is unknown", OutcomeUnknown, lambda: Declined("x", "y")),
    ("refused credentials are a misconfiguration", Misconfigured, lambda: OutcomeUnknown("z")),
    ("rate limits give a retry delay", RateLimited, lambda: OutcomeUnknown("z")),
    ("a definite refusal is declined", Declined, lambda: OutcomeUnknown("z")),
):
    fails(check)(misnamed(mistaken, name))


@fails("an unreadable response is unknown")
class MakesItUp(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        try:
            return await super().create(operation)
        except OutcomeUnknown:
            return Created(reference="ch_guessed", next_action=None)


@fails("a hanging call can be cancelled")
class CannotBeLeft(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        with trio.CancelScope(shield=True), trio.move_on_after(3):
            return await super().create(operation)
        raise OutcomeUnknown("no answer")


@fails("cancelled at any moment it is done at most once")
class KeyOfEachAttempt(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        created = await super().create(anew(operation))
        await trio.lowlevel.checkpoint()
        return created


@fails("a failed fetch is not absence")
class BlindLook(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        try:
            return await super().fetch(ref)
        except ProviderError:
            return Absent()


@fails("a failed fetch is not absence")
class RefusedIsAbsent(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        try:
            return await super().fetch(ref)
        except (Misconfigured, RateLimited):
            return Absent()


@fails("a wrong reference is not found")
class AnyReference(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        self.last = await super().create(operation)
        return self.last

    async def fetch(self, ref: Any) -> Any:
        if not isinstance(found := await super().fetch(ref), Absent):
            return found
        found = await super().fetch(attrs.evolve(ref, reference=self.last.reference))
        return saying(found, status=ProviderStatus.PAID, received=1, confirmed=1)


@fails("any order of actions loses nothing")
class ForgetsWhatWasPaid(AcmeProvider):
    canceled: bool = False

    async def cancel(self, ref: Any) -> Any:
        self.canceled = True
        return await super().cancel(ref)

    async def fetch(self, ref: Any) -> Any:
        found = await super().fetch(ref)
        return saying(found, received=0, confirmed=0) if self.canceled else found

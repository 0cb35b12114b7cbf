"""Providers that are broken on purpose, one for each check: their webhooks, scans and watches."""

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import trio
from acme_provider import webhooks
from acme_provider.conformance import AcmeRemote, open_remote
from acme_provider.provider import AcmeProvider
from integration.kit.broken import BROKEN, fails
from mock_provider.provider import BATCH_MAX, MockProvider
from support import plain_http

from payd.plugins import (
    Created,
    ProviderEvent,
    ProviderStatus,
    WebhookRefused,
    WebhookRequest,
)
from payd.plugins.testing import BenchClock

__all__ = ["BROKEN"]

# -- webhooks ----------------------------------------------------------------------------------


@fails("an authentic webhook is accepted")
class RefusesAll(AcmeProvider):
    def verify(self, request: Any, secrets: Any, now: datetime) -> ProviderEvent:
        raise WebhookRefused("signature", "no")


@fails("an authentic webhook is accepted")
class KeepsAFloat(AcmeProvider):
    def verify(self, request: Any, secrets: Any, now: datetime) -> ProviderEvent:
        event = super().verify(request, secrets, now)
        return attrs.evolve(event, content={**event.content, "paid_at": 1.5})


@fails("an authentic webhook is accepted")
class FindsNothing(AcmeProvider):
    def verify(self, request: Any, secrets: Any, now: datetime) -> Any:
        super().verify(request, secrets, now)
        return ()


@fails("an authentic webhook is accepted")
class TwoEventsOfOneId(AcmeProvider):
    def verify(self, request: Any, secrets: Any, now: datetime) -> Any:
        event = super().verify(request, secrets, now)
        return [event, attrs.evolve(event, type="charge.paid_in_part")]


@fails("an event delivered again is the same")
class KeepsTheTimeOfDelivery(AcmeProvider):
    def verify(self, request: Any, secrets: Any, now: datetime) -> ProviderEvent:
        event = super().verify(request, secrets, now)
        return attrs.evolve(event, content={**event.content, "time": int(now.timestamp())})


@fails("an event delivered again is the same")
class NamesTheDelivery(AcmeProvider):
    def verify(self, request: Any, secrets: Any, now: datetime) -> ProviderEvent:
        event = super().verify(request, secrets, now)
        return attrs.evolve(event, id=f"{event.id}-{now.timestamp():.0f}")


@fails("one changed byte is refused")
@fails("without its signature it is refused")
class BelievesAll(AcmeProvider):
    def verify(self, request: Any, secrets: Any, now: datetime) -> ProviderEvent:
        return ProviderEvent(id="1", type="any", content={})


@fails("an old webhook is refused")
@fails("a webhook from the future is refused")
class Timeless(AcmeProvider):
    def verify(self, request: Any, secrets: Any, now: datetime) -> ProviderEvent:
        return webhooks.verify(request, secrets["webhook_secret"], now, tolerance_s=10**9)


class TwoHeaders(AcmeRemote):
    """Its time stands beside the signature."""

    def _signed(self, event: Any, now: Any, secret: str | None = None) -> WebhookRequest:
        body = json.dumps(event).encode()
        signed = webhooks.sign(body, 0, secret or self.secrets["webhook_secret"][0])
        stamp = str(int(now.timestamp()))
        return WebhookRequest(body=body, headers={"x-time": stamp, "x-signature": signed})


@asynccontextmanager
async def open_two_headers(clock: BenchClock) -> AsyncIterator[AcmeRemote]:
    async with open_remote(clock) as remote:
        remote.__class__ = TwoHeaders
        yield remote


@fails("a recorded signature fits no other webhook", remote=open_two_headers)
class SignsTheBodyAlone(AcmeProvider):
    def verify(self, request: Any, secrets: Any, now: datetime) -> ProviderEvent:
        signed = webhooks.sign(request.body, 0, secrets["webhook_secret"][0])
        if signed != request.headers.get("x-signature"):
            raise WebhookRefused("signature", "no")
        if abs(now.timestamp() - int(request.headers["x-time"])) > 300:
            raise WebhookRefused("too_old", "no")
        return webhooks.event(json.loads(request.body))


@fails("a webhook of a partial payment reports the part")
class AnyEventIsEnough(AcmeProvider):
    def translate(self, event: ProviderEvent) -> Any:
        said = super().translate(event)
        paid = ProviderStatus.PAID
        return [attrs.evolve(one, fact=attrs.evolve(one.fact, status=paid)) for one in said]


@fails("both secrets are accepted during rotation")
class NewestSecretOnly(AcmeProvider):
    def verify(self, request: Any, secrets: Any, now: datetime) -> ProviderEvent:
        newest = {"webhook_secret": secrets["webhook_secret"][:1]}
        return super().verify(request, newest, now)


@fails("garbage is refused")
class Fragile(AcmeProvider):
    def verify(self, request: Any, secrets: Any, now: datetime) -> ProviderEvent:
        request.headers["acme-signature"].index("t=")
        return super().verify(request, secrets, now)


@fails("verifying a webhook sends no request")
class AsksBack(AcmeProvider):
    def translate(self, event: ProviderEvent) -> Any:
        plain_http.get(f"{self._config.api_base}/ping")
        return super().translate(event)


@fails("an event means the same every time")
class NewIdEveryTime(AcmeProvider):
    def translate(self, event: ProviderEvent) -> Any:
        return [attrs.evolve(one, id=str(uuid.uuid4())) for one in super().translate(event)]


@fails("an event names its payment")
class NamesOfItsOwn(AcmeProvider):
    def translate(self, event: ProviderEvent) -> Any:
        return [attrs.evolve(o, reference=f"acme/{o.reference}") for o in super().translate(event)]


@fails("foreign objects are ignored")
class TakesTheForeign(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        self.last = str(operation.payment_id)
        return await super().create(operation)

    def translate(self, event: ProviderEvent) -> Any:
        charge = {**event.content["charge"], "payment_id": self.last}
        return super().translate(attrs.evolve(event, content={"charge": charge}))


@fails("every order of reports gives the same result")
class TimesOfItsOwn(AcmeProvider):
    def translate(self, event: ProviderEvent) -> Any:
        early = event.content["charge"]["status"] == "open"
        as_of = datetime(2100 if early else 2020, 1, 1, tzinfo=UTC)
        said = super().translate(event)
        return [attrs.evolve(one, fact=attrs.evolve(one.fact, as_of=as_of)) for one in said]


# -- scan --------------------------------------------------------------------------------------


@fails("a scan reports what webhooks missed")
class BlindScan(AcmeProvider):
    async def scan(self, cursor: str | None) -> Any:
        return attrs.evolve(await super().scan(cursor), events=())


@fails("a scan reports what webhooks missed")
class KnowsOnlyIdsOfItsOwn(AcmeProvider):
    def translate(self, event: ProviderEvent) -> Any:
        uuid.UUID(event.content["charge"]["payment_id"])
        return super().translate(event)


@fails("a scan reports what webhooks missed")
class StopsAtTheUnreadable(AcmeProvider):
    def _readable(self, received: Any) -> Any:
        return (webhooks.event(received),)


@fails("nothing is lost between pages")
class LosesWhatALaterScanHappensToRead(AcmeProvider):
    """The last event of each full page is lost; a later scan overlaps, with other borders."""

    async def scan(self, cursor: str | None) -> Any:
        page = await super().scan(cursor)
        if page.more:
            return attrs.evolve(page, events=page.events[:-1])
        return attrs.evolve(page, cursor=str(max(0, int(page.cursor) - 13)))


@fails("nothing is lost between pages")
class SkipsAtTheBorder(AcmeProvider):
    async def scan(self, cursor: str | None) -> Any:
        page = await super().scan(cursor)
        at, kept = int(cursor or 0), page.events[:5]
        more = len(page.events) > len(kept)
        return attrs.evolve(page, events=kept, cursor=str(at + len(kept) + more), more=more)


@fails("a scan from the same cursor returns the same events")
class RemembersWhatItTold(AcmeProvider):
    seen: frozenset[str] = frozenset()

    async def scan(self, cursor: str | None) -> Any:
        page = await super().scan(cursor)
        new = tuple(event for event in page.events if event.id not in self.seen)
        self.seen |= {event.id for event in new}
        return attrs.evolve(page, events=new)


@fails("an event is the same by webhook and scan")
class IdsOfTheScanItself(AcmeProvider):
    async def scan(self, cursor: str | None) -> Any:
        page = await super().scan(cursor)
        events = tuple(attrs.evolve(event, id=f"scan-{event.id}") for event in page.events)
        return attrs.evolve(page, events=events)


# -- watch -------------------------------------------------------------------------------------


@fails("a watch reports what was paid")
class SleepsInstead(MockProvider):
    async def watch(self, sink: Any, *, task_status: Any) -> None:
        await trio.sleep_forever()


@fails("a restarted watch continues where it stopped")
class ForgetsTheBacklog(MockProvider):
    async def watch(self, sink: Any, *, task_status: Any) -> None:
        self._ledger.mark_reported(self._ledger.unreported(self._clock.now(), BATCH_MAX))
        await super().watch(sink, task_status=task_status)


@fails("what could not be stored is reported again")
class MarksTooEarly(MockProvider):
    async def watch(self, sink: Any, *, task_status: Any) -> None:
        while True:
            reports = self._ledger.unreported(self._clock.now(), BATCH_MAX)
            self._ledger.mark_reported(reports)
            await sink.put([report.observation for report in reports])
            await trio.sleep(0.05)


@fails("the same money has the same id")
class NewIdForTheSameMoney(MockProvider):
    async def watch(self, sink: Any, *, task_status: Any) -> None:
        reports = self._ledger.unreported(self._clock.now(), BATCH_MAX)
        observations = []
        for one in (report.observation for report in reports):
            receipts = tuple(attrs.evolve(r, id=str(uuid.uuid4())) for r in one.fact)
            observations.append(attrs.evolve(one, fact=receipts))
        await sink.put(observations)
        await trio.sleep_forever()


@fails("a watch ends when it is cancelled")
class CannotBeStopped(MockProvider):
    async def watch(self, sink: Any, *, task_status: Any) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(timedelta(seconds=3).total_seconds())

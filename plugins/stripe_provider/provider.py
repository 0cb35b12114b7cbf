"""Stripe Checkout as payd sees it: create, look, close, webhooks, scan and comparison."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from payd.plugins import (
    Absent,
    Clock,
    Created,
    CreateOperation,
    Found,
    InvalidRequest,
    Misconfigured,
    ObjectPage,
    Observation,
    OutcomeUnknown,
    Page,
    PaymentRef,
    Provider,
    ProviderContext,
    ProviderEvent,
    RemoteObject,
    Snapshot,
    WebhookRefused,
    WebhookRequest,
)
from stripe_provider import events, parameters, webhooks
from stripe_provider.client import Reply, StripeApi, open_api
from stripe_provider.config import STRIPE_API, StripeConfig
from stripe_provider.sessions import created, found, payment_id_of, snapshot

#: A session may be a little older than we think, by clocks.
_SKEW = timedelta(minutes=1)
#: Of a lookup without a reference: 5,000 sessions in the time since the payment was made.
_LOOKUP_PAGES_MAX = 50
#: A scan begins so far back, and reads again so much of what it has read: order is not promised.
_FIRST_SCAN = timedelta(hours=24)
_OVERLAP = timedelta(hours=1)
#: One step of a scan; halved while it holds too much.
_STEP = timedelta(hours=6)
_STEP_PAGES_MAX = 20
_STEP_MIN = timedelta(minutes=1)


@asynccontextmanager
async def open_provider(context: ProviderContext, config: StripeConfig) -> AsyncIterator[Provider]:
    """The factory of the manifest. Raises Misconfigured for a key of the other world."""
    secret_key = context.secrets["stripe_secret_key"][0]
    livemode = check_key(secret_key, context.environment)
    if context.environment == "production" and config.api_base != STRIPE_API:
        raise Misconfigured("api_base is for tests: production talks to Stripe")
    async with open_api(secret_key, config) as api:
        yield StripeProvider(api, config, context.clock, livemode=livemode)


def check_key(secret_key: str, environment: str) -> bool:
    """Whether it is a live one; raises Misconfigured unless that fits the environment."""
    kind = "_".join(secret_key.split("_")[:2])
    if kind not in ("sk_test", "rk_test", "sk_live", "rk_live"):
        raise Misconfigured("stripe_secret_key begins with none of sk_test_, rk_test_, …_live_")
    is_live = kind.endswith("live")
    if is_live != (environment == "production"):
        wanted = "a live" if environment == "production" else "a test"
        raise Misconfigured(f"stripe_secret_key: {environment} needs {wanted} key")
    return is_live


class StripeProvider:
    """Provider, SupportsPrepare, SupportsWebhooks, SupportsScan and SupportsCompare."""

    def __init__(
        self, api: StripeApi, config: StripeConfig, clock: Clock, *, livemode: bool
    ) -> None:
        self._api = api
        self._config = config
        self._clock = clock
        self._livemode = livemode

    def prepare(self, operation: CreateOperation) -> Mapping[str, Any]:
        """See SupportsPrepare."""
        return parameters.session_parameters(operation)

    async def create(self, operation: CreateOperation) -> Created:
        """See Provider."""
        sent = parameters.in_order(operation.parameters)
        return created(await self._api.create_session(sent, operation.operation_id))

    async def fetch(self, ref: PaymentRef) -> Found | Absent:
        """See Provider."""
        if ref.reference is None:
            return await self._find(ref)
        reply = await self._api.session(ref.reference)
        return Absent() if reply is None else found(reply.body, reply.time)

    async def cancel(self, ref: PaymentRef) -> Snapshot:
        """See Provider."""
        if ref.reference is None:
            raise InvalidRequest("payment_id", "it has no session yet")
        try:
            reply: Reply | None = await self._api.expire_session(ref.reference)
        except InvalidRequest:
            # No longer open: what it has become is what counts.
            reply = None
        if reply is None or reply.body.get("payment_intent") is not None:
            # A payment that was begun in time may still be under way.
            reply = await self._api.session(ref.reference)
        if reply is None:
            raise OutcomeUnknown("Stripe does not know the session")
        return snapshot(reply.body, reply.time)

    async def health(self) -> None:
        """See Provider."""
        await self._api.balance()

    # -- webhooks ------------------------------------------------------------------------------

    def verify(
        self, request: WebhookRequest, secrets: Mapping[str, tuple[str, ...]], now: datetime
    ) -> ProviderEvent:
        """See SupportsWebhooks."""
        known = secrets.get("stripe_webhook_secret", ())
        return webhooks.verify(request, known, now, self._config.tolerance_s)

    def translate(self, event: ProviderEvent) -> Sequence[Observation]:
        """See SupportsWebhooks."""
        return events.observations(event, livemode=self._livemode)

    # -- scan and comparison -------------------------------------------------------------------

    async def scan(self, cursor: str | None) -> Page:
        """See SupportsScan. The cursor is a time, in whole seconds."""
        now = self._clock.now()
        start = (
            now - _FIRST_SCAN if cursor is None else datetime.fromtimestamp(int(cursor), now.tzinfo)
        )
        step = _STEP
        while True:
            end = start + step
            read = await self._events_between(start, None if end >= now else end)
            if read is not None:
                break
            step /= 2
        is_last = end >= now
        following = now - _OVERLAP if is_last else end
        cursor = str(int(max(following, start).timestamp()))
        return Page(events=tuple(read), cursor=cursor, more=not is_last)

    async def _events_between(
        self, start: datetime, end: datetime | None
    ) -> list[ProviderEvent] | None:
        """Oldest first; None when there are too many for one step that can be made smaller."""
        created: dict[str, int] = {"gte": int(start.timestamp())}
        if end is not None:
            created["lte"] = int(end.timestamp())
        can_shrink = end is None or end - start > _STEP_MIN
        read: list[ProviderEvent] = []
        more: dict[str, str] = {}
        pages = 0
        while True:
            page = (
                await self._api.events(created=created, types=list(webhooks.EVENTS), **more)
            ).body
            read += [event for told in page["data"] if (event := _readable(told)) is not None]
            pages += 1
            if not page["has_more"]:
                return read[::-1]
            if pages >= _STEP_PAGES_MAX and can_shrink:
                return None
            more = {"starting_after": page["data"][-1]["id"]}

    async def objects(self, since: datetime, until: datetime, cursor: str | None) -> ObjectPage:
        """See SupportsCompare."""
        created = {"gte": int(since.timestamp()), "lt": int(until.timestamp())}
        more = {} if cursor is None else {"starting_after": cursor}
        reply = await self._api.sessions(created=created, **more)
        data = reply.body["data"]
        objects = tuple(
            RemoteObject(payment_id=payment_id_of(one), found=found(one, reply.time))
            for one in data
            # Other software's sessions may have no amount, or be of another mode.
            if payment_id_of(one) is not None
        )
        return ObjectPage(
            objects=objects, cursor=data[-1]["id"] if reply.body["has_more"] else None
        )

    async def _find(self, ref: PaymentRef) -> Found | Absent:
        """Stripe has no search for sessions: those since the payment was made are read."""
        since = int((ref.create_time - _SKEW).timestamp())
        more: dict[str, str] = {}
        for _ in range(_LOOKUP_PAGES_MAX):
            reply = await self._api.sessions(created={"gte": since}, **more)
            for session in reply.body["data"]:
                if payment_id_of(session) == ref.payment_id:
                    return found(session, reply.time)
            if not reply.body["has_more"]:
                return Absent()
            more = {"starting_after": reply.body["data"][-1]["id"]}
        raise OutcomeUnknown("too many sessions to find it among")


def _readable(told: Mapping[str, Any]) -> ProviderEvent | None:
    """One event that cannot be read must not hide the others; a webhook of it is refused, too."""
    try:
        return webhooks.reduced(told)
    except WebhookRefused:
        return None

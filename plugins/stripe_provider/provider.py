"""Stripe Checkout as payd sees it: create, look, close, webhooks, scan and comparison."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import trio

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
from stripe_provider import events, parameters, scanning, webhooks
from stripe_provider.client import Reply, StripeApi, open_api
from stripe_provider.config import STRIPE_API, StripeConfig
from stripe_provider.sessions import created, found, payment_id_of, snapshot

#: A session may be a little older than we think, by clocks.
_SKEW = timedelta(minutes=1)
#: By then the first try to create a session has ended, whatever came of it.
_FIRST_TRY = timedelta(minutes=2)
#: Of a lookup without a reference, to end within payd's deadline.
_FIND_S = 7.0
#: Of one step of a scan; and when it begins no more, to end within payd's deadline.
_SCAN_PAGES = 10
_SCAN_S = 4.0


@asynccontextmanager
async def open_provider(context: ProviderContext, config: StripeConfig) -> AsyncIterator[Provider]:
    """The factory of the manifest. Raises Misconfigured for a key of the other world."""

    def secret_key() -> str:
        key = context.secrets["stripe_secret_key"][0]
        check_key(key, context.environment)
        return key

    livemode = check_key(secret_key(), context.environment)
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
        """Compute the parameters that payd stores with the operation before it calls create."""
        return parameters.session_parameters(operation)

    async def create(self, operation: CreateOperation) -> Created:
        """Create the object, or return the existing one of this operation."""
        sent = parameters.in_order(operation.parameters)
        return created(await self._api.create_session(sent, operation.operation_id))

    async def fetch(self, ref: PaymentRef) -> Found | Absent:
        """Read the current state of the object."""
        if ref.reference is None:
            return await self._find(ref)
        reply = await self._api.session(ref.reference)
        return Absent() if reply is None else found(reply.body, reply.time)

    async def cancel(self, ref: PaymentRef) -> Snapshot:
        """Close the object if it is still open, and return its state."""
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
        """Check that the remote side responds to our credentials."""
        await self._api.balance()

    # -- webhooks ------------------------------------------------------------------------------

    def verify(
        self, request: WebhookRequest, secrets: Mapping[str, tuple[str, ...]], now: datetime
    ) -> ProviderEvent:
        """Check signature and age of a webhook, and return its event. Raises WebhookRefused."""
        known = secrets.get("stripe_webhook_secret", ())
        return webhooks.verify(request, known, now, self._config.tolerance_s)

    def translate(self, event: ProviderEvent) -> Sequence[Observation]:
        """Convert an event to observations about payments; empty for events of no interest."""
        return events.observations(event, livemode=self._livemode)

    # -- scan and comparison -------------------------------------------------------------------

    async def scan(self, cursor: str | None) -> Page:
        """See SupportsScan. Stripe lists the newest first, so a window is read backwards."""
        window = scanning.window_of(cursor, self._clock.now())
        read: list[ProviderEvent] = []
        until = trio.current_time() + _SCAN_S
        for _ in range(_SCAN_PAGES):
            try:
                page = await self._api.events(types=list(webhooks.EVENTS), **window.query())
            except InvalidRequest:
                if window.last_id is None:
                    raise
                # Stripe has forgotten the event to go on from, after 30 days: once more, from the start.
                return Page(events=tuple(read), cursor=str(window.start), more=True)
            read += [event for one in page.body["data"] if (event := _readable(one)) is not None]
            last_id = _last_id(page)
            if last_id is None:
                return Page(events=tuple(read), cursor=window.end_cursor())
            window = window.after(last_id)
            if trio.current_time() > until:
                break
        return Page(events=tuple(read), cursor=window.cursor(), more=True)

    async def objects(self, since: datetime, until: datetime, cursor: str | None) -> ObjectPage:
        """List a page of the objects created in a period, for the reconciliation."""
        created = {"gte": int(since.timestamp()), "lt": int(until.timestamp())}
        more = {} if cursor is None else {"starting_after": cursor}
        reply = await self._api.sessions(created=created, **more)
        listed = (_listed(one, reply.time) for one in reply.body["data"])
        objects = tuple(one for one in listed if one is not None)
        return ObjectPage(objects=objects, cursor=_last_id(reply))

    async def _find(self, ref: PaymentRef) -> Found | Absent:
        """Stripe has no search for sessions: those of the payment's first minutes are read.

        One that a later try has made is found by that try's own key.
        """
        since = int((ref.create_time - _SKEW).timestamp())
        created = {"gte": since, "lte": int((ref.create_time + _FIRST_TRY).timestamp())}
        more: dict[str, str] = {}
        until = trio.current_time() + _FIND_S
        while trio.current_time() < until:
            reply = await self._api.sessions(created=created, **more)
            for session in reply.body["data"]:
                if payment_id_of(session) == ref.payment_id:
                    return found(session, reply.time)
            last_id = _last_id(reply)
            if last_id is None:
                return Absent()
            more = {"starting_after": last_id}
        raise OutcomeUnknown("too many sessions to find it among")


def _last_id(page: Reply) -> str | None:
    """Where the next page goes on; None at the end. Raises OutcomeUnknown where it does not say."""
    if not page.body["has_more"]:
        return None
    try:
        last_id: str = page.body["data"][-1]["id"]
    except LookupError:
        raise OutcomeUnknown("a page that has more and no last one") from None
    return last_id


def _listed(session: Mapping[str, Any], as_of: datetime) -> RemoteObject | None:
    """One of payd's; other software's may have no amount, and none may hide the others."""
    payment_id = payment_id_of(session)
    if payment_id is None:
        return None
    try:
        return RemoteObject(payment_id=payment_id, found=found(session, as_of))
    except (OutcomeUnknown, AttributeError, LookupError, TypeError, ValueError):
        return None


def _readable(told: Mapping[str, Any]) -> ProviderEvent | None:
    """One event that cannot be read must not hide the others; a webhook of it is refused, too."""
    try:
        return webhooks.reduced(told)
    except WebhookRefused:
        return None

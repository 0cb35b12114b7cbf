"""The Stripe provider: payments, refunds, webhooks, event scan and reconciliation."""

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
    Declined,
    Dispute,
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
    RefundOperation,
    RefundRef,
    RefundSnapshot,
    RemoteObject,
    Snapshot,
    WebhookRefused,
    WebhookRequest,
)
from stripe_provider import events, parameters, scanning, webhooks
from stripe_provider.client import Reply, StripeApi, open_api
from stripe_provider.config import STRIPE_API, StripeConfig
from stripe_provider.disputes import dispute
from stripe_provider.keys import check_key
from stripe_provider.refunds import refund_id_of, refund_parameters, refund_snapshot
from stripe_provider.sessions import (
    Intent,
    created,
    found,
    intent_of,
    payment_id_of,
    snapshot,
)

#: Tolerance for clocks that differ, when searching sessions by their creation time.
_SKEW = timedelta(minutes=1)
#: After this time the first attempt to create a session has ended, with any outcome.
_FIRST_TRY = timedelta(minutes=2)
#: Seconds after which a search reads no further page, to stay within payd's deadline.
_FIND_S = 7.0
#: Maximum pages per scan step, and seconds after which it starts no page, for payd's deadline.
_SCAN_PAGES = 10
_SCAN_S = 4.0


@asynccontextmanager
async def open_provider(context: ProviderContext, config: StripeConfig) -> AsyncIterator[Provider]:
    """Open the provider. Raises Misconfigured for a key that does not fit the environment."""

    def secret_key() -> str:
        key = context.secrets["stripe_secret_key"][0]
        check_key(key, context.environment)
        return key

    livemode = check_key(secret_key(), context.environment)
    if context.environment == "production" and config.api_base != STRIPE_API:
        raise Misconfigured("api_base is for tests: remove it in production")
    async with open_api(secret_key, config) as api:
        yield StripeProvider(api, config, context.clock, livemode=livemode)


class StripeProvider:
    """Provider with prepare, refunds, webhooks, scan and comparison."""

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
        if reply is None:
            return Absent()
        refunds, disputes = await self._moved_back(intent_of(reply.body))
        return found(reply.body, reply.time, refunds, disputes)

    async def cancel(self, ref: PaymentRef) -> Snapshot:
        """Close the object if it is still open, and return its state."""
        if ref.reference is None:
            raise InvalidRequest("payment_id", "the payment has no session yet")
        try:
            reply: Reply | None = await self._api.expire_session(ref.reference)
        except InvalidRequest:
            # No longer open: return the state that it has reached.
            reply = None
        if reply is None or reply.body.get("payment_intent") is not None:
            # A payment that began in time may still be processing.
            reply = await self._api.session(ref.reference)
        if reply is None:
            raise OutcomeUnknown("Stripe does not know the session")
        return snapshot(reply.body, reply.time)

    # -- refunds -------------------------------------------------------------------------------

    async def refund(self, operation: RefundOperation) -> RefundSnapshot:
        """Refund once per operation id; a repetition returns the first refund."""
        intent_id = await self._intent_id(operation.reference, operation.aliases)
        if intent_id is None:
            raise Declined("not_paid", "Stripe has no payment for this session.")
        sent = parameters.in_order(refund_parameters(operation, intent_id))
        return refund_snapshot(await self._api.create_refund(sent, operation.operation_id))

    async def fetch_refund(self, ref: RefundRef) -> RefundSnapshot | Absent:
        """Read a refund by its id, or search it among the refunds of the payment."""
        if ref.reference is not None:
            refund = await self._api.refund(ref.reference)
            return Absent() if refund is None else refund_snapshot(refund)
        intent_id = await self._intent_id(ref.payment_reference, ref.aliases)
        if intent_id is None:
            return Absent()
        for refund in await self._refunds(intent_id):
            if refund_id_of(refund) == ref.refund_id:
                return refund_snapshot(refund)
        return Absent()

    async def _intent_id(self, session_id: str, aliases: Sequence[str]) -> str | None:
        """Id of the payment intent; None if the session has none."""
        known = next((name for name in aliases if name.startswith("pi_")), None)
        if known is not None:
            return known
        reply = await self._api.session(session_id)
        return None if reply is None else intent_of(reply.body).id

    async def _moved_back(
        self, intent: Intent
    ) -> tuple[tuple[RefundSnapshot, ...], tuple[Dispute, ...]]:
        """Return the refunds and disputes of a payment."""
        charge = intent.expanded_charge
        if intent.id is None or charge is None:
            return (), ()
        listed = charge.get("refunds") or {"data": [], "has_more": False}
        refunds = listed["data"]
        if listed["has_more"]:
            refunds = await self._refunds(intent.id)
        disputes: tuple[Dispute, ...] = ()
        if charge["disputed"]:
            disputes = await self._disputes(intent.id)
        return tuple(map(refund_snapshot, refunds)), disputes

    async def _refunds(self, intent_id: str) -> Sequence[Mapping[str, Any]]:
        """Read all refunds of a payment, newest first. Raises OutcomeUnknown after `_FIND_S`."""
        read: list[Mapping[str, Any]] = []
        more: dict[str, str] = {}
        until = trio.current_time() + _FIND_S
        while trio.current_time() < until:
            reply = await self._api.refunds(payment_intent=intent_id, **more)
            read += reply.body["data"]
            last_id = _last_id(reply)
            if last_id is None:
                return read
            more = {"starting_after": last_id}
        raise OutcomeUnknown("too many refunds of one payment")

    async def _disputes(self, intent_id: str) -> tuple[Dispute, ...]:
        """Read the disputes of a payment; none with a restricted key that may not read them."""
        try:
            reply = await self._api.disputes(payment_intent=intent_id)
        except (Misconfigured, InvalidRequest):
            return ()
        return tuple(dispute(one, reply.time) for one in reply.body["data"])

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
        """Read a page of events. Stripe lists newest first, so each window is read backwards."""
        window = scanning.window_of(cursor, self._clock.now())
        read: list[ProviderEvent] = []
        until = trio.current_time() + _SCAN_S
        for _ in range(_SCAN_PAGES):
            try:
                page = await self._api.events(types=list(webhooks.EVENTS), **window.query())
            except InvalidRequest:
                if window.last_id is None:
                    raise
                # Stripe deletes events after 30 days, also the one to continue from: start over.
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
        """Read the sessions of the payment's first minutes: Stripe cannot search sessions.

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
        raise OutcomeUnknown("not found among the sessions read: too many sessions in that period")


def _last_id(page: Reply) -> str | None:
    """Id to continue after; None at the end. Raises OutcomeUnknown for a page without ids."""
    if not page.body["has_more"]:
        return None
    try:
        last_id: str = page.body["data"][-1]["id"]
    except LookupError:
        raise OutcomeUnknown("unreadable page: has_more without a last object") from None
    return last_id


def _listed(session: Mapping[str, Any], as_of: datetime) -> RemoteObject | None:
    """Convert a session; None for one that payd did not create or that cannot be read."""
    payment_id = payment_id_of(session)
    if payment_id is None:
        return None
    try:
        return RemoteObject(payment_id=payment_id, found=found(session, as_of))
    except (OutcomeUnknown, AttributeError, LookupError, TypeError, ValueError):
        return None


def _readable(received: Mapping[str, Any]) -> ProviderEvent | None:
    """Convert an event; None for an unreadable one, which must not hide the others."""
    try:
        return webhooks.reduced(received)
    except WebhookRefused:
        return None

"""The Acme provider: create, fetch, cancel, refund, health, and events by webhook or scan."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from acme_provider import charges, webhooks
from acme_provider.api import AcmeApi, Json, open_api
from acme_provider.config import AcmeConfig
from payd.plugins import (
    Absent,
    Created,
    CreateOperation,
    Declined,
    Found,
    Logger,
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
    Snapshot,
    WebhookRequest,
)

_PAGE = "100"


@asynccontextmanager
async def open_provider(context: ProviderContext, config: AcmeConfig) -> AsyncIterator[Provider]:
    """Open the provider: the manifest's factory."""
    # Read the secret for every request, so that a rotated key is used at once.
    async with open_api(config, lambda: context.secrets["api_key"][0]) as api:
        yield AcmeProvider(api, config, context.log)


class AcmeProvider:
    """Provider, SupportsRefund, SupportsWebhooks and SupportsScan."""

    def __init__(self, api: AcmeApi, config: AcmeConfig, log: Logger) -> None:
        self._api = api
        self._config = config
        self._log = log

    async def create(self, operation: CreateOperation) -> Created:
        """Create a charge. The operation id is the idempotency key, so a retry is one charge."""
        charge = await self._api.post(
            "/charges",
            {
                "payment_id": str(operation.payment_id),
                "amount": charges.UNITS.to_remote(operation.amount),
                "currency": operation.amount.currency_code,
                "expire_time": int(operation.expire_time.timestamp()),
                "return_url": operation.return_url,
                "cancel_url": operation.cancel_url,
            },
            idempotency_key=operation.operation_id,
        )
        return charges.created(_there(charge))

    async def fetch(self, ref: PaymentRef) -> Found | Absent:
        """Read the charge; without a reference, after a lost response, search by the payment."""
        if ref.reference is not None:
            charge = await self._api.get(f"/charges/{ref.reference}")
        else:
            listed = _there(await self._api.get("/charges", payment_id=str(ref.payment_id)))
            charge = next(iter(listed["charges"]), None)
        return Absent() if charge is None else charges.found(charge)

    async def cancel(self, ref: PaymentRef) -> Snapshot:
        """Close the charge if it is open, and return its state."""
        if ref.reference is None:
            raise OutcomeUnknown("the payment has no known charge yet")
        return charges.snapshot(
            _there(await self._api.post(f"/charges/{ref.reference}/cancel", {}))
        )

    async def refund(self, operation: RefundOperation) -> RefundSnapshot:
        """Refund a charge. The operation id is the idempotency key, so a retry is one refund."""
        document = await self._api.post(
            "/refunds",
            {
                "charge": operation.reference,
                # What comes back with the refund: by it payd knows its own.
                "refund_id": str(operation.refund_id),
                "amount": operation.amount,
                "reason": operation.reason,
            },
            idempotency_key=operation.operation_id,
        )
        if document is None:
            raise Declined("no_such_charge", "Acme does not know the charge.")
        return charges.refund(document)

    async def fetch_refund(self, ref: RefundRef) -> RefundSnapshot | Absent:
        """Read the refund; without a reference, after a lost response, search by payd's id."""
        if ref.reference is not None:
            document = await self._api.get(f"/refunds/{ref.reference}")
        else:
            listed = _there(await self._api.get("/refunds", refund_id=str(ref.refund_id)))
            document = next(iter(listed["refunds"]), None)
        return Absent() if document is None else charges.refund(document)

    async def health(self) -> None:
        """Check that the remote side responds to our credentials."""
        _there(await self._api.get("/ping"))

    # -- events --------------------------------------------------------------------------------

    def verify(
        self, request: WebhookRequest, secrets: Mapping[str, tuple[str, ...]], now: datetime
    ) -> ProviderEvent:
        """Check signature and age of a webhook, and return its event. Raises WebhookRefused."""
        return webhooks.verify(request, secrets["webhook_secret"], now, self._config.tolerance_s)

    def translate(self, event: ProviderEvent) -> Sequence[Observation]:
        """Convert an event to observations about payments; empty for events of no interest."""
        return webhooks.observations(event)

    async def scan(self, cursor: str | None) -> Page:
        """Read a page of events, to find what webhooks missed."""
        page = _there(await self._api.get("/events", after=cursor or "0", limit=_PAGE))
        return Page(
            events=tuple(event for one in page["events"] for event in self._readable(one)),
            cursor=str(page["cursor"]),
            more=bool(page["more"]),
        )

    def _readable(self, received: Json) -> Sequence[ProviderEvent]:
        """The event; none if it cannot be read, which must not stop the scan of the others."""
        try:
            return (webhooks.event(received),)
        except (LookupError, TypeError) as error:
            # The status check of its payment finds what it would have reported.
            self._log.warning("unreadable_event", error=repr(error))
            return ()


def _there(document: Json | None) -> Json:
    if document is None:
        raise OutcomeUnknown("the remote side does not know the charge")
    return document

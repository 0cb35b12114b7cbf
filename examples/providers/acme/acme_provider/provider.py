"""Acme as payd sees it: create, look, close, health; and events, by webhook or by scan."""

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
    Found,
    Observation,
    OutcomeUnknown,
    Page,
    PaymentRef,
    Provider,
    ProviderContext,
    ProviderEvent,
    Snapshot,
    WebhookRequest,
)

_PAGE = "100"


@asynccontextmanager
async def open_provider(context: ProviderContext, config: AcmeConfig) -> AsyncIterator[Provider]:
    """The factory of the manifest."""
    # Read at each use: a key that was replaced is there at once.
    async with open_api(config, lambda: context.secrets["api_key"][0]) as api:
        yield AcmeProvider(api, config)


class AcmeProvider:
    """Provider, SupportsWebhooks and SupportsScan."""

    def __init__(self, api: AcmeApi, config: AcmeConfig) -> None:
        self._api = api
        self._config = config

    async def create(self, operation: CreateOperation) -> Created:
        """See Provider. The operation id is the idempotency key: sent twice, it is one charge."""
        charge = await self._api.post(
            "/charges",
            {
                "payment_id": str(operation.payment_id),
                "amount": operation.amount.minor_units,
                "currency": operation.amount.currency_code,
                "expire_time": int(operation.expire_time.timestamp()),
                "return_url": operation.return_url,
                "cancel_url": operation.cancel_url,
            },
            idempotency_key=operation.operation_id,
        )
        return charges.created(_there(charge))

    async def fetch(self, ref: PaymentRef) -> Found | Absent:
        """See Provider. Without a reference, when the answer to `create` was lost: by the payment."""
        if ref.reference is not None:
            charge = await self._api.get(f"/charges/{ref.reference}")
        else:
            listed = _there(await self._api.get("/charges", payment_id=str(ref.payment_id)))
            charge = next(iter(listed["charges"]), None)
        return Absent() if charge is None else charges.found(charge)

    async def cancel(self, ref: PaymentRef) -> Snapshot:
        """See Provider. The charge tells how it stands, whether it was open or not."""
        if ref.reference is None:
            raise OutcomeUnknown("it has no charge yet, as far as is known")
        return charges.snapshot(
            _there(await self._api.post(f"/charges/{ref.reference}/cancel", {}))
        )

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
        """See SupportsScan: what no webhook has told is read afterwards."""
        page = _there(await self._api.get("/events", after=cursor or "0", limit=_PAGE))
        return Page(
            events=tuple(webhooks.event(told) for told in page["events"]),
            cursor=str(page["cursor"]),
            more=bool(page["more"]),
        )


def _there(document: Json | None) -> Json:
    if document is None:
        raise OutcomeUnknown("the remote side does not know it")
    return document

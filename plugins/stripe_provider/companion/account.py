"""The merchant's account: its keys, its clock, and the events that happen in it."""

from typing import Any

import attrs

from stripe_provider.companion.errors import no_such
from stripe_provider.companion.objects import EVENT, Json, new_id
from stripe_provider.companion.state import State
from stripe_provider.companion.webhooks import Webhooks

#: The parameter that an error names when an object of this kind is missing.
_PARAMS = {
    "checkout.session": "session",
    "payment_intent": "intent",
    "refund": "refund",
    "dispute": "dispute",
}


@attrs.frozen(kw_only=True)
class Cause:
    """The request that caused an event."""

    request_id: str | None = None
    idempotency_key: str | None = None


NO_CAUSE = Cause()


@attrs.define(kw_only=True)
class Account:
    """State that all endpoints share."""

    state: State
    webhooks: Webhooks
    secret_key: str
    #: The stand-in's URL, set once it listens.
    url: str = ""
    #: The most objects on one page of a list, whatever limit a request asks for.
    page_max: int = 100

    @property
    def livemode(self) -> bool:
        """Whether the secret key is one of live mode."""
        return "_live_" in self.secret_key

    def get(self, kind: str, object_id: str) -> Json:
        """Return an object. Raises ApiError."""
        found = self.state.find(kind, object_id)
        if found is None:
            raise no_such(kind, object_id, _PARAMS.get(kind, "id"))
        return found

    def emit(
        self, event_type: str, subject: Json, cause: Cause = NO_CAUSE, previous: Json | None = None
    ) -> Json:
        """Store an event, and send it if the endpoint has subscribed to its type."""
        data: dict[str, Any] = {"object": subject}
        if previous is not None:
            data["previous_attributes"] = previous
        event = {
            "id": new_id("evt_1"),
            "object": EVENT,
            "api_version": self.webhooks.endpoint.api_version,
            "created": int(self.state.now()),
            "data": data,
            # A refund does not have the field.
            "livemode": subject.get("livemode", self.livemode),
            "pending_webhooks": self.webhooks.pending(event_type),
            "request": {"id": cause.request_id, "idempotency_key": cause.idempotency_key},
            "type": event_type,
        }
        self.state.add(event)
        if event["pending_webhooks"]:
            self.webhooks.offer(event["id"])
        return event

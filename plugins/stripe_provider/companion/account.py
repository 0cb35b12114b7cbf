"""The merchant's account: its keys, its clock, and the events that happen in it."""

from typing import Any

import attrs

from stripe_provider.companion.errors import no_such
from stripe_provider.companion.objects import EVENT, Json, new_id
from stripe_provider.companion.state import State
from stripe_provider.companion.webhooks import Webhooks

#: How an object is called in a refusal to find it.
_PARAMS = {"checkout.session": "session", "payment_intent": "intent", "event": "id"}


@attrs.frozen(kw_only=True)
class Cause:
    """The request that made an event happen."""

    request_id: str | None = None
    idempotency_key: str | None = None


NOBODY = Cause()


@attrs.define(kw_only=True)
class Account:
    """What all endpoints share."""

    state: State
    webhooks: Webhooks
    secret_key: str
    #: Where the stand-in listens, once it does.
    url: str = ""

    @property
    def livemode(self) -> bool:
        """As its key says."""
        return "_live_" in self.secret_key

    def get(self, kind: str, object_id: str) -> Json:
        """The object. Raises ApiError."""
        found = self.state.find(kind, object_id)
        if found is None:
            raise no_such(kind, object_id, _PARAMS.get(kind, "id"))
        return found

    def emit(
        self, event_type: str, subject: Json, cause: Cause = NOBODY, previous: Json | None = None
    ) -> Json:
        """Write down that it happened, and send it to who has subscribed."""
        data: dict[str, Any] = {"object": subject}
        if previous is not None:
            data["previous_attributes"] = previous
        event = {
            "id": new_id("evt_1"),
            "object": EVENT,
            "api_version": self.webhooks.endpoint.api_version,
            "created": int(self.state.now()),
            "data": data,
            "livemode": subject["livemode"],
            "pending_webhooks": self.webhooks.pending(event_type),
            "request": {"id": cause.request_id, "idempotency_key": cause.idempotency_key},
            "type": event_type,
        }
        self.state.add(event)
        if event["pending_webhooks"]:
            self.webhooks.offer(event["id"])
        return event

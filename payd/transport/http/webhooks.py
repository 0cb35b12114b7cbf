"""POST /webhooks/{provider}: verify, store, answer 2xx. The event is translated later."""

from collections.abc import Callable
from typing import cast

import attrs
from quart import Response, jsonify, request
from quart_trio import QuartTrio

from payd.domain.errors import PaydError
from payd.plugins.interface import WebhookRequest
from payd.service.intake import Intake

#: provider, outcome
OnWebhook = Callable[[str, str], None]


@attrs.frozen(kw_only=True)
class Webhooks:
    """The route for webhooks of providers."""

    intake: Intake
    on_webhook: OnWebhook

    def add_to(self, app: QuartTrio) -> None:
        """Register the route."""

        @app.post("/webhooks/<provider>")
        async def webhook(provider: str) -> Response:
            body = cast(bytes, await request.get_data(as_text=False))
            headers = {name.lower(): value for name, value in request.headers.items()}
            is_new = await self.receive(provider, WebhookRequest(body=body, headers=headers))
            return jsonify(received=True, new=is_new)

    async def receive(self, provider: str, received: WebhookRequest) -> bool:
        """Store an authentic webhook and count it; return whether it was new. Raises PaydError."""
        try:
            is_new = await self.intake.accept_webhook(provider, received)
        except PaydError as error:
            why = error.metadata.get("why", error.reason.lower())
            # Anyone may send an unknown name: it gets no label of its own.
            known = "" if why == "webhook_unknown" else provider
            self.on_webhook(known, why)
            raise
        self.on_webhook(provider, "new" if is_new else "repeated")
        return is_new

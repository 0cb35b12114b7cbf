"""POST /webhooks/{provider}: verify, store, answer 2xx. The events are translated later."""

from collections.abc import Callable, Iterable
from typing import cast

import attrs
from quart import Response, jsonify, request
from quart_trio import QuartTrio

from payd.domain.errors import PaydError
from payd.plugins.interface import WebhookRequest
from payd.service.intake import Accepted, Intake
from payd.telemetry.tracing import EndingOnError, SpanKind, Tracer

#: provider, outcome
OnWebhook = Callable[[str, str], None]
#: provider, outcome, number of events
OnEvents = Callable[[str, str, int], None]


@attrs.frozen(kw_only=True)
class Webhooks:
    """The route for webhooks of providers."""

    intake: Intake
    on_webhook: OnWebhook
    on_events: OnEvents
    tracer: Tracer | None = None

    def add_to(self, app: QuartTrio) -> None:
        """Register the route."""

        @app.post("/webhooks/<provider>")
        async def webhook(provider: str) -> Response:
            body = cast(bytes, await request.get_data(as_text=False))
            received = WebhookRequest(body=body, headers=_joined(request.headers.items()))
            accepted = await self.receive_traced(provider, received)
            return jsonify(received=True, new=accepted.new)

    async def receive_traced(self, provider: str, received: WebhookRequest) -> Accepted:
        """As `receive`, within a span. Its sender cannot choose the trace."""
        if self.tracer is None:
            return await self.receive(provider, received)
        span = self.tracer.begin("webhook", SpanKind.SERVER, "", {})
        with EndingOnError([span]):
            accepted = await self.receive(provider, received, span.traceparent)
        # Anyone may send an unknown name: only that of a provider which took the webhook counts.
        events = {"payd.events": accepted.events, "payd.events_new": accepted.new}
        span.end({"payd.provider": provider, **events})
        return accepted

    async def receive(
        self, provider: str, received: WebhookRequest, traceparent: str = ""
    ) -> Accepted:
        """Store the events of an authentic webhook, and count it and them. Raises PaydError."""
        try:
            accepted = await self.intake.accept_webhook(provider, received, traceparent)
        except PaydError as error:
            why = error.metadata.get("why", error.reason.lower())
            # Anyone may send an unknown name: it gets no label of its own.
            known = "" if why == "webhook_unknown" else provider
            self.on_webhook(known, why)
            raise
        counts = {"new": accepted.new, "repeated": accepted.events - accepted.new}
        outcomes = [outcome for outcome, number in counts.items() if number]
        self.on_webhook(provider, outcomes[0] if outcomes else "empty")
        for outcome in outcomes:
            self.on_events(provider, outcome, counts[outcome])
        return accepted


def _joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by name in lower case, a repeated one as RFC 9110 (5.3) joins it."""
    joined: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined

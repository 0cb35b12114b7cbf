"""POST /webhooks/{provider}: verify, store, answer 2xx. The events are translated later.

A plain ASGI application in front of Quart's: the objects and tasks that Quart makes for a request
take longer than all that is done here.
"""

import json
from collections.abc import Callable
from typing import Any

import attrs
import trio
from werkzeug.exceptions import (
    HTTPException,
    MethodNotAllowed,
    RequestEntityTooLarge,
    RequestTimeout,
)

from payd.domain.errors import PaydError
from payd.plugins.interface import WebhookRequest
from payd.service.intake import Accepted, Intake
from payd.telemetry import get_logger
from payd.transport.http.answers import Answer, problem_answer
from payd.transport.http.exchange import OnRequest, begin_exchange

_log = get_logger(__name__)

#: provider, outcome
OnWebhook = Callable[[str, str], None]
#: provider, outcome, number of events
OnEvents = Callable[[str, str, int], None]

_PREFIX = "/webhooks/"


class _Disconnected(Exception):
    """The client left before its request was complete."""


@attrs.frozen(kw_only=True)
class Webhooks:
    """Takes webhooks of providers."""

    intake: Intake
    on_webhook: OnWebhook
    on_events: OnEvents

    async def receive(self, provider: str, received: WebhookRequest) -> Accepted:
        """Store the events of an authentic webhook, and count it and them. Raises PaydError."""
        try:
            accepted = await self.intake.accept_webhook(provider, received)
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


@attrs.frozen(kw_only=True)
class WebhookRoute:
    """The ASGI application of /webhooks/{provider}."""

    webhooks: Webhooks
    on_request: OnRequest
    max_body_bytes: int
    body_timeout_s: float

    @staticmethod
    def takes(scope: Any) -> bool:
        """Whether the request is for this route."""
        path: str = scope.get("path", "")
        return path.startswith(_PREFIX) and path.rfind("/") == len(_PREFIX) - 1 and path != _PREFIX

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        headers = _headers(scope)
        exchange = begin_exchange(scope["method"], headers.get("x-request-id"))
        try:
            answer = await self._answer(scope, headers, receive)
        except _Disconnected:
            return
        except Exception as error:  # noqa: BLE001 - as for every other route
            if not isinstance(error, HTTPException | PaydError):
                _log.error("webhook_failed", exc_info=error)
            answer = problem_answer(error)
        exchange.finish(f"{_PREFIX}<provider>", answer.status, self.on_request)
        await _send(send, answer, exchange.request_id)

    async def _answer(self, scope: Any, headers: dict[str, str], receive: Any) -> Answer:
        if scope["method"] != "POST":
            raise MethodNotAllowed(valid_methods=["POST"])
        # Refused before a client that waits for "100 Continue" sends it.
        if int(headers.get("content-length", "0")) > self.max_body_bytes:
            raise RequestEntityTooLarge
        body = await self._body(receive)
        provider = scope["path"].removeprefix(_PREFIX)
        received = WebhookRequest(body=body, headers=headers)
        accepted = await self.webhooks.receive(provider, received)
        return Answer(document={"received": True, "new": accepted.new})

    async def _body(self, receive: Any) -> bytes:
        body, more = b"", True
        with trio.move_on_after(self.body_timeout_s):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Disconnected
                body += message["body"]
                more = message["more_body"]
                if len(body) > self.max_body_bytes:
                    raise RequestEntityTooLarge
            return body
        raise RequestTimeout


def _headers(scope: Any) -> dict[str, str]:
    """Headers by their names, which are in lower case already."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def _send(send: Any, answer: Answer, request_id: str) -> None:
    body = json.dumps(answer.document, separators=(",", ":")).encode()
    headers = {
        "content-type": "application/json",
        **answer.headers,
        "content-length": str(len(body)),
        "x-request-id": request_id,
    }
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})

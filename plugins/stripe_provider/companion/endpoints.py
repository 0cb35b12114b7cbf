"""The endpoints: each validates its parameters and returns the work to run."""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from stripe_provider.companion import balance, expand, requests
from stripe_provider.companion.account import Account, Cause
from stripe_provider.companion.checkout import Checkout
from stripe_provider.companion.errors import no_such, unrecognized_url
from stripe_provider.companion.form import Form
from stripe_provider.companion.objects import (
    DISPUTE,
    EVENT,
    PAYMENT_INTENT,
    REFUND,
    SESSION,
    Json,
)
from stripe_provider.companion.refunds import Refunds
from stripe_provider.companion.state import Page

#: Executes a request whose parameters have been validated.
Work: TypeAlias = Callable[[Cause], Json]
Endpoint: TypeAlias = Callable[[Form, str], Work]

_EVENTS_KEPT_S = 30 * 24 * 3600
_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class Endpoints:
    """Endpoints by method and path."""

    def __init__(self, account: Account, checkout: Checkout, refunds: Refunds) -> None:
        self._account = account
        self._checkout = checkout
        self._refunds = refunds
        sessions = "/v1/checkout/sessions"
        self._routes: Sequence[tuple[str, re.Pattern[str], Endpoint]] = [
            (method, re.compile(path), endpoint)
            for method, path, endpoint in (
                ("POST", f"{sessions}()", self._create),
                ("GET", f"{sessions}()", self._list_sessions),
                ("GET", f"{sessions}/([^/]+)", self._session),
                ("POST", f"{sessions}/([^/]+)/expire", self._expire),
                ("GET", "/v1/payment_intents/([^/]+)", self._intent),
                ("POST", "/v1/refunds()", self._create_refund),
                ("GET", "/v1/refunds()", self._list_refunds),
                ("GET", "/v1/refunds/([^/]+)", self._refund),
                ("POST", "/v1/refunds/([^/]+)/cancel", self._cancel_refund),
                ("GET", "/v1/disputes()", self._list_disputes),
                ("GET", "/v1/disputes/([^/]+)", self._dispute),
                ("GET", "/v1/events()", self._list_events),
                ("GET", "/v1/events/([^/]+)", self._event),
                ("GET", "/v1/balance()", self._balance),
            )
        ]

    def find(self, method: str, path: str, form: Form) -> Work:
        """Return the work of a request. Raises ApiError."""
        for allowed, pattern, endpoint in self._routes:
            match = pattern.fullmatch(path)
            if match is not None and allowed == method:
                return endpoint(form, match[1])
        raise unrecognized_url(method, path)

    def _create(self, form: Form, _: str) -> Work:
        params = requests.create_session(form, self._account.state.now())
        paths = params.get("expand", [])
        expand.check(SESSION, paths)
        return lambda cause: self._expanded(self._checkout.create(params), paths)

    def _session(self, form: Form, session_id: str) -> Work:
        paths = requests.retrieve_session(form).get("expand", [])
        expand.check(SESSION, paths)
        return lambda cause: self._expanded(self._checkout.get(session_id), paths)

    def _expire(self, form: Form, session_id: str) -> Work:
        paths = requests.expire_session(form).get("expand", [])
        expand.check(SESSION, paths)
        return lambda cause: self._expanded(self._checkout.expire(session_id, cause), paths)

    def _intent(self, form: Form, intent_id: str) -> Work:
        paths = requests.retrieve_intent(form).get("expand", [])
        expand.check(PAYMENT_INTENT, paths)
        return lambda cause: self._expanded(self._account.get(PAYMENT_INTENT, intent_id), paths)

    def _create_refund(self, form: Form, _: str) -> Work:
        params = requests.create_refund(form)
        paths = params.get("expand", [])
        expand.check(REFUND, paths)
        return lambda cause: self._expanded(self._refunds.create(params, cause), paths)

    def _refund(self, form: Form, refund_id: str) -> Work:
        paths = requests.retrieve_refund(form).get("expand", [])
        expand.check(REFUND, paths)
        return lambda cause: self._expanded(self._account.get(REFUND, refund_id), paths)

    def _cancel_refund(self, form: Form, refund_id: str) -> Work:
        paths = requests.cancel_refund(form).get("expand", [])
        expand.check(REFUND, paths)
        return lambda cause: self._expanded(self._refunds.cancel_by_api(refund_id, cause), paths)

    def _dispute(self, form: Form, dispute_id: str) -> Work:
        paths = requests.retrieve_dispute(form).get("expand", [])
        expand.check(DISPUTE, paths)
        return lambda cause: self._expanded(self._account.get(DISPUTE, dispute_id), paths)

    def _event(self, form: Form, event_id: str) -> Work:
        requests.retrieve_event(form)
        return lambda cause: self._account.get(EVENT, event_id)

    def _balance(self, form: Form, _: str) -> Work:
        requests.retrieve_balance(form)
        return lambda cause: balance.balance(livemode=self._account.livemode)

    def _list_sessions(self, form: Form, _: str) -> Work:
        params = requests.list_sessions(form)
        where = _equal(params, "status", "payment_intent")
        return lambda cause: self._list(SESSION, "/v1/checkout/sessions", params, where)

    def _list_refunds(self, form: Form, _: str) -> Work:
        params = requests.list_refunds(form)
        where = _equal(params, "charge", "payment_intent")
        return lambda cause: self._list(REFUND, "/v1/refunds", params, where)

    def _list_disputes(self, form: Form, _: str) -> Work:
        params = requests.list_disputes(form)
        where = _equal(params, "charge", "payment_intent")
        return lambda cause: self._list(DISPUTE, "/v1/disputes", params, where)

    def _list_events(self, form: Form, _: str) -> Work:
        params = requests.list_events(form)
        where: list[tuple[str, list[Any]]] = [
            ("created > ?", [self._account.state.now() - _EVENTS_KEPT_S])
        ]
        types = params.get("types") or ([params["type"]] if "type" in params else [])
        if types:
            sql = " OR ".join("json_extract(body, '$.type') GLOB ?" for _ in types)
            where.append((sql, types))
        if "delivery_success" in params:
            sign = "=" if params["delivery_success"] else ">"
            where.append((f"json_extract(body, '$.pending_webhooks') {sign} 0", []))
        return lambda cause: self._list(EVENT, "/v1/events", params, where)

    def _list(self, kind: str, url: str, params: Json, where: list[tuple[str, list[Any]]]) -> Json:
        self._check_cursors(kind, params)
        paths = params.get("expand", [])
        expand.check(kind, paths, "data.")
        for name, bound in params.get("created", {}).items():
            where = [*where, (f"created {_COMPARISONS[name]} ?", [bound])]
        page = Page(
            limit=min(params.get("limit", 10), self._account.page_max),
            starting_after=params.get("starting_after"),
            ending_before=params.get("ending_before"),
            where=where,
        )
        found, has_more = self._account.state.page(kind, page)
        if kind == SESSION:
            found = [self._checkout.shown(session) for session in found]
        data = [self._expanded(body, paths, "data.") for body in found]
        return {"object": "list", "url": url, "has_more": has_more, "data": data}

    def _check_cursors(self, kind: str, params: Json) -> None:
        for name in ("starting_after", "ending_before"):
            cursor = params.get(name)
            if cursor is not None and self._account.state.find(kind, cursor) is None:
                raise no_such(kind, cursor, name, status=400)

    def _expanded(self, body: Json, paths: Sequence[str], prefix: str = "") -> Json:
        return expand.expand(self._account, body, paths, prefix)


def _equal(params: Json, *names: str) -> list[tuple[str, list[Any]]]:
    """Return the conditions of those fields that a list is filtered by."""
    return [
        (f"json_extract(body, '$.{name}') = ?", [params[name]]) for name in names if name in params
    ]

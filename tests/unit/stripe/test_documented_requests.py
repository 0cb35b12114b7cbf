"""Every request that the plugin sends is one that Stripe's SDK documents for the pinned version."""

import inspect
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import attrs
import httpx
import pytest
import stripe
from stripe.params import (
    BalanceRetrieveParams,
    DisputeListParams,
    EventListParams,
    RefundCreateParams,
    RefundListParams,
    RefundRetrieveParams,
)
from stripe.params.checkout import (
    SessionCreateParams,
    SessionExpireParams,
    SessionListParams,
    SessionRetrieveParams,
)
from stripe_provider.client import API_VERSION, StripeApi
from stripe_provider.companion.documented import parameter_problems
from stripe_provider.companion.form import decode
from stripe_provider.config import StripeConfig
from stripe_provider.provider import StripeProvider
from trio.testing import MockClock
from unit.stripe.builders import (
    NOW,
    PAYMENT_ID,
    SDK_WARNING,
    SESSION_ID,
    Sent,
    a_charge,
    a_dispute,
    a_refund,
    a_refund_operation,
    a_refund_ref,
    a_session,
    an_event,
    an_intent,
    an_item,
    an_operation,
    answer,
    failure,
    fixture,
    open_fake,
)
from unit.stripe.shelf import Hand

from payd.plugins import PaymentRef

pytestmark = pytest.mark.filterwarnings(SDK_WARNING)

_SESSIONS = "/v1/checkout/sessions"
#: What each endpoint takes, by the SDK.
DOCUMENTED: Sequence[tuple[str, str, type]] = (
    ("POST", _SESSIONS, SessionCreateParams),
    ("GET", _SESSIONS, SessionListParams),
    ("GET", f"{_SESSIONS}/[^/]+", SessionRetrieveParams),
    ("POST", f"{_SESSIONS}/[^/]+/expire", SessionExpireParams),
    ("POST", "/v1/refunds", RefundCreateParams),
    ("GET", "/v1/refunds", RefundListParams),
    ("GET", "/v1/refunds/[^/]+", RefundRetrieveParams),
    ("GET", "/v1/disputes", DisputeListParams),
    ("GET", "/v1/events", EventListParams),
    ("GET", "/v1/balance", BalanceRetrieveParams),
)
REF = PaymentRef(
    operation_id="payd:1:create:v1",
    payment_id=PAYMENT_ID,
    reference=SESSION_ID,
    asset="USD",
    create_time=NOW,
)


@pytest.fixture
def autojump_clock() -> MockClock:
    """No test waits for the pace."""
    return MockClock(autojump_threshold=0)


def answered(sent: Sent) -> httpx.Response:
    """What the plugin needs to go on to its next request."""
    if sent.method == "GET" and sent.path in MEMBERS:
        has_more = "starting_after" not in sent.query and sent.path in FOLLOWED
        members = [MEMBERS[sent.path]]
        return answer({"object": "list", "url": sent.path, "data": members, "has_more": has_more})
    if sent.path.startswith("/v1/refunds"):
        return answer(a_refund())
    return answer(fixture("balance") if sent.path == "/v1/balance" else _session())


def _session() -> dict[str, Any]:
    """Paid, disputed, and refunded more often than a charge shows."""
    refunds = {"object": "list", "url": "/v1/x", "data": [a_refund()], "has_more": True}
    charge = a_charge(refunds=refunds, disputed=True)
    intent = an_intent("succeeded", latest_charge=charge)
    return a_session(status="complete", payment_status="paid", payment_intent=intent)


def _event() -> dict[str, Any]:
    return an_event("checkout.session.expired", {"id": "cs_1", "mode": "setup"})


MEMBERS = {
    _SESSIONS: a_session(client_reference_id=None),
    "/v1/events": _event(),
    "/v1/refunds": a_refund(metadata={}),
    "/v1/disputes": a_dispute(),
}
#: Lists with a second page.
FOLLOWED = {_SESSIONS, "/v1/events", "/v1/refunds"}


async def everything_sent(handler: Callable[[Sent], httpx.Response] = answered) -> list[Sent]:
    """One request of every kind that the plugin knows, and every parameter that it may send."""
    operation = an_operation(
        items=(an_item(700, "eth"), an_item(900, "sol"), an_item(700, "eth")),
        cancel_url="https://shop.example/back",
    )
    async with open_fake(handler=handler, requests_per_second=10_000) as (api, fake):
        provider = StripeProvider(api, StripeConfig(), Hand(), livemode=False)
        await provider.create(attrs.evolve(operation, parameters=provider.prepare(operation)))
        await provider.fetch(REF)
        await provider.fetch(attrs.evolve(REF, reference=None))
        await provider.cancel(REF)
        for reason in ("", "duplicate"):
            await provider.refund(a_refund_operation(reason=reason, aliases=()))
        await provider.fetch_refund(a_refund_ref())
        await provider.fetch_refund(a_refund_ref(reference="re_1"))
        await provider.scan(None)
        page = await provider.objects(NOW - timedelta(days=2), NOW, None)
        await provider.objects(NOW - timedelta(days=2), NOW, page.cursor)
        await provider.health()
    return fake.sent


def problems_of(sent: Sent) -> list[str]:
    [documented] = [
        params
        for method, path, params in DOCUMENTED
        if method == sent.method and re.fullmatch(path, sent.path)
    ]
    form = decode(sent.body.decode() if sent.method == "POST" else urlencode(sent.query))
    return [f"{sent.method} {sent.path}: {one}" for one in parameter_problems(form, documented)]


def test_the_plugin_speaks_the_version_that_the_sdk_describes() -> None:
    assert stripe.api_version == API_VERSION


async def test_every_request_is_as_the_sdk_documents_it() -> None:
    sent = await everything_sent()

    assert [problem for one in sent for problem in problems_of(one)] == []
    assert {one.headers["stripe-version"] for one in sent} == {API_VERSION}


async def test_no_endpoint_of_the_plugin_is_left_out() -> None:
    sent = await everything_sent()

    kinds = {
        (method, path)
        for one in sent
        for method, path, _ in DOCUMENTED
        if method == one.method and re.fullmatch(path, one.path)
    }
    assert kinds == {(method, path) for method, path, _ in DOCUMENTED}
    calls = [
        n for n, _ in inspect.getmembers(StripeApi, inspect.iscoroutinefunction) if n[0] != "_"
    ]
    assert len(calls) == len(DOCUMENTED)


async def test_a_page_is_followed_as_documented() -> None:
    sent = await everything_sent()

    followed = {one.path for one in sent if "starting_after" in one.query}
    assert followed == FOLLOWED


async def test_closing_what_is_not_open_looks_as_documented() -> None:
    def refusing(sent: Sent) -> httpx.Response:
        if sent.path.endswith("/expire"):
            return failure(400, type="invalid_request_error", param="session")
        return answered(sent)

    sent = await everything_sent(refusing)

    assert [problem for one in sent for problem in problems_of(one)] == []

"""Refunds: what is sent to Stripe, what its answers say, and how a lost one is found."""

from datetime import UTC, datetime
from typing import Any

import attrs
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe_provider import MANIFEST
from stripe_provider.config import StripeConfig
from stripe_provider.currencies import KNOWN, exponent, step
from stripe_provider.provider import StripeProvider
from stripe_provider.refunds import refund_id_of, refund_parameters, refund_snapshot
from trio.testing import MockClock
from unit.stripe.builders import (
    CHARGE_ID,
    INTENT_ID,
    NOW,
    PAYMENT_ID,
    REFUND_ID,
    REFUND_STATES,
    SDK_WARNING,
    SECOND,
    SESSION_ID,
    Sent,
    a_charge,
    a_dispute,
    a_refund,
    a_refund_operation,
    a_refund_ref,
    a_session,
    an_intent,
    answer,
    failure,
    open_fake,
)
from unit.stripe.shelf import Hand

from payd.plugins import (
    Absent,
    Declined,
    DisputeStatus,
    Found,
    InvalidRequest,
    Misconfigured,
    OutcomeUnknown,
    PaymentRef,
    RefundSnapshot,
    RefundState,
    SupportsRefund,
    currency_exponent,
)
from payd.providers.manifests import misfit_of_provider, wrong_in_manifest

pytestmark = pytest.mark.filterwarnings(SDK_WARNING)
REF = PaymentRef(
    operation_id="key", payment_id=PAYMENT_ID, reference=SESSION_ID, asset="USD", create_time=NOW
)
FORBIDDEN = failure(403)


@pytest.fixture
def autojump_clock() -> MockClock:
    """No test waits for the pace."""
    return MockClock(autojump_threshold=0)


# -- what is sent ------------------------------------------------------------------------------


def test_the_parameters_are_the_payments_intent_the_amount_and_our_names() -> None:
    assert refund_parameters(a_refund_operation(), INTENT_ID) == {
        "payment_intent": INTENT_ID,
        "amount": 500,
        "metadata": {"payment_id": str(PAYMENT_ID), "refund_id": str(REFUND_ID)},
    }


def test_all_that_was_paid_is_sent_as_an_amount_too() -> None:
    sent = refund_parameters(a_refund_operation(is_all=True, amount=2000), INTENT_ID)
    assert sent["amount"] == 2000


@pytest.mark.parametrize(
    ("reason", "sent"),
    [
        ("duplicate", "duplicate"),
        (" Fraudulent ", "fraudulent"),
        ("requested by customer", "requested_by_customer"),
        ("requested_by_customer", "requested_by_customer"),
        ("Jenny Rosen called: she is not satisfied", None),
        ("not fraudulent", None),
        ("", None),
    ],
)
def test_only_stripes_own_reasons_are_sent(reason: str, sent: str | None) -> None:
    assert refund_parameters(a_refund_operation(reason=reason), INTENT_ID).get("reason") == sent


@pytest.mark.parametrize(
    ("asset", "amount", "units"),
    [("USD", 500, 500), ("JPY", 7, 7), ("ISK", 3, 300), ("MGA", 500, 5), ("KWD", 1230, 1230)],
)
def test_the_amount_is_in_stripes_unit(asset: str, amount: int, units: int) -> None:
    operation = a_refund_operation(asset=asset, amount=amount)
    assert refund_parameters(operation, INTENT_ID)["amount"] == units


@pytest.mark.parametrize(("asset", "amount"), [("MGA", 501), ("KWD", 1234)])
def test_an_amount_that_stripe_cannot_express_is_refused(asset: str, amount: int) -> None:
    with pytest.raises(InvalidRequest) as refused:
        refund_parameters(a_refund_operation(asset=asset, amount=amount), INTENT_ID)
    assert refused.value.field == "amount"


@given(asset=st.sampled_from(sorted(KNOWN)), whole=st.integers(1, 10**9))
def test_the_amount_comes_back_as_it_was_sent(asset: str, whole: int) -> None:
    shift = currency_exponent(asset) - exponent(asset)
    # What can be charged, and so refunded, in payd's units.
    amount = whole * max(1, step(asset) * 10**shift if shift >= 0 else step(asset) // 10**-shift)
    sent = refund_parameters(a_refund_operation(asset=asset, amount=amount), INTENT_ID)
    came = refund_snapshot(a_refund(amount=sent["amount"], currency=asset.lower()))
    assert (came.amount, came.asset) == (amount, asset)


# -- what a refund says ------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "state"), [*REFUND_STATES, (None, RefundState.PENDING)])
def test_each_status_is_a_state(status: str | None, state: RefundState) -> None:
    said = refund_snapshot(a_refund(status=status))
    code = status if status in ("failed", "canceled") else None
    assert (said.state, said.failure_code) == (state, code)
    assert (said.failure_message is None) is (code is None)


def test_a_refund_is_its_amount_its_time_and_all_names() -> None:
    assert refund_snapshot(a_refund()) == RefundSnapshot(
        reference="re_1",
        state=RefundState.SUCCEEDED,
        asset="USD",
        amount=500,
        time=datetime.fromtimestamp(SECOND, UTC),
        refund_id=REFUND_ID,
        aliases=(INTENT_ID, CHARGE_ID),
    )


@pytest.mark.parametrize("reason", ["lost_or_stolen_card", "unknown", "something_new"])
def test_a_failure_has_stripes_code_and_a_sentence(reason: str) -> None:
    said = refund_snapshot(a_refund(status="failed", failure_reason=reason))
    assert said.failure_code == reason
    assert said.failure_message is not None
    assert said.failure_message.endswith(".")


def test_expanded_objects_are_their_ids() -> None:
    expanded = a_refund(charge=a_charge(), payment_intent=an_intent("succeeded"))
    assert refund_snapshot(expanded) == refund_snapshot(a_refund())


def test_a_status_that_is_not_known_is_not_guessed() -> None:
    with pytest.raises(OutcomeUnknown):
        refund_snapshot(a_refund(status="lost_in_the_mail"))


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"refund_id": str(REFUND_ID)},
        {"payment_id": str(PAYMENT_ID)},
        {"payment_id": "order-7", "refund_id": str(REFUND_ID)},
        {"payment_id": str(PAYMENT_ID), "refund_id": str(REFUND_ID).upper()},
    ],
)
def test_a_refund_is_ours_only_with_both_names(metadata: object) -> None:
    assert refund_id_of(a_refund(metadata=metadata)) is None
    assert refund_snapshot(a_refund(metadata=metadata)).refund_id is None


# -- the calls ---------------------------------------------------------------------------------


async def provided(call: Any, *words: Any, **how: Any) -> tuple[Any, list[Sent]]:
    """The result or the error of a call, and what was sent."""
    async with open_fake(*words, requests_per_second=10_000, **how) as (api, fake):
        provider = StripeProvider(api, StripeConfig(), Hand(), livemode=False)
        try:
            said = await call(provider)
        except (Declined, InvalidRequest, OutcomeUnknown, Misconfigured) as error:
            said = error
    return said, fake.sent


async def test_a_refund_is_sent_under_its_operation_id() -> None:
    operation = a_refund_operation()
    said, [sent] = await provided(lambda p: p.refund(operation), answer(a_refund()))
    assert said == refund_snapshot(a_refund())
    assert (sent.method, sent.path) == ("POST", "/v1/refunds")
    assert sent.headers["idempotency-key"] == operation.operation_id


async def test_the_same_refund_is_sent_with_the_same_bytes() -> None:
    async def twice(provider: StripeProvider) -> None:
        await provider.refund(a_refund_operation(reason="duplicate"))
        # Learnt meanwhile.
        names = ("ch_1", "pi_1", "cs_other")
        await provider.refund(a_refund_operation(reason="duplicate", aliases=names))

    _, sent = await provided(twice, answer(a_refund()))
    assert sent[0].body == sent[1].body


async def test_an_intent_that_is_not_known_is_read_from_the_session() -> None:
    session = a_session(payment_intent=INTENT_ID, status="complete", payment_status="paid")
    operation = a_refund_operation(aliases=())
    said, sent = await provided(lambda p: p.refund(operation), answer(session), answer(a_refund()))
    assert isinstance(said, RefundSnapshot)
    assert [one.path for one in sent] == [f"/v1/checkout/sessions/{SESSION_ID}", "/v1/refunds"]


async def test_a_session_without_an_intent_cannot_be_refunded() -> None:
    missing = failure(404, type="invalid_request_error", code="resource_missing")
    for word in (answer(a_session()), missing):
        said, _ = await provided(lambda p: p.refund(a_refund_operation(aliases=())), word)
        assert isinstance(said, Declined)
        said, _ = await provided(lambda p: p.fetch_refund(a_refund_ref(aliases=())), word)
        assert said == Absent()


async def test_an_amount_that_cannot_be_expressed_is_never_sent() -> None:
    operation = a_refund_operation(asset="MGA", amount=501)
    said, sent = await provided(lambda p: p.refund(operation), answer(a_refund()))
    assert (type(said), sent) == (InvalidRequest, [])


async def test_a_known_refund_is_fetched_by_its_id() -> None:
    ref = a_refund_ref(reference="re_1")
    said, [sent] = await provided(lambda p: p.fetch_refund(ref), answer(a_refund(status="failed")))
    assert (said.state, sent.path) == (RefundState.FAILED, "/v1/refunds/re_1")
    missing = failure(404, type="invalid_request_error", code="resource_missing")
    assert (await provided(lambda p: p.fetch_refund(ref), missing))[0] == Absent()


def a_page(*refunds: Any, has_more: bool = False) -> httpx.Response:
    page = {"object": "list", "url": "/v1/refunds", "has_more": has_more}
    return answer({**page, "data": list(refunds)})


OTHERS = [a_refund(id=f"re_{n}", metadata={}) for n in range(2, 5)]


async def test_a_lost_refund_is_found_on_any_page_by_our_id() -> None:
    words = (a_page(*OTHERS, has_more=True), a_page(a_refund(status="pending")))
    said, sent = await provided(lambda p: p.fetch_refund(a_refund_ref()), *words)
    assert (said.reference, said.state) == ("re_1", RefundState.PENDING)
    assert sent[0].query == {"payment_intent": INTENT_ID, "limit": "100"}
    assert sent[1].query["starting_after"] == "re_4"


async def test_a_refund_that_is_not_listed_is_absent_which_proves_nothing() -> None:
    said, _ = await provided(lambda p: p.fetch_refund(a_refund_ref()), a_page(*OTHERS))
    assert said == Absent()
    refunds = MANIFEST.capabilities.refunds
    assert refunds is not None
    assert refunds.lookup.name == "AUTHORITATIVE"


async def test_among_too_many_refunds_absence_is_not_claimed(autojump_clock: MockClock) -> None:
    said, _ = await provided(
        lambda p: p.fetch_refund(a_refund_ref()), a_page(*OTHERS, has_more=True), pause_s=1
    )
    assert isinstance(said, OutcomeUnknown)


# -- a look at the payment ---------------------------------------------------------------------


def a_look(*, listed: list[Any], has_more: bool = False, disputed: bool = False) -> httpx.Response:
    refunds = {"object": "list", "url": "/v1/x", "data": listed, "has_more": has_more}
    charge = a_charge(refunds=refunds, disputed=disputed)
    intent = an_intent("succeeded", latest_charge=charge)
    return answer(a_session(status="complete", payment_status="paid", payment_intent=intent))


async def test_a_look_brings_the_refunds() -> None:
    said, sent = await provided(lambda p: p.fetch(REF), a_look(listed=[a_refund(), OTHERS[0]]))
    assert isinstance(said, Found)
    assert [one.reference for one in said.snapshot.refunds] == ["re_1", "re_2"]
    assert [one.refund_id for one in said.snapshot.refunds] == [REFUND_ID, None]
    assert (said.snapshot.disputes, len(sent)) == ((), 1)


async def test_more_refunds_than_a_charge_shows_are_listed() -> None:
    look = a_look(listed=[a_refund()], has_more=True)
    said, _ = await provided(lambda p: p.fetch(REF), look, a_page(a_refund(), *OTHERS))
    assert len(said.snapshot.refunds) == 4


async def test_a_disputed_charge_brings_its_disputes() -> None:
    page = {"object": "list", "url": "/v1/disputes", "has_more": False, "data": [a_dispute()]}
    said, [_, sent] = await provided(
        lambda p: p.fetch(REF), a_look(listed=[], disputed=True), answer(page)
    )
    [dispute] = said.snapshot.disputes
    assert (dispute.status, dispute.as_of) == (DisputeStatus.INQUIRY, NOW)
    assert (sent.path, sent.query["payment_intent"]) == ("/v1/disputes", INTENT_ID)


async def test_a_key_that_may_not_read_disputes_still_looks() -> None:
    said, _ = await provided(
        lambda p: p.fetch(REF), a_look(listed=[a_refund()], disputed=True), FORBIDDEN
    )
    assert (len(said.snapshot.refunds), said.snapshot.disputes) == (1, ())


async def test_a_key_that_may_not_read_charges_still_looks() -> None:
    intent = an_intent("succeeded", latest_charge=CHARGE_ID)
    paid = a_session(status="complete", payment_status="paid", payment_intent=intent)
    said, _ = await provided(lambda p: p.fetch(REF), FORBIDDEN, answer(paid))
    assert said.snapshot.confirmed == 2000
    assert said.snapshot.refunds == ()


# -- the manifest ------------------------------------------------------------------------------


async def test_the_manifest_says_what_the_provider_can() -> None:
    async with open_fake(answer(a_refund())) as (api, _):
        provider = StripeProvider(api, StripeConfig(), Hand(), livemode=False)
        assert isinstance(provider, SupportsRefund)
        assert misfit_of_provider(MANIFEST, provider) is None
    assert wrong_in_manifest(MANIFEST) is None
    refunds = MANIFEST.capabilities.refunds
    assert refunds is not None
    assert attrs.asdict(refunds)["partial"] is attrs.asdict(refunds)["several"] is True

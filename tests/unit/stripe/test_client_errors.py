"""Every failure of a call to Stripe has a name, and a lost answer is asked for once more."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import trio
from stripe_provider.client import Reply, StripeApi, open_api
from stripe_provider.config import StripeConfig
from stripe_provider.parameters import session_parameters
from trio.testing import MockClock
from unit.stripe.builders import (
    DATE,
    INTENT_ID,
    KEY,
    NOW,
    SDK_WARNING,
    SESSION_ID,
    Word,
    a_refund,
    a_session,
    an_operation,
    answer,
    failure,
    open_fake,
)

from payd.plugins import (
    Declined,
    IdempotencyConflict,
    InvalidRequest,
    Misconfigured,
    NotAttempted,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
)

pytestmark = pytest.mark.filterwarnings(SDK_WARNING)
PARAMETERS = session_parameters(an_operation())
GOOD = answer(a_session())


@pytest.fixture
def autojump_clock() -> MockClock:
    """No test waits."""
    return MockClock(autojump_threshold=0)


async def said_to_look(*words: Word) -> Reply | ProviderError | None:
    async with open_fake(*words) as (api, _):
        try:
            return await api.session(SESSION_ID)
        except ProviderError as error:
            return error


async def said_to_create(*words: Word) -> Any:
    """The session or the error, and how often it was sent."""
    async with open_fake(*words) as (api, fake):
        try:
            said: Any = await api.create_session(PARAMETERS, "key")
        except ProviderError as error:
            said = error
    assert all(sent.headers["idempotency-key"] == "key" for sent in fake.sent)
    assert len({sent.body for sent in fake.sent}) == 1
    return said, len(fake.sent)


UNSENT = [
    httpx.ConnectError("refused"),
    httpx.ConnectTimeout("slow"),
    httpx.PoolTimeout("busy"),
]
LOST = [
    httpx.ReadTimeout("slow"),
    httpx.WriteTimeout("slow"),
    httpx.ReadError("reset"),
    httpx.WriteError("broken pipe"),
    httpx.CloseError("closed"),
    httpx.RemoteProtocolError("no answer"),
    httpx.LocalProtocolError("ours"),
    httpx.DecodingError("gzip"),
    httpx.ProxyError("proxy"),
    RuntimeError("a defect"),
]
HEADERS = {"date": DATE}
UNREADABLE = {
    "no JSON": httpx.Response(200, text="<html>", headers=HEADERS),
    "nothing": httpx.Response(200, content=b"", headers=HEADERS),
    "cut off": httpx.Response(200, content=b'{"id":"cs', headers=HEADERS),
    "no UTF-8": httpx.Response(200, content=b'{"id":"\xff"}', headers=HEADERS),
    "an error page": httpx.Response(502, text="Bad Gateway", headers=HEADERS),
    "an error without words": httpx.Response(400, json={}, headers=HEADERS),
    "an error that is a list": httpx.Response(400, json=[], headers=HEADERS),
    "a redirection": httpx.Response(302, text="", headers=HEADERS | {"location": "/x"}),
    "no time": httpx.Response(200, json=a_session()),
    "a time that is none": httpx.Response(200, json=a_session(), headers={"date": "today"}),
    "an empty time": httpx.Response(200, json=a_session(), headers={"date": ""}),
}
TROUBLE = {
    "500": failure(500),
    "502": failure(502),
    "503": failure(503),
    "409 with a key in use": failure(409, code="idempotency_key_in_use"),
    "409 lock timeout": failure(409, type="invalid_request_error", code="lock_timeout"),
    "418": failure(418),
}


@pytest.mark.parametrize("word", UNSENT, ids=repr)
async def test_without_a_connection_nothing_was_attempted(word: Exception) -> None:
    assert isinstance(await said_to_look(word), NotAttempted)
    said, times = await said_to_create(word)
    assert (type(said), times) == (NotAttempted, 1)


@pytest.mark.parametrize("word", LOST, ids=repr)
async def test_a_lost_answer_is_an_unknown_outcome(word: Exception) -> None:
    assert isinstance(await said_to_look(word), OutcomeUnknown)


@pytest.mark.parametrize("word", UNREADABLE.values(), ids=list(UNREADABLE))
async def test_an_answer_that_cannot_be_read_is_an_unknown_outcome(word: httpx.Response) -> None:
    assert isinstance(await said_to_look(word), OutcomeUnknown)


@pytest.mark.parametrize("text", ["[]", '"x"', "5", "null", "true", '[{"id":"x"}]'])
async def test_an_answer_that_is_no_object_is_an_unknown_outcome(text: str) -> None:
    word = httpx.Response(200, text=text, headers=HEADERS)
    assert isinstance(await said_to_look(word), OutcomeUnknown)


@pytest.mark.parametrize("error", [None, 5, [], ["x"], True, "text"], ids=repr)
async def test_an_error_that_is_no_object_is_an_unknown_outcome(error: object) -> None:
    assert isinstance(await said_to_look(answer({"error": error}, 500)), OutcomeUnknown)


@pytest.mark.parametrize("word", TROUBLE.values(), ids=list(TROUBLE))
async def test_trouble_at_stripe_is_an_unknown_outcome(word: httpx.Response) -> None:
    assert isinstance(await said_to_look(word), OutcomeUnknown)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_a_misconfiguration_that_does_not_show_it(status: int) -> None:
    message = f"Invalid API Key provided: {KEY}; sk_test_*********dc"
    said = await said_to_look(failure(status, message=message))
    assert isinstance(said, Misconfigured)
    text = f"{said} {said!r} {said.__cause__!r}"
    assert "dc" not in text
    assert not [part for part in (KEY, KEY[8:], "4eC39") if part in text]
    assert "stripe_secret_key" in text


@pytest.mark.parametrize(
    ("param", "field"),
    [
        ("line_items[0][price_data][unit_amount]", "items"),
        ("line_items", "items"),
        ("success_url", "return_url"),
        ("cancel_url", "cancel_url"),
        ("metadata[payment_id]", "metadata"),
        ("", "request"),
        (None, "request"),
    ],
)
async def test_a_refused_parameter_is_named_by_its_field(param: str | None, field: str) -> None:
    error = {"type": "invalid_request_error", "code": "url_invalid", "param": param}
    said, times = await said_to_create(failure(400, message="Not a valid URL", **error))
    assert isinstance(said, InvalidRequest)
    assert (said.field, said.message, times) == (field, "Not a valid URL", 1)


async def test_a_refused_expiry_is_the_clocks_fault_and_not_the_callers() -> None:
    error = {"type": "invalid_request_error", "param": "expires_at", "message": "30 minutes"}
    said, _ = await said_to_create(failure(400, **error))
    assert isinstance(said, NotAttempted)
    assert "compare this host's clock" in str(said)


async def test_a_refusal_without_words_is_still_one() -> None:
    said = await said_to_look(failure(400, type="invalid_request_error", message=None))
    assert isinstance(said, InvalidRequest)
    assert said.message


async def test_a_session_that_stripe_does_not_know_is_none() -> None:
    error = {"type": "invalid_request_error", "code": "resource_missing", "param": "session"}
    assert await said_to_look(failure(404, **error)) is None


async def test_another_404_is_no_missing_session() -> None:
    said = await said_to_look(failure(404, type="invalid_request_error", message="Unrecognized"))
    assert isinstance(said, InvalidRequest)


async def test_other_parameters_under_the_key_are_a_conflict() -> None:
    said, times = await said_to_create(failure(400, type="idempotency_error"))
    assert (type(said), times) == (IdempotencyConflict, 1)


@pytest.mark.parametrize(
    ("code", "expected"), [("expired_card", "expired_card"), (None, "card_declined")]
)
async def test_a_declined_card_is_declined(code: str | None, expected: str) -> None:
    said, times = await said_to_create(failure(402, type="card_error", code=code))
    assert isinstance(said, Declined)
    assert (said.code, times) == (expected, 1)


# -- a good answer -----------------------------------------------------------------------------


async def test_a_look_has_stripes_own_time() -> None:
    said = await said_to_look(answer(a_session(payment_intent=INTENT_ID)))
    assert isinstance(said, Reply)
    assert said.time == NOW
    assert said.time.tzinfo is UTC
    assert said.body == a_session(payment_intent=INTENT_ID)


@pytest.mark.parametrize("written", ["Thu, 01 Oct 2026 14:00:00 +0200", "01 Oct 2026 12:00:00 GMT"])
async def test_its_time_is_read_in_other_forms_too(written: str) -> None:
    said = await said_to_look(answer(a_session(), date=written))
    assert isinstance(said, Reply)
    assert said.time == datetime(2026, 10, 1, 12, tzinfo=UTC)


async def test_a_look_asks_for_the_intent_with_it() -> None:
    async with open_fake(GOOD) as (api, fake):
        await api.session(SESSION_ID)
        await api.expire_session(SESSION_ID)
    look, close = fake.sent
    assert (look.method, look.path) == ("GET", f"/v1/checkout/sessions/{SESSION_ID}")
    charge = "payment_intent.latest_charge"
    assert look.query == {
        "expand[0]": f"{charge}.balance_transaction",
        "expand[1]": f"{charge}.refunds",
    }
    assert (close.method, close.path) == ("POST", f"/v1/checkout/sessions/{SESSION_ID}/expire")


@pytest.mark.parametrize("status", [400, 403])
async def test_a_key_that_may_not_read_charges_looks_at_the_intent_only(status: int) -> None:
    forbidden = failure(status, type="invalid_request_error")
    async with open_fake(forbidden, GOOD) as (api, fake):
        assert (await api.session(SESSION_ID)) == Reply(body=a_session(), time=NOW)
    assert fake.sent[-1].query == {"expand[0]": "payment_intent"}


# -- too many requests -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry_after", "wait_s"),
    [(None, 1.0), ("7", 7.0), ("0.5", 0.5), ("0", 1.0), ("soon", 1.0), (DATE, 1.0)],
)
async def test_a_429_holds_the_pace_for_so_long(
    autojump_clock: MockClock, retry_after: str | None, wait_s: float
) -> None:
    async with open_fake(failure(429, retry_after=retry_after), GOOD) as (api, fake):
        with pytest.raises(RateLimited) as limited:
            await api.session(SESSION_ID)
        assert limited.value.retry_after_s == wait_s
        start = trio.current_time()
        await trio.sleep(max(0, wait_s - 2))
        await api.session(SESSION_ID)
    assert trio.current_time() - start >= wait_s - 0.01
    assert len(fake.sent) == 2


async def test_while_it_holds_nothing_is_sent(autojump_clock: MockClock) -> None:
    async with open_fake(failure(429, retry_after="60"), GOOD) as (api, fake):
        for _ in range(3):
            with pytest.raises(RateLimited) as limited:
                await api.session(SESSION_ID)
            assert limited.value.retry_after_s > 59
        assert len(fake.sent) == 1
        # Each endpoint has its own.
        await api.expire_session(SESSION_ID)
    assert len(fake.sent) == 2


@pytest.mark.parametrize("retry_after", ["nan", "inf", "-5", "1e300"])
async def test_a_wait_that_is_no_wait_does_not_hold_it_for_ever(
    autojump_clock: MockClock, retry_after: str
) -> None:
    async with open_fake(failure(429, retry_after=retry_after), GOOD) as (api, _):
        with pytest.raises(RateLimited) as limited:
            await api.session(SESSION_ID)
        assert 0 < limited.value.retry_after_s < 86_400
        await trio.sleep(86_400)
        assert await api.session(SESSION_ID)


async def test_calls_leave_no_faster_than_configured(autojump_clock: MockClock) -> None:
    async with open_fake(GOOD, requests_per_second=10) as (api, fake):
        start = trio.current_time()
        for _ in range(30):
            await api.session(SESSION_ID)
    assert len(fake.sent) == 30
    assert trio.current_time() - start >= 2


@pytest.mark.parametrize("per_second", [0.1, 0.5, 1, 2, 25, 100])
async def test_in_no_second_leave_more_than_configured(
    autojump_clock: MockClock, per_second: float
) -> None:
    left: list[float] = []

    def note(_: object) -> httpx.Response:
        left.append(trio.current_time())
        return answer(a_session())

    async with open_fake(handler=note, requests_per_second=per_second) as (api, _):
        for _ in range(int(4 * per_second) + 3):
            await send_when_allowed(api)
    most = max(sum(at <= other < at + 0.999 for other in left) for at in left)
    assert most <= max(1, per_second)


async def send_when_allowed(api: StripeApi) -> None:
    while True:
        try:
            await api.session(SESSION_ID)
        except RateLimited as limited:
            await trio.sleep(limited.retry_after_s)
        else:
            return


# -- a create may send twice -------------------------------------------------------------------

AGAIN: list[Word] = [*LOST, *UNREADABLE.values(), *TROUBLE.values()]


@pytest.mark.parametrize("word", AGAIN, ids=repr)
async def test_a_lost_answer_is_asked_for_with_the_same_request(
    autojump_clock: MockClock, word: Word
) -> None:
    said, times = await said_to_create(word, GOOD)
    assert (said, times) == (a_session(), 2)


async def test_a_first_try_that_succeeds_is_the_only_one() -> None:
    assert await said_to_create(GOOD) == (a_session(), 1)


@pytest.mark.parametrize("second", [*UNSENT, *LOST[:3], failure(500), failure(429)], ids=repr)
async def test_after_a_lost_answer_it_stays_unknown(
    autojump_clock: MockClock, second: Word
) -> None:
    said, times = await said_to_create(httpx.ReadTimeout("lost"), second)
    assert (type(said), times) == (OutcomeUnknown, 2)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_is_refused_after_a_lost_answer_leaves_it_unknown(
    autojump_clock: MockClock, status: int
) -> None:
    # payd takes Misconfigured for "nothing was sent"; the first try may have created it.
    said, _ = await said_to_create(httpx.ReadTimeout("lost"), failure(status))
    assert isinstance(said, OutcomeUnknown)


async def test_a_conflict_after_a_lost_answer_is_reported(autojump_clock: MockClock) -> None:
    said, _ = await said_to_create(
        httpx.ReadTimeout("lost"), failure(400, type="idempotency_error")
    )
    assert isinstance(said, IdempotencyConflict)


async def test_a_cancelled_call_ends_at_once(autojump_clock: MockClock) -> None:
    async with open_fake(httpx.ReadTimeout("lost"), GOOD) as (api, fake):
        with trio.move_on_after(0.1) as scope:
            await api.create_session(PARAMETERS, "key")
    assert scope.cancelled_caught
    assert len(fake.sent) == 1


# -- a real connection -------------------------------------------------------------------------


async def test_where_nobody_listens_nothing_was_attempted() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    async with open_api(lambda: KEY, StripeConfig(api_base=f"http://127.0.0.1:{port}")) as api:
        with pytest.raises(NotAttempted):
            await api.balance()


async def test_a_refusal_that_names_nothing_is_the_accounts_fault() -> None:
    error = {"type": "invalid_request_error", "message": "You cannot create live charges yet."}
    said, times = await said_to_create(failure(400, **error))
    assert isinstance(said, Misconfigured)
    assert ("live charges" in str(said), times) == (True, 1)


async def test_an_amount_that_stripe_does_not_take_is_the_items_fault() -> None:
    error = {"type": "invalid_request_error", "code": "amount_too_small", "message": "50 cents"}
    said, _ = await said_to_create(failure(400, **error))
    assert isinstance(said, InvalidRequest)
    assert said.field == "items"


async def test_a_refusal_that_names_nothing_after_a_lost_answer_leaves_it_unknown() -> None:
    refused = failure(400, type="invalid_request_error", message="You cannot do this yet.")
    said, times = await said_to_create(httpx.ReadTimeout("lost"), refused)
    assert (type(said), times) == (OutcomeUnknown, 2)


# -- a refund ----------------------------------------------------------------------------------


async def said_to_refund(*words: Word) -> Any:
    """The refund or the error, and how often it was sent."""
    async with open_fake(*words) as (api, fake):
        try:
            said: Any = await api.create_refund({"payment_intent": INTENT_ID, "amount": 1}, "key")
        except ProviderError as error:
            said = error
    assert all(sent.headers["idempotency-key"] == "key" for sent in fake.sent)
    assert len({sent.body for sent in fake.sent}) == 1
    return said, len(fake.sent)


@pytest.mark.parametrize("word", AGAIN, ids=repr)
async def test_a_lost_answer_to_a_refund_is_asked_for_with_the_same_request(
    autojump_clock: MockClock, word: Word
) -> None:
    assert await said_to_refund(word, answer(a_refund())) == (a_refund(), 2)
    said, times = await said_to_refund(word, failure(500))
    assert (type(said), times) == (OutcomeUnknown, 2)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": "charge_already_refunded"}, "charge_already_refunded"),
        ({"code": "charge_disputed"}, "charge_disputed"),
        ({"code": "balance_insufficient"}, "balance_insufficient"),
        ({"code": "resource_missing", "param": "payment_intent"}, "resource_missing"),
        # Without a code: more than what is left.
        ({"param": "amount"}, "amount_too_large"),
        ({}, "refused"),
    ],
)
async def test_a_refund_that_stripe_refuses_is_declined(error: dict[str, str], code: str) -> None:
    said, times = await said_to_refund(failure(400, type="invalid_request_error", **error))
    assert isinstance(said, Declined)
    assert (said.code, said.message, times) == (code, "told", 1)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (failure(401), Misconfigured),
        (failure(403), Misconfigured),
        (failure(429), RateLimited),
        (failure(400, type="idempotency_error"), IdempotencyConflict),
        (httpx.ConnectError("refused"), NotAttempted),
    ],
)
async def test_a_refund_that_was_not_made_says_why(word: Word, kind: type) -> None:
    said, times = await said_to_refund(word)
    assert (type(said), times) == (kind, 1)


async def test_a_refund_that_stripe_does_not_know_is_none() -> None:
    missing = failure(404, type="invalid_request_error", code="resource_missing", param="refund")
    async with open_fake(missing, answer(a_refund())) as (api, _):
        assert await api.refund("re_no") is None
        assert await api.refund("re_1") == a_refund()

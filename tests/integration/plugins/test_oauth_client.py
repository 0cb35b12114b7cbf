"""ClientCredentials against authlib's server: one token for many calls, never a loop."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
import trio
from support.oauth_server import CLIENT_ID, OAuthApi, Token, serving
from support.plain_http import NO_TLS

from payd.plugins import Misconfigured, NotAttempted, ProviderError, RateLimited
from payd.plugins.oauth import ClientCredentials

#: With characters that a form and HTTP Basic write differently.
SECRET = "s/e+c:r%e t&é"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[OAuthApi]:
    # authlib refuses http without it.
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    with serving(OAuthApi(SECRET)) as served:
        yield served


class Caller:
    """A client with credentials, a clock and secrets that a test changes."""

    def __init__(self, api: OAuthApi, client: httpx.AsyncClient) -> None:
        self.client = client
        self.secrets: dict[str, tuple[str, ...]] = {"client_secret": (SECRET,)}
        self.now = 0.0

    def credentials(self, **more: Any) -> None:
        self.client.auth = ClientCredentials(
            self.client,
            "/token",
            lambda: (CLIENT_ID, self.secrets["client_secret"][0]),
            now=lambda: self.now,
            **more,
        )

    async def charge(self) -> int:
        return (await self.client.post("/charges", json={"amount": 14900})).status_code


@pytest.fixture
async def caller(api: OAuthApi) -> AsyncIterator[Caller]:
    async with httpx.AsyncClient(verify=NO_TLS, base_url=api.url, timeout=60) as client:
        made = Caller(api, client)
        made.credentials()
        yield made


async def test_one_token_serves_many_calls(api: OAuthApi, caller: Caller) -> None:
    assert [await caller.charge() for _ in range(3)] == [200] * 3
    assert api.token_requests == [{"grant_type": "client_credentials"}]


async def test_many_calls_at_once_share_one_token_request(api: OAuthApi, caller: Caller) -> None:
    api.slow_s = 0.3
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(caller.charge)
    assert len(api.token_requests) == 1
    assert len(api.api_requests) == 20


async def test_many_calls_at_once_share_one_failure(api: OAuthApi, caller: Caller) -> None:
    api.slow_s, api.token_answer = 0.3, (429, {"Retry-After": "7"}, "")
    waits: list[float] = []

    async def charge() -> None:
        with pytest.raises(RateLimited) as limited:
            await caller.charge()
        waits.append(limited.value.retry_after_s)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(charge)
    assert waits == [7.0] * 20
    assert len(api.token_requests) == 1


async def test_a_cancelled_call_leaves_the_token_to_the_next(api: OAuthApi, caller: Caller) -> None:
    api.slow_s = 0.5
    codes: list[int] = []

    async def charge() -> None:
        codes.append(await caller.charge())

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(0.2) as leader:
            nursery.start_soon(charge_after, 0.1, charge)
            await caller.charge()
    assert leader.cancelled_caught
    assert codes == [200]
    assert len(api.token_requests) == 2


async def charge_after(delay_s: float, charge: Callable[[], Awaitable[None]]) -> None:
    await trio.sleep(delay_s)
    await charge()


@pytest.mark.parametrize(("lifetime_s", "kept_s"), [(60, 48), (3600, 3570)])
async def test_a_token_is_replaced_shortly_before_it_expires(
    api: OAuthApi, caller: Caller, lifetime_s: int, kept_s: float
) -> None:
    api.lifetime_s = lifetime_s
    for now, requests in ((0, 1), (kept_s - 1, 1), (kept_s, 2)):
        caller.now = now
        assert await caller.charge() == 200
        assert len(api.token_requests) == requests


async def test_a_token_that_lives_for_no_time_serves_one_call(
    api: OAuthApi, caller: Caller
) -> None:
    api.lifetime_s = 0
    # The server ends each at once, so its answer to both is 401.
    assert await caller.charge() == 401
    assert len(api.token_requests) == 2


async def test_a_revoked_token_is_replaced_once_and_the_call_is_sent_again(
    api: OAuthApi, caller: Caller
) -> None:
    await caller.charge()
    api.revoke()
    assert await caller.charge() == 200
    assert api.api_requests == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


async def test_many_calls_with_a_revoked_token_share_its_replacement(
    api: OAuthApi, caller: Caller
) -> None:
    await caller.charge()
    api.revoke()
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(caller.charge)
    assert len(api.token_requests) == 2


async def test_an_api_that_refuses_every_token_is_asked_twice(
    api: OAuthApi, caller: Caller
) -> None:
    api.token_answer = (200, {}, '{"access_token": "unknown", "token_type": "bearer"}')
    assert await caller.charge() == 401
    assert len(api.token_requests) == len(api.api_requests) == 2


async def test_a_changed_secret_replaces_the_token_at_once(api: OAuthApi, caller: Caller) -> None:
    await caller.charge()
    api.secret, caller.secrets["client_secret"] = "new", ("new", SECRET)
    assert await caller.charge() == 200
    caller.secrets["client_secret"] = ("revoked",)
    with pytest.raises(Misconfigured, match="401 invalid_client"):
        await caller.charge()
    assert len(api.token_requests) == 3
    assert len(api.api_requests) == 2


async def test_credentials_and_scope_may_be_form_fields(api: OAuthApi, caller: Caller) -> None:
    caller.credentials(in_body=True, parameters={"scope": "charges"})
    assert await caller.charge() == 200
    assert api.token_requests == [
        {
            "grant_type": "client_credentials",
            "scope": "charges",
            "client_id": CLIENT_ID,
            "client_secret": SECRET,
        }
    ]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((400, {}, '{"error": "invalid_scope"}'), Misconfigured),
        ((403, {}, "<html>"), Misconfigured),
        ((302, {"Location": "/charges"}, ""), Misconfigured),
        ((200, {}, '{"access_token": "a", "token_type": "mac"}'), Misconfigured),
        ((429, {}, ""), RateLimited),
        ((500, {}, ""), NotAttempted),
        ((200, {}, "garbage"), NotAttempted),
        ((200, {}, '{"access_token": 7}'), NotAttempted),
        ((200, {}, "[]"), NotAttempted),
    ],
)
async def test_without_a_token_nothing_of_the_call_is_sent(
    api: OAuthApi,
    caller: Caller,
    answer: tuple[int, dict[str, str], str],
    error: type[ProviderError],
) -> None:
    api.token_answer = answer
    with pytest.raises(error) as raised:
        await caller.charge()
    assert SECRET not in str(raised.value)
    assert not api.api_requests


async def test_a_lost_token_request_is_not_attempted(api: OAuthApi) -> None:
    async with httpx.AsyncClient(
        verify=NO_TLS, base_url="http://127.0.0.1:9", timeout=60
    ) as client:
        caller = Caller(api, client)
        caller.credentials()
        with pytest.raises(NotAttempted, match="token request: ConnectError"):
            await caller.charge()


async def test_a_body_that_is_a_stream_is_sent_again_whole(api: OAuthApi, caller: Caller) -> None:
    await caller.charge()
    api.revoke()

    async def parts() -> AsyncIterator[bytes]:
        yield b'{"amount": '
        await trio.lowlevel.checkpoint()
        yield b"14900}"

    answer = await caller.client.post(
        "/charges", content=parts(), headers={"Content-Type": "application/json"}
    )
    assert answer.json() == {"amount": 14900}


def test_a_blocking_client_is_refused(api: OAuthApi) -> None:
    auth = ClientCredentials(
        httpx.AsyncClient(verify=NO_TLS), "/token", lambda: (CLIENT_ID, SECRET)
    )
    with (
        httpx.Client(verify=NO_TLS, base_url=api.url, auth=auth) as client,
        pytest.raises(TypeError),
    ):
        client.get("/charges")


@pytest.mark.parametrize(("expires_in", "requests"), [("60", 2), ("soon", 1), (None, 1), (True, 1)])
async def test_a_lifetime_may_be_text_or_missing(
    api: OAuthApi, caller: Caller, expires_in: object, requests: int
) -> None:
    api.tokens["given"] = Token("", 3600)
    document = {"access_token": "given", "expires_in": expires_in}
    api.token_answer = (200, {}, json.dumps(document))
    for caller.now in (0.0, 1e6):
        assert await caller.charge() == 200
    assert len(api.token_requests) == requests

"""A wallet gets an answer whatever the chain and the sponsor do, and no payment waits in vain."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import attrs
import httpx
import pytest
import trio
from tempo_provider.holds import HOLD_S
from tempo_provider.rpc import Endpoint, Paused, Refused, RpcError, Unavailable
from tempo_provider.sponsor import ANSWER_BYTES_MAX, Sponsor, SponsorEndpoint
from trio.testing import MockClock
from unit.tempo.test_tempo_sponsored import ACTION, DUE, END, NOW, by_pytempo

from payd.adapters.system import SystemClock
from payd.plugins import OutcomeUnknown, ProviderContext, SponsorRequest

RAW = "0x" + by_pytempo().hex()
OTHER = "0x" + by_pytempo(nonce=4).hex()
#: The same transfer from another account.
OTHERS = "0x" + by_pytempo(key="0x" + "7" * 64).hex()
SIGN = "eth_signRawTransaction"


class ScriptedEndpoint:
    """Answers each call with the next word; raises the errors."""

    name = "host.example"
    has_spare = True

    def without_name(self, error: RpcError) -> str:
        return str(error).removeprefix(f"{self.name}: ")

    def __init__(self, *words: Any) -> None:
        self.words = list(words)
        self.calls: list[tuple[str, Sequence[Any]]] = []

    async def call(self, method: str, *params: Any) -> Any:
        await trio.lowlevel.checkpoint()
        self.calls.append((method, params))
        word = self.words.pop(0) if len(self.words) > 1 else self.words[0]
        if isinstance(word, RpcError):
            raise word
        return word


class Counted:
    """Metrics and log that a test reads."""

    def __init__(self) -> None:
        self.counted: list[str] = []
        self.refused: list[str] = []

    def count(self, figure: str, amount: float = 1) -> None:
        self.counted.append(figure)

    def info(self, event: str, **fields: Any) -> None:
        self.refused.append(fields["why"])

    def warning(self, event: str, **fields: Any) -> None:
        self.refused.append(fields["error"])


def sponsor(service: ScriptedEndpoint, *chain: ScriptedEndpoint) -> tuple[Sponsor, Counted]:
    kept = Counted()
    context = SimpleNamespace(clock=SimpleNamespace(now=lambda: NOW), log=kept, metrics=kept)
    endpoints = cast(Sequence[Endpoint], chain or (ScriptedEndpoint("0x1"),))
    made = Sponsor(cast(Endpoint, service), endpoints, cast(ProviderContext, context))
    return made, kept


def request(raw: str = RAW, payment: UUID | None = None, **asked: Any) -> SponsorRequest:
    document = {"jsonrpc": "2.0", "id": 5, "method": SIGN, "params": [raw], **asked}
    body = json.dumps(document).encode()
    return SponsorRequest(
        payment_id=payment or PAYMENT, action=ACTION, left=DUE, expire_time=ENDS, body=body
    )


PAYMENT = uuid4()
#: The payment ends when the transaction does, which is just early enough.
ENDS = datetime.fromtimestamp(END, UTC)


async def test_a_transfer_that_may_come_after_the_payments_end_reaches_no_sponsor() -> None:
    service = ScriptedEndpoint("0x76aa")
    made, _ = sponsor(service)
    late = attrs.evolve(request(), expire_time=ENDS - timedelta(microseconds=1))
    error = json.loads(await made.answer(late))["error"]
    assert "after the payment's end" in error["message"]
    assert service.calls == []


async def test_the_same_bytes_go_to_the_sponsor_and_its_answer_to_the_wallet() -> None:
    service, chain = ScriptedEndpoint("0x76aa"), ScriptedEndpoint("0x1")
    made, kept = sponsor(service, chain)
    answer = json.loads(await made.answer(request()))
    assert answer == {"jsonrpc": "2.0", "id": 5, "result": "0x76aa"}
    assert service.calls == [(SIGN, (RAW,))]
    [(method, (attempt, block))] = chain.calls
    assert (method, block, attempt["to"]) == ("eth_call", "latest", ACTION.token_address)
    assert kept.counted == ["sponsored_total"]


async def test_a_transfer_that_the_chain_refuses_reaches_no_sponsor() -> None:
    service = ScriptedEndpoint("0x76aa")
    made, kept = sponsor(service, ScriptedEndpoint(Refused("host.example: InsufficientBalance")))
    answer = json.loads(await made.answer(request()))
    assert "the transfer would fail (InsufficientBalance)" in answer["error"]["message"]
    assert service.calls == []
    assert kept.counted == ["sponsor_refusals_total"]
    assert len(kept.refused) == 1


async def test_another_endpoint_tries_the_transfer_where_one_is_away() -> None:
    away, there = ScriptedEndpoint(Unavailable("one: away")), ScriptedEndpoint("0x1")
    made, _ = sponsor(ScriptedEndpoint("0x76aa"), away, there)
    assert "result" in json.loads(await made.answer(request()))

    service = ScriptedEndpoint("0x76aa")
    made, kept = sponsor(service, away)
    error = json.loads(await made.answer(request()))["error"]
    assert error == {"code": -32005, "message": "the chain cannot be asked now: try again later"}
    assert (service.calls, kept.refused) == ([], ["one: away"])


async def test_what_the_watch_needs_of_an_endpoints_limit_tries_no_transfer() -> None:
    service, needed = ScriptedEndpoint("0x76aa"), ScriptedEndpoint("0x1")
    needed.has_spare = False
    made, _ = sponsor(service, needed)
    error = json.loads(await made.answer(request()))["error"]
    assert error["code"] == -32005
    assert (needed.calls, service.calls) == ([], [])


class Limited:
    """A node that allows 20 requests a minute, and says so."""

    def __init__(self) -> None:
        self.remaining = 20

    def __call__(self, asked: httpx.Request) -> httpx.Response:
        if self.remaining == 0:
            return httpx.Response(429, stream=httpx.ByteStream(b""))
        self.remaining -= 1
        said = {"ratelimit-limit": "20", "ratelimit-reset": "60"}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": "0x1"}).encode()
        return httpx.Response(
            200,
            headers=said | {"ratelimit-remaining": str(self.remaining)},
            stream=httpx.ByteStream(body),
        )


async def test_wallets_requests_neither_slow_the_watch_nor_use_up_its_limit(
    autojump_clock: MockClock,
) -> None:
    node = Limited()
    async with httpx.AsyncClient(transport=httpx.MockTransport(node)) as http:
        watched = Endpoint("https://host.example/", http, SystemClock(), 4.0)
        made, _ = sponsor(ScriptedEndpoint("0x76aa"), cast(ScriptedEndpoint, watched.beside()))
        await watched.call("eth_blockNumber")
        alone_s = watched.pause_s()
        answers = [json.loads(await made.answer(request())) for _ in range(15)]
        assert "result" in answers[0]
        assert answers[-1]["error"]["code"] == -32005
        assert node.remaining == 10
        await watched.call("eth_blockNumber")
        assert watched.pause_s() <= 3 * alone_s


@pytest.mark.parametrize(
    "error", [Refused("host.example: rejected"), Paused("sponsor: HTTP 429, paused for 7 s")]
)
async def test_a_sponsor_that_took_nothing_keeps_no_other_transaction_out(error: RpcError) -> None:
    made, _ = sponsor(ScriptedEndpoint(error, "0x76aa"))
    answer = json.loads(await made.answer(request()))
    refused = "the sponsor refuses: rejected"
    paused = "the sponsor limits requests: try again later"
    is_paused = isinstance(error, Paused)
    assert answer["error"]["message"] == (paused if is_paused else refused)
    assert "result" in json.loads(await made.answer(request(OTHER)))


async def test_a_sponsor_that_may_have_signed_keeps_others_out_for_a_minute(
    autojump_clock: MockClock,
) -> None:
    made, _ = sponsor(ScriptedEndpoint(Unavailable("sponsor: no response in 4 s"), "0x76aa"))
    with pytest.raises(OutcomeUnknown):
        await made.answer(request())
    refused = json.loads(await made.answer(request(OTHERS)))
    assert "the payment has another one: try again in 60 s" in refused["error"]["message"]
    assert "result" in json.loads(await made.answer(request())), "the same may be tried again"
    await trio.sleep(HOLD_S)
    assert "result" in json.loads(await made.answer(request(OTHERS)))


async def test_one_balance_is_sponsored_for_one_payment_until_its_transaction_ends(
    autojump_clock: MockClock,
) -> None:
    made, _ = sponsor(ScriptedEndpoint("0x76aa"))
    assert "result" in json.loads(await made.answer(request()))
    second = request(OTHER, payment=uuid4())
    refused = json.loads(await made.answer(second))
    assert "the account has another one: try again in 600 s" in refused["error"]["message"]
    await trio.sleep(600)
    assert "result" in json.loads(await made.answer(second))


async def test_a_refused_repetition_frees_no_transaction_that_was_signed() -> None:
    made, _ = sponsor(ScriptedEndpoint("0x76aa", Refused("host.example: known already")))
    assert "result" in json.loads(await made.answer(request()))
    assert "known already" in json.loads(await made.answer(request()))["error"]["message"]
    refused = json.loads(await made.answer(request(OTHERS)))
    assert "the payment has another one" in refused["error"]["message"]


async def test_a_refusal_frees_no_transaction_that_is_still_with_the_sponsor() -> None:
    asked, answered = trio.Event(), trio.Event()

    class Slow(ScriptedEndpoint):
        async def call(self, method: str, *params: Any) -> Any:
            self.calls.append((method, params))
            if len(self.calls) == 1:
                asked.set()
                await answered.wait()
                return "0x76aa"
            raise Refused("host.example: busy")

    made, _ = sponsor(Slow(None))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.answer, request())
        await asked.wait()
        assert "busy" in json.loads(await made.answer(request()))["error"]["message"]
        refused = json.loads(await made.answer(request(OTHERS)))
        assert "the payment has another one" in refused["error"]["message"]
        answered.set()


@pytest.mark.parametrize(
    "message",
    ["rate of https://host.example/v2/tp_secret is too high", "gas too large: host.example"],
)
async def test_an_error_of_the_sponsor_refuses_one_transaction_and_tells_no_key(
    message: str,
) -> None:
    """Wallets choose what the error is about: it must not pause the sponsor for all others."""

    def answer(asked: httpx.Request) -> httpx.Response:
        error = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": message}}
        return httpx.Response(200, stream=httpx.ByteStream(json.dumps(error).encode()))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        service = SponsorEndpoint("https://host.example/v2/tp_secret", http, SystemClock(), 4.0)
        made, kept = sponsor(cast(ScriptedEndpoint, service))
        for _ in range(2):
            error = json.loads(await made.answer(request()))["error"]
            assert error["message"].startswith("the sponsor refuses: ")
            assert "host" not in error["message"]
            assert "tp_secret" not in f"{error} {kept.refused}"
        assert not service.is_resting


@pytest.mark.parametrize(
    "params", [[], [RAW, RAW], [7], ["76"], ["0xzz"], ["0x" + "7" * 3], {"raw": RAW}, None]
)
async def test_parameters_that_are_no_transaction_are_refused(params: Any) -> None:
    service = ScriptedEndpoint("0x76aa")
    made, _ = sponsor(service)
    answer = json.loads(await made.answer(request(params=params)))
    assert answer["error"]["code"] == -32602
    assert service.calls == []


def elsewhere(asked: httpx.Request) -> httpx.Response:
    moved = {"location": "https://elsewhere.example/"}
    return httpx.Response(307, headers=moved, stream=httpx.ByteStream(b""))


class Endless(httpx.AsyncByteStream):
    """A body that has no end."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await trio.lowlevel.checkpoint()
            yield b" " * 1024


def endless(asked: httpx.Request) -> httpx.Response:
    return httpx.Response(200, stream=Endless())


@pytest.mark.parametrize("answer", [elsewhere, endless])
async def test_a_sponsor_leads_nowhere_else_and_its_answer_has_an_end(
    answer: Callable[[httpx.Request], httpx.Response],
) -> None:
    asked: list[str] = []

    def keep(one: httpx.Request) -> httpx.Response:
        asked.append(str(one.url))
        return answer(one)

    async with httpx.AsyncClient(transport=httpx.MockTransport(keep)) as http:
        service = Endpoint(
            "https://host.example/tp_key", http, SystemClock(), 4.0, ANSWER_BYTES_MAX
        )
        made, _ = sponsor(cast(ScriptedEndpoint, service))
        with pytest.raises(OutcomeUnknown) as unknown:
            await made.answer(request())
    assert asked == ["https://host.example/tp_key"]
    assert "tp_key" not in str(unknown.value)

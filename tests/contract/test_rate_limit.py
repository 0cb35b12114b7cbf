"""The rate limiter, over a real Valkey that may be away, frozen or wrong."""

import contextlib
import os
import random
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import redis
import trio
import trio.testing
from integration.nats.server import eventually
from support.stack import Stack

from payd.adapters import rate_limit, redis_server
from payd.adapters.bridge import aio, open_loop
from payd.adapters.rate_limit import RateLimiter
from payd.adapters.redis_server import RedisServer
from payd.dev.ports import HOST, any_free
from payd.dev.servers import Server, answers, valkey_command

#: No refill that a test would notice.
NEVER = 0.001


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the sums alone: a loaded machine is no absent Redis."""
    monkeypatch.setattr(redis_server, "_ANSWER_S", 10.0)
    monkeypatch.setattr(redis_server, "_CONNECT_S", 10.0)


@pytest.fixture
def quick_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is tried again soon."""
    monkeypatch.setattr(rate_limit, "_RETRY_S", 0.02)


@attrs.define
class Valkey:
    """A server of a test's own."""

    folder: Path
    port: int = attrs.field(factory=any_free)
    server: Server | None = None

    async def start(self, *options: str) -> None:
        """Returns once it answers."""
        command = valkey_command(self.port)
        command = attrs.evolve(command, argv=[*command.argv, *options])
        self.server = Server(command, self.folder / "valkey.log", self.folder / "valkey.pid")
        self.server.start()
        await eventually(lambda: answers(self.port))

    def signal(self, number: int) -> None:
        """Freeze it, or let it go on."""
        assert self.server is not None
        os.kill(self.server.pid, number)

    def ask(self, password: str | None = None) -> Any:
        """A client for what a test looks up or puts there; close it."""
        return redis.Redis(host=HOST, port=self.port, password=password)


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[Valkey]:
    """Running, without a password."""
    valkey = Valkey(tmp_path)
    await valkey.start()
    try:
        yield valkey
    finally:
        if valkey.server is not None and not valkey.server.has_ended():
            valkey.signal(signal.SIGCONT)
            with trio.CancelScope(shield=True):
                await valkey.server.stop()


@asynccontextmanager
async def limiting(*limiters: RateLimiter) -> AsyncIterator[None]:
    """The loop they live on. What they leave uncaught there is a defect."""

    def refuse(message: str, error: BaseException | None) -> None:
        raise AssertionError(message) from error

    async with open_loop(refuse):
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):
                for limiter in limiters:
                    await aio(limiter.close)


def a_limiter(addr: str | None, **overrides: Any) -> RateLimiter:
    password = overrides.pop("password", lambda: None)
    redis = None if addr is None else RedisServer(addr, password)
    return RateLimiter(**{"rate": NEVER, "burst": 5, "redis": redis, **overrides})


def on_stack(stack: Stack, **overrides: Any) -> RateLimiter:
    """Over the server that all tests share; name its clients by `a_name`."""
    return a_limiter(stack.redis.removeprefix("redis://").partition("/")[0], **overrides)


def on(valkey: Valkey, **overrides: Any) -> RateLimiter:
    return a_limiter(f"{HOST}:{valkey.port}", **overrides)


def a_name() -> str:
    return f"client-{uuid.uuid4()}"


async def admitted(limiter: RateLimiter, client: str, calls: int) -> int:
    """How many of so many calls."""
    return sum([await aio(limiter.admit, client) == 0 for _ in range(calls)])


async def shares_again(limiter: RateLimiter) -> None:
    """Calls go on meanwhile: they are what tries Redis again."""

    async def tried() -> bool:
        await aio(limiter.admit, a_name())
        return limiter.state().shared

    await eventually(tried)


# -- one budget --------------------------------------------------------------------------------


@pytest.mark.usefixtures("patient")
async def test_two_daemons_admit_one_budget_between_them(stack: Stack) -> None:
    one, other, client = on_stack(stack, burst=20), on_stack(stack, burst=20), a_name()
    async with limiting(one, other):
        first = await admitted(one, client, 13)
        second = await admitted(other, client, 20)

        assert (first, second) == (13, 7)
        assert await admitted(one, client, 5) == 0
        assert one.state() == other.state()
        assert one.state().shared


@pytest.mark.usefixtures("patient")
async def test_calls_at_once_on_two_daemons_are_admitted_as_often_as_the_burst_says(
    stack: Stack,
) -> None:
    limiters, client = [on_stack(stack, burst=50) for _ in range(2)], a_name()
    waits: list[float] = []

    async def call(limiter: RateLimiter) -> None:
        waits.append(await aio(limiter.admit, client))

    async with limiting(*limiters), trio.open_nursery() as nursery:
        for number in range(120):
            nursery.start_soon(call, limiters[number % 2])

    assert (len(waits), waits.count(0.0)) == (120, 50)


@pytest.mark.usefixtures("patient")
async def test_a_refused_call_learns_when_it_will_be_admitted(stack: Stack) -> None:
    one, other = on_stack(stack, rate=4.0, burst=4), on_stack(stack, rate=4.0, burst=4)
    client = a_name()
    async with limiting(one, other):
        # The other daemon's own bucket is full: the wait is that of the shared one.
        assert await admitted(one, client, 4) == 4
        wait = await aio(other.admit, client)
        too_early = await aio(other.admit, client)
        await trio.sleep(wait)
        in_time = await aio(other.admit, client)

    assert 0 < wait <= 0.25
    assert 0 < too_early <= wait
    assert in_time == 0


@pytest.mark.usefixtures("patient")
async def test_a_budget_fills_up_to_the_burst_and_no_further(stack: Stack) -> None:
    limiter, client = on_stack(stack, rate=19.0, burst=3), a_name()
    async with limiting(limiter):
        assert await admitted(limiter, client, 3) == 3
        await trio.sleep(0.4)
        # 0.4 s give seven; the burst is three.
        begin = time.monotonic()
        again = await admitted(limiter, client, 8)

    assert 3 <= again <= 3 + 1 + 19 * (time.monotonic() - begin)


@pytest.mark.usefixtures("patient")
async def test_each_client_has_its_own_budget(stack: Stack) -> None:
    limiter = on_stack(stack)
    one, other = a_name(), a_name()
    async with limiting(limiter):
        assert await admitted(limiter, one, 9) == 5
        assert await admitted(limiter, other, 9) == 5


@pytest.mark.usefixtures("patient")
async def test_most_calls_are_admitted_without_asking_redis(valkey: Valkey) -> None:
    limiter = on(valkey, rate=200.0, burst=1000)
    async with limiting(limiter):
        assert await admitted(limiter, "main-app", 200) == 200
        with contextlib.closing(valkey.ask()) as client:
            draws = client.info("commandstats")["cmdstat_eval"]["calls"]

    assert draws == 20


@pytest.mark.usefixtures("patient")
async def test_a_budget_is_kept_under_a_hashed_name_until_it_is_full_again(valkey: Valkey) -> None:
    limiter = on(valkey, rate=10.0, burst=20)
    async with limiting(limiter):
        await admitted(limiter, "main-app", 20)
        with contextlib.closing(valkey.ask()) as client:
            [key] = client.keys("*")
            kept_ms = client.pttl(key)

    assert key.startswith(b"payd:rate:")
    assert b"main-app" not in key
    assert 1500 < kept_ms <= 3000


async def test_no_rate_means_no_limit_and_no_redis() -> None:
    limiter = a_limiter(f"{HOST}:1", rate=0)
    async with limiting(limiter):
        assert await admitted(limiter, "main-app", 100) == 100

    assert limiter.state() == rate_limit.LimiterState(shared=False, last_error=None)


async def test_without_an_address_a_daemon_limits_alone() -> None:
    limiter = a_limiter(None)
    async with limiting(limiter):
        assert await admitted(limiter, "main-app", 9) == 5

    assert not limiter.state().shared


async def test_the_clients_that_are_kept_have_a_bound() -> None:
    limiter = a_limiter(None)
    async with limiting(limiter):
        for number in range(3000):
            # Without Redis nothing of it needs the other loop.
            await limiter.admit(f"client-{number}")

    assert len(limiter._clients) == 1024


# -- a Redis that is away, frozen or wrong -----------------------------------------------------


async def test_a_redis_that_dies_is_replaced_by_a_limit_of_our_own(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_server, "_ANSWER_S", 1.0)
    limiter = on(valkey, burst=100)
    async with limiting(limiter):
        await shares_again(limiter)
        await admitted(limiter, "main-app", 10)
        assert valkey.server is not None
        valkey.server.kill()

        # Calls that each waited for an answer would take more than a minute.
        with trio.fail_after(30):
            after = await admitted(limiter, "main-app", 100)

        # Ten were spent: a change of Redis' state is no second burst.
        assert after == 90
        assert not limiter.state().shared
        assert "Error" in (limiter.state().last_error or "")

        monkeypatch.setattr(rate_limit, "_RETRY_S", 0.02)
        await valkey.start()
        await shares_again(limiter)


async def test_a_redis_that_is_not_there_costs_nothing(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_server, "_CONNECT_S", 1.0)
    assert valkey.server is not None
    valkey.server.kill()
    limiter = on(valkey, burst=1000)
    async with limiting(limiter):
        with trio.fail_after(60):
            assert await admitted(limiter, "main-app", 300) == 300


async def test_a_frozen_redis_holds_up_one_call_for_one_answers_time(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_server, "_ANSWER_S", 1.0)
    monkeypatch.setattr(redis_server, "_CONNECT_S", 1.0)
    limiter = on(valkey, burst=1000)
    async with limiting(limiter):
        await shares_again(limiter)
        valkey.signal(signal.SIGSTOP)

        took = []
        until = time.monotonic() + 4
        while time.monotonic() < until:
            begin = time.monotonic()
            assert await aio(limiter.admit, "main-app") == 0
            took.append(time.monotonic() - begin)
            await trio.sleep(0.01)

        # Later attempts are made beside the calls.
        assert sum(seconds > 0.9 for seconds in took) == 1
        assert not limiter.state().shared

        valkey.signal(signal.SIGCONT)
        await shares_again(limiter)
        # What it answered late was for nobody.
        assert await aio(limiter.admit, a_name()) == 0


@pytest.mark.usefixtures("patient", "quick_retry")
@pytest.mark.parametrize(
    "put",
    [
        lambda client, key: client.set(key, "5"),
        lambda client, key: client.rpush(key, "5"),
        lambda client, key: client.hset(key, mapping={"key": key, "tokens": "x", "time": "1"}),
        lambda client, key: client.hset(key, mapping={"key": key, "tokens": "nan", "time": "1"}),
        lambda client, key: client.hset(key, mapping={"key": "k", "tokens": "0", "time": "1"}),
        lambda client, key: client.hset(key, mapping={"tokens": "0"}),
    ],
    ids=["string", "list", "no number", "not a number", "of another key", "half"],
)
async def test_a_wrong_value_limits_its_client_alone_and_no_other(
    valkey: Valkey, put: Callable[[Any, bytes], object]
) -> None:
    limiter = on(valkey)
    async with limiting(limiter):
        await admitted(limiter, "main-app", 2)
        with contextlib.closing(valkey.ask()) as client:
            [key] = client.keys("*")
            client.delete(key)
            put(client, key)

            assert await admitted(limiter, "main-app", 9) == 3
            assert not limiter.state().shared
            assert limiter.state().last_error is not None
            assert await admitted(limiter, "other-app", 9) == 5
            assert limiter.state().shared
            assert len(client.keys("*")) == 2


@pytest.mark.usefixtures("patient")
async def test_a_time_of_the_future_does_not_shut_a_client_out(valkey: Valkey) -> None:
    limiter = on(valkey, rate=20.0)
    async with limiting(limiter):
        await admitted(limiter, "main-app", 1)
        with contextlib.closing(valkey.ask()) as client:
            [key] = client.keys("*")
            client.hset(key, mapping={"tokens": "0", "time": str(int((time.time() + 9e6) * 1e6))})
            wait = await aio(limiter.admit, "main-app")
            await trio.sleep(wait)

        assert 0 < wait <= 0.05
        assert await aio(limiter.admit, "main-app") == 0


@pytest.mark.usefixtures("quick_retry")
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"+OK\r\n" * 50,
        b"*3\r\n$16\r\n0123456789abcdef\r\n:5\r\n:0\r\n",
        b"*-1\r\n" * 9,
        b":x\r\n",
        b"*3\r\n:1\r\n",
        b"$99999999999\r\n",
        b"-LOADING Valkey is loading the dataset in memory\r\n",
        b"-NOSUCH error\r\n" * 3,
        random.Random(7).randbytes(2000),
    ],
    ids=[
        "nothing",
        "http",
        "ok",
        "old",
        "nil",
        "no number",
        "half",
        "huge",
        "loading",
        "error",
        "noise",
    ],
)
async def test_no_call_fails_whatever_answers_in_the_place_of_redis(said: bytes) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            while said and await stream.receive_some():
                await stream.send_all(said)
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, answer, 0, host=HOST))
        limiter = a_limiter(f"{HOST}:{listener.socket.getsockname()[1]}", burst=10)
        async with limiting(limiter):
            assert await admitted(limiter, "main-app", 15) == 10
            assert limiter.state().last_error is not None
        nursery.cancel_scope.cancel()


# -- cancellation ------------------------------------------------------------------------------


@pytest.mark.usefixtures("patient")
async def test_calls_that_are_cancelled_never_give_their_answer_to_another(valkey: Valkey) -> None:
    burst, chance = 400, random.Random(11)
    one, other = (on(valkey, burst=burst) for _ in range(2))
    waits: list[float] = []

    async def cancelled(limiter: RateLimiter) -> None:
        with trio.move_on_after(chance.random() * 0.003):
            waits.append(await aio(limiter.admit, "main-app"))

    async with limiting(one, other):
        for _ in range(20):
            async with trio.open_nursery() as nursery:
                for number in range(10):
                    nursery.start_soon(cancelled, (one, other)[number % 2])
            # main-app never gets the answer for another client's budget.
            assert await aio(one.admit, a_name()) == 0
        assert one.state().last_error is None
        left = await admitted(one, "main-app", burst) + await admitted(other, "main-app", burst)

    # What was drawn for a call that had gone is admitted to a later one, or spent.
    assert waits.count(0.0) == len(waits)
    assert burst - 200 <= left <= burst - len(waits)


async def test_closing_admits_waiting_calls(valkey: Valkey) -> None:
    valkey.signal(signal.SIGSTOP)
    limiter = on(valkey)
    waits: list[float] = []

    async def call() -> None:
        waits.append(await aio(limiter.admit, "main-app"))

    async with limiting(limiter), trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(call)
        await trio.testing.wait_all_tasks_blocked()
        await aio(limiter.close)

    assert waits == [0.0, 0.0, 0.0]


# -- passwords ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("patient", "quick_retry")
async def test_a_password_that_changes_is_used_for_the_next_connection(valkey: Valkey) -> None:
    passwords = {"now": "first"}
    with contextlib.closing(valkey.ask()) as client:
        client.config_set("requirepass", "first")
        limiter = on(valkey, burst=1000, password=lambda: passwords["now"])
        async with limiting(limiter):
            await shares_again(limiter)
            assert limiter.state().last_error is None

            client.execute_command("AUTH", "first")
            client.config_set("requirepass", "second")
            client.client_kill_filter(_type="normal", skipme=True)

            async def refused() -> bool:
                await aio(limiter.admit, a_name())
                return "password" in (limiter.state().last_error or "")

            await eventually(refused)
            assert not limiter.state().shared
            assert "first" not in (limiter.state().last_error or "")

            passwords["now"] = "second"
            await shares_again(limiter)


@pytest.mark.usefixtures("patient", "quick_retry")
async def test_a_redis_that_wants_a_password_that_is_not_set_means_limiting_alone(
    valkey: Valkey,
) -> None:
    with contextlib.closing(valkey.ask()) as client:
        client.config_set("requirepass", "first")
    limiter = on(valkey)
    async with limiting(limiter):
        assert await admitted(limiter, "main-app", 9) == 5

    assert "Authentication" in (limiter.state().last_error or "")
    assert not limiter.state().shared

"""All the real parts at once, and everything in them replaced while payments go on.

OpenBao keeps the secrets, nats-server runs in operator mode, and Caddy terminates TLS with its own
CA in front of payd's webhooks. The test rotates the database password, the webhook secret, Stripe's
key, the account's signing seed, the server certificate and the clients' CA.
"""

import asyncio
import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import nats
import pytest
from integration.stripe.shop import paid_event, post
from support.authority import Authority, copy_of, replace
from support.caddy import Caddy, relay, running_caddy
from support.cards import SECRET_KEY, WEBHOOK_SECRET, StandIn, a_card_request, pay_by_card, stand_in
from support.daemon import Client, Daemon, Place, rows, running_daemon
from support.nats_operator import Key, OperatorNats, running_operator_nats
from support.openbao import OpenBao, running_openbao
from support.waiting import wait_until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@attrs.frozen(kw_only=True)
class World:
    """All of it, running."""

    place: Place
    bao: OpenBao
    nats: OperatorNats
    stripe: StandIn
    daemon: Daemon
    caddy: Caddy
    role: str


@pytest.fixture
def world(place: Place, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[World]:
    role, http = f"r{uuid.uuid4().hex[:12]}", free_port()
    at_database(place, f"CREATE ROLE {role} LOGIN PASSWORD 'canary-db-0' IN ROLE payd")
    with contextlib.ExitStack() as opened:
        bao = opened.enter_context(running_openbao(folder(tmp_path, "bao")))
        server = opened.enter_context(running_operator_nats(folder(tmp_path, "nats"), free_port()))
        key = server.new_signing_key()
        server.allow([key])
        stripe = opened.enter_context(stand_in(folder(tmp_path, "stripe")))
        bao.write(
            db_password="canary-db-0",
            nats_account_signing_seed=key.seed,
            stripe_secret_key=SECRET_KEY,
            stripe_webhook_secret=WEBHOOK_SECRET,
        )
        own = attrs.evolve(
            place, nats=server.url, pki=copy_of(place.pki, tmp_path / "pki"), data=tmp_path
        )
        environment = {
            **stripe.environment,
            **bao.environment(),
            "STRIPE_SECRET_KEY": "",
            "STRIPE_WEBHOOK_SECRET": "",
            "STRIPE_REQUESTS_PER_SECOND": "1000",
            "DB_USER": role,
            "DB_PASSWORD": "",
            "HTTP_PORT": str(http),
            "PAYD_NATS_ACCOUNT": server.account.public,
            "PAYD_VAULT_READ_INTERVAL_S": "0.3",
            "PAYD_GRPC_TLS_CHECK_INTERVAL_S": "0.05",
            "PAYD_GRPC_MAX_CONNECTION_AGE_S": "1",
        }
        daemon = opened.enter_context(running_daemon(own, **environment))
        caddy = opened.enter_context(
            running_caddy(folder(tmp_path, "caddy"), daemon.http, free_port(), free_port())
        )
        stripe.webhooks(url=opened.enter_context(relay(caddy)) + "/webhooks/stripe")
        yield World(
            place=own,
            bao=bao,
            nats=server,
            stripe=stripe,
            daemon=daemon,
            caddy=caddy,
            role=role,
        )


def folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


def at_database(place: Place, sql: str) -> None:
    """As the superuser: the servers of the tests give both roles one password."""
    rows(attrs.evolve(place, database=place.database.replace("//payd:", "//postgres:")), sql)


@attrs.define
class Load:
    """Callers of all kinds; what became of their calls."""

    world: World
    paid: list[str] = attrs.field(factory=list)
    failed: list[str] = attrs.field(factory=list)
    stop: threading.Event = attrs.field(factory=threading.Event)

    def pay_by_card(self, client: Client) -> None:
        """From the quote to the money, the webhook through Caddy."""
        payment = pay_by_card(client)
        [session] = self.world.stripe.sessions(payment.id)
        self.world.stripe.act(session["id"], "pay")
        client.wait_for(payment.id, "COMPLETED")
        self.paid.append(payment.id)

    def ask_caddy(self, http: httpx.Client) -> None:
        answer = http.get("/api/v1/payment-methods")
        assert answer.status_code == 200, answer.text

    def again_and_again(self, act: Callable[[Any], None], on: Any) -> None:
        while not self.stop.is_set():
            try:
                act(on)
            except Exception as error:  # noqa: BLE001 - any failure is one
                self.failed.append(repr(error))
            time.sleep(0.02)


@contextlib.contextmanager
def under_load(world: World) -> Iterator[Load]:
    load = Load(world)
    with world.daemon.client() as client, world.caddy.client() as http:
        threads = [
            threading.Thread(target=load.again_and_again, args=(load.pay_by_card, client)),
            threading.Thread(target=load.again_and_again, args=(load.pay_by_card, client)),
            threading.Thread(target=load.again_and_again, args=(load.ask_caddy, http)),
        ]
        for thread in threads:
            thread.start()
        try:
            yield load
        finally:
            load.stop.set()
            for thread in threads:
                thread.join()


def rotate(world: World, turn: int, wait_logged: Callable[[str, int], None]) -> None:
    """Everything once, in the order in which an operator does it."""
    secrets = world.bao.read()

    at_database(world.place, f"ALTER ROLE {world.role} PASSWORD 'canary-db-{turn}'")
    world.bao.write(**(secrets | {"db_password": f"canary-db-{turn}"}))
    wait_logged("secrets_rotated", 4 * turn - 3)

    # Stripe signs with both for a while, and both are listed for as long.
    new = f"whsec_canary{turn}"
    old = secrets["stripe_webhook_secret"]
    world.stripe.webhooks(secrets=[old, new])
    world.bao.write(**(world.bao.read() | {"stripe_webhook_secret": f"{new}\n{old}\n"}))
    wait_logged("secrets_rotated", 4 * turn - 2)
    world.stripe.webhooks(secrets=[new])
    world.bao.write(**(world.bao.read() | {"stripe_webhook_secret": new}))
    wait_logged("secrets_rotated", 4 * turn - 1)
    # A sender that has the old secret is refused.
    event = paid_event(world.stripe.sessions()[0], status="open", payment_status="unpaid")
    assert [post(world.daemon, event, secret).status_code for secret in (old, new)] == [400, 200]

    # The account takes both signing keys until payd signs with the new one.
    before, key = Key(secrets["nats_account_signing_seed"]), world.nats.new_signing_key()
    world.nats.allow([before, key])
    world.bao.write(**(world.bao.read() | {"nats_account_signing_seed": key.seed}))
    wait_logged("secrets_rotated", 4 * turn)
    world.nats.allow([key])

    authority = Authority.of(world.place.pki)
    certificate, private = authority.server()
    replace(world.place.pki / "server.crt", certificate)
    replace(world.place.pki / "server.key", private)
    wait_logged("certificates_rotated", 2 * turn - 1)
    bundle = (world.place.pki / "ca.crt").read_bytes()
    replace(world.place.pki / "ca.crt", bundle + Authority.new().pem())
    wait_logged("certificates_rotated", 2 * turn)


def turn_over(world: World, turns: int) -> None:
    lines = world.daemon.lines

    def wait_logged(event: str, times: int) -> None:
        def count() -> int:
            return sum(line.get("event") == event for line in lines)

        wait_until(lambda: count() >= times, f"{event} {times} times; {world.daemon.lines[-3:]}")

    with under_load(world) as load:
        wait_until(lambda: len(load.paid) > 2, "payments go through before anything changes")
        for turn in range(1, turns + 1):
            rotate(world, turn, wait_logged)
            before = len(load.paid)
            wait_until(lambda: len(load.paid) > before + 2, "payments go on")  # noqa: B023
    assert load.failed == []
    assert_all_is_published(world, load.paid)
    assert not [line for line in lines if "canary" in str(line)]
    assert not [line for line in lines if line.get("level") in ("error", "critical")]


def assert_all_is_published(world: World, paid: list[str]) -> None:
    unpublished = "SELECT 1 FROM outbox WHERE publish_time IS NULL"
    wait_until(lambda: not rows(world.place, unpublished), "every event is published")
    events = completed(world)
    assert sorted(events) == sorted(paid), "one event for each payment"


def completed(world: World) -> list[str]:
    """The payments that the stream says are completed, read as the main app would."""

    async def read() -> list[str]:
        client = await nats.connect(world.nats.url, user_credentials=str(world.nats.credentials()))
        try:
            stream = client.jetstream()
            left = (await stream.stream_info("PAYMENTS")).state.messages
            reader = await stream.pull_subscribe("payment.>", stream="PAYMENTS")
            found: list[Any] = []
            while len(found) < left:
                found += await reader.fetch(min(100, left - len(found)), timeout=5)
            return [
                json.loads(message.data)["id"]
                for message in found
                if message.subject == "payment.completed"
            ]
        finally:
            await client.close()

    return asyncio.run(read())


def test_everything_is_replaced_under_load_and_no_call_fails(world: World) -> None:
    turn_over(world, 2)


@pytest.mark.campaign
def test_everything_is_replaced_fifty_times_under_load_and_no_call_fails(world: World) -> None:
    turn_over(world, 50)


def test_one_trace_goes_from_the_call_to_the_row_and_the_event(world: World) -> None:
    with world.daemon.client() as client:
        payment = client.call("InitiatePayment", a_card_request(), traceparent=TRACE).payment
        [session] = world.stripe.sessions(payment.id)
        world.stripe.act(session["id"], "pay")
        client.wait_for(payment.id, "COMPLETED")
    [row] = rows(world.place, "SELECT traceparent FROM payments WHERE id = $1", payment_id(payment))
    assert row["traceparent"] == TRACE
    unpublished = "SELECT 1 FROM outbox WHERE publish_time IS NULL"
    wait_until(lambda: not rows(world.place, unpublished), "the event is published")

    async def headers() -> dict[str, str]:
        client = await nats.connect(world.nats.url, user_credentials=str(world.nats.credentials()))
        try:
            last = await client.jetstream().get_last_msg("PAYMENTS", "payment.completed")
            return dict(last.headers or {})
        finally:
            await client.close()

    assert asyncio.run(headers())["traceparent"] == TRACE


def payment_id(payment: Any) -> uuid.UUID:
    return uuid.UUID(payment.id)

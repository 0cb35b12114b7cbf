"""Each dependency away with work waiting: the daemon stays calm and answers, and then catches up.

`DEGRADED_WINDOW_S=120 python -m pytest tests/integration/degraded -s` watches each outage for two
minutes and prints a row for each.
"""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from integration.degraded import consumer
from integration.degraded.window import watch_outage, watch_process
from support import plain_http
from support.cards import StandIn, pay_by_card, stand_in
from support.daemon import (
    Client,
    Daemon,
    Place,
    a_request,
    rows,
    running_daemon,
    wait_until_published,
)
from support.openbao import running_openbao
from support.own_nats import OwnNats
from support.relay import Relay, relayed
from support.tempo import a_token_request, due
from support.waiting import PATIENCE_S, wait_until

from bench import chain_node

PAYMENTS = 20
#: As an operator has it: the tests' own daemons look more often.
SETTINGS = {"PAYD_RECOVERY_INTERVAL_S": "5"}

#: Stopped, it refuses connections; frozen, it accepts them and is silent.
away = pytest.mark.parametrize(
    "how", ["stopped", pytest.param("frozen", marks=pytest.mark.campaign)]
)


def take_away(relay: Relay, how: str) -> None:
    if how == "stopped":
        relay.cut()
    else:
        relay.hang()


@attrs.frozen(kw_only=True)
class Waiting:
    """A daemon whose events wait, because its stream is away."""

    place: Place
    daemon: Daemon
    client: Client
    nats: Relay
    payments: list[str]

    def all_are_published(self) -> None:
        """The stream is back, and each payment's event is in it, once."""
        self.nats.restore()
        completed = [e.body["id"] for e in wait_until_published(self.place)]
        assert sorted(completed) == sorted(self.payments)


@contextlib.contextmanager
def events_wait(place: Place, how: str = "stopped", **environment: str) -> Iterator[Waiting]:
    """NATS goes away, and then payments complete."""
    with relayed(place.nats) as nats:
        settings = {**SETTINGS, "NATS_URL": f"nats://127.0.0.1:{nats.port}", **environment}
        with running_daemon(place.without_forks(), **settings) as daemon, daemon.client() as client:
            wait_until(lambda: check(daemon, "nats")["ok"], "NATS is there")
            take_away(nats, how)
            payments = [client.initiate().id for _ in range(PAYMENTS)]
            for payment_id in payments:
                client.wait_for(payment_id, "COMPLETED")
            assert unpublished(place) == PAYMENTS
            yield Waiting(place=place, daemon=daemon, client=client, nats=nats, payments=payments)
            assert daemon.process.poll() in (None, 0)


@away
def test_nats_is_away_while_events_wait(how: str, place: Place) -> None:
    with events_wait(place, how) as waiting:
        watch_outage(waiting.daemon, f"NATS {how}")
        assert unpublished(place) == PAYMENTS
        waiting.all_are_published()


def test_nats_has_no_stream_while_events_wait(
    place: Place, free_port: Callable[[], int], tmp_path: Path
) -> None:
    """Every publish fails at once: a daemon that went on at once would never rest."""
    nats = OwnNats(free_port(), tmp_path / "nats")
    nats.start()
    place = attrs.evolve(place, nats=nats.url)
    try:
        settings = {**SETTINGS, "PAYD_NATS_CREATE_STREAM": "false"}
        with running_daemon(place.without_forks(), **settings) as daemon, daemon.client() as client:
            wait_until(lambda: "does not exist" in check(daemon, "nats")["detail"], "no stream")
            requests = [a_request() for _ in range(5 * PAYMENTS)]
            calls = [client.future("InitiatePayment", request) for request in requests]
            payments = [call.result().payment.id for call in calls]
            for payment_id in payments:
                client.wait_for(payment_id, "COMPLETED")
            watch_outage(daemon, "NATS without the stream")
            assert unpublished(place) == len(payments)
    finally:
        nats.stop()


@away
def test_postgresql_is_away_while_events_and_evidence_wait(how: str, place: Place) -> None:
    with (
        relayed(place.database) as postgres,
        events_wait(place, DB_PORT=str(postgres.port)) as waiting,
    ):
        # Their evidence comes when there is nowhere to put it.
        late = [
            waiting.client.initiate(metadata={"mock_delay_ms": "1500"}).id for _ in range(PAYMENTS)
        ]
        take_away(postgres, how)
        waiting.nats.restore()
        watch_outage(waiting.daemon, f"PostgreSQL {how}")
        postgres.restore()
        for payment_id in late:
            waiting.client.wait_for(payment_id, "COMPLETED")
        attrs.evolve(waiting, payments=waiting.payments + late).all_are_published()


@away
def test_redis_is_away_while_events_wait(how: str, place: Place) -> None:
    with (
        relayed(place.redis) as redis,
        events_wait(place, REDIS_ADDR=f"127.0.0.1:{redis.port}") as waiting,
    ):
        take_away(redis, how)
        wait_until(
            lambda: waiting.client.get(waiting.payments[0]) and not is_shared(waiting.daemon),
            "a call meets the outage",
        )
        watch_outage(waiting.daemon, f"Redis {how}, and NATS")
        redis.restore()
        wait_until(
            lambda: waiting.client.get(waiting.payments[0]) and is_shared(waiting.daemon),
            "the daemons' common budget is back",
        )
        waiting.all_are_published()


@away
def test_vault_is_away_while_events_wait(how: str, place: Place, tmp_path: Path) -> None:
    with running_openbao(tmp_path) as bao, relayed(bao.addr) as vault:
        bao.write(db_password=httpx.URL(place.database).password)
        settings = {
            **bao.environment(),
            "VAULT_ADDR": f"http://127.0.0.1:{vault.port}",
            "PAYD_VAULT_READ_INTERVAL_S": "1",
            "DB_PASSWORD": "",
        }
        with events_wait(place, **settings) as waiting:
            take_away(vault, how)
            wait_until(lambda: not check(waiting.daemon, "vault")["ok"], "a reading fails")
            watch_outage(waiting.daemon, f"Vault {how}, and NATS")
            vault.restore()
            wait_until(lambda: check(waiting.daemon, "vault")["ok"], "a reading succeeds")
            waiting.all_are_published()


@away
def test_the_daemon_ends_in_order_while_nats_and_redis_are_away(how: str, place: Place) -> None:
    with (
        relayed(place.redis) as redis,
        events_wait(place, how, REDIS_ADDR=f"127.0.0.1:{redis.port}") as waiting,
    ):
        take_away(redis, how)
        wait_until(
            lambda: waiting.client.get(waiting.payments[0]) and not is_shared(waiting.daemon),
            "a call meets the outage",
        )
        assert waiting.daemon.stop() == 0
        failed = [line for line in waiting.daemon.lines if line.get("event") == "task_failed"]
        assert failed == []


@away
def test_an_event_consumer_is_calm_and_ends_in_order_while_nats_is_away(
    how: str, place: Place
) -> None:
    with running_daemon(place), relayed(place.nats) as nats:
        command = [sys.executable, consumer.__file__, f"nats://127.0.0.1:{nats.port}", place.redis]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == "started\n"
            take_away(nats, how)
            watch_process(process.pid, f"Consumer, NATS {how}", lambda: process.poll() is None)
            process.send_signal(signal.SIGTERM)
            _, complaints = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, complaints


@away
def test_stripe_is_away_while_sessions_and_its_events_wait(
    how: str, place: Place, tmp_path: Path
) -> None:
    """They were paid while no webhook came through: only Stripe knows it."""
    with stand_in(tmp_path) as stripe, relayed(stripe.url) as api:
        settings = SETTINGS | stripe.environment
        settings |= {"STRIPE_API_BASE": f"http://127.0.0.1:{api.port}"}
        settings |= {"PAYD_RECOVERY_SCAN_INTERVAL_S": "1"}
        with running_daemon(place.without_forks(), **settings) as daemon, daemon.client() as client:
            stripe.webhooks(mode="drop")
            payments = [pay_by_card(client).id for _ in range(PAYMENTS)]
            take_away(api, how)
            pay_all(stripe)
            rows(place, "UPDATE payments SET next_look_time = now()")
            watch_outage(daemon, f"Stripe {how}")
            assert {client.get(one).status for one in payments} == {client.get(payments[0]).status}
            api.restore()
            rows(place, "UPDATE payments SET next_look_time = now()")
            for payment_id in payments:
                client.wait_for(payment_id, "COMPLETED")
            assert len(wait_until_published(place)) == PAYMENTS


@away
def test_a_chain_is_away_while_transfers_wait(how: str, place: Place) -> None:
    with chain_node.chain() as url, relayed(url) as rpc:
        settings = SETTINGS | chain_node.settings(f"http://127.0.0.1:{rpc.port}")
        with running_daemon(place.without_forks(), **settings) as daemon, daemon.client() as client:
            wait_until(lambda: has_begun(place), "the watch has begun")
            payment = client.call("InitiatePayment", a_token_request()).payment
            take_away(rpc, how)
            chain_node.grow(url, 1, [due(payment).memo])
            watch_outage(daemon, f"Tempo's endpoint {how}")
            rpc.restore()
            client.wait_for(payment.id, "COMPLETED")
            assert len(wait_until_published(place)) == 1


def pay_all(stripe: StandIn) -> None:
    for session in stripe.sessions():
        stripe.act(session["id"], "pay")


def has_begun(place: Place) -> bool:
    found = rows(place, "SELECT value FROM provider_cursors WHERE name = 'watch'")
    return any("block" in json.loads(row["value"]) for row in found)


def unpublished(place: Place) -> int:
    """Events that wait."""
    [row] = rows(place, "SELECT count(*) FROM outbox WHERE publish_time IS NULL")
    return int(row["count"])


def check(daemon: Daemon, name: str) -> dict[str, Any]:
    """What /readyz says of a dependency."""
    answer = plain_http.get(f"http://{daemon.http}/readyz", timeout=PATIENCE_S)
    return dict(answer.json()["checks"][name])


def is_shared(daemon: Daemon) -> bool:
    """Whether calls draw from the budget of all daemons, which Redis has."""
    text = plain_http.get(f"http://{daemon.metrics}/metrics", timeout=PATIENCE_S).text
    [line] = [line for line in text.splitlines() if line.startswith("payd_rate_limiter_shared ")]
    return float(line.split()[-1]) == 1

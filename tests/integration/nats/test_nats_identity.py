"""An identity of payd's own making, at a real nats-server in operator mode."""

import gc
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import nats
import nats.errors
import nats.js.errors
import nkeys
import pytest
import trio
from integration.nats.server import (
    STREAM,
    a_publisher,
    an_event,
    connected,
    eventually,
    is_ready,
)
from integration.nats.test_dead_letters import bury
from support.nats_operator import Key, OperatorNats, running_operator_nats

from payd.adapters.bridge import aio, for_trio
from payd.adapters.nats.dead_letters import JetStreamDeadLetters
from payd.adapters.nats.identity import BadSigningSeed, NatsIdentity, mint, permissions
from payd.adapters.nats.publisher import JetStreamPublisher
from payd.adapters.nats.stream import MESSAGE_BYTES_MAX
from payd.dev.ports import any_free
from payd.ports import PublishError

_FAILURES = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError)


@pytest.fixture
async def server(asyncio_loop: None, tmp_path: Path) -> AsyncIterator[OperatorNats]:
    with running_operator_nats(tmp_path, any_free()) as server:
        yield server


@attrs.define
class Minting:
    """A publisher that mints, the seed it mints with, and how its renewals ended."""

    publisher: JetStreamPublisher
    seed: str
    renewals: Counter[str]


def minting(
    server: OperatorNats, seed: str = "", *, patience_s: float = 2.0, **identity: Any
) -> Minting:
    made: list[Minting] = []
    renewals: Counter[str] = Counter()
    source = NatsIdentity(signing_seed=lambda: made[0].seed, **identity)

    def note(outcome: str) -> None:
        renewals[outcome] += 1

    publisher = a_publisher(
        server.url,
        identity=source,
        on_renewal=note,
        publish_timeout_s=patience_s,
        connect_timeout_s=1.0,
    )
    made.append(Minting(publisher, seed or server.account.seed, renewals))
    return made[0]


def scope(key: Key, publish: list[str]) -> dict[str, Any]:
    """What an account's JWT says of a signing key whose users may publish this and no more."""
    template = {
        "pub": {"allow": publish},
        "sub": {"allow": ["_INBOX_payd.>"]},
        "subs": 10,
        "data": -1,
        "payload": MESSAGE_BYTES_MAX,
    }
    return {"kind": "user_scope", "key": key.public, "role": "payd", "template": template}


@asynccontextmanager
async def steady_load(publisher: JetStreamPublisher, at_once: int = 4) -> AsyncIterator[list[str]]:
    """Publishes without pause; what failed."""
    failed: list[str] = []
    done = trio.Event()

    async def load() -> None:
        while not done.is_set():
            try:
                await aio(publisher.publish, an_event())
            except PublishError as error:
                failed.append(str(error))
            await trio.sleep(0.002)

    async with trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(load)
        yield failed
        done.set()


async def test_the_account_itself_signs_and_events_are_published(server: OperatorNats) -> None:
    async with connected(minting(server).publisher) as publisher:
        await eventually(lambda: is_ready(publisher))

        await aio(publisher.publish, an_event())

        assert publisher.identity_expire_time() is not None


async def test_a_signing_key_of_the_account_signs_too(server: OperatorNats) -> None:
    key = server.new_signing_key()
    server.allow([key])
    made = minting(server, key.seed, account=server.account.public)
    async with connected(made.publisher) as publisher:
        await eventually(lambda: is_ready(publisher))
        await aio(publisher.publish, an_event())


async def test_a_scoped_key_carries_the_permissions_itself(server: OperatorNats) -> None:
    key = server.new_signing_key()
    server.allow([scope(key, ["payment.completed", "$JS.API.STREAM.*.*"])])
    made = minting(server, key.seed, patience_s=0.5, account=server.account.public, is_scoped=True)
    async with connected(made.publisher) as publisher:
        await eventually(lambda: is_ready(publisher))
        await aio(publisher.publish, an_event())
        with pytest.raises(PublishError, match=r"(?i)permissions violation"):
            await aio(publisher.publish, an_event(subject="payment.failed"))


async def test_it_may_list_and_replay_dead_letters(server: OperatorNats) -> None:
    await bury(server.url, 2, user_credentials=str(server.credentials()))
    async with connected(minting(server).publisher) as publisher:
        await eventually(lambda: is_ready(publisher))
        letters = for_trio(JetStreamDeadLetters(publisher, STREAM))
        assert await letters.replay({1: b"{}"}) == [1]
        assert [one.sequence for one in (await letters.read(0, 10)).letters] == [2]


@pytest.mark.parametrize(
    "forbidden",
    [
        lambda client, js: js.publish("payment.unknown", b"", timeout=0.4),
        lambda client, js: js.publish("orders.made", b"", timeout=0.4),
        lambda client, js: js.delete_stream(STREAM),
        lambda client, js: js.purge_stream(STREAM),
        lambda client, js: js.pull_subscribe("payment.>", durable="thief", stream=STREAM),
        lambda client, js: js.account_info(),
    ],
    ids=["subject", "elsewhere", "delete", "purge", "consume", "account"],
)
async def test_it_may_do_nothing_else(server: OperatorNats, forbidden: Callable[..., Any]) -> None:
    async with connected(minting(server).publisher) as publisher:
        await eventually(lambda: is_ready(publisher))
        link = publisher._link
        assert link is not None

        async def attempt() -> None:
            await forbidden(link.client, link.client.jetstream(timeout=0.4))

        with pytest.raises(_FAILURES):
            await aio(attempt)
        await eventually(lambda: "ermissions" in str(publisher.state().last_error))
        await aio(publisher.publish, an_event())


async def test_it_receives_only_its_own_answers(server: OperatorNats) -> None:
    async with connected(minting(server).publisher) as publisher:
        await eventually(lambda: is_ready(publisher))
        link = publisher._link
        assert link is not None

        async def listen() -> None:
            subscription = await link.client.subscribe("payment.>")
            await publisher.publish(an_event())
            with suppress(nats.errors.Error, TimeoutError):
                await subscription.next_msg(timeout=0.3)
                raise AssertionError("it received an event")

        await aio(listen)


async def test_a_thousand_renewals_under_load_cost_no_publish(server: OperatorNats) -> None:
    made = minting(server)
    async with connected(made.publisher) as publisher:
        await eventually(lambda: is_ready(publisher))
        async with steady_load(publisher) as failed:
            for _ in range(1000):
                assert await aio(publisher.renew)

    assert failed == []
    assert made.renewals == {"ok": 1000}


async def test_five_identities_end_under_load_and_no_publish_fails(server: OperatorNats) -> None:
    made = minting(server, ttl=timedelta(seconds=2))
    async with connected(made.publisher) as publisher:
        await eventually(lambda: is_ready(publisher))
        async with steady_load(publisher, 2) as failed:
            first = publisher.identity_expire_time()
            assert first is not None
            await eventually(lambda: made.renewals["ok"] >= 5)

    assert failed == []


async def test_an_identity_that_cannot_be_renewed_is_kept_to_its_end_and_the_next_one_heals(
    server: OperatorNats,
) -> None:
    # Longer than the renewal that fails, which takes two seconds on a quiet machine.
    made = minting(server, ttl=timedelta(seconds=10))
    async with connected(made.publisher) as publisher:
        await eventually(lambda: is_ready(publisher))
        good, made.seed = made.seed, server.new_signing_key().seed
        assert not await aio(publisher.renew)

        await aio(publisher.publish, an_event())
        await eventually(lambda: not publisher.state().connected)
        made.seed = good

        await eventually(lambda: is_ready(publisher))
        await aio(publisher.publish, an_event())
    assert made.renewals["failed"] >= 1


async def test_a_rotated_signing_seed_costs_no_publish(server: OperatorNats) -> None:
    old, new = server.new_signing_key(), server.new_signing_key()
    server.allow([old])
    made = minting(server, old.seed, account=server.account.public)
    async with connected(made.publisher) as publisher:
        await eventually(lambda: is_ready(publisher))
        async with steady_load(publisher) as failed:
            server.allow([old, new])
            await trio.sleep(0.3)
            made.seed = new.seed
            await aio(publisher.renew_if_rotated)
            assert made.renewals == {"ok": 1}
            server.allow([new])
            await trio.sleep(0.5)
            await aio(publisher.renew_if_rotated)
        assert publisher.state().connected

    assert failed == []
    assert made.renewals == {"ok": 1}


async def test_a_seed_that_the_account_takes_late_is_tried_again(server: OperatorNats) -> None:
    old, new = server.new_signing_key(), server.new_signing_key()
    server.allow([old])
    made = minting(server, old.seed, account=server.account.public)
    async with connected(made.publisher) as publisher:
        await eventually(lambda: is_ready(publisher))
        made.seed = new.seed
        await aio(publisher.renew_if_rotated)
        assert made.renewals == {"failed": 1}
        assert "Authorization Violation" in str(publisher.state().last_error)
        await aio(publisher.publish, an_event())

        server.allow([old, new])
        await aio(publisher.renew_if_rotated)

    assert made.renewals == {"failed": 1, "ok": 1}


async def test_an_identity_without_rights_to_the_stream_does_not_take_over(
    server: OperatorNats,
) -> None:
    able, unable = server.new_signing_key(), server.new_signing_key()
    server.allow([scope(able, ["payment.*", "$JS.API.STREAM.*.*"]), scope(unable, ["payment.*"])])
    made = minting(server, able.seed, patience_s=0.5, account=server.account.public, is_scoped=True)
    async with connected(made.publisher) as publisher:
        await eventually(lambda: is_ready(publisher))
        made.seed = unable.seed

        assert not await aio(publisher.renew)

        assert is_ready(publisher)
        await aio(publisher.publish, an_event())


# What nats-py leaves of connections that were refused is closed by the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_withdrawn_signing_key_is_reported_and_waited_for(server: OperatorNats) -> None:
    key = server.new_signing_key()
    server.allow([key])
    made = minting(server, key.seed, account=server.account.public)
    async with connected(made.publisher) as publisher:
        await eventually(lambda: is_ready(publisher))
        server.allow([])
        await eventually(lambda: not publisher.state().connected)
        await eventually(lambda: "Authorization Violation" in str(publisher.state().last_error))

        server.allow([key])
        await eventually(lambda: is_ready(publisher))
        await aio(publisher.publish, an_event())
    gc.collect()


async def test_a_renewal_asked_for_while_the_server_is_away_waits_in_peace_and_follows(
    server: OperatorNats,
) -> None:
    made = minting(server)
    async with connected(made.publisher) as publisher:
        await eventually(lambda: is_ready(publisher))
        server.kill()
        await eventually(lambda: not publisher.state().connected)
        assert not await aio(publisher.renew)

        worked_before = time.process_time()
        await trio.sleep(0.5)
        assert time.process_time() - worked_before < 0.1

        server.start()
        await eventually(lambda: made.renewals == {"ok": 1})
        await aio(publisher.publish, an_event())


async def test_the_old_connection_waits_for_its_last_publish_and_no_longer_than_payd_runs(
    server: OperatorNats,
) -> None:
    async with connected(minting(server).publisher) as publisher:
        await eventually(lambda: is_ready(publisher))
        idle = publisher._link
        assert await aio(publisher.renew)
        assert idle is not None
        await eventually(lambda: bool(idle.client.is_closed))

        busy = publisher._link
        assert busy is not None
        busy.in_flight += 1
        assert await aio(publisher.renew)
        assert busy.is_open

    assert busy.client.is_closed


async def test_an_event_that_an_older_daemon_may_not_publish_waits_for_a_newer_one(
    server: OperatorNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During an upgrade: its identity names the subjects that it knows, and no others."""
    refunded = an_event(subject="payment.refunded")
    with monkeypatch.context() as older:
        older.setattr("payd.adapters.nats.publisher.EVENT_SUBJECTS", ("payment.completed",))
        async with connected(minting(server).publisher) as old:
            await eventually(lambda: is_ready(old))
            with pytest.raises(PublishError, match=r"(?i)permissions violation.*payment\.refunded"):
                await aio(old.publish, refunded)
            await aio(old.publish, an_event())
            assert is_ready(old)
    async with connected(minting(server).publisher) as new:
        await eventually(lambda: is_ready(new))
        await aio(new.publish, refunded)


SEED = Key.new(nkeys.PREFIX_BYTE_ACCOUNT).seed
SLIP = f"{SEED[:20]}{'B' if SEED[20] == 'A' else 'A'}{SEED[21:]}"
NO_SEEDS = {
    "empty": "",
    "short": "SA",
    "password": "hunter2",
    "a user's": Key.new(nkeys.PREFIX_BYTE_USER).seed,
    "foreign": "é",
    "cut": SEED[:-1],
    "a slip": SLIP,
}


@pytest.mark.parametrize("seed", NO_SEEDS.values(), ids=NO_SEEDS)
def test_a_seed_that_is_none_signs_nothing_and_is_not_quoted(seed: str) -> None:
    may = permissions(STREAM, ["payment.completed"], "_INBOX", 1000, creates=False)
    with pytest.raises(BadSigningSeed) as refusal:
        mint(NatsIdentity(), seed, "payd", may, datetime.now(UTC))
    assert seed == "" or seed not in str(refusal.value)


async def test_an_invalid_seed_is_reported_and_its_correction_heals(server: OperatorNats) -> None:
    made = minting(server)
    made.seed = SLIP
    async with connected(made.publisher) as publisher:
        await eventually(lambda: "BadSigningSeed" in str(publisher.state().last_error))

        made.seed = server.account.seed
        await eventually(lambda: is_ready(publisher))


async def test_over_tls_the_server_must_be_of_the_trusted_authority(
    asyncio_loop: None, tmp_path: Path, pki: Path
) -> None:
    trusted = ssl.create_default_context(cafile=pki / "ca.crt")
    files = (pki / "server.crt", pki / "server.key")
    with running_operator_nats(tmp_path, any_free(), files) as server:
        source = NatsIdentity(signing_seed=lambda: server.account.seed)
        stranger = a_publisher(server.url, identity=source, connect_timeout_s=1.0)
        async with connected(stranger):
            await eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in str(stranger.state()))
        async with connected(a_publisher(server.url, identity=source, tls=trusted)) as publisher:
            await eventually(lambda: is_ready(publisher))
            assert await aio(publisher.renew)
            await aio(publisher.publish, an_event())


async def test_a_credentials_file_serves_as_well(server: OperatorNats) -> None:
    source = NatsIdentity(credentials_file=server.credentials())
    async with connected(a_publisher(server.url, identity=source)) as publisher:
        await eventually(lambda: is_ready(publisher))
        await aio(publisher.publish, an_event())
        assert publisher.identity_expire_time() is None


async def test_without_an_identity_the_server_refuses_and_that_is_reported(
    server: OperatorNats,
) -> None:
    async with connected(a_publisher(server.url)) as publisher:
        await eventually(lambda: "uthorization" in str(publisher.state().last_error))


async def test_nothing_of_the_seed_or_the_jwt_is_shown_or_logged(
    server: OperatorNats, json_lines: None, capsys: pytest.CaptureFixture[str]
) -> None:
    made = minting(server)
    async with connected(made.publisher) as publisher:
        await eventually(lambda: is_ready(publisher))
        assert await aio(publisher.renew)
        link = publisher._link
        assert link is not None
        assert link.identity is not None
        made.seed = SLIP
        assert not await aio(publisher.renew)
        made.seed = foreign = server.new_signing_key().seed
        assert not await aio(publisher.renew)
        shown = f"{link!r} {publisher.state()!r} {publisher!r} {publisher._identity!r}"

    logged = capsys.readouterr().err
    assert logged.count("nats_identity_renewal_failed") == 2
    own = [link.identity.jwt, link.identity.seed.decode(), server.account.seed]
    for secret in [*own, SLIP, foreign]:
        assert secret not in shown
        assert secret not in logged

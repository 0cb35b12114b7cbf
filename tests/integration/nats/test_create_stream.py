"""`payd events create-stream` creates both streams, or reports how existing ones differ."""

import json
import subprocess
from pathlib import Path
from typing import Any

import nats
import pytest
from integration.nats.server import NatsServer
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from support.forks import run_payd
from support.nats_operator import running_operator_nats

from payd.adapters.bridge import aio
from payd.adapters.nats.stream import mismatch
from payd.dev.ports import any_free
from payd.dev.state import open_state


class CreateStream:
    """The command in a process of its own, with the configuration of a production host."""

    def __init__(self, pki: Path, folder: Path, url: str) -> None:
        password = folder / "db_password"
        password.write_text("never used here")
        self.environment = {
            "ENVIRONMENT": "production",
            "NATS_URL": url,
            "DB_PASSWORD_FILE": str(password),
            "GRPC_TLS_CERT_FILE": str(pki / "server.crt"),
            "GRPC_TLS_KEY_FILE": str(pki / "server.key"),
            "GRPC_TLS_CA_FILE": str(pki / "ca.crt"),
            "PAYD_NATS_CONNECT_TIMEOUT_S": "2",
        }

    def __call__(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return run_payd("events", "create-stream", *arguments, env=self.environment | more)


@pytest.fixture
def create_stream(nats_server: NatsServer, pki: Path, tmp_path: Path) -> CreateStream:
    return CreateStream(pki, tmp_path, nats_server.url)


async def stored_config(url: str, name: str) -> StreamConfig:
    """As the server keeps it."""

    async def ask() -> StreamConfig:
        client = await nats.connect(url)
        try:
            return (await client.jetstream().stream_info(name)).config
        finally:
            await client.close()

    return await aio(ask)


async def made_by_hand(url: str, **settings: Any) -> None:
    async def create() -> None:
        client = await nats.connect(url)
        await client.jetstream().add_stream(StreamConfig(**settings))
        await client.close()

    await aio(create)


async def test_both_streams_are_made_as_production_needs_them(
    nats_server: NatsServer, create_stream: CreateStream
) -> None:
    done = create_stream(
        PAYD_NATS_STREAM_MAX_AGE_DAYS="7", PAYD_NATS_STREAM_MAX_BYTES=str(64 * 1024 * 1024)
    )
    assert (done.returncode, done.stderr) == (0, "")

    made = await stored_config(nats_server.url, "PAYMENTS")
    assert mismatch(made) is None
    assert (made.subjects, made.storage) == (["payment.>"], StorageType.FILE)
    assert (made.max_age, made.max_bytes) == (7 * 86_400, 64 * 1024 * 1024)
    assert (made.num_replicas, made.discard) == (1, DiscardPolicy.NEW)
    letters = await stored_config(nats_server.url, "PAYMENTS_DLQ")
    assert (letters.subjects, letters.storage) == (["payment_dlq.>"], StorageType.FILE)
    assert letters.max_age == 0, "a person decides when a dead letter goes"


async def test_a_second_run_changes_nothing_and_succeeds(
    nats_server: NatsServer, create_stream: CreateStream
) -> None:
    first, second = create_stream("--json"), create_stream("--json")
    assert (first.returncode, second.returncode) == (0, 0)

    def states(text: str) -> dict[str, str]:
        return {stream["name"]: stream["state"] for stream in json.loads(text)["streams"]}

    assert states(first.stdout) == {"PAYMENTS": "created", "PAYMENTS_DLQ": "created"}
    assert states(second.stdout) == {"PAYMENTS": "unchanged", "PAYMENTS_DLQ": "unchanged"}


async def test_an_existing_stream_with_other_settings_is_left_alone_and_described(
    nats_server: NatsServer, create_stream: CreateStream
) -> None:
    await made_by_hand(
        nats_server.url,
        name="PAYMENTS",
        subjects=["payment.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=3600,
    )
    done = create_stream("--json")
    assert done.returncode == 1
    events, letters = json.loads(done.stdout)["streams"]
    assert (events["state"], letters["state"]) == ("different", "created")
    differences = {entry["setting"]: entry for entry in events["differences"]}
    assert differences["discard"] == {"setting": "discard", "is": "old", "wanted": "new"}
    assert differences["max_age"] == {"setting": "max_age", "is": 3600, "wanted": 2_592_000}
    assert set(differences) >= {"discard", "max_age", "max_bytes", "duplicate_window"}
    assert (await stored_config(nats_server.url, "PAYMENTS")).discard == DiscardPolicy.OLD

    in_words = create_stream()
    assert in_words.returncode == 1
    assert "PAYMENTS already exists with other settings" in in_words.stdout
    assert "max_age is 3600, expected 2592000" in in_words.stdout
    assert "nats stream edit PAYMENTS" in in_words.stdout


async def test_replicas_that_the_server_cannot_keep_are_refused_with_the_setting(
    create_stream: CreateStream,
) -> None:
    done = create_stream(PAYD_NATS_STREAM_REPLICAS="3")
    assert done.returncode == 1
    assert "replicas" in done.stderr
    assert "PAYD_NATS_STREAM_REPLICAS" in done.stderr


def test_a_server_that_is_away_is_named(pki: Path, tmp_path: Path) -> None:
    url = f"nats://user:swordfish@127.0.0.1:{any_free()}"
    done = CreateStream(pki, tmp_path, url)()
    assert done.returncode == 1
    assert "NATS_URL" in done.stderr
    assert "swordfish" not in done.stderr


def test_a_running_payd_dev_is_found(pki: Path, tmp_path: Path) -> None:
    """Its environment says where NATS is; here nobody listens there, and the message says so."""
    settings = {
        name: value
        for name, value in CreateStream(pki, tmp_path, "nats://127.0.0.1:1").environment.items()
        if name != "ENVIRONMENT"
    }
    with open_state(tmp_path / "state", ephemeral=False) as state:
        state.announce({"nats": settings["NATS_URL"]}, settings)
        command = ("events", "create-stream", "--state-dir", str(state.path))
        done = run_payd(*command, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 1
    assert "nats://127.0.0.1:1" in done.stderr


async def test_an_identity_of_payds_own_may_make_both(
    asyncio_loop: None, pki: Path, tmp_path: Path
) -> None:
    """In operator mode: a user minted from the account's seed, with no other right."""
    seed = tmp_path / "seed"
    with running_operator_nats(tmp_path, any_free()) as server:
        seed.write_text(server.account.seed)
        done = CreateStream(pki, tmp_path, server.url)(NATS_ACCOUNT_SIGNING_SEED_FILE=str(seed))
    assert (done.returncode, done.stderr) == (0, "")

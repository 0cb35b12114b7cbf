"""Secrets from a real OpenBao: read, renewed, rotated, and every way in which it refuses."""

import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from support.openbao import OpenBao, running_openbao

from payd.adapters.system import SystemClock
from payd.adapters.vault import Vault, VaultSettings
from payd.ports import SecretsUnavailable
from payd.telemetry import Secret


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with running_openbao(tmp_path_factory.mktemp("openbao")) as bao:
        yield bao


@pytest.fixture
def bao(server: OpenBao) -> OpenBao:
    server.new_role()
    server.ask("PUT", "sys/policies/acl/payd", policy=READ)
    server.write(db_password="hunter-1")
    return server


READ = 'path "secret/data/payd" { capabilities = ["read"] }'


def settings(bao: OpenBao, **other: object) -> VaultSettings:
    values = {
        "addr": bao.addr,
        "role_id": bao.role_id,
        "secret_id_path": bao.secret_id_path,
        "ca_file": None,
        "secret_path": "secret/payd",
        "timeout_s": 2.0,
    }
    return VaultSettings(**(values | other))  # type: ignore[arg-type]


class CountedVault:
    """A client of the vault that counts its operations."""

    def __init__(self, bao: OpenBao, **other: object) -> None:
        self.operations: Counter[tuple[str, str]] = Counter()
        self.vault = Vault(settings(bao, **other), SystemClock(), lambda: 0.5, self._count)

    def _count(self, operation: str, outcome: str) -> None:
        self.operations[operation, outcome] += 1


async def test_what_the_vault_holds_is_read_by_name_the_newest_first(bao: OpenBao) -> None:
    bao.write(db_password="hunter-2", stripe_webhook_secret="whsec_new\nwhsec_old\n")

    held = await CountedVault(bao).vault.read()

    assert held["db_password"] == (Secret("hunter-2"),)
    assert held["stripe_webhook_secret"] == (Secret("whsec_new"), Secret("whsec_old"))
    assert "hunter" not in repr(held)


async def test_one_login_serves_many_readings_and_a_rotated_secret_is_seen(bao: OpenBao) -> None:
    counted = CountedVault(bao)
    await counted.vault.read()

    bao.write(db_password="hunter-3")

    assert (await counted.vault.read())["db_password"] == (Secret("hunter-3"),)
    assert counted.operations == {("login", "ok"): 1, ("read", "ok"): 2}


async def test_the_path_may_be_written_as_the_api_has_it(bao: OpenBao) -> None:
    assert await CountedVault(bao, secret_path="secret/data/payd").vault.read()


async def test_a_token_is_renewed_at_two_thirds_of_its_lease(bao: OpenBao) -> None:
    bao.new_role(token_ttl="3s", token_max_ttl="1h")
    counted = CountedVault(bao)
    await counted.vault.read()

    assert 1 < counted.vault.due_in_s() < 2
    await trio.sleep(counted.vault.due_in_s())
    await counted.vault.read()

    assert counted.operations["renew", "ok"] == 1
    assert counted.operations["login", "ok"] == 1


async def test_near_the_maximum_life_it_logs_in_anew_and_no_reading_fails(bao: OpenBao) -> None:
    bao.new_role(token_ttl="2s", token_max_ttl="3s")
    counted = CountedVault(bao)

    with trio.move_on_after(8):
        while counted.operations["login", "ok"] < 3:
            await counted.vault.read()
            await trio.sleep(min(0.3, counted.vault.due_in_s()))

    assert counted.operations["login", "ok"] == 3
    assert counted.operations["read", "refused"] == 0


async def test_a_revoked_token_is_replaced_at_once(bao: OpenBao) -> None:
    counted = CountedVault(bao)
    await counted.vault.read()

    bao.revoke_tokens()

    assert await counted.vault.read()
    assert counted.operations["login", "ok"] == 2
    assert counted.vault.state().problem is None


async def test_a_spent_secret_id_is_reported_until_a_new_file_is_there(bao: OpenBao) -> None:
    bao.new_role(secret_id_num_uses=1)
    counted = CountedVault(bao)
    await counted.vault.read()
    bao.revoke_tokens()

    with pytest.raises(SecretsUnavailable, match=r"permission denied.*invalid (role or )?secret"):
        await counted.vault.read()
    assert counted.vault.state().problem is not None
    assert counted.vault.state().read_time is not None
    bao.new_secret_id()

    assert await counted.vault.read()
    assert counted.vault.state().problem is None


async def test_a_spent_secret_id_does_not_cost_the_token_that_still_lives(bao: OpenBao) -> None:
    bao.new_role(secret_id_num_uses=1, token_ttl="4s", token_max_ttl="4s")
    counted = CountedVault(bao)
    await counted.vault.read()

    await trio.sleep(counted.vault.due_in_s())

    # A login is due, and refused; the old token has a second left.
    assert await counted.vault.read()
    assert counted.operations["login", "refused"] >= 1 or counted.operations["renew", "ok"] == 1


async def test_a_denied_policy_is_reported_with_its_path(bao: OpenBao) -> None:
    counted = CountedVault(bao)
    await counted.vault.read()
    bao.ask("PUT", "sys/policies/acl/payd", policy='path "other/*" { capabilities = ["read"] }')

    with pytest.raises(SecretsUnavailable, match=r"reading secret/payd.*permission denied"):
        await counted.vault.read()
    bao.ask("PUT", "sys/policies/acl/payd", policy=READ)

    assert await counted.vault.read()


async def test_a_token_that_may_not_renew_itself_is_replaced_in_time(bao: OpenBao) -> None:
    bao.new_role(token_ttl="3s", token_max_ttl="1h", token_no_default_policy=True)
    counted = CountedVault(bao)

    with trio.move_on_after(8):
        while counted.operations["login", "ok"] < 2:
            await counted.vault.read()
            await trio.sleep(min(0.3, counted.vault.due_in_s()))

    assert counted.operations["renew", "refused"] == 1
    assert counted.operations["read", "refused"] == 0


async def test_a_missing_path_is_reported(bao: OpenBao) -> None:
    bao.ask("PUT", "sys/policies/acl/payd", policy='path "secret/*" { capabilities = ["read"] }')

    with pytest.raises(SecretsUnavailable, match="the path does not exist"):
        await CountedVault(bao, secret_path="secret/elsewhere").vault.read()


async def test_a_deleted_secret_is_missing_not_empty(bao: OpenBao) -> None:
    bao.ask("DELETE", "secret/data/payd")

    with pytest.raises(SecretsUnavailable, match="the path does not exist"):
        await CountedVault(bao).vault.read()


async def test_a_sealed_vault_is_reported_and_serves_again_once_unsealed(bao: OpenBao) -> None:
    counted = CountedVault(bao)
    await counted.vault.read()
    bao.seal()

    try:
        with pytest.raises(SecretsUnavailable, match="sealed"):
            await counted.vault.read()
    finally:
        bao.unseal()

    assert await counted.vault.read()


async def test_no_vault_at_the_address_is_reported(bao: OpenBao, tmp_path: Path) -> None:
    with pytest.raises(SecretsUnavailable, match="ConnectionError"):
        await CountedVault(bao, addr="http://127.0.0.1:1").vault.read()


async def test_a_vault_that_hangs_costs_its_deadline(bao: OpenBao) -> None:
    async def hang(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(
            trio.serve_tcp,
            hang,
            0,
        )
        port = listeners[0].socket.getsockname()[1]
        with trio.fail_after(30), pytest.raises(SecretsUnavailable, match="login"):
            await CountedVault(bao, addr=f"http://127.0.0.1:{port}", timeout_s=0.3).vault.read()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("answer", [b"{}", b"[]", b"null", b"<html>", b'{"auth": {}}', b""])
async def test_an_answer_of_another_server_is_reported(bao: OpenBao, answer: bytes) -> None:
    async def lie(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
        await stream.send_all(head + b"Content-Length: %d\r\n\r\n" % len(answer) + answer)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, lie, 0)
        port = listeners[0].socket.getsockname()[1]
        with trio.fail_after(30), pytest.raises(SecretsUnavailable):
            await CountedVault(bao, addr=f"http://127.0.0.1:{port}").vault.read()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
async def test_a_secret_id_that_cannot_be_read_is_reported(
    bao: OpenBao, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "secret_id"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(SecretsUnavailable, match="secret_id"):
        await CountedVault(bao, secret_id_path=file).vault.read()


async def test_a_value_that_is_no_text_is_reported_by_its_name(bao: OpenBao) -> None:
    bao.ask("POST", "secret/data/payd", data={"db_password": {"nested": "hunter"}})

    with pytest.raises(SecretsUnavailable, match="db_password") as refused:
        await CountedVault(bao).vault.read()
    assert "hunter" not in str(refused.value)


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_its_certificate_is_checked_against_the_ca(
    bao: OpenBao, pki: Path, is_trusted: bool
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pki / "server.crt", pki / "server.key")

    async def answer(stream: trio.SSLStream[trio.SocketStream]) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 503 Sealed\r\nContent-Length: 0\r\n\r\n")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_ssl_over_tcp, answer, 0, context)
        port = listeners[0].transport_listener.socket.getsockname()[1]
        ca = pki / "ca.crt" if is_trusted else None
        counted = CountedVault(bao, addr=f"https://localhost:{port}", ca_file=ca)
        with pytest.raises(SecretsUnavailable, match="sealed" if is_trusted else "SSLError"):
            await counted.vault.read()
        nursery.cancel_scope.cancel()

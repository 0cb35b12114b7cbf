"""Connecting takes bounded time, so a host that accepts connections and is frozen stops no call."""

import asyncio
from pathlib import Path

import pytest
from payd_client import PaydClientError, PaymentClient, TlsFiles, connection
from support.relay import HOST, Relay, relayed
from unit.cli.scripted_daemon import PAYMENT_ID, ScriptedDaemon, on_plain_asyncio

#: Longer than a handshake takes on a busy machine.
CONNECT_S = 2.0
CALLS = 20


def client_of(relay: Relay, pki: Path, attempts_max: int) -> PaymentClient:
    tls = TlsFiles(ca=pki / "ca.crt", cert=pki / "client.crt", key=pki / "client.key")
    return PaymentClient(f"{HOST}:{relay.port}", tls, attempts_max=attempts_max)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_S", CONNECT_S)


def test_a_connection_that_is_never_answered_is_made_again(
    daemon: ScriptedDaemon, pki: Path
) -> None:
    async def ask(relay: Relay) -> str:
        async with client_of(relay, pki, attempts_max=9) as client:
            asking = asyncio.create_task(client.get(PAYMENT_ID, deadline_s=50))
            await asyncio.to_thread(relay.wait_for_connection)
            await asyncio.to_thread(relay.forget)
            return str((await asking).id)

    with relayed(f"https://{HOST}:{daemon.port}") as relay:
        relay.hang()
        assert on_plain_asyncio(ask(relay)) == PAYMENT_ID


def test_all_calls_give_up_with_the_connection_for_which_they_waited(
    daemon: ScriptedDaemon, pki: Path
) -> None:
    """Each for itself, one after the other, would take twenty times as long."""

    async def ask(client: PaymentClient) -> str:
        with pytest.raises(PaydClientError) as refused:
            await client.get(PAYMENT_ID, deadline_s=5 * CONNECT_S)
        return refused.value.code

    async def ask_often(relay: Relay) -> list[str]:
        async with client_of(relay, pki, attempts_max=1) as client:
            return await asyncio.gather(*(ask(client) for _ in range(CALLS)))

    with relayed(f"https://{HOST}:{daemon.port}") as relay:
        relay.hang()
        codes = on_plain_asyncio(ask_often(relay))
    assert codes == ["UNAVAILABLE"] * CALLS

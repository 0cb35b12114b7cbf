"""The client and a real daemon: both event loops, a restart, and certificates from a vault."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import attrs
import pytest
import trio
from payd_client import (
    Caller,
    CredentialsUnavailable,
    Customer,
    InitiateRequest,
    Item,
    NotFound,
    PaydClientError,
    PaymentClient,
    QuoteRequest,
    Redirect,
    Status,
    TlsFiles,
    TlsVault,
    WaitingForActor,
)
from support.daemon import Daemon, Place, running_daemon
from support.openbao import OpenBao, running_openbao
from support.waiting import PATIENCE_S
from unit.cli.scripted_daemon import on_plain_asyncio

FULL_30D = Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")


@pytest.fixture(scope="module")
def daemon(module_place: Place) -> Iterator[Daemon]:
    with running_daemon(module_place.without_forks()) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with running_openbao(tmp_path_factory.mktemp("openbao")) as vault:
        yield vault


def files(pki: Path, name: str = "client") -> TlsFiles:
    return TlsFiles(ca=pki / "ca.crt", cert=pki / f"{name}.crt", key=pki / f"{name}.key")


def a_wish(**overrides: object) -> InitiateRequest:
    fields = {
        "idempotency_key": uuid4().hex,
        "customer": Customer(id="alice", email="alice@example.com"),
        "items": (FULL_30D,),
        "method": "mock",
        "subscription_ids": ("s-1", "s-2"),
        "return_url": "https://shop.example/paid",
        "cancel_url": "https://shop.example/back",
        "metadata": {"mock_scenario": "pending"},
    }
    return InitiateRequest(**{**fields, **overrides})  # type: ignore[arg-type]  # a builder's


async def all_of_it(client: PaymentClient) -> None:
    """One payment, begun, found by both names, and canceled."""
    quote = await client.quote(QuoteRequest(items=(FULL_30D, FULL_30D), method="mock"))
    assert (quote.total.currency_code, quote.total.minor_units) == ("USD", 29800)
    wish = a_wish()
    payment = await client.initiate(wish, caller=Caller(request_id="r-1", actor="user:alice"))
    assert payment.status is Status.PENDING
    assert payment.subscription_ids == ("s-1", "s-2")
    assert payment.customer_id == "alice"
    assert isinstance(payment.next_action, Redirect)
    assert await client.initiate(wish) == payment
    assert await client.get(payment.id) == payment
    assert await client.get_by_key(wish.idempotency_key) == payment
    assert (await client.sync(payment.id)).status is Status.PENDING
    explanation = await client.explain(payment.id)
    assert explanation.waiting_for.actor is WaitingForActor.CUSTOMER
    assert explanation.steps[0].actor == "user:alice"
    then = await client.explain(payment.id, at_time=payment.create_time)
    assert then.status is Status.CREATING
    canceled = await client.cancel(payment.id, "changed her mind")
    assert canceled.status in (Status.CANCELING, Status.CANCELED)
    with pytest.raises(NotFound):
        await client.get(uuid4())
    with pytest.raises(PaydClientError) as caught:
        await client.initiate(attrs.evolve(wish, items=(FULL_30D, FULL_30D)))
    assert caught.value.reason == "IDEMPOTENCY_KEY_REUSED"
    with pytest.raises(PaydClientError) as caught:
        await client.initiate(a_wish(method="cash"))
    assert caught.value.reason == "UNKNOWN_METHOD"
    with pytest.raises(PaydClientError) as caught:
        await client.initiate(a_wish(return_url="ftp://nowhere"))
    assert "return_url" in caught.value.violations


async def test_a_payment_on_trio(daemon: Daemon, pki: Path) -> None:
    async with PaymentClient(daemon.grpc, files(pki)) as client:
        await all_of_it(client)


def test_a_payment_on_asyncio(daemon: Daemon, pki: Path) -> None:
    async def scenario() -> None:
        async with PaymentClient(daemon.grpc, files(pki)) as client:
            await all_of_it(client)

    on_plain_asyncio(scenario())


@pytest.mark.parametrize("claimed", ["recovery", "OPERATOR:ada"])
async def test_the_client_cannot_act_under_a_name_of_payds_own(
    daemon: Daemon, pki: Path, claimed: str
) -> None:
    async with PaymentClient(daemon.grpc, files(pki)) as client:
        with pytest.raises(PaydClientError) as caught:
            await client.initiate(a_wish(), caller=Caller(actor=claimed))
    assert caught.value.reason == "INVALID_FIELD"
    assert list(caught.value.violations) == ["x-actor"]


async def test_many_calls_at_once_share_a_connection(daemon: Daemon, pki: Path) -> None:
    wish = a_wish()
    found = set()
    async with PaymentClient(daemon.grpc, files(pki)) as client, trio.open_nursery() as nursery:

        async def initiate() -> None:
            found.add((await client.initiate(wish)).id)

        for _ in range(50):
            nursery.start_soon(initiate)
    assert len(found) == 1


async def test_an_error_that_ends_the_block_is_the_error_itself(daemon: Daemon, pki: Path) -> None:
    with pytest.raises(NotFound):
        async with PaymentClient(daemon.grpc, files(pki)) as client:
            await client.get(uuid4())


async def test_a_client_that_is_not_allowed_is_refused_with_the_reason(
    daemon: Daemon, pki: Path
) -> None:
    async with PaymentClient(daemon.grpc, files(pki, "stranger")) as client:
        with pytest.raises(PaydClientError) as caught:
            await client.get(uuid4())
    assert caught.value.reason == "CLIENT_NOT_ALLOWED"


async def test_a_restart_of_payd_is_waited_for(
    place: Place, pki: Path, free_port: Callable[[], int]
) -> None:
    port = str(free_port())
    wish = a_wish()
    with running_daemon(place, GRPC_PORT=port) as first:
        async with PaymentClient(first.grpc, files(pki), attempts_max=50, deadline_s=60) as client:
            payment = await client.initiate(wish)
            answers = []

            async def ask() -> None:
                answers.append(await client.initiate(wish))

            await trio.to_thread.run_sync(first.stop)
            with contextlib.ExitStack() as daemons:
                async with trio.open_nursery() as nursery:
                    for _ in range(5):
                        nursery.start_soon(ask)
                    await trio.sleep(0.3)
                    daemons.enter_context(running_daemon(place, GRPC_PORT=port))
    assert {answer.id for answer in answers} == {payment.id}


# -- certificates from a vault -------------------------------------------------------------------


def keep(vault: OpenBao, pki: Path, name: str) -> None:
    vault.write(
        **{
            part: (pki / file).read_text()
            for part, file in (("ca", "ca.crt"), ("cert", f"{name}.crt"), ("key", f"{name}.key"))
        }
    )


def from_vault(vault: OpenBao, **overrides: object) -> TlsVault:
    fields = {
        "addr": vault.addr,
        "role_id": vault.role_id,
        "secret_id_file": vault.secret_id_path,
        "secret_path": "secret/payd",
        "reread_s": 0.2,
    }
    return TlsVault(**{**fields, **overrides})  # type: ignore[arg-type]  # a builder's


async def test_certificates_come_from_a_vault_and_are_renewed_from_there(
    daemon: Daemon, pki: Path, vault: OpenBao
) -> None:
    keep(vault, pki, "stranger")
    async with PaymentClient(daemon.grpc, from_vault(vault)) as client:
        with pytest.raises(PaydClientError) as caught:
            await client.get(uuid4())
        assert caught.value.reason == "CLIENT_NOT_ALLOWED"
        # Its token ends meanwhile; a new login finds the new certificate.
        vault.revoke_tokens()
        keep(vault, pki, "client")
        with trio.fail_after(PATIENCE_S):
            while caught.value.reason == "CLIENT_NOT_ALLOWED":
                await trio.sleep(0.1)
                with pytest.raises(PaydClientError) as caught:
                    await client.get(uuid4())
        assert caught.value.reason == "PAYMENT_NOT_FOUND"
        vault.seal()
        try:
            await trio.sleep(1.5)
            with pytest.raises(NotFound):
                await client.get(uuid4())
        finally:
            vault.unseal()


@pytest.mark.parametrize(
    "wrong", [{"secret_path": "secret/nothing"}, {"role_id": "nobody"}, {"addr": "http://[::1]:9"}]
)
async def test_without_certificates_nothing_is_begun(
    daemon: Daemon, vault: OpenBao, wrong: dict[str, object]
) -> None:
    with pytest.raises(CredentialsUnavailable):
        async with PaymentClient(daemon.grpc, from_vault(vault, **wrong)):
            pass


async def test_a_secret_without_a_key_says_what_is_missing(
    daemon: Daemon, pki: Path, vault: OpenBao
) -> None:
    vault.write(ca=(pki / "ca.crt").read_text(), cert=(pki / "client.crt").read_text())
    with pytest.raises(CredentialsUnavailable, match="key"):
        async with PaymentClient(daemon.grpc, from_vault(vault)):
            pass

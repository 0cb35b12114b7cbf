"""A customer without a token for the fee: a foreign wallet, payd, a foreign sponsor, a real chain.

The wallet and the sponsor are viem's own (`withRelay`, `Relay.feePayer`) and know nothing of payd.
The local chain knows Tempo's transactions, but not the newest nonces: the wallet names its own.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import rlp
from eth_account import Account
from integration.tempo.till import Till, open_till, standing
from integration.tempo.viem import PATIENCE_S
from pytempo import TempoTransaction
from pytempo.contracts import TIP20
from support.daemon import Place
from support.tempo import ALPHA, BETA, CHAIN_ID, PRIVATE_KEYS, Chain, due, running_chain, units
from support.waiting import succeeds, wait_until

from payd.dev.ports import HOST, any_free

PUBLIC_URL = "https://pay.example.com"
#: Account 1 of the chain.
SPONSOR = 1
#: What a customer has, in base units: enough for one payment.
WEALTH = 10**9
SERVICE = """
import { createServer } from 'node:http'
import { createClient, http } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { tempoModerato } from 'viem/chains'
import { Relay } from 'viem/tempo'

const { url, key, token, port } = JSON.parse(process.env.SERVICE)
const client = createClient({ chain: tempoModerato, transport: http(url) })
const feePayer = Relay.feePayer({ account: privateKeyToAccount(key), feeToken: token })
const relay = Relay.create({ client, plugins: [feePayer] })
createServer(async (request, response) => {
  const parts = []
  for await (const part of request) parts.push(part)
  const body = Buffer.concat(parts)
  const asked = new Request('http://sponsor/', { method: 'POST', body, headers: request.headers })
  const answer = await relay.fetch(asked)
  response.writeHead(answer.status, { 'content-type': 'application/json' })
  response.end(await answer.text())
}).listen(port, '127.0.0.1', () => console.log('ready'))
"""
WALLET = """
import { createClient, http, parseUnits, stringToHex } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { tempoModerato } from 'viem/chains'
import { Actions, withRelay } from 'viem/tempo'

const { url, key, request, feePayer, policy, nonceKey, more } = JSON.parse(process.env.TRANSFER)
const [{ token, to, amount, memo }] = request.params
const client = createClient({
  account: privateKeyToAccount(key),
  chain: tempoModerato,
  transport: withRelay(http(url), http(feePayer, { retryCount: 0 }), { policy }),
})
const transfer = {
  token,
  to,
  amount: parseUnits(amount, 6),
  memo: stringToHex(memo),
  feePayer: true,
  nonceKey: BigInt(nonceKey),
  nonce: 0,
  gas: 1_000_000n,
  validBefore: Math.floor(Date.now() / 1000) + 600,
  ...more,
}
try {
  console.log(await Actions.token.transfer(client, transfer))
} catch (error) {
  console.log(error.message)
  process.exit(3)
}
"""


@attrs.frozen(kw_only=True)
class Shop:
    """A till whose customers' fees are paid, and programs of viem."""

    till: Till
    folder: Path
    service: subprocess.Popen[bytes]

    def customer(self) -> str:
        """The key of a new customer: one account has one transaction with the sponsor."""
        made = Account.create()
        self.till.chain.transfer(ALPHA, WEALTH, None, to=made.address)
        self.till.chain.mine()
        return str(made.key.to_0x_hex())

    def wallet(
        self, payment: Any, nonce_key: int, key: str, **how: Any
    ) -> subprocess.CompletedProcess[str]:
        """Let the customer's wallet make the transfer that its payment's request asks for."""
        request = json.loads(due(payment).wallet_request)
        transfer: Mapping[str, Any] = {
            "url": self.till.chain.url,
            "key": key,
            "request": request,
            "feePayer": self.address(payment),
            "nonceKey": nonce_key,
            "policy": "sign-only",
            "more": {},
            **how,
        }
        return subprocess.run(
            ["node", "wallet.js"],
            cwd=self.folder,
            env={**os.environ, "TRANSFER": json.dumps(transfer)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def address(self, payment: Any) -> str:
        """Where a wallet finds the sponsor, on this machine."""
        named = json.loads(due(payment).wallet_request)["params"][0]["feePayer"]
        assert named == f"{payment.page_url}/fee"
        return str(named).replace(PUBLIC_URL, f"http://{self.till.daemon.http}")

    def ask(self, payment: Any, raw: bytes, method: str = "eth_signRawTransaction") -> Any:
        """Send a transaction as a program may."""
        request = {"jsonrpc": "2.0", "id": 7, "method": method, "params": ["0x" + raw.hex()]}
        return httpx.post(self.address(payment), json=request, timeout=30).json()

    def balances(self, customer: str) -> tuple[int, int]:
        """What the customer has of the payment's token, and the sponsor of its fee's."""
        chain = self.till.chain
        address = Account.from_key(customer).address
        return chain.balance(ALPHA, address), chain.balance(BETA, chain.accounts[SPONSOR])


@pytest.fixture(scope="module")
def folder(viem: Path) -> Path:
    """With viem, a wallet and a sponsor."""
    (viem / "service.js").write_text(SERVICE)
    (viem / "wallet.js").write_text(WALLET)
    return viem


@pytest.fixture(scope="module")
def shop(anvil: Path, module_place: Place, folder: Path) -> Iterator[Shop]:
    with running_chain(anvil) as chain:
        port = any_free()
        service = start_service(folder, chain, port)
        settings = {
            "TEMPO_FEE_SPONSOR_URL": f"http://{HOST}:{port}/tp_key",
            "PAYD_HTTP_PUBLIC_URL": PUBLIC_URL,
            "PAYD_HTTP_PAGE_KEY": "k" * 32,
        }
        try:
            with open_till(module_place, chain, **settings) as till:
                yield Shop(till=till, folder=folder, service=service)
        finally:
            service.kill()
            service.wait()


def start_service(folder: Path, chain: Chain, port: int) -> subprocess.Popen[bytes]:
    """Start the sponsor, which has a key and pays in another token than the customer."""
    settings = {"url": chain.url, "key": PRIVATE_KEYS[SPONSOR], "token": BETA, "port": port}
    process = subprocess.Popen(
        ["node", "service.js"], cwd=folder, env={**os.environ, "SERVICE": json.dumps(settings)}
    )

    def answers() -> None:
        httpx.post(f"http://{HOST}:{port}/", json={}, timeout=5)

    wait_until(succeeds(answers, httpx.HTTPError), "the sponsor starts", process=process)
    return process


def by_pytempo(payment: Any, *more: Any, nonce_key: int, key: str = PRIVATE_KEYS[0]) -> bytes:
    """A transaction as the service's protocol wants it, which pytempo does not write."""
    asked = due(payment)
    call = TIP20(asked.token_address).transfer_with_memo(
        to=asked.receiver_address, amount=units(payment), memo=asked.memo_text.encode()
    )
    signed = TempoTransaction.create(
        chain_id=CHAIN_ID,
        gas_limit=1_000_000,
        max_fee_per_gas=25_000_000_000,
        max_priority_fee_per_gas=1_000_000_000,
        nonce_key=nonce_key,
        valid_before=int(time.time()) + 600,
        calls=(call, *more),
        awaiting_fee_payer=True,
    ).sign(key)
    parts = rlp.decode(signed.encode()[1:])
    parts[11] = b"\0"
    return b"\x76" + bytes(rlp.encode(parts))


def is_paid(shop: Shop, payment: Any) -> Any:
    shop.till.catch_up()
    after = shop.till.newest(payment)
    assert standing(after) == ("COMPLETED", units(payment), units(payment), [])
    return after


@pytest.mark.parametrize(("policy", "nonce_key"), [("sign-only", 1), ("sign-and-broadcast", 2)])
def test_a_customer_pays_the_amount_and_the_sponsor_the_fee(
    shop: Shop, policy: str, nonce_key: int
) -> None:
    payment, customer = shop.till.start(), shop.customer()
    before = shop.balances(customer)
    done = shop.wallet(payment, nonce_key, customer, policy=policy)
    assert done.returncode == 0, done.stdout + done.stderr

    [receipt] = is_paid(shop, payment).receipts
    after = shop.balances(customer)
    assert receipt.transaction == done.stdout.strip()
    assert receipt.sender == Account.from_key(customer).address.lower()
    assert (before[0] - after[0], before[1] > after[1]) == (units(payment), True)


def test_a_wallet_receives_the_reason_why_no_sponsor_is_asked(shop: Shop) -> None:
    """The wallet sends something else than the request said."""
    payment, customer = shop.till.start(), shop.customer()
    before = shop.balances(customer)
    done = shop.wallet(payment, 3, customer, more={"to": shop.till.chain.accounts[5]})
    assert done.returncode == 3
    assert "payd asks no sponsor for this transaction: it does not transfer" in done.stdout
    assert shop.balances(customer) == before


def test_a_call_that_is_appended_reaches_no_sponsor(shop: Shop) -> None:
    payment = shop.till.start()
    another = TIP20(ALPHA).transfer(to=shop.till.chain.accounts[5], amount=1)
    answer = shop.ask(payment, by_pytempo(payment, another, nonce_key=4))
    assert answer["id"] == 7
    assert answer["error"]["code"] == -32602
    assert "it has 2 calls" in answer["error"]["message"]


def test_the_transfer_of_one_payment_is_not_sponsored_for_another(shop: Shop) -> None:
    mine, other = shop.till.start(), shop.till.start()
    assert "memo" in shop.ask(other, by_pytempo(mine, nonce_key=5))["error"]["message"]


def test_a_transfer_that_would_fail_is_not_sponsored(shop: Shop) -> None:
    """The account has no tokens, and the sponsor would pay for the failure."""
    payment = shop.till.start()
    raw = by_pytempo(payment, nonce_key=6, key=Account.create().key.to_0x_hex())
    assert "the transfer would fail" in shop.ask(payment, raw)["error"]["message"]


def test_a_payment_has_one_transaction_with_the_sponsor_at_a_time(shop: Shop) -> None:
    payment = shop.till.start()
    key = shop.customer()
    first = by_pytempo(payment, nonce_key=7, key=key)
    second = by_pytempo(payment, nonce_key=7, key=shop.customer())
    signed = shop.ask(payment, first)["result"]
    assert "the payment has another one" in shop.ask(payment, second)["error"]["message"]
    assert shop.ask(payment, first)["result"] == signed, "a wallet may try again"

    by_other = by_pytempo(other := shop.till.start(), nonce_key=8, key=key)
    assert "the account has another one" in shop.ask(other, by_other)["error"]["message"]

    shop.till.chain.rpc("eth_sendRawTransaction", signed)
    is_paid(shop, payment)
    assert "waits for no transfer" in shop.ask(payment, first)["error"]["message"]


def test_only_methods_of_signed_transactions_are_forwarded(shop: Shop) -> None:
    payment = shop.till.start()
    answer = shop.ask(payment, b"", method="eth_fillTransaction")
    assert answer["error"]["code"] == -32601
    for body in (b"", b"[]", b"{", b'{"method": 7}', b'{"method": "x", "id": {}}'):
        answer = httpx.post(shop.address(payment), content=body, timeout=30).json()
        assert answer["error"]["code"] == -32600


def test_a_payment_goes_on_without_its_sponsor(shop: Shop) -> None:
    payment = shop.till.start()
    shop.service.kill()
    shop.service.wait()
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_signRawTransaction"}
    raw = "0x" + by_pytempo(payment, nonce_key=9).hex()
    away = httpx.post(shop.address(payment), json=request | {"params": [raw]}, timeout=30)
    assert (away.status_code, away.json()["title"]) == (503, "PROVIDER_UNAVAILABLE")

    shop.till.pay(payment)
    is_paid(shop, payment)


def test_the_books_agree_with_the_chain(shop: Shop) -> None:
    assert shop.till.audit()["balanced"]

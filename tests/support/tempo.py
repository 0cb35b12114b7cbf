"""A real TIP-20 chain for the tests: anvil in Tempo mode, customers, and a daemon on it."""

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from eth_utils.crypto import keccak
from tempo_provider.companion.anvil import CHAIN_ID, MASTER_SALT, anvil_argv
from tempo_provider.contracts import REGISTRY, register_calldata

from payd.dev.ports import HOST, any_free
from support.daemon import Client, Daemon, Place, a_request
from support.plain_http import NO_TLS
from support.waiting import succeeds, wait_until

ALPHA = "0x20c0000000000000000000000000000000000001"
BETA = "0x20c0000000000000000000000000000000000002"
THETA = "0x20c0000000000000000000000000000000000003"
RECEIVER = "0x" + "7ea5" * 10
MEMO_KEY = "memo key of the tests"
#: Accounts of the mnemonic that every local chain uses: test test … junk.
PRIVATE_KEYS = (
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
)
#: Number of newer blocks that make a block final.
FINAL = 2


class Chain:
    """One anvil that mines on request only, so that a test knows the content of each block."""

    def __init__(self, anvil: Path, *options: str) -> None:
        self.port = any_free()
        self.url = f"http://{HOST}:{self.port}"
        argv = anvil_argv(anvil, HOST, self.port, *(options or ("--no-mining",)))
        self.process = subprocess.Popen(argv)
        self._http = httpx.Client(verify=NO_TLS, timeout=300)
        self._wait_ready()
        self.accounts: list[str] = self.rpc("eth_accounts")

    def close(self) -> None:
        self._http.close()
        self.process.kill()
        self.process.wait()

    def rpc(self, method: str, *params: Any) -> Any:
        """Call the node and return the result; fail with the node's error."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self._http.post(self.url, json=request).json()
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def mine(self, blocks: int = 1, apart_s: int = 1) -> None:
        """Mine blocks, each `apart_s` after the one before."""
        self.rpc("anvil_mine", hex(blocks), hex(apart_s))

    def finalize(self) -> None:
        """Mine until everything sent so far is final."""
        self.mine(1 + FINAL)

    def head(self) -> int:
        """Number of the newest block."""
        return int(self.rpc("eth_blockNumber"), 16)

    def final(self) -> int:
        """Number of the newest final block."""
        return int(self.rpc("eth_getBlockByNumber", "finalized", False)["number"], 16)

    def time(self) -> int:
        """Time of the newest block, in Unix seconds."""
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def set_next_time(self, seconds: int) -> None:
        """Set the time of the next block."""
        self.rpc("evm_setNextBlockTimestamp", hex(seconds))

    def send(self, to: str, data: str, sender: int = 0, gas: int = 2_000_000) -> str:
        """Send a transaction; return its hash, before it is in a block."""
        transaction = {"from": self.accounts[sender], "to": to, "data": data, "gas": hex(gas)}
        return str(self.rpc("eth_sendTransaction", transaction))

    def transfer(
        self, token: str, amount: int, memo: str | None, to: str = RECEIVER, sender: int = 0
    ) -> str:
        """Transfer as a customer, with or without a memo."""
        return self.send(token, transfer_data(to, amount, memo), sender)

    def batch(self, calls: Sequence[tuple[str, str]], sender: int = 0) -> str:
        """Send one 0x76 transaction of several calls (token, calldata), which is atomic.

        `sender` is 0 or 1.
        """
        from pytempo import Call, TempoTransaction

        transaction = TempoTransaction.create(
            chain_id=CHAIN_ID,
            gas_limit=5_000_000,
            max_fee_per_gas=100_000_000_000,
            max_priority_fee_per_gas=1_000_000_000,
            nonce=int(self.rpc("eth_getTransactionCount", self.accounts[sender], "pending"), 16),
            calls=tuple(Call.create(to=to, data=data, value=0) for to, data in calls),
        )
        return str(
            self.rpc(
                "eth_sendRawTransaction",
                "0x" + transaction.sign(PRIVATE_KEYS[sender]).encode().hex(),
            )
        )

    def register_master(self) -> str:
        """Register account 0 as a master, in a block of its own."""
        sent = self.send(REGISTRY, register_calldata(MASTER_SALT))
        self.mine()
        return sent

    def put_master(self, master_id: str, account: str) -> None:
        """Write an account into the registry as a master, without the proof of work."""
        slot = "0x" + keccak(bytes.fromhex(_word(master_id)) + bytes(32)).hex()
        self.rpc("anvil_setStorageAt", REGISTRY, slot, f"0x{_word(account)}")

    def drop_waiting(self) -> None:
        """Forget the transactions that are in no block."""
        self.rpc("anvil_dropAllTransactions")

    def succeeded(self, transaction: str) -> bool:
        """Whether the transaction is in a block and was not reverted."""
        receipt = self.rpc("eth_getTransactionReceipt", transaction)
        return receipt is not None and int(receipt["status"], 16) == 1

    def balance(self, token: str, account: str = RECEIVER) -> int:
        """Current balance in base units."""
        data = f"0x70a08231{_word(account)}"
        return int(self.rpc("eth_call", {"to": token, "data": data}, "latest"), 16)

    def reorg(self, depth: int) -> None:
        """Replace the newest blocks by empty ones."""
        self.rpc("anvil_reorg", depth, [])

    def _wait_ready(self) -> None:
        started = succeeds(lambda: self.rpc("eth_chainId"), httpx.HTTPError)
        wait_until(started, "the chain starts", process=self.process)


def transfer_data(to: str, amount: int, memo: str | None) -> str:
    """Build the calldata of transferWithMemo, or of transfer."""
    if memo is None:
        return f"0xa9059cbb{_word(to)}{amount:064x}"
    return f"0x95777d59{_word(to)}{amount:064x}{memo[2:]}"


def _word(value: str) -> str:
    return value[2:].lower().rjust(64, "0")


@contextlib.contextmanager
def running_chain(anvil: Path, *options: str) -> Iterator[Chain]:
    """Run a chain until the end of the block."""
    chain = Chain(anvil, *options)
    try:
        yield chain
    finally:
        chain.close()


def tempo_environment(*urls: str, **more: str) -> dict[str, str]:
    """Environment of a daemon that takes tokens on the chain behind these endpoints."""
    return {
        "MOCK_METHODS": "mock",
        "TEMPO_ENABLED": "true",
        "TEMPO_RPC_URL": ",".join(urls),
        "TEMPO_CHAIN_ID": str(CHAIN_ID),
        "TEMPO_RECEIVER_ADDRESS": RECEIVER,
        "TEMPO_MEMO_KEY": MEMO_KEY,
        "TEMPO_POLL_INTERVAL_S": "0.05",
        **more,
    }


@contextlib.contextmanager
def running_with_tokens(
    place: Place, *urls: str, **environment: str
) -> Iterator[tuple[Daemon, Client]]:
    """Run a daemon that takes tokens, with a client."""
    daemon = Daemon(place, **tempo_environment(*urls, **environment))
    try:
        daemon.wait_started()
        with daemon.client() as client:
            yield daemon, client
    finally:
        if daemon.process.poll() is None:
            daemon.process.kill()
        daemon.wait_ended()


def a_token_request(key: str = "", currency: str = "USDC", **fields: Any) -> Any:
    """Build an InitiatePayment request in tokens: 149 USD."""
    request = a_request(key=key, method="crypto", **fields)
    request.crypto_currency = currency
    return request


def due(payment: Any) -> Any:
    """Return what the customer has to transfer."""
    return payment.next_action.crypto_transfer


def units(payment: Any) -> int:
    """Return the amount due in base units."""
    return int(due(payment).amount_base_units)

"""`payd tempo pay`: the customer's wallet pays on a local chain, and nowhere else."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.lying_rpc import Json, lying_rpc
from support.tempo import ALPHA, BETA, CHAIN_ID, RECEIVER, Chain, running_chain
from tempo_provider.commands import pay
from tempo_provider.config import TempoConfig

from payd.plugins import CommandContext

MEMO, OTHER_MEMO = "0x" + "5a" * 32, "0x" + "11" * 32
DUE = 149_000_000
#: What a payment asked to pay, beside our account.
OWN_ADDRESS = "0x" + "0a" * 20
#: keccak of TransferWithMemo(address,address,uint256,bytes32)
WITH_MEMO = "0x57bc7354aa85aed339e000bccffabbc529466af35f0772c8f8ee1145927de7f0"
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
WAITING = {
    "id": "7",
    "status": "PAYMENT_STATUS_PENDING",
    "next_action": {
        "crypto_transfer": {
            "token_address": ALPHA,
            "receiver_address": RECEIVER,
            "amount_base_units": str(DUE),
            "memo": MEMO,
        }
    },
}

Wallet = Callable[..., Result]


@pytest.fixture(scope="module")
def mining(anvil: Path) -> Iterator[Chain]:
    """It mines by itself, like the chain of `payd dev`."""
    with running_chain(anvil, "--block-time", "0.1") as chain:
        yield chain


@pytest.fixture
def wallet(mining: Chain) -> Wallet:
    return wallet_at(mining.url)


def wallet_at(url: str, payment: Mapping[str, Any] = WAITING) -> Wallet:
    """`payd tempo pay 7`, with what payd gives to a provider's command."""
    settings = {"receiver_address": RECEIVER, "rpc_url": url, "chain_id": CHAIN_ID}
    config = TempoConfig.model_validate(settings)
    context = CommandContext(config=config, dev={}, get_payment=lambda _: payment)
    return lambda *arguments: CliRunner().invoke(pay, ["7", *arguments], obj=context)


def memos(chain: Chain, result: Result) -> list[str]:
    """Memos of the transfers in the transaction that the wallet printed."""
    transaction = result.output.split("transaction ")[1].split()[0]
    logs = chain.rpc("eth_getTransactionReceipt", transaction)["logs"]
    return [log["topics"][3] for log in logs if log["topics"][0] == WITH_MEMO]


def test_it_pays_what_is_due_with_the_payments_memo(mining: Chain, wallet: Wallet) -> None:
    before = mining.balance(ALPHA)
    result = wallet()
    assert result.exit_code == 0, result.output
    assert f"sent 149.000000 of {ALPHA}" in result.output
    assert mining.balance(ALPHA) - before == DUE
    assert memos(mining, result) == [MEMO]


@pytest.mark.parametrize("token", ["USDT", BETA])
def test_options_change_what_it_pays(mining: Chain, wallet: Wallet, token: str) -> None:
    before, mine = mining.balance(BETA), mining.balance(BETA, mining.accounts[3])
    result = wallet(
        *("--amount", "0.000001", "--token", token, "--memo", OTHER_MEMO, "--from", "3"),
    )
    assert result.exit_code == 0, result.output
    assert mining.balance(BETA) - before == 1
    assert mining.balance(BETA, mining.accounts[3]) < mine
    assert memos(mining, result) == [OTHER_MEMO]


@pytest.mark.parametrize("option", ["--plain", "--without-memo"])
def test_it_transfers_without_a_memo_as_many_wallets_do(
    mining: Chain, wallet: Wallet, option: str
) -> None:
    before = mining.balance(ALPHA)
    result = wallet(option)
    assert result.exit_code == 0, result.output
    assert mining.balance(ALPHA) - before == DUE
    assert memos(mining, result) == []


def test_it_pays_with_a_memo_that_a_person_types(mining: Chain, wallet: Wallet) -> None:
    typed = wallet("--memo-text", "81h455vb4pex5vsknk084sn02q3ravhx")
    assert memos(mining, typed) == ["0x" + b"81h455vb4pex5vsknk084sn02q3ravhx".hex()]
    short = wallet("--memo-text", "INV-7")
    assert memos(mining, short) == ["0x" + b"INV-7".ljust(32, b"\0").hex()]


def test_it_pays_as_an_exchange_among_others_in_one_transaction(
    mining: Chain, wallet: Wallet
) -> None:
    before = mining.balance(ALPHA)
    result = wallet("--from-exchange")
    assert result.exit_code == 0, result.output
    assert mining.balance(ALPHA) - before == DUE
    assert memos(mining, result) == [MEMO]
    transaction = result.output.split("transaction ")[1].split()[0]
    logs = mining.rpc("eth_getTransactionReceipt", transaction)["logs"]
    receivers = {log["topics"][2] for log in logs if log["topics"][0] == TRANSFER}
    assert len(receivers) >= 3


def test_an_exchange_may_leave_out_the_memo(mining: Chain, wallet: Wallet) -> None:
    assert memos(mining, wallet("--from-exchange", "--plain")) == []


def test_only_one_memo_can_be_sent(wallet: Wallet) -> None:
    refused = wallet("--memo-text", "INV-7", "--plain")
    assert refused.exit_code == 2
    assert "exclude each other" in refused.output


def test_a_transfer_that_the_chain_refuses_is_reported(wallet: Wallet) -> None:
    result = wallet("--amount", "1" + "0" * 30)
    assert result.exit_code == 1
    assert "InsufficientBalance" in result.output or "reverted" in result.output


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--amount", "much", "'much' is not an amount"),
        ("--amount", "nan", "'nan' is not an amount"),
        ("--amount", "1e999999", "is not an amount"),
        ("--amount=-1", None, "'-1' is not an amount"),
        ("--amount", "0.0000001", "more than 6 decimals"),
        ("--token", "DOGE", "nor one of USDC, USDT"),
        ("--token", ALPHA[:-1], "is neither an address"),
        ("--memo", "invoice 7", "is not 0x-hex of at most 32 bytes"),
        ("--memo", MEMO + "00", "is not 0x-hex of at most 32 bytes"),
        ("--memo-text", "x" * 33, "has 33 bytes, a memo at most 32"),
        ("--from", "10", "--from"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    wallet: Wallet, option: str, value: str | None, message: str
) -> None:
    refused = wallet(option, *([value] if value else []))
    assert refused.exit_code == 2, refused.output
    assert message in refused.output


def test_a_closed_payment_is_paid_late_with_what_its_page_said(mining: Chain) -> None:
    closed = {
        "id": "7",
        "status": "PAYMENT_STATUS_EXPIRED",
        "provider_reference": MEMO,
        "crypto": {
            "due_base_units": str(DUE),
            "token_address": ALPHA,
            "receiver_address": OWN_ADDRESS,
        },
    }
    before = mining.balance(ALPHA, OWN_ADDRESS)
    result = wallet_at(mining.url, closed)("--late")
    assert result.exit_code == 0, result.output
    assert mining.balance(ALPHA, OWN_ADDRESS) - before == DUE
    assert memos(mining, result) == [MEMO]


@pytest.mark.parametrize(
    ("crypto", "option"),
    [
        pytest.param({}, [], id="without the option"),
        pytest.param({}, ["--late"], id="that was never paid in tokens"),
        pytest.param({"receiver_address": ""}, ["--late"], id="that never asked for a transfer"),
    ],
)
def test_a_payment_that_waits_for_no_transfer_is_not_paid(
    mining: Chain, crypto: Mapping[str, str], option: Sequence[str]
) -> None:
    ended = {"id": "7", "status": "PAYMENT_STATUS_EXPIRED", "crypto": crypto}
    before = mining.balance(ALPHA)
    refused = wallet_at(mining.url, ended)(*option)
    assert refused.exit_code == 1
    assert "the payment is EXPIRED and expects no transfer" in refused.output
    assert mining.balance(ALPHA) == before


@pytest.mark.parametrize(
    ("method", "answer", "message"),
    [
        ("web3_clientVersion", "tempo/v1.0.0", "is tempo/v1.0.0, not a local chain"),
        ("eth_chainId", hex(4217), "is chain 4217"),
    ],
)
def test_a_chain_that_is_not_local_is_left_alone(
    mining: Chain, method: str, answer: str, message: str
) -> None:
    """On such a chain the test accounts would hold real money."""

    def lie(asked: Json, said: Json) -> Json:
        return said | {"result": answer} if asked["method"] == method else said

    with lying_rpc(mining) as node:
        node.lies(lie)
        refused = wallet_at(node.url)()
    assert refused.exit_code == 1
    assert message in refused.output
    assert node.asked["eth_sendTransaction"] == 0


def test_an_unreachable_chain_is_reported() -> None:
    refused = wallet_at("http://127.0.0.1:9")()
    assert refused.exit_code == 1
    assert "no chain at http://127.0.0.1:9" in refused.output

"""`payd tempo refund`: the merchant's wallet sends a refund on a local chain, and nowhere else."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.lying_rpc import Json, lying_rpc
from support.tempo import ALPHA, BETA, CHAIN_ID, RECEIVER, Chain, running_chain
from support.waiting import wait_until
from tempo_provider.commands import refund
from tempo_provider.config import TempoConfig

from payd.plugins import CommandContext

MEMO = "0x" + "47" * 32
AMOUNT = 40_000_000
CUSTOMER, STRANGER = "0x" + "cd" * 20, "0x" + "ef" * 20
#: keccak of TransferWithMemo(address,address,uint256,bytes32)
WITH_MEMO = "0x57bc7354aa85aed339e000bccffabbc529466af35f0772c8f8ee1145927de7f0"
WAITING = {
    "id": "9",
    "status": "REFUND_STATUS_AWAITING_TRANSFER",
    "next_action": {
        "crypto_transfer": {
            "token_address": ALPHA,
            "receiver_address": CUSTOMER,
            "amount_base_units": str(AMOUNT),
            "memo": MEMO,
        }
    },
}


@pytest.fixture(scope="module")
def mining(anvil: Path) -> Iterator[Chain]:
    """It mines by itself, like the chain of `payd dev`; customers have paid."""
    with running_chain(anvil, "--block-time", "0.1") as chain:
        for token in (ALPHA, BETA):
            sent_to_us = chain.transfer(token, 10 * AMOUNT, None)
            wait_until(partial(chain.succeeded, sent_to_us), "the customer has paid")
        yield chain


def treasurer(url: str, *arguments: str, found: Mapping[str, Any] = WAITING) -> Result:
    """`payd tempo refund 9`, with what payd gives to a provider's command."""
    settings = {"receiver_address": RECEIVER, "rpc_url": url, "chain_id": CHAIN_ID}
    context = CommandContext(
        config=TempoConfig.model_validate(settings),
        dev={},
        get_payment=lambda _: {},
        get_refund=lambda _: found,
    )
    return CliRunner().invoke(refund, ["9", *arguments], obj=context)


def sent(chain: Chain, result: Result) -> list[tuple[str, str, int, str]]:
    """Token, receiver, amount and memo of each transfer with a memo that the wallet printed."""
    transaction = result.output.split("transaction ")[1].split()[0]
    logs = chain.rpc("eth_getTransactionReceipt", transaction)["logs"]
    return [
        (one["address"], "0x" + one["topics"][2][26:], int(one["data"], 16), one["topics"][3])
        for one in logs
        if one["topics"][0] == WITH_MEMO
    ]


def test_it_sends_what_the_refund_says_from_the_receiver(mining: Chain) -> None:
    before = mining.balance(ALPHA)
    result = treasurer(mining.url)
    assert result.exit_code == 0, result.output
    assert f"sent 40.000000 of {ALPHA}" in result.output
    assert sent(mining, result) == [(ALPHA, CUSTOMER, AMOUNT, MEMO)]
    assert mining.balance(ALPHA, CUSTOMER) == AMOUNT
    assert mining.balance(ALPHA) <= before - AMOUNT, "and it pays the fee"


def test_options_play_what_a_person_gets_wrong(mining: Chain) -> None:
    result = treasurer(mining.url, "--amount", "0.5", "--token", "USDT", "--to", STRANGER)
    assert result.exit_code == 0, result.output
    assert sent(mining, result) == [(BETA, STRANGER, 500_000, MEMO)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--amount", "much"], "'much' is not an amount"),
        (["--token", "DOGE"], "nor one of USDC, USDT"),
        (["--to", "my bank"], "is not 0x-hex"),
    ],
)
def test_what_cannot_be_meant_is_refused(mining: Chain, arguments: list[str], message: str) -> None:
    refused = treasurer(mining.url, *arguments)
    assert refused.exit_code == 2, refused.output
    assert message in refused.output


def test_a_refund_that_waits_for_no_transfer_is_not_sent(mining: Chain) -> None:
    done = {"id": "9", "status": "REFUND_STATUS_SUCCEEDED"}
    before = mining.balance(ALPHA)
    refused = treasurer(mining.url, found=done)
    assert refused.exit_code == 1
    assert "the refund is SUCCEEDED and expects no transfer" in refused.output
    assert mining.balance(ALPHA) == before


def test_a_chain_that_is_not_local_is_left_alone(mining: Chain) -> None:
    def lie(asked: Json, answer: Json) -> Json:
        is_asked = asked["method"] == "web3_clientVersion"
        return answer | {"result": "tempo/v1.0.0"} if is_asked else answer

    with lying_rpc(mining) as node:
        node.lies(lie)
        refused = treasurer(node.url)
    assert refused.exit_code == 1
    assert "not a local chain" in refused.output
    assert node.asked["anvil_impersonateAccount"] == 0
    assert node.asked["eth_sendTransaction"] == 0

"""The page asks a wallet in the browser for exactly what is left, in two forms."""

import json
from typing import Any

import attrs
import pytest
from support.page_gallery import (
    CHAIN_ID,
    DUE,
    METHODS,
    RECEIVER,
    TEXT_MEMO,
    TOKEN,
    a_payment,
    a_transfer,
)
from support.tempo import transfer_data

from payd.domain.payment import Status
from payd.domain.sums import ReceiptSums
from payd.transport.http.pages.wallet import transfer_call, wallet_requests

METHOD = METHODS[2].method
ACTION = a_transfer(TEXT_MEMO)
HALF = 74_500_000


def asked(received: int = 0, memo: str = TEXT_MEMO, **changes: Any) -> Any:
    """What a payment's page asks of a wallet, of which a part has arrived."""
    action = attrs.evolve(a_transfer(memo), **changes)
    sums = ReceiptSums(confirmed=(received, 0, 0))
    payment = a_payment(1, status=Status.PROCESSING, next_action=action, sums=sums)
    return json.loads(wallet_requests(payment, action, METHOD))


def test_the_networks_own_request_comes_first_and_a_plain_call_behind_it() -> None:
    assert asked() == {
        "chainId": hex(CHAIN_ID),
        "requests": [
            {
                "method": "wallet_transfer",
                "params": [
                    {
                        "amount": "149.000000",
                        "chainId": CHAIN_ID,
                        "memo": bytes.fromhex(TEXT_MEMO[2:]).decode(),
                        "to": RECEIVER,
                        "token": TOKEN,
                    }
                ],
            },
            {
                "method": "eth_sendTransaction",
                "params": [
                    {
                        "to": TOKEN,
                        "data": transfer_data(RECEIVER, DUE, TEXT_MEMO),
                        "value": "0x0",
                        "chainId": hex(CHAIN_ID),
                    }
                ],
            },
        ],
    }


def test_of_a_partly_paid_payment_both_ask_for_the_rest() -> None:
    own, call = asked(received=HALF)["requests"]
    assert own["params"][0]["amount"] == "74.500000"
    assert call["params"][0]["data"] == transfer_data(RECEIVER, DUE - HALF, TEXT_MEMO)


def test_a_memo_that_no_person_can_type_is_in_the_call_alone() -> None:
    memo = "0x" + "9f" * 32
    [call] = asked(memo=memo)["requests"]
    assert call["params"][0]["data"] == transfer_data(RECEIVER, DUE, memo)


def test_a_call_whose_amount_cannot_be_lowered_is_left_out() -> None:
    twice = transfer_data(RECEIVER, DUE, f"0x{DUE:064x}")
    assert transfer_call(attrs.evolve(ACTION, calldata=twice), DUE) == twice
    assert transfer_call(attrs.evolve(ACTION, calldata=twice), HALF) == ""
    [own] = asked(received=HALF, calldata=twice)["requests"]
    assert own["method"] == "wallet_transfer"


@pytest.mark.parametrize("calldata", ["", "0x", "0x95777d59"])
def test_a_provider_without_a_call_has_none_for_the_rest(calldata: str) -> None:
    assert transfer_call(attrs.evolve(ACTION, calldata=calldata), HALF) == ""


def test_nothing_is_asked_for_a_token_that_has_gone() -> None:
    assert wallet_requests(a_payment(1, next_action=ACTION), ACTION, None) == ""


def test_nothing_is_asked_where_there_is_no_request() -> None:
    action = attrs.evolve(a_transfer("0x" + "9f" * 32), calldata="")
    assert wallet_requests(a_payment(1, next_action=action), action, METHOD) == ""

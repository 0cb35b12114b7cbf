"""The request that a page hands to a wallet: what is missing, with the memo, and nothing else."""

import json
from typing import Any

import attrs
import pytest
from unit.service.situations import in_tokens, on_a_chain, receipt, received
from unit.service.world import USDC, World

from payd.codec.messages import payment_message
from payd.domain.next_action import CryptoTransfer
from payd.domain.payment import Payment, Status
from payd.plugins.interface import CryptoCurrency
from payd.service.wallet_request import request_of_method, wallet_request

MEMO = b"81H455VB4PEX5VSKNK084SN02Q3RAVHX"
RECEIVER = "0x" + "7e" * 20
TRANSFERABLE = attrs.evolve(USDC, wallet_method="wallet_transfer")
ACTION = CryptoTransfer(
    currency="USDC",
    chain_id=USDC.chain_id,
    token_address=USDC.token_address,
    receiver_address=RECEIVER,
    amount_base_units=149_000_000,
    decimals=6,
    memo="0x" + MEMO.hex(),
    calldata="0x",
    payment_uri="",
)


@pytest.fixture
def chain() -> World:
    return on_a_chain()


async def waiting(chain: World, **changes: Any) -> Payment:
    return attrs.evolve(await in_tokens(chain), **{"next_action": ACTION, **changes})


def offering(chain: World, *tokens: CryptoCurrency) -> Any:
    registered = chain.providers.by_method("crypto")
    assert registered is not None
    method = attrs.evolve(registered.method, crypto_currencies=tokens)
    return type(chain.providers)(attrs.evolve(registered, method=method))


async def test_it_asks_for_the_amount_with_the_memo_as_text(chain: World) -> None:
    request = wallet_request(await waiting(chain), offering(chain, TRANSFERABLE))
    assert json.loads(request) == {
        "method": "wallet_transfer",
        "params": [
            {
                "amount": "149.000000",
                "chainId": USDC.chain_id,
                "memo": MEMO.decode(),
                "to": RECEIVER,
                "token": USDC.token_address,
            }
        ],
    }


async def test_it_names_the_service_that_pays_the_fees(chain: World) -> None:
    sponsored = attrs.evolve(TRANSFERABLE, fee_payer_url="https://fees.example")
    request = wallet_request(await waiting(chain), offering(chain, sponsored))
    assert json.loads(request)["params"][0]["feePayer"] == "https://fees.example"


async def test_of_a_partly_paid_payment_it_asks_for_the_rest(chain: World) -> None:
    payment = await in_tokens(chain)
    await received(chain, payment, receipt(chain, "0xaa:1", 48_999_999))
    partly = attrs.evolve(await chain.newest(payment), next_action=ACTION)
    request = wallet_request(partly, offering(chain, TRANSFERABLE))
    assert json.loads(request)["params"][0]["amount"] == "100.000001"


@pytest.mark.parametrize(
    "changes",
    [
        {"status": Status.COMPLETED},
        {"next_action": None},
        {"next_action": attrs.evolve(ACTION, memo="0x" + "9f" * 32)},
        {"snapshot_received": 149_000_000},
        {"crypto": None},
    ],
)
async def test_there_is_none_where_a_wallet_could_not_make_it(
    chain: World, changes: dict[str, Any]
) -> None:
    assert wallet_request(await waiting(chain, **changes), offering(chain, TRANSFERABLE)) == ""


async def test_there_is_none_for_a_network_without_such_wallets(chain: World) -> None:
    payment = await waiting(chain)
    assert wallet_request(payment, offering(chain, USDC)) == ""
    chain.providers.disabled = True
    assert wallet_request(payment, chain.providers) == ""


async def test_an_answer_about_a_payment_has_it_and_an_event_does_not(chain: World) -> None:
    payment = await waiting(chain)
    chain.providers = offering(chain, TRANSFERABLE)
    answer = await chain.services.message(payment)
    assert "wallet_transfer" in answer.next_action.crypto_transfer.wallet_request
    assert payment_message(payment).next_action.crypto_transfer.wallet_request == ""


async def test_it_names_payds_own_address_where_the_provider_knows_a_sponsor(chain: World) -> None:
    offered = offering(chain, attrs.evolve(TRANSFERABLE, is_sponsored=True))
    request = wallet_request(await waiting(chain), offered, "https://pay.example/pay/token")
    assert json.loads(request)["params"][0]["feePayer"] == "https://pay.example/pay/token/fee"
    without_pages = wallet_request(await waiting(chain), offered)
    assert "feePayer" not in json.loads(without_pages)["params"][0]


async def test_the_page_of_a_sponsored_payment_comes_before_the_service(chain: World) -> None:
    payment, page = await waiting(chain), "https://pay.example/pay/token"
    served = attrs.evolve(TRANSFERABLE, fee_payer_url="https://fees.example")

    def fee_payer(token: CryptoCurrency, page_url: str) -> str:
        request = wallet_request(payment, offering(chain, token), page_url)
        return str(json.loads(request)["params"][0]["feePayer"])

    assert fee_payer(attrs.evolve(served, is_sponsored=True), page) == f"{page}/fee"
    assert fee_payer(attrs.evolve(served, is_sponsored=True), "") == "https://fees.example"
    assert fee_payer(served, page) == "https://fees.example"


async def test_it_is_the_same_where_the_method_is_known(chain: World) -> None:
    payment = await waiting(chain)
    offered = offering(chain, attrs.evolve(TRANSFERABLE, is_sponsored=True))
    method = offered.by_method("crypto").method
    assert request_of_method(payment, method) == wallet_request(payment, offered)
    assert request_of_method(attrs.evolve(payment, next_action=None), method) == ""


async def test_it_asks_for_the_last_unit(chain: World) -> None:
    payment = await waiting(chain, snapshot_received=148_999_999)
    request = wallet_request(payment, offering(chain, TRANSFERABLE))
    assert json.loads(request)["params"][0]["amount"] == "0.000001"


async def test_a_transfer_without_a_memo_is_asked_for_without_one(chain: World) -> None:
    payment = await waiting(chain, next_action=attrs.evolve(ACTION, memo=""))
    request = wallet_request(payment, offering(chain, TRANSFERABLE))
    assert "memo" not in json.loads(request)["params"][0]

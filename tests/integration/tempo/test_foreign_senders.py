"""Customers whose software knows nothing of payd: it gets what a person can copy from the page.

pytempo and viem build their own transactions, with their own idea of a memo's padding; web3.py
sends the plain transfer of any ERC-20 token, as exchanges do, which pays where each payment has an
address.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from integration.tempo.till import Till, open_till, own_addresses, standing
from integration.tempo.viem import PATIENCE_S
from pytempo import TempoTransaction, as_address
from pytempo.contracts import TIP20
from support.daemon import Place
from support.tempo import ALPHA, CHAIN_ID, PRIVATE_KEYS, due, running_chain, units
from web3 import HTTPProvider, Web3

#: The part of the ERC-20 standard that every wallet knows.
ERC20 = [
    {
        "type": "function",
        "name": "transfer",
        "stateMutability": "nonpayable",
        "inputs": [{"name": "to", "type": "address"}, {"name": "value", "type": "uint256"}],
        "outputs": [{"name": "", "type": "bool"}],
    }
]
TRANSFER = """
import { createClient, http, parseUnits, stringToHex } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { tempoModerato } from 'viem/chains'
import { Actions } from 'viem/tempo'

const { url, key, request } = JSON.parse(process.env.TRANSFER)
const [{ token, to, amount, memo }] = request.params
const client = createClient({
  account: privateKeyToAccount(key),
  chain: tempoModerato,
  transport: http(url),
})
const text = memo && { memo: stringToHex(memo) }
const transfer = { token, to, amount: parseUnits(amount, 6), ...text }
console.log(await Actions.token.transfer(client, transfer))
"""


def is_paid(till: Till, payment: Any) -> Any:
    """The payment, once it is completed by exactly what was due."""
    till.catch_up()
    after = till.newest(payment)
    assert standing(after) == ("COMPLETED", units(payment), units(payment), [])
    return after


# -- pytempo ---------------------------------------------------------------------------------------


def send_with_pytempo(till: Till, *calls: Any, fee_payer_key: str = "", account: int = 0) -> str:
    chain = till.chain
    transaction = TempoTransaction.create(
        chain_id=CHAIN_ID,
        gas_limit=2_000_000,
        max_fee_per_gas=100_000_000_000,
        max_priority_fee_per_gas=1_000_000_000,
        nonce=int(chain.rpc("eth_getTransactionCount", chain.accounts[account], "pending"), 16),
        calls=calls,
        awaiting_fee_payer=bool(fee_payer_key),
    ).sign(PRIVATE_KEYS[account])
    if fee_payer_key:
        chosen = attrs.evolve(transaction, fee_token=as_address(ALPHA))
        transaction = chosen.sign(fee_payer_key, for_fee_payer=True)
    return str(chain.rpc("eth_sendRawTransaction", "0x" + transaction.encode().hex()))


def test_pytempo_pays_with_the_memo_as_text(till: Till) -> None:
    payment = till.start()
    asked = due(payment)
    call = TIP20(asked.token_address).transfer_with_memo(
        to=asked.receiver_address, amount=units(payment), memo=asked.memo_text.lower().encode()
    )
    transaction = send_with_pytempo(till, call)

    [receipt] = is_paid(till, payment).receipts
    assert receipt.transaction == transaction
    assert receipt.sender == till.chain.accounts[0].lower()


def test_pytempo_pays_two_payments_in_one_transaction(till: Till) -> None:
    payments = [till.start(), till.start()]
    calls = [
        TIP20(due(one).token_address).transfer_with_memo(
            to=due(one).receiver_address, amount=units(one), memo=bytes.fromhex(due(one).memo[2:])
        )
        for one in payments
    ]
    transaction = send_with_pytempo(till, *calls)

    [first], [second] = (is_paid(till, one).receipts for one in payments)
    assert first.transaction == second.transaction == transaction
    assert first.id != second.id


def test_a_customer_whose_fee_another_account_pays_is_the_sender(till: Till) -> None:
    """As with a service at TEMPO_FEE_PAYER_URL: it adds its signature to the customer's."""
    payment = till.start()
    asked, customer, service = due(payment), *till.chain.accounts[:2]
    before = [till.chain.balance(ALPHA, one) for one in (customer, service)]
    call = TIP20(asked.token_address).transfer_with_memo(
        to=asked.receiver_address, amount=units(payment), memo=asked.memo_text.encode()
    )
    send_with_pytempo(till, call, fee_payer_key=PRIVATE_KEYS[1])

    [receipt] = is_paid(till, payment).receipts
    after = [till.chain.balance(ALPHA, one) for one in (customer, service)]
    assert receipt.sender == customer.lower()
    assert (before[0] - after[0], before[1] > after[1]) == (units(payment), True)


# -- web3.py ---------------------------------------------------------------------------------------


def send_with_web3(till: Till, payment: Any) -> str:
    """A plain transfer of what is due, by account 1."""
    asked = due(payment)
    web3 = Web3(HTTPProvider(till.chain.url))
    token = web3.eth.contract(web3.to_checksum_address(asked.token_address), abi=ERC20)
    receiver = web3.to_checksum_address(asked.receiver_address)
    sender = web3.to_checksum_address(till.chain.accounts[1])
    sent = token.functions.transfer(receiver, units(payment)).transact({"from": sender})
    return str(sent.to_0x_hex())


def test_a_plain_transfer_of_web3_is_found_and_placed_by_a_person(till: Till) -> None:
    """Without a memo and without an address of its own, nothing says which payment is meant."""
    payment = till.start()
    transaction = send_with_web3(till, payment)
    till.catch_up()

    assert standing(till.newest(payment))[0] == "PENDING"
    [receipt] = [one for one in till.unmatched() if one["details"]["transaction"] == transaction]
    till.operate("receipts", "attach", receipt["id"], payment.id, "--note", "the customer wrote us")
    [shown] = is_paid(till, payment).receipts
    assert (shown.id, shown.transaction) == (receipt["id"], transaction)


# -- viem ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def transferring(viem: Path) -> Path:
    """A folder with viem and a program that transfers."""
    (viem / "transfer.js").write_text(TRANSFER)
    return viem


def run_viem(folder: Path, transfer: Mapping[str, Any]) -> str:
    done = subprocess.run(
        ["node", "transfer.js"],
        cwd=folder,
        env={**os.environ, "TRANSFER": json.dumps(transfer)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_viem_makes_the_transfer_that_a_wallet_is_asked_for(till: Till, transferring: Path) -> None:
    payment = till.start()
    request = json.loads(due(payment).wallet_request)
    assert request["method"] == "wallet_transfer"
    transaction = run_viem(
        transferring, {"url": till.chain.url, "key": PRIVATE_KEYS[0], "request": request}
    )

    [receipt] = is_paid(till, payment).receipts
    assert receipt.transaction == transaction


# -- to an address of the payment, by account 1: account 0 is ours ---------------------------------


@pytest.fixture(scope="module")
def addressed(anvil: Path, new_place: Callable[[], Place]) -> Iterator[Till]:
    """A till that gives each payment an address."""
    with running_chain(anvil) as chain:
        assert chain.succeeded(chain.register_master())
        with open_till(new_place(), chain, **own_addresses(chain)) as opened:
            yield opened


def test_a_plain_transfer_of_web3_pays(addressed: Till) -> None:
    payment = addressed.start()
    transaction = send_with_web3(addressed, payment)

    [receipt] = is_paid(addressed, payment).receipts
    assert receipt.transaction == transaction
    assert receipt.sender == addressed.chain.accounts[1].lower()


def test_pytempo_pays_two_payments_by_plain_transfers_in_one_transaction(addressed: Till) -> None:
    payments = [addressed.start(), addressed.start()]
    calls = [
        TIP20(due(one).token_address).transfer(to=due(one).receiver_address, amount=units(one))
        for one in payments
    ]
    transaction = send_with_pytempo(addressed, *calls, account=1)

    [first], [second] = (is_paid(addressed, one).receipts for one in payments)
    assert first.transaction == second.transaction == transaction
    assert first.id != second.id


@pytest.mark.parametrize("has_memo", [False, True], ids=["plain", "with the memo as text"])
def test_viem_pays_the_address_that_a_wallet_is_asked_for(
    addressed: Till, transferring: Path, has_memo: bool
) -> None:
    payment = addressed.start()
    request = json.loads(due(payment).wallet_request)
    if not has_memo:
        del request["params"][0]["memo"]
    transaction = run_viem(
        transferring, {"url": addressed.chain.url, "key": PRIVATE_KEYS[1], "request": request}
    )

    [receipt] = is_paid(addressed, payment).receipts
    assert receipt.transaction == transaction


# -- and after all of it ---------------------------------------------------------------------------


@pytest.mark.parametrize("fixture", ["till", "addressed"])
def test_the_books_agree_with_the_chain(fixture: str, request: pytest.FixtureRequest) -> None:
    assert request.getfixturevalue(fixture).audit()["balanced"]

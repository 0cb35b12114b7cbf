"""An address for each payment on a real chain: from any sender, by any transfer, money is found.

The tests of this file share one till; the last one holds its books against the chain. Our account
is a test account, because registering a master takes a proof of work.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from eth_abi.abi import encode
from eth_utils.abi import function_signature_to_4byte_selector
from integration.tempo.till import Till, open_till, own_addresses, standing, status
from payd_client.proto import payment_pb2 as pb
from support.daemon import Daemon, Place, rows
from support.tempo import (
    ALPHA,
    BETA,
    RECEIVER,
    Chain,
    due,
    running_chain,
    tempo_environment,
    transfer_data,
    units,
)
from support.waiting import wait_until
from tempo_provider.companion.anvil import MASTER_ID

#: Account 1 pays, since account 0 is ours.
PAYER = 1
#: Another merchant's account, and the id under which it is registered as a master.
OTHER, OTHER_MASTER_ID = 4, "0x00c0ffee"
PART = 1_000_000
#: Of those whose calls a test draws.
TRANSACTIONS = 40
#: What the factory makes for account 3 with the salt 7.
MINTED = "0x20c0000000000000000000009c5f77346d4ae7de"
FEE_MANAGER = "0xfeec000000000000000000000000000000000000"
FACTORY = "0x20fc000000000000000000000000000000000000"
PATH_USD = "0x20c0000000000000000000000000000000000000"
ISSUER_ROLE = bytes.fromhex("114e74f6ea3bd819998f78687bfcb11b140da08e9b7d222fa9c1f1ba1f2aa122")


def calldata(signature: str, *values: Any) -> str:
    """Calldata of any call."""
    kinds = signature[signature.index("(") + 1 : -1].split(",")
    return "0x" + (function_signature_to_4byte_selector(signature) + encode(kinds, values)).hex()


@pytest.fixture(scope="module")
def till(anvil: Path, module_place: Place) -> Iterator[Till]:
    """A till whose account is registered as a master, and a token that a test can mint."""
    with running_chain(anvil) as chain:
        done = [chain.register_master(), *create_token(chain)]
        assert all(map(chain.succeeded, done))
        chain.put_master(OTHER_MASTER_ID, chain.accounts[OTHER])
        settings = {"TEMPO_TOKENS": f"USDC={ALPHA},USDT={BETA},USDM={MINTED}"}
        with open_till(module_place, chain, **own_addresses(chain), **settings) as opened:
            yield opened


def create_token(chain: Chain) -> Sequence[str]:
    """Create a token that account 3 may mint."""
    admin, salt = chain.accounts[3], bytes(31) + b"\x07"
    made = calldata(
        "createToken(string,string,string,address,address,bytes32)",
        *("Minted", "USDM", "USD", PATH_USD, admin, salt),
    )
    created = chain.send(FACTORY, made, sender=3, gas=12_000_000)
    chain.mine()
    granted = chain.send(
        MINTED, calldata("grantRole(bytes32,address)", ISSUER_ROLE, admin), sender=3
    )
    chain.mine()
    return created, granted


def pay(till: Till, payment: Any, amount: int | None = None, **how: Any) -> str:
    """A plain transfer to the payment's address."""
    how = {"memo": None, "to": due(payment).receiver_address, "sender": PAYER, **how}
    return till.pay(payment, amount, **how)


def is_paid(till: Till, payment: Any) -> bool:
    """Whether exactly the amount due has arrived, and one event says so."""
    till.catch_up()
    whole: tuple[str, int, int, list[str]] = ("COMPLETED", units(payment), units(payment), [])
    return standing(till.newest(payment)) == whole and till.subjects(payment) == [
        "payment.completed"
    ]


def details_of(till: Till, payment: Any) -> Mapping[str, str]:
    """What is known of its only receipt."""
    [row] = rows(till.place, "SELECT details FROM receipts WHERE payment_id = $1", payment.id)
    details: Mapping[str, str] = json.loads(row["details"])
    return details


def test_each_payment_has_an_address_of_its_own_that_a_wallet_can_pay(till: Till) -> None:
    first, second = due(till.start()), due(till.start())

    assert first.receiver_address != second.receiver_address
    for one in (first, second):
        assert one.receiver_address.startswith(MASTER_ID + "fd" * 10)
        assert one.payment_uri == (
            f"ethereum:{ALPHA}@42431/transfer"
            f"?address={one.receiver_address}&uint256={one.amount_base_units}"
        )


def test_a_plain_transfer_pays(till: Till) -> None:
    payment = till.start()
    sent = pay(till, payment)

    assert is_paid(till, payment)
    details = details_of(till, payment)
    assert details["transaction"] == sent
    assert details["sender"] == till.chain.accounts[PAYER]
    assert details["address"] == due(payment).receiver_address


@pytest.mark.parametrize(
    "memo",
    ["text of an exchange", "the payment's own", "the payment's own, as calldata", "the bare id"],
)
def test_a_memo_beside_the_address_does_no_harm(till: Till, memo: str) -> None:
    payment = till.start()
    if memo.endswith("calldata"):
        till.chain.send(due(payment).token_address, due(payment).calldata, sender=PAYER)
    else:
        memos = {
            "text of an exchange": "0x" + b"Withdrawal 4711".ljust(32, b"\0").hex(),
            "the payment's own": due(payment).memo,
            "the bare id": "0x" + payment.id.replace("-", "").ljust(64, "0"),
        }
        pay(till, payment, memo=memos[memo])

    assert is_paid(till, payment)


def test_several_payments_in_one_transaction_are_several(till: Till) -> None:
    payments = [till.start() for _ in range(3)]
    calls = [
        (ALPHA, transfer_data(due(one).receiver_address, units(one), memo))
        for one, memo in zip(payments, (None, due(payments[1]).memo, None), strict=True)
    ]
    strangers = (ALPHA, transfer_data(till.chain.accounts[9], units(payments[0]), None))
    sent = till.chain.batch([strangers, *calls], sender=PAYER)
    till.chain.mine()
    assert till.chain.succeeded(sent)

    assert all(is_paid(till, one) for one in payments)


def test_a_spender_that_moves_the_customers_tokens_pays_for_the_customer(till: Till) -> None:
    payment, chain = till.start(), till.chain
    chain.send(
        ALPHA,
        calldata("approve(address,uint256)", chain.accounts[2], units(payment)),
        sender=PAYER,
    )
    chain.mine()
    moved = ("transferFrom(address,address,uint256)", chain.accounts[PAYER])
    chain.send(ALPHA, calldata(*moved, due(payment).receiver_address, units(payment)), sender=2)

    assert is_paid(till, payment)
    assert details_of(till, payment)["sender"] == chain.accounts[PAYER]


@pytest.mark.parametrize("with_memo", [False, True])
def test_tokens_minted_to_the_address_pay(till: Till, with_memo: bool) -> None:
    payment = till.start(currency="USDM")
    address, memo = due(payment).receiver_address, bytes.fromhex(due(payment).memo[2:])
    data = (
        calldata("mintWithMemo(address,uint256,bytes32)", address, units(payment), memo)
        if with_memo
        else calldata("mint(address,uint256)", address, units(payment))
    )
    till.chain.send(MINTED, data, sender=3)

    assert is_paid(till, payment)
    assert details_of(till, payment)["sender"] == "mint"


def test_too_little_expires_with_what_there_is(till: Till) -> None:
    payment = till.start()
    pay(till, payment, PART)
    till.catch_up()
    till.expire(payment)
    till.catch_up()

    after = till.client.wait_for(payment.id, "EXPIRED")
    assert standing(after) == ("EXPIRED", PART, PART, ["UNDERPAID"])
    assert till.subjects(payment) == ["payment.canceled", "payment.attention"]


def test_too_much_completes_and_asks_for_a_person(till: Till) -> None:
    payment = till.start()
    pay(till, payment, units(payment) + PART)
    till.catch_up()

    total = units(payment) + PART
    assert standing(till.newest(payment)) == ("COMPLETED", total, total, ["OVERPAID"])


def test_twice_is_one_completion_and_a_duplicate(till: Till) -> None:
    payment = till.start()
    pay(till, payment)
    till.catch_up()
    pay(till, payment)
    till.catch_up()

    total = 2 * units(payment)
    expected = ("COMPLETED", total, total, ["DUPLICATE_PAYMENT", "OVERPAID"])
    assert standing(till.newest(payment)) == expected
    assert till.subjects(payment) == ["payment.completed", "payment.attention"]


def test_late_money_completes_what_had_expired_and_says_so(till: Till) -> None:
    payment = till.start()
    till.expire(payment)
    till.catch_up()
    till.client.wait_for(payment.id, "EXPIRED")

    pay(till, payment)
    till.catch_up()

    after = till.newest(payment)
    assert (standing(after)[0], after.late) == ("COMPLETED", True)
    assert after.crypto.receiver_address == due(payment).receiver_address
    assert till.subjects(payment) == ["payment.canceled", "payment.completed"]


def test_money_after_a_cancellation_waits_for_a_person(till: Till) -> None:
    payment = till.start()
    till.client.call("CancelPayment", pb.CancelPaymentRequest(payment_id=payment.id))
    pay(till, payment)
    till.catch_up()

    expected = ("CANCELED", units(payment), units(payment), ["PAID_AFTER_CLOSE"])
    assert standing(till.newest(payment)) == expected


def test_another_token_is_no_payment_and_waits_in_the_ledger(till: Till) -> None:
    payment = till.start(currency="USDC")
    sent = pay(till, payment, token=BETA)
    till.catch_up()

    assert standing(till.newest(payment)) == ("PENDING", 0, 0, ["WRONG_TOKEN"])
    [waiting] = [one for one in till.unmatched() if sent in one["id"]]
    assert waiting["reference"] == due(payment).receiver_address


def test_the_address_of_one_payment_and_the_memo_of_another_ask_for_a_person(till: Till) -> None:
    payment, other = till.start(), till.start()
    pay(till, payment, memo=due(other).memo)
    till.catch_up()

    expected = ("COMPLETED", units(payment), units(payment), ["CONFLICTING_EVIDENCE"])
    assert standing(till.newest(payment)) == expected
    assert standing(till.newest(other)) == ("PENDING", 0, 0, [])
    assert sorted(till.subjects(payment)) == ["payment.attention", "payment.completed"]


def test_an_address_that_was_never_given_out_leaves_its_money_unmatched(till: Till) -> None:
    address = MASTER_ID + "fd" * 10 + "000000000000"
    sent = till.chain.transfer(ALPHA, PART, None, to=address, sender=PAYER)
    till.catch_up()

    [waiting] = [one for one in till.unmatched() if sent in one["id"]]
    assert waiting["reference"] == address


def test_an_address_of_nobody_cannot_be_paid(till: Till) -> None:
    payment = till.start()
    unregistered = "0x01020304" + due(payment).receiver_address[10:]
    sent = pay(till, payment, to=unregistered)
    till.catch_up()

    assert not till.chain.succeeded(sent)
    assert standing(till.newest(payment)) == ("PENDING", 0, 0, [])


def foreign(payment: Any) -> str:
    """The address of another merchant with the tag of our payment."""
    return str(OTHER_MASTER_ID + due(payment).receiver_address[10:])


@pytest.mark.parametrize("with_memo", [False, True])
def test_what_another_master_receives_is_no_income_of_ours(till: Till, with_memo: bool) -> None:
    payment, theirs = till.start(), till.chain.accounts[OTHER]
    before = till.chain.balance(ALPHA, theirs)
    sent = pay(till, payment, to=foreign(payment), memo=due(payment).memo if with_memo else None)
    till.catch_up()

    assert till.chain.balance(ALPHA, theirs) == before + units(payment), "the chain forwarded it"
    assert standing(till.newest(payment)) == ("PENDING", 0, 0, [])
    assert sent not in str(till.unmatched())


def test_of_one_transaction_for_two_masters_our_part_alone_pays(till: Till) -> None:
    payment = till.start()
    ours = due(payment).receiver_address
    calls = [
        (ALPHA, transfer_data(to, units(payment), None))
        for to in (foreign(payment), ours, foreign(payment))
    ]
    sent = till.chain.batch(calls, sender=PAYER)
    till.chain.mine()
    assert till.chain.succeeded(sent)

    assert is_paid(till, payment)


def test_what_we_send_to_another_master_is_an_outflow(till: Till) -> None:
    payment = till.start()
    sent = pay(till, payment, PART, to=foreign(payment), sender=0)
    till.catch_up()

    assert till.chain.succeeded(sent)
    assert standing(till.newest(payment)) == ("PENDING", 0, 0, [])
    booked = rows(till.place, "SELECT amount, details FROM outflows WHERE id LIKE $1", f"%{sent}%")
    amounts = {json.loads(one["details"])["receiver"]: int(one["amount"]) for one in booked}
    assert amounts == {foreign(payment): PART, FEE_MANAGER: ANY}


@pytest.mark.parametrize("undone", ["by a reorganisation", "by the node's snapshot"])
def test_money_that_the_chain_takes_back_before_it_is_final_never_came(
    till: Till, undone: str
) -> None:
    """The customer sends again, and that counts once."""
    payment, chain, ours = till.start(), till.chain, till.chain.accounts[0]
    before, snapshot = chain.balance(ALPHA, ours), chain.rpc("evm_snapshot")
    pay(till, payment)
    chain.mine()
    assert chain.balance(ALPHA, ours) == before + units(payment)

    if undone == "by a reorganisation":
        chain.reorg(1)
    else:
        chain.rpc("evm_revert", snapshot)
    chain.drop_waiting()
    assert chain.balance(ALPHA, ours) == before
    till.catch_up()
    assert standing(till.newest(payment)) == ("PENDING", 0, 0, [])

    pay(till, payment)
    assert is_paid(till, payment)


def test_what_we_send_to_our_own_address_is_no_income(till: Till) -> None:
    payment = till.start()
    sent = pay(till, payment, sender=0)
    till.catch_up()

    assert till.chain.succeeded(sent)
    assert standing(till.newest(payment)) == ("PENDING", 0, 0, [])
    assert sent not in str(till.unmatched())


@pytest.mark.parametrize("master_id", [MASTER_ID, OTHER_MASTER_ID, "0x01020304"])
def test_nothing_that_anyone_takes_from_an_address_holds_nobody_up(
    till: Till, master_id: str
) -> None:
    """No allowance is needed for it, and the token logs a transfer without a first hop."""
    ours, address = till.chain.accounts[0], master_id + "fd" * 10 + "00000000abcd"
    took = calldata("transferFrom(address,address,uint256)", address, ours, 0)
    sent = till.chain.send(ALPHA, took, sender=PAYER)
    payment = till.start()
    pay(till, payment)

    assert is_paid(till, payment)
    assert till.chain.succeeded(sent)
    assert sent not in str(till.unmatched())


def test_money_that_is_final_stops_a_cancellation(till: Till) -> None:
    payment = till.start()
    pay(till, payment)
    till.catch_up()

    assert status(till.client.wait_for(payment.id, "COMPLETED")) == "COMPLETED"


def test_whatever_anyone_lets_a_token_log_the_watch_goes_on_and_the_books_are_right(
    till: Till,
) -> None:
    """Transfers of something and of nothing, from, over and to addresses of all kinds."""
    chain, dice = till.chain, random.Random(22)
    places = [*[chain.accounts[0]] * 4, chain.accounts[PAYER], FEE_MANAGER]
    places += [
        f"{master_id}{'fd' * 10}{tag:012x}"
        for master_id in (MASTER_ID, OTHER_MASTER_ID, "0x01020304")
        for tag in (0xABCD, 0xABCE)
    ]
    sent = []
    for _ in range(TRANSACTIONS):
        calls = [(ALPHA, anything(dice, places)) for _ in range(dice.randrange(1, 6))]
        if allowed := [one for one in calls if is_allowed(chain, *one)]:
            sent.append(chain.batch(allowed, sender=PAYER))
            chain.mine()
    till.catch_up()

    assert sum(map(chain.succeeded, sent)) > TRANSACTIONS // 2
    assert till.audit()["balanced"]


def anything(dice: random.Random, places: Sequence[str]) -> str:
    """Calldata of any kind of transfer between these places, often of nothing."""
    ends, amount = dice.choices(places, k=2), dice.choice([0, 0, 1, PART])
    memo = (dice.choice([bytes(32), dice.randbytes(32)]),)
    match dice.randrange(4):
        case 0:
            return calldata("transfer(address,uint256)", ends[1], amount)
        case 1:
            return calldata("transferWithMemo(address,uint256,bytes32)", ends[1], amount, *memo)
        case 2:
            return calldata("transferFrom(address,address,uint256)", *ends, amount)
        case _:
            signature = "transferFromWithMemo(address,address,uint256,bytes32)"
            return calldata(signature, *ends, amount, *memo)


def is_allowed(chain: Chain, token: str, data: str) -> bool:
    """Whether the chain would take it of the customer."""
    try:
        chain.rpc("eth_call", {"from": chain.accounts[PAYER], "to": token, "data": data}, "latest")
    except AssertionError:
        return False
    return True


def test_the_books_are_those_of_the_chain(till: Till) -> None:
    till.catch_up()
    audit = till.audit()

    assert audit["balanced"]
    booked = {one["asset"]: int(one["booked"]) for one in audit["assets"]}
    ours = till.chain.accounts[0]
    assert [booked[one] for one in (ALPHA, BETA, MINTED)] == [
        till.chain.balance(one, ours) for one in (ALPHA, BETA, MINTED)
    ]


@pytest.mark.parametrize("master", ["of another account", "of nobody"])
def test_a_master_that_is_not_ours_stops_the_start(till: Till, place: Place, master: str) -> None:
    master_id = MASTER_ID if master == "of another account" else "0x01020304"
    settings = {
        "TEMPO_RECEIVER_ADDRESS": RECEIVER,
        "TEMPO_MASTER_ID": master_id,
        "PAYD_PROVIDERS_FAILURE_MODE": "strict",
    }
    daemon = Daemon(place, **tempo_environment(till.chain.url, **settings))

    assert daemon.wait_ended() == 78
    assert any(f"`master_id` {master_id} is" in str(line) for line in daemon.lines)


def test_final_money_at_an_address_that_the_chain_takes_back_halts_the_watch(
    anvil: Path, place: Place
) -> None:
    with running_chain(anvil) as chain:
        chain.register_master()
        with open_till(place, chain, **own_addresses(chain)) as till:
            payment, other = till.start(), till.start()
            pay(till, payment)
            assert is_paid(till, payment)
            chain.reorg(8)
            chain.drop_waiting()
            chain.mine(10)
            wait_until(partial(_has_halted, till.daemon), "the watch halts")
            pay(till, other)
            chain.finalize()

            assert status(till.newest(payment)) == "COMPLETED", "what was final is not undone"
            assert status(till.newest(other)) == "PENDING"


def _has_halted(daemon: Daemon) -> bool:
    return any(line.get("event") == "provider_watch_halted" for line in daemon.lines)

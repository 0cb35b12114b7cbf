"""Refunds of token payments on a real chain: what payd asks for, and what a person sends.

The tests of this file share one till; the last one holds its books against the chain.
"""

from typing import Any
from uuid import uuid4

import grpc
import pytest
from integration.tempo.till import Till, standing
from payd_client.proto import payment_pb2 as pb
from support.daemon import reason_of
from support.forks import run_payd
from support.tempo import ALPHA, BETA, RECEIVER, transfer_data

CUSTOMER, STRANGER = "0x" + "c1" * 20, "0x" + "d2" * 20
#: 149.00 and 40.00 USD, in the token's base units.
DUE_UNITS = 149_000_000
PART, PART_UNITS = 4_000, 40_000_000


def paid(till: Till) -> Any:
    """A payment of 149 USDC that is complete."""
    payment = till.start()
    till.pay(payment)
    till.catch_up()
    return till.newest(payment)


def ask(till: Till, payment: Any, minor_units: int | None = PART, **fields: Any) -> Any:
    """Ask for a refund; all that is left without an amount."""
    usual = {"idempotency_key": str(uuid4()), "destination": CUSTOMER, "reason": "broken"}
    request = pb.RefundPaymentRequest(payment_id=payment.id, **{**usual, **fields})
    if minor_units is not None:
        request.amount.CopyFrom(pb.Money(currency_code="USD", minor_units=minor_units))
    return till.client.call("RefundPayment", request).refund


def send(till: Till, refund: Any, **changes: Any) -> None:
    """Transfer from the receiver as the refund says, but for the changes; wait until it is read."""
    asked = refund.next_action.crypto_transfer
    how = {
        "token": asked.token_address,
        "to": asked.receiver_address,
        "amount": int(asked.amount_base_units),
        "memo": asked.memo,
        **changes,
    }
    send_from_us(till, how.pop("token"), transfer_data(how["to"], how["amount"], how["memo"]))


def send_from_us(till: Till, token: str, data: str) -> None:
    """A transaction of the receiver account, for which the local chain may act."""
    till.chain.rpc("anvil_impersonateAccount", RECEIVER)
    till.chain.rpc("anvil_setBalance", RECEIVER, hex(10**20))
    transaction = {"from": RECEIVER, "to": token, "data": data, "gas": hex(2_000_000)}
    sent = till.chain.rpc("eth_sendTransaction", transaction)
    till.catch_up()
    assert till.chain.succeeded(sent)


def stands(till: Till, refund: Any) -> str:
    """The refund's status now."""
    found = till.client.call("GetRefund", pb.GetRefundRequest(refund_id=refund.id)).refund
    return pb.RefundStatus.Name(found.status).removeprefix("REFUND_STATUS_")


def outside(till: Till, payment: Any) -> list[tuple[str, str]]:
    """Amount and status of each refund that nobody requested from payd."""
    return [
        (one.crypto.amount_base_units, pb.RefundStatus.Name(one.status))
        for one in till.newest(payment).refunds
        if one.external
    ]


def test_a_refund_says_all_that_a_wallet_needs_and_ends_with_the_transfer(till: Till) -> None:
    payment = paid(till)
    refund = ask(till, payment)
    assert stands(till, refund) == "AWAITING_TRANSFER"
    asked = refund.next_action.crypto_transfer
    assert (asked.currency, asked.token_address, asked.chain_id) == ("USDC", ALPHA, 42431)
    assert (asked.receiver_address, asked.amount_base_units) == (CUSTOMER, str(PART_UNITS))
    assert bytes.fromhex(asked.memo[2:]).decode().isalnum(), "a person can type it"
    assert asked.calldata == transfer_data(CUSTOMER, PART_UNITS, asked.memo)

    before = till.chain.balance(ALPHA, CUSTOMER)
    send_from_us(till, asked.token_address, asked.calldata)

    assert till.chain.balance(ALPHA, CUSTOMER) - before == PART_UNITS
    assert stands(till, refund) == "SUCCEEDED"
    after = till.newest(payment)
    assert standing(after) == ("COMPLETED", DUE_UNITS, DUE_UNITS, [])
    assert after.refunded.minor_units == PART
    assert till.subjects(payment) == ["payment.completed", "payment.refunded"]
    assert till.audit()["balanced"]


def test_all_that_is_left_goes_back_in_a_second_refund(till: Till) -> None:
    payment = paid(till)
    for minor_units in (PART, None):
        send(till, ask(till, payment, minor_units))
    after = till.newest(payment)
    assert after.refunded.minor_units == 14_900
    assert [one.external for one in after.refunds] == [False, False]
    with pytest.raises(grpc.RpcError) as refused:
        ask(till, payment, 1)
    assert reason_of(refused.value) == "REFUND_EXCEEDS_PAID"
    assert till.audit()["balanced"]


def test_the_same_request_again_has_the_same_memo(till: Till) -> None:
    payment = paid(till)
    first, again = (ask(till, payment, idempotency_key="refund-of-the-test") for _ in range(2))
    assert first.next_action == again.next_action
    assert ask(till, payment).next_action != first.next_action


def test_more_than_was_asked_for_ends_it_too(till: Till) -> None:
    payment = paid(till)
    refund = ask(till, payment)
    send(till, refund, amount=PART_UNITS + 1)
    assert stands(till, refund) == "SUCCEEDED"
    assert till.audit()["balanced"]


def test_too_little_does_not_end_it_and_calls_a_person(till: Till) -> None:
    payment = paid(till)
    refund = ask(till, payment)
    send(till, refund, amount=PART_UNITS - 1)
    assert stands(till, refund) == "AWAITING_TRANSFER"
    assert "CONFLICTING_EVIDENCE" in till.newest(payment).attention
    assert outside(till, payment) == [(str(PART_UNITS - 1), "REFUND_STATUS_SUCCEEDED")]
    assert till.audit()["balanced"]


def test_another_token_does_not_end_it_and_calls_a_person(till: Till) -> None:
    payment = paid(till)
    till.chain.transfer(BETA, 3 * PART_UNITS, None)
    till.catch_up()
    refund = ask(till, payment)
    send(till, refund, token=BETA)
    assert stands(till, refund) == "AWAITING_TRANSFER"
    assert "WRONG_TOKEN" in till.newest(payment).attention
    assert till.audit()["balanced"]


def test_twice_is_one_refund_and_calls_a_person(till: Till) -> None:
    payment = paid(till)
    refund = ask(till, payment)
    send(till, refund)
    send(till, refund)
    assert stands(till, refund) == "SUCCEEDED"
    assert "CONFLICTING_EVIDENCE" in till.newest(payment).attention
    assert outside(till, payment) == [(str(PART_UNITS), "REFUND_STATUS_SUCCEEDED")]
    assert till.newest(payment).refunded.minor_units == 2 * PART
    assert till.audit()["balanced"]


def test_another_address_does_not_end_it_and_calls_a_person(till: Till) -> None:
    payment = paid(till)
    refund = ask(till, payment)
    send(till, refund, to=STRANGER)
    assert stands(till, refund) == "AWAITING_TRANSFER"
    assert "CONFLICTING_EVIDENCE" in till.newest(payment).attention
    assert till.audit()["balanced"]


def test_a_transfer_after_the_refund_was_withdrawn_calls_a_person(till: Till) -> None:
    payment = paid(till)
    refund = ask(till, payment)
    with till.daemon.client("operator") as operator:
        request = pb.CancelRefundRequest(refund_id=refund.id, note="the customer keeps it")
        operator.call("CancelRefund", request)
    assert stands(till, refund) == "CANCELED"
    send(till, refund)
    after = till.newest(payment)
    assert "CONFLICTING_EVIDENCE" in after.attention
    assert after.refunded.minor_units == PART, "it left, whatever was withdrawn"
    assert till.audit()["balanced"]


def test_money_that_a_person_sent_back_without_payd_is_seen(till: Till) -> None:
    payment = paid(till)
    memo = payment.provider_reference
    send_from_us(till, ALPHA, transfer_data(CUSTOMER, PART_UNITS, memo))
    after = till.newest(payment)
    assert list(after.attention) == ["REFUNDED_EXTERNALLY"]
    assert after.refunded.minor_units == PART
    assert outside(till, payment) == [(str(PART_UNITS), "REFUND_STATUS_SUCCEEDED")]
    assert till.audit()["balanced"]


def test_the_command_of_the_local_chain_plays_the_merchant(till: Till) -> None:
    payment = paid(till)
    refund = ask(till, payment)
    files = {name: str(till.place.pki / name) for name in ("ca.crt", "client.crt", "client.key")}
    till.chain.rpc("evm_setIntervalMining", 1)
    sent = run_payd(
        *("tempo", "refund", refund.id, "--target", till.daemon.grpc, "--ca", files["ca.crt"]),
        *("--cert", files["client.crt"], "--key", files["client.key"]),
        env=till.place.environment(**till.settings),
    )
    till.chain.rpc("evm_setIntervalMining", 0)
    assert sent.returncode == 0, sent.stderr + sent.stdout
    assert f"sent 40.000000 of {ALPHA}" in sent.stdout
    till.catch_up()
    assert stands(till, refund) == "SUCCEEDED"


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        ("", "REFUND_DESTINATION_REQUIRED"),
        ("my wallet", "INVALID_FIELD"),
        (RECEIVER, "INVALID_FIELD"),
        (ALPHA, "INVALID_FIELD"),
    ],
)
def test_a_refund_to_nowhere_is_refused_and_takes_nothing(
    till: Till, destination: str, reason: str
) -> None:
    payment = paid(till)
    with pytest.raises(grpc.RpcError) as refused:
        ask(till, payment, destination=destination)
    assert reason_of(refused.value) == reason
    assert ask(till, payment, None).crypto.amount_base_units == str(DUE_UNITS)


def test_the_ledger_holds_what_the_chain_holds(till: Till) -> None:
    till.catch_up()
    audit = till.audit()
    assert audit["balanced"]
    booked = {one["asset"]: int(one["booked"]) for one in audit["assets"]}
    assert booked[ALPHA] == till.chain.balance(ALPHA)
    assert booked[BETA] == till.chain.balance(BETA)

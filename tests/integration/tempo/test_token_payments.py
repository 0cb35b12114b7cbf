"""Money on a real TIP-20 chain: exactly, in parts, too little, too much, twice, late, and astray.

The tests of this file share one till; the last one holds its books against the chain.
"""

import contextlib
import json
import uuid
from collections.abc import Mapping

import grpc
import pytest
from integration.tempo.till import Till, standing, status
from payd_client.proto import payment_pb2 as pb
from support.daemon import rows
from support.tempo import (
    ALPHA,
    BETA,
    RECEIVER,
    THETA,
    a_token_request,
    due,
    transfer_data,
    units,
)

PART = 1_000_000
#: The daily audit, each second.
FEE_PAYER = "https://fees.example"
TILL = {"PAYD_RECOVERY_RECONCILE_INTERVAL_S": "1", "TEMPO_FEE_PAYER_URL": FEE_PAYER}


def test_an_offer_says_all_that_a_wallet_needs(till: Till) -> None:
    payment = till.start()
    asked = due(payment)

    assert (asked.currency, asked.chain_id, asked.decimals) == ("USDC", 42431, 6)
    assert (asked.token_address, asked.receiver_address) == (ALPHA, RECEIVER)
    assert asked.amount_base_units == "149000000"
    assert len(asked.memo_text) == 32
    assert asked.memo == "0x" + asked.memo_text.encode().hex()
    assert asked.calldata == transfer_data(RECEIVER, units(payment), asked.memo)
    assert asked.payment_uri == (
        f"ethereum:{ALPHA}@42431/transferWithMemo"
        f"?address={RECEIVER}&uint256=149000000&bytes32={asked.memo}"
    )
    assert json.loads(asked.wallet_request) == {
        "method": "wallet_transfer",
        "params": [
            {
                "amount": "149.000000",
                "chainId": 42431,
                "feePayer": FEE_PAYER,
                "memo": asked.memo_text,
                "to": RECEIVER,
                "token": ALPHA,
            }
        ],
    }
    till.client.call("CancelPayment", _cancel(payment))


def test_paid_exactly(till: Till) -> None:
    payment = till.start()
    till.pay(payment)
    till.catch_up()

    after = till.newest(payment)
    assert standing(after) == ("COMPLETED", units(payment), units(payment), [])
    assert not after.late
    assert till.subjects(payment) == ["payment.completed"]


def test_paid_by_the_calldata_as_it_was_given(till: Till) -> None:
    payment = till.start()
    till.chain.send(due(payment).token_address, due(payment).calldata, sender=3)
    till.catch_up()

    assert status(till.newest(payment)) == "COMPLETED"


def test_paid_with_the_memo_as_a_person_types_it(till: Till) -> None:
    payment = till.start()
    till.pay(payment, memo=in_hex(due(payment).memo_text.lower()))
    till.catch_up()

    assert status(till.newest(payment)) == "COMPLETED"


def test_paid_with_the_id_as_text(till: Till) -> None:
    payment = till.start()
    till.pay(payment, memo=in_hex(payment.id.replace("-", "")))
    till.catch_up()

    assert status(till.newest(payment)) == "COMPLETED"


def test_a_mistake_in_the_memo_credits_nobody_and_names_the_payment_for_a_person(
    till: Till,
) -> None:
    payment = till.start()
    text = due(payment).memo_text
    wrong = text[:9] + ("7" if text[9] != "7" else "8") + text[10:]
    sent = till.pay(payment, memo=in_hex(wrong))
    till.catch_up()

    assert standing(till.newest(payment)) == ("PENDING", 0, 0, [])
    [waiting] = [one for one in till.unmatched() if sent in one["id"]]
    assert waiting["reference"] == in_hex(wrong)
    assert waiting["details"]["likely_payment"] == payment.id
    till.client.call("CancelPayment", _cancel(payment))


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_bare_id_in_the_memo_is_understood_padded_to_either_side(till: Till, side: str) -> None:
    payment = till.start()
    bare = payment.id.replace("-", "")
    memo = "0x" + (bare.ljust(64, "0") if side == "right" else bare.rjust(64, "0"))
    till.pay(payment, memo=memo)
    till.catch_up()

    assert status(till.newest(payment)) == "COMPLETED"


def test_the_sender_of_a_forgotten_customers_payment_is_stored_nowhere(till: Till) -> None:
    wallet = till.chain.accounts[2]
    customer = pb.Customer(id="user-to-forget", wallet_address=wallet)
    payment = till.start(customer=customer)
    transaction = till.pay(payment, sender=2)
    till.catch_up()
    assert till.subjects(payment) == ["payment.completed"]
    assert {"customers", "receipts", "inbox"} <= _tables_with(till, wallet)

    with till.daemon.client("operator") as operator:
        operator.call("ForgetCustomer", pb.ForgetCustomerRequest(customer_id=customer.id))

    assert _tables_with(till, wallet) == set()
    assert "receipts" in _tables_with(till, transaction)
    assert standing(till.newest(payment)) == ("COMPLETED", units(payment), units(payment), [])
    listed = pb.ListPaymentsRequest(filter=pb.PaymentFilter(reference=transaction))
    [found] = till.client.call("ListPayments", listed).payments
    assert found.id == payment.id


def _tables_with(till: Till, text: str) -> set[str]:
    tables = rows(till.place, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    sql = 'SELECT 1 FROM "{}" AS t WHERE t::text ILIKE $1 LIMIT 1'
    return {
        one["tablename"]
        for one in tables
        if rows(till.place, sql.format(one["tablename"]), f"%{text}%")
    }


def test_paid_in_parts_by_two_wallets(till: Till) -> None:
    payment = till.start()
    till.pay(payment, PART)
    till.catch_up()
    assert standing(till.newest(payment)) == ("PROCESSING", PART, PART, [])

    till.pay(payment, units(payment) - PART, sender=1)
    till.catch_up()

    assert standing(till.newest(payment)) == ("COMPLETED", units(payment), units(payment), [])
    assert till.subjects(payment) == ["payment.completed"]


def test_too_little_expires_with_what_there_is(till: Till) -> None:
    payment = till.start()
    till.pay(payment, PART)
    till.catch_up()
    till.expire(payment)
    till.catch_up()

    after = till.client.wait_for(payment.id, "EXPIRED")
    assert standing(after) == ("EXPIRED", PART, PART, ["UNDERPAID"])
    assert till.subjects(payment) == ["payment.canceled", "payment.attention"]
    assert till.body(payment, "payment.canceled")["reason"] == "expired"


def test_an_overpayment_completes_and_raises_attention(till: Till) -> None:
    payment = till.start()
    till.pay(payment, units(payment) + PART)
    till.catch_up()

    total = units(payment) + PART
    assert standing(till.newest(payment)) == ("COMPLETED", total, total, ["OVERPAID"])
    assert sorted(till.subjects(payment)) == ["payment.attention", "payment.completed"]


def test_twice_is_one_completion_and_a_duplicate(till: Till) -> None:
    payment = till.start()
    till.pay(payment)
    till.catch_up()
    till.pay(payment)
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

    till.pay(payment)
    till.catch_up()

    after = till.newest(payment)
    assert standing(after) == ("COMPLETED", units(payment), units(payment), [])
    assert after.late
    assert till.subjects(payment) == ["payment.canceled", "payment.completed"]


def test_money_after_a_cancellation_waits_for_a_person(till: Till) -> None:
    payment = till.start()
    canceled = till.client.call("CancelPayment", _cancel(payment)).payment
    assert status(canceled) == "CANCELED", "nothing had come up to the final block"

    till.pay(payment)
    till.catch_up()

    expected = ("CANCELED", units(payment), units(payment), ["PAID_AFTER_CLOSE"])
    assert standing(till.newest(payment)) == expected
    assert till.subjects(payment) == ["payment.canceled", "payment.attention"]


def test_another_token_is_no_payment_and_waits_in_the_ledger(till: Till) -> None:
    payment = till.start(currency="USDC")
    sent = till.pay(payment, token=BETA)
    till.catch_up()

    assert standing(till.newest(payment)) == ("PENDING", 0, 0, ["WRONG_TOKEN"])
    assert till.subjects(payment) == ["payment.attention"]
    [waiting] = [one for one in till.unmatched() if sent in one["id"]]
    assert (waiting["asset"], waiting["amount_base_units"]) == (BETA, str(units(payment)))
    assert waiting["reference"] == due(payment).memo
    till.client.call("CancelPayment", _cancel(payment))


def test_a_token_that_is_only_watched_is_known_when_it_comes(till: Till) -> None:
    sent = till.chain.transfer(THETA, PART, None)
    till.catch_up()

    [waiting] = [one for one in till.unmatched() if sent in one["id"]]
    assert (waiting["asset"], waiting["reference"]) == (THETA, "")


def test_a_foreign_memo_waits_in_the_ledger_until_a_person_places_it(till: Till) -> None:
    payment = till.start()
    forged = "0x" + payment.id.replace("-", "") + "ab" * 16
    sent = till.pay(payment, memo=forged)
    till.catch_up()
    assert standing(till.newest(payment)) == ("PENDING", 0, 0, [])
    [waiting] = [one for one in till.unmatched() if sent in one["id"]]
    assert waiting["reference"] == forged

    placed = till.operate("receipts", "attach", waiting["id"], payment.id, "--note", "he told us")

    assert placed["status"] == "PAYMENT_STATUS_COMPLETED"
    trail = rows(
        till.place,
        "SELECT actor, certificate, peer FROM payment_events WHERE payment_id = $1 "
        "ORDER BY version DESC LIMIT 1",
        payment.id,
    )
    assert [tuple(row.values()) for row in trail] == [
        ("operator:operator", "operator", "127.0.0.1")
    ]
    assert till.subjects(payment) == ["payment.completed"]
    assert waiting["id"] not in [one["id"] for one in till.unmatched()]
    again = till.operate("receipts", "attach", waiting["id"], payment.id)
    assert again["version"] == placed["version"]
    other = till.start()
    with pytest.raises(AssertionError, match="it belongs to the payment"):
        till.operate("receipts", "attach", waiting["id"], other.id)
    till.client.call("CancelPayment", _cancel(other))


def test_a_plain_transfer_waits_in_the_ledger(till: Till) -> None:
    sent = till.chain.transfer(ALPHA, PART, None)
    till.catch_up()

    [waiting] = [one for one in till.unmatched() if sent in one["id"]]
    assert (waiting["reference"], waiting["amount_base_units"]) == ("", str(PART))
    assert waiting["details"]["sender"] == till.chain.accounts[0]


def test_several_payments_in_one_transaction_are_several(till: Till) -> None:
    payments = [till.start() for _ in range(3)]
    calls = [
        (due(one).token_address, transfer_data(RECEIVER, units(one), due(one).memo))
        for one in payments
    ]
    # One of them twice in the same transaction: two transfers that differ in nothing but place.
    sent = till.chain.batch([*calls, calls[0]])
    till.catch_up()

    assert till.chain.succeeded(sent)
    first, *rest = (till.newest(one) for one in payments)
    total = 2 * units(payments[0])
    expected = ("COMPLETED", total, total, ["DUPLICATE_PAYMENT", "OVERPAID"])
    assert standing(first) == expected
    one = units(payments[1])
    assert [standing(after) for after in rest] == [("COMPLETED", one, one, [])] * 2


def test_nothing_and_dust(till: Till) -> None:
    payment = till.start()
    till.pay(payment, 0)
    till.pay(payment, 1)
    till.catch_up()

    assert standing(till.newest(payment)) == ("PROCESSING", 1, 1, [])


def test_money_that_comes_while_it_is_canceled_is_not_lost(till: Till) -> None:
    payment = till.start()
    till.pay(payment)
    till.chain.finalize()

    # Seen on the chain it is refused; stored and not settled yet, the wish waits for it.
    with contextlib.suppress(grpc.RpcError):
        canceling = till.client.call("CancelPayment", _cancel(payment)).payment
        assert status(canceling) == "CANCELING"

    assert status(till.client.wait_for(payment.id, "COMPLETED")) == "COMPLETED"


def test_eth_is_refused_with_the_reason(till: Till) -> None:
    with pytest.raises(Exception, match="Tempo has no ETH"):
        till.client.call("InitiatePayment", a_token_request(currency="ETH"))


def test_a_repeated_call_gives_the_same_memo(till: Till) -> None:
    key = str(uuid.uuid4())
    first, second = till.start(key=key), till.start(key=key)

    assert due(first) == due(second)
    till.client.call("CancelPayment", _cancel(first))


def test_what_left_the_account_is_booked_too(till: Till) -> None:
    """The receiver's own payout, from an account that the chain lets us play."""
    till.chain.rpc("anvil_impersonateAccount", RECEIVER)
    till.chain.rpc("anvil_setBalance", RECEIVER, hex(10**20))
    before = till.chain.balance(ALPHA)
    transaction = {
        "from": RECEIVER,
        "to": ALPHA,
        "data": transfer_data(till.chain.accounts[5], 7 * PART, None),
        "gas": hex(1_000_000),
    }
    sent = till.chain.rpc("eth_sendTransaction", transaction)
    till.catch_up()

    assert till.chain.succeeded(sent)
    assert till.chain.balance(ALPHA) <= before - 7 * PART
    assert till.audit()["balanced"]


def test_the_ledger_holds_what_the_chain_holds(till: Till) -> None:
    till.catch_up()
    audit = till.audit()

    assert audit["balanced"]
    booked = {one["asset"]: int(one["booked"]) for one in audit["assets"]}
    assert booked[ALPHA] == till.chain.balance(ALPHA)
    assert booked[BETA] == till.chain.balance(BETA)
    assert booked[THETA] == till.chain.balance(THETA)


def test_a_difference_is_named(till: Till) -> None:
    """Last in this file: it takes a receipt away."""
    from support.daemon import rows

    [row] = rows(
        till.place,
        "DELETE FROM receipts WHERE payment_id IS NULL AND asset = $1 AND amount = $2 RETURNING id",
        THETA,
        PART,
    )
    assert row["id"]
    audit = till.audit()

    assert not audit["balanced"]
    [wrong] = [one for one in audit["assets"] if one["difference"] != "0"]
    assert (wrong["asset"], wrong["difference"]) == (THETA, f"+{PART}")
    finding = _wait_for_finding(till)
    assert (finding["kind"], finding["reference"]) == ("balance_differs", THETA)
    assert f"{PART:+d}" in finding["detail"]


def _wait_for_finding(till: Till) -> Mapping[str, str]:
    """What the daemon's own audit says aloud."""
    return till.daemon.wait_for_line("reconciliation_finding")


def _cancel(payment: object) -> object:
    payment_id = payment.id  # type: ignore[attr-defined]
    return pb.CancelPaymentRequest(payment_id=payment_id, reason="test")


def in_hex(text: str) -> str:
    """A wallet's memo of this text."""
    return "0x" + text.encode().hex()

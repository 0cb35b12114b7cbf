"""What may be said about a payment: amounts, times, and which report of a receipt holds."""

from datetime import datetime
from itertools import product
from typing import Any

import attrs
import pytest
from unit.domain.builders import TOKEN, a_receipt, a_snapshot

from payd.domain.evidence import Absent, CancelRequested, ReceiptState
from payd.domain.next_action import CryptoTransfer
from payd.domain.text import BASE_UNITS_MAX

STEPS = [ReceiptState.SEEN, ReceiptState.DROPPED, ReceiptState.HELD, ReceiptState.CONFIRMED]


@pytest.mark.parametrize(("new", "old"), list(product(STEPS, STEPS)))
def test_a_report_replaces_an_earlier_step_and_no_other(
    new: ReceiptState, old: ReceiptState
) -> None:
    replaces = a_receipt(state=new).outranks(a_receipt(state=old))
    assert replaces is (STEPS.index(new) > STEPS.index(old))


@pytest.mark.parametrize("field", ["received", "confirmed"])
@pytest.mark.parametrize("wrong", [-1, BASE_UNITS_MAX + 1, True, 0.5, "5"])
def test_every_total_of_a_snapshot_is_a_whole_number(field: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match=f"{field}: must be an integer"):
        a_snapshot(**{field: wrong})


def test_a_receipt_may_hold_all_that_a_chain_can_move() -> None:
    assert a_receipt(amount=BASE_UNITS_MAX).amount == 2**256 - 1


def test_a_receipt_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time: needs a time zone"):
        a_receipt(time=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_a_customer_is_never_asked_for_a_broken_amount() -> None:
    with pytest.raises(ValueError, match="amount_base_units"):
        attrs.evolve(a_transfer("0x"), amount_base_units=-1)


def a_transfer(memo: str) -> CryptoTransfer:
    return CryptoTransfer(
        currency="USDC",
        chain_id=1,
        token_address=TOKEN,
        receiver_address=TOKEN,
        amount_base_units=1,
        decimals=6,
        memo=memo,
        calldata="0x",
        payment_uri="",
    )


def test_a_memo_of_32_visible_characters_can_be_typed() -> None:
    text = "81H455VB4PEX5VSKNK084SN02Q3RAVHX"
    assert a_transfer("0x" + text.encode().hex()).memo_text == text


@pytest.mark.parametrize(
    "memo",
    [
        "",
        "0x",
        "a name",
        "0x" + b"INV-2026".ljust(32, b"\0").hex(),
        "0x" + b"INV-2026".hex(),
        "0x" + b"with a space ".ljust(32, b"x").hex(),
        "0x" + "ff" * 32,
    ],
)
def test_a_memo_that_a_wallet_could_pad_or_not_show_is_not_offered_as_text(memo: str) -> None:
    assert a_transfer(memo).memo_text == ""


def test_an_absence_is_a_proof_unless_it_says_otherwise() -> None:
    assert Absent() == Absent(proven=True)
    assert Absent() != Absent(proven=False)


def test_a_cancel_request_needs_no_reason() -> None:
    assert CancelRequested().reason == ""

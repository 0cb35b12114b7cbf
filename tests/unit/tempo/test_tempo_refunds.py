"""Refunds on the chain: the memo that names one, and what an outgoing transfer reports about it."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from tempo_provider.books import Books, books_of
from tempo_provider.companion.scripted.events import GUARD, Call, blocked, burn, claim, transfer
from tempo_provider.memo import memo_of, reference_of
from tempo_provider.refund_memo import Named, refund_memo_of, refund_of
from tempo_provider.transfers import read_transfers
from unit.tempo.vectors import MEMO, PAYER, STRANGER, US, USDC, logs_of

from payd.plugins import Conflict, RefundSnapshot, RefundState

KEY, NEXT_KEY = "a key of the operator's", "the next one"
ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
REFUND_MEMO = refund_memo_of(ID, PAYER, KEY)
BLOCK_TIME = datetime(2026, 9, 21, 12, 0, 7, tzinfo=UTC)


def text_of(memo: str) -> str:
    return bytes.fromhex(memo[2:]).decode()


def memo_from(text: str) -> str:
    return "0x" + text.encode().hex()


# -- the memo ----------------------------------------------------------------------------------


def test_it_is_text_that_fills_all_32_bytes() -> None:
    text = text_of(REFUND_MEMO)
    assert len(text) == 32
    assert text.isalnum()
    assert text == text.upper()


def test_it_is_the_same_in_every_release() -> None:
    """It is shown to a person, who may transfer much later."""
    assert text_of(refund_memo_of(UUID(int=1), "0x" + "cd" * 20, "key")) == (
        "G0000000000000000000000001" + "ABEBAZ"
    )


def test_it_names_its_refund_at_its_destination() -> None:
    assert refund_of(REFUND_MEMO, PAYER, [KEY]) == Named(ID, True)


def test_what_a_person_types_in_lower_case_names_it_too() -> None:
    assert refund_of(memo_from(text_of(REFUND_MEMO).lower()), PAYER, [KEY]) == Named(ID, True)


def test_at_another_destination_it_proves_nothing() -> None:
    assert refund_of(REFUND_MEMO, STRANGER, [KEY]) == Named(ID, False)


def test_without_the_key_nobody_makes_it() -> None:
    assert refund_of(refund_memo_of(ID, PAYER, KEY + " "), PAYER, [KEY]) == Named(ID, False)


def test_it_is_proven_while_its_key_is_one_of_several() -> None:
    assert refund_of(REFUND_MEMO, PAYER, [NEXT_KEY, KEY]) == Named(ID, True)
    assert refund_of(REFUND_MEMO, PAYER, [NEXT_KEY]) == Named(ID, False)
    assert refund_of(REFUND_MEMO, PAYER, []) == Named(ID, False)


@pytest.mark.parametrize("place", range(32))
def test_one_changed_character_names_it_no_more(place: int) -> None:
    text = text_of(REFUND_MEMO)
    other = "7" if text[place] != "7" else "8"
    named = refund_of(memo_from(text[:place] + other + text[place + 1 :]), PAYER, [KEY])
    assert named is None or not named.is_proven


@pytest.mark.parametrize(
    "memo",
    [
        MEMO,
        memo_of(ID, KEY),
        "0x" + ID.hex + "0" * 32,
        "0x" + "0" * 64,
        "0x" + "ff" * 32,
        memo_from("invoice 7".ljust(32)),
        memo_from("7" + "0" * 31),
        memo_from("R" + "0" * 31),
    ],
)
def test_other_memos_are_no_refunds(memo: str) -> None:
    assert refund_of(memo, PAYER, [KEY]) is None


def test_as_the_memo_of_a_payment_it_names_none() -> None:
    """A stranger can copy it from the chain and send it to us."""
    assert reference_of(REFUND_MEMO) == REFUND_MEMO


# -- the transfer ------------------------------------------------------------------------------


def books(*calls: Call) -> Books:
    logs = [one for one in logs_of(*calls) if len(one["topics"]) > 2 and one["address"] != GUARD]
    transfers = read_transfers(logs)
    return books_of(
        transfers, chain_id=1, accounts=frozenset({US}), times={1: BLOCK_TIME}, keys=[KEY]
    )


def test_the_transfer_that_was_asked_for_is_the_refund_and_an_outflow() -> None:
    made = books(transfer(USDC, US, PAYER, 40, REFUND_MEMO))
    [outflow], [report] = made.outflows, made.refunds
    assert report.reference == str(ID)
    assert report.fact == RefundSnapshot(
        reference=outflow.id,
        state=RefundState.SUCCEEDED,
        asset=USDC,
        amount=40,
        time=BLOCK_TIME,
        refund_id=ID,
    )
    assert (outflow.amount, outflow.details["memo"]) == (40, REFUND_MEMO)
    assert made.arrivals == []


def test_what_the_receivers_policy_withholds_has_not_arrived() -> None:
    """The chain redirects it to the guard, without its memo, and the guard names only the receiver.

    It has left our account, so that it is an outflow; but the refund waits on.
    """
    made = books(blocked(USDC, US, PAYER, 40, REFUND_MEMO))
    assert [(one.amount, one.details["receiver"]) for one in made.outflows] == [(40, GUARD)]
    assert (made.refunds, made.arrivals) == ([], [])
    assert books(claim(USDC, PAYER, 40)) == Books([], [], [])


def test_two_transfers_are_two_reports() -> None:
    call = transfer(USDC, US, PAYER, 40, REFUND_MEMO)
    facts = [one.fact for one in books(call, call).refunds]
    assert len({fact.reference for fact in facts if isinstance(fact, RefundSnapshot)}) == 2


def test_its_memo_at_another_address_contradicts_the_refund() -> None:
    made = books(transfer(USDC, US, STRANGER, 40, REFUND_MEMO))
    [outflow], [report] = made.outflows, made.refunds
    assert report.reference == str(ID)
    assert isinstance(report.fact, Conflict)
    assert outflow.id in report.fact.detail


@pytest.mark.parametrize("memo", [MEMO, "0x" + ID.hex + "0" * 32])
def test_with_a_payments_memo_a_person_has_refunded_it(memo: str) -> None:
    [report] = books(transfer(USDC, US, PAYER, 40, memo)).refunds
    assert report.reference == reference_of(memo)
    assert isinstance(report.fact, RefundSnapshot)
    assert (report.fact.refund_id, report.fact.amount) == (None, 40)


@pytest.mark.parametrize(
    "call",
    [
        transfer(USDC, US, PAYER, 40),
        transfer(USDC, US, PAYER, 40, "0x" + "0" * 64),
        burn(USDC, US, 40, REFUND_MEMO),
        burn(USDC, US, 40, MEMO),
    ],
    ids=["no memo", "a memo of zeros", "a burn", "a burn with a payment's memo"],
)
def test_other_outflows_refund_nothing(call: Call) -> None:
    made = books(call)
    assert made.refunds == []
    assert [one.amount for one in made.outflows] == [40]


@pytest.mark.parametrize(
    "call",
    [
        transfer(USDC, US, PAYER, 0, REFUND_MEMO),
        transfer(USDC, US, US, 40, REFUND_MEMO),
        transfer(USDC, STRANGER, PAYER, 40, REFUND_MEMO),
    ],
    ids=["nothing, which anyone can send for us", "to ourselves", "of another account"],
)
def test_what_moves_nothing_of_ours_reports_nothing(call: Call) -> None:
    assert books(call) == Books([], [], [])


def test_sent_to_us_it_is_money_that_names_nothing_known() -> None:
    made = books(transfer(USDC, PAYER, US, 40, REFUND_MEMO))
    assert [one.reference for one in made.arrivals] == [REFUND_MEMO]
    assert made.refunds == []

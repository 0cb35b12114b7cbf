"""Transfers into receipts and outflows: what each case of money means for the books."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from eth_abi.abi import encode
from tempo_provider.books import Books, books_of, held_of
from tempo_provider.companion.scripted.chain import Json
from tempo_provider.companion.scripted.events import (
    BURN,
    BURN_AT,
    GUARD,
    MINT,
    ZERO,
    Call,
    blocked,
    blocked_receipt,
    burn,
    burn_at,
    claim,
    fee,
    mint,
    to_virtual,
    transfer,
)
from tempo_provider.hops import join_hops
from tempo_provider.memo import memo_of
from tempo_provider.transfers import read_blocked, read_transfers
from unit.tempo.vectors import (
    BLOCKED_BY_OX,
    MEMO,
    PAYER,
    STRANGER,
    US,
    USDC,
    USDT,
    logs_of,
    receipt_of,
)

from payd.plugins import TEXT_MAX, Conflict, Observation, ReceiptState
from payd.providers.validation import is_observations

OURS = frozenset({US})
BLOCK_TIME = datetime(2026, 9, 21, 12, 0, 7, tzinfo=UTC)
CHAIN = 4217


def money(logs: list[Json]) -> list[Json]:
    return [
        log
        for log in logs
        if log["address"] != GUARD and log["topics"][0] not in (MINT, BURN, BURN_AT)
    ]


def books(*calls: Call, accounts: frozenset[str] = OURS, keys: Sequence[str] = ()) -> Books:
    """Of one transaction."""
    transfers = read_transfers(money(logs_of(*calls)))
    return books_of(transfers, chain_id=CHAIN, accounts=accounts, times={1: BLOCK_TIME}, keys=keys)


def amounts(of: Books) -> tuple[list[int], list[int]]:
    """What came in, and what went out."""
    arrivals = [receipt_of(one).amount for one in of.arrivals]
    return arrivals, [one.amount for one in of.outflows]


def test_a_transfer_with_our_memo_is_one_final_receipt_that_names_it() -> None:
    [arrival] = books(transfer(USDC, PAYER, US, 149, MEMO)).arrivals
    receipt = receipt_of(arrival)
    assert arrival.reference == MEMO
    assert (receipt.asset, receipt.amount, receipt.state) == (USDC, 149, ReceiptState.CONFIRMED)


def test_a_receipt_bears_the_time_of_its_block_not_of_its_reading() -> None:
    [arrival] = books(transfer(USDC, PAYER, US, 149, MEMO)).arrivals
    assert receipt_of(arrival).time == BLOCK_TIME


def test_a_receipt_is_named_by_chain_transaction_and_place_for_ever() -> None:
    logs = logs_of(fee(USDC, PAYER, 1), transfer(USDC, PAYER, US, 149, MEMO))
    [arrival] = books(fee(USDC, PAYER, 1), transfer(USDC, PAYER, US, 149, MEMO)).arrivals
    assert arrival.id == receipt_of(arrival).id == f"{CHAIN}:{logs[0]['transactionHash']}:1"


def test_equal_payments_in_one_transaction_have_names_of_their_own() -> None:
    one = transfer(USDC, PAYER, US, 149, MEMO)
    arrivals = books(one, one).arrivals
    assert len({arrival.id for arrival in arrivals}) == 2


def test_the_operator_finds_who_paid_and_where_it_is_recorded() -> None:
    [arrival] = books(transfer(USDC, PAYER, US, 149, MEMO)).arrivals
    details = receipt_of(arrival).details
    assert details["sender"] == PAYER
    assert details["memo"] == MEMO
    assert details["block"] == "1"
    assert details["transaction"] in arrival.id


@pytest.mark.parametrize(
    "call",
    [
        transfer(USDC, PAYER, US, 149),
        claim(USDC, US, 149),
        to_virtual(USDC, PAYER, STRANGER, US, 149, MEMO),
        transfer(USDC, PAYER, US, 149, "0x" + "0" * 64),
    ],
    ids=["plain", "claimed from the guard", "by a virtual address", "a memo of zeros"],
)
def test_money_without_a_memo_is_a_receipt_that_names_nothing(call: Call) -> None:
    [arrival] = books(call).arrivals
    assert arrival.reference == ""
    assert receipt_of(arrival).amount == 149


# -- virtual addresses -------------------------------------------------------------------------

OWN = "0x58e21090" + "fd" * 10 + "000000000007"


def over_addresses(*calls: Call) -> Books:
    """As `books`, with both hops of each transfer joined."""
    transfers = join_hops(read_transfers(logs_of(*calls)), OURS)
    return books_of(transfers, chain_id=CHAIN, accounts=OURS, times={1: BLOCK_TIME})


def test_money_to_a_payments_own_address_names_the_payment_by_it() -> None:
    [arrival] = over_addresses(to_virtual(USDC, PAYER, OWN, US, 149)).arrivals
    details = receipt_of(arrival).details
    assert (arrival.reference, arrival.also) == (OWN, "")
    assert arrival.id.endswith(":1"), "the second hop"
    assert (details["sender"], details["address"]) == (PAYER, OWN)


def test_a_memo_at_a_payments_own_address_is_its_second_name() -> None:
    memo = memo_of(UUID(int=7), "a key")
    [arrival] = over_addresses(to_virtual(USDC, PAYER, OWN, US, 149, memo)).arrivals
    assert (arrival.reference, arrival.also) == (OWN, memo)
    assert receipt_of(arrival).details["memo"] == memo


def test_what_we_send_to_our_own_address_is_neither_income_nor_outflow() -> None:
    assert over_addresses(to_virtual(USDC, US, OWN, US, 149, MEMO)) == Books([], [], [])


def test_what_we_send_to_an_address_of_another_master_is_an_outflow() -> None:
    foreign = "0x01020304" + "fd" * 10 + "000000000007"
    found = over_addresses(transfer(USDC, US, foreign, 149))
    assert amounts(found) == ([], [149])
    assert found.outflows[0].details["receiver"] == foreign


def test_a_memo_with_a_mistake_is_credited_to_nobody_and_says_which_payment_was_meant() -> None:
    payment_id, key = UUID(int=7), "a key of the operator's"
    memo = memo_of(payment_id, key)
    mistyped = memo[:-2] + ("41" if memo[-2:] != "41" else "42")
    [arrival] = books(transfer(USDC, PAYER, US, 149, mistyped), keys=[key]).arrivals
    assert arrival.reference == mistyped
    assert receipt_of(arrival).details["likely_payment"] == str(payment_id)
    [right] = books(transfer(USDC, PAYER, US, 149, memo), keys=[key]).arrivals
    assert right.reference == memo
    assert "likely_payment" not in receipt_of(right).details


def test_money_in_another_token_is_a_receipt_in_that_token() -> None:
    [arrival] = books(transfer(USDT, PAYER, US, 149, MEMO)).arrivals
    assert (arrival.reference, receipt_of(arrival).asset) == (MEMO, USDT)


def test_a_mint_to_us_is_money_as_any_other() -> None:
    [arrival] = books(mint(USDC, US, 149, MEMO)).arrivals
    assert (arrival.reference, receipt_of(arrival).amount) == (MEMO, 149)
    assert receipt_of(arrival).details["sender"] == "mint"


def test_a_burn_that_carries_our_memo_brings_us_nothing() -> None:
    assert books(burn(USDC, PAYER, 149, MEMO)) == Books([], [], [])


def test_a_burn_of_ours_is_an_outflow() -> None:
    found = books(burn(USDC, US, 149, MEMO))
    assert amounts(found) == ([], [149])
    assert found.outflows[0].details["receiver"] == ZERO


def test_what_we_send_is_an_outflow_and_so_are_its_fees() -> None:
    found = books(transfer(USDC, US, STRANGER, 100, MEMO), fee(USDC, US, 2))
    assert amounts(found) == ([], [100, 2])
    assert {one.asset for one in found.outflows} == {USDC}
    assert {one.time for one in found.outflows} == {BLOCK_TIME}
    assert len({one.id for one in found.outflows}) == 2


def test_the_fees_of_customers_are_not_ours() -> None:
    assert amounts(books(transfer(USDC, PAYER, US, 149, MEMO), fee(USDC, PAYER, 2))) == ([149], [])


@pytest.mark.parametrize("memo", [None, MEMO], ids=["plain", "with our memo"])
def test_nothing_is_nothing_whatever_memo_it_bears(memo: str | None) -> None:
    assert books(transfer(USDC, PAYER, US, 0, memo), mint(USDC, US, 0, memo)) == Books([], [], [])


def test_what_we_send_to_ourselves_moves_nothing() -> None:
    assert books(transfer(USDC, US, US, 149, MEMO)) == Books([], [], [])


def test_what_moves_between_accounts_of_ours_moves_nothing() -> None:
    both = frozenset({US, STRANGER})
    assert books(transfer(USDC, US, STRANGER, 149, MEMO), accounts=both) == Books([], [], [])


def test_what_others_send_each_other_is_not_ours() -> None:
    assert books(transfer(USDC, PAYER, STRANGER, 149, MEMO)) == Books([], [], [])


def test_money_that_comes_and_goes_in_one_transaction_is_both() -> None:
    found = books(transfer(USDC, PAYER, US, 149, MEMO), transfer(USDC, US, PAYER, 149))
    assert amounts(found) == ([149], [149])


# -- what the guard keeps from us --------------------------------------------------------------


def held(*calls: Call) -> list[Observation]:
    """Of one transaction."""
    logs = [log for log in logs_of(*calls) if log["address"] == GUARD]
    return held_in(logs)


def held_in(logs: list[Json], since: int | None = 0) -> list[Observation]:
    """What is held while the logs' tokens are watched after this block; with None they are not."""
    kept = read_blocked(logs)
    watched = {} if since is None else {(one.receiver, one.token): since for one in kept}
    return held_of(kept, chain_id=CHAIN, times={1: BLOCK_TIME}, since=watched)


def test_a_blocked_transfer_is_not_ours_yet() -> None:
    found = books(blocked(USDC, PAYER, US, 149, MEMO))
    assert found == Books([], [], []), "its Transfer goes to the guard"


def test_a_blocked_transfer_is_held_and_names_no_payment() -> None:
    [one] = held(blocked(USDC, PAYER, US, 149, MEMO))
    receipt = receipt_of(one)
    assert one.reference == ""
    assert (receipt.state, receipt.amount, receipt.asset) == (ReceiptState.HELD, 149, USDC)
    assert receipt.time == BLOCK_TIME


def test_the_operator_finds_what_claims_a_blocked_transfer_and_what_it_was_for() -> None:
    [one] = held(blocked(USDC, PAYER, US, 149, MEMO))
    details = receipt_of(one).details
    assert details["guard_receipt"] == "0x" + blocked_receipt(USDC, PAYER, US, MEMO, 1).hex()
    assert details["memo"] == MEMO
    assert details["sender"] == PAYER
    assert details["receiver"] == US


@pytest.mark.parametrize("name", BLOCKED_BY_OX)
def test_the_sender_and_the_memo_of_withheld_money_are_not_lost(name: str) -> None:
    """As another library encodes them."""
    log = BLOCKED_BY_OX[name]
    [template] = [one for one in logs_of(blocked(USDC, PAYER, US, 1)) if one["address"] == GUARD]
    written = template | {"topics": log["topics"], "data": log["data"]}
    one, *_ = held_in([written])
    details = receipt_of(one).details
    assert (details["sender"], details["memo"]) == (log["originator"], log["memo"])
    assert details["guard_receipt"] == log["receipt"]


def withheld_at_an_address() -> tuple[Json, Json]:
    """Of a payment; what was encoded, and the log."""
    log = BLOCKED_BY_OX["mint to a virtual address, blocked by the token filter"]
    [template] = [one for one in logs_of(blocked(USDC, PAYER, US, 1)) if one["address"] == GUARD]
    return log, template | {"topics": log["topics"], "data": log["data"]}


def test_money_withheld_from_a_payments_own_address_is_the_payments_and_asks_for_a_person() -> None:
    log, written = withheld_at_an_address()

    found = held_in([written])

    held_money, conflict = found
    assert is_observations(found)
    assert {one.reference for one in found} == {log["recipient"]}
    assert receipt_of(held_money).state is ReceiptState.HELD
    assert receipt_of(held_money).details["address"] == log["recipient"]
    assert isinstance(conflict.fact, Conflict)
    assert held_money.id in conflict.fact.detail


@pytest.mark.parametrize("since", [None, 1], ids=["anybody's token", "a token not watched yet"])
def test_withheld_money_that_is_not_watched_troubles_no_payment(since: int | None) -> None:
    log, written = withheld_at_an_address()

    [one] = held_in([written], since)

    assert one.reference == ""
    assert receipt_of(one).state is ReceiptState.HELD
    assert receipt_of(one).details["address"] == log["recipient"]


@pytest.mark.parametrize("size", [4095, 4096, 70_000])
def test_a_claiming_receipt_that_is_too_long_to_store_does_not_stop_the_watch(size: int) -> None:
    [template] = [one for one in logs_of(blocked(USDC, PAYER, US, 149)) if one["address"] == GUARD]
    data = "0x" + encode(["uint256", "uint8", "bytes"], [149, 2, bytes(size)]).hex()

    found = held_in([template | {"data": data}])

    assert is_observations(found)
    [one] = found
    kept = receipt_of(one).details["guard_receipt"]
    assert receipt_of(one).amount == 149
    if 2 + 2 * size <= TEXT_MAX:
        assert kept == "0x" + "00" * size
    else:
        assert kept.startswith(f"too long to keep ({size} bytes)")


def test_what_an_issuer_burns_of_ours_is_an_outflow() -> None:
    assert amounts(books(burn_at(USDC, US, 149))) == ([], [149])


def test_nothing_that_is_blocked_is_nothing() -> None:
    assert held(blocked(USDC, PAYER, US, 0, MEMO)) == []


def test_a_claim_is_a_receipt_of_its_own() -> None:
    [kept] = held(blocked(USDC, PAYER, US, 149, MEMO))
    [claimed] = books(claim(USDC, US, 149)).arrivals
    assert receipt_of(claimed).state is ReceiptState.CONFIRMED
    assert claimed.id != kept.id

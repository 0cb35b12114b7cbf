"""Transfers over virtual addresses: the second hop is the money, the first says whose it was."""

import random

import pytest
from tempo_provider.companion.scripted.chain import Json
from tempo_provider.companion.scripted.events import TRANSFER, Call, mint, to_virtual, transfer
from tempo_provider.hops import forwarded, join_hops
from tempo_provider.transfers import Transfer, UnreadableLog, read_transfers
from tempo_provider.virtual import is_virtual, virtual_address
from unit.tempo.vectors import MEMO, PAYER, STRANGER, US, USDC, USDT, logs_of

MASTER_ID = "0x58e21090"
VIRTUAL, OTHER = virtual_address(MASTER_ID, 7), virtual_address(MASTER_ID, 8)
OURS = frozenset({US})

Joined = tuple[str, str, int, str | None, str | None]


def read(*calls: Call) -> list[Transfer]:
    """The transfers of one transaction of these calls."""
    logs = [log for log in logs_of(*calls) if log["topics"][0] in KINDS]
    return join_hops(read_transfers(logs), OURS)


KINDS = (TRANSFER, "0x57bc7354aa85aed339e000bccffabbc529466af35f0772c8f8ee1145927de7f0")


def as_tuples(transfers: list[Transfer]) -> list[Joined]:
    """Sender, receiver, amount, memo and virtual address of each."""
    return [(one.sender, one.receiver, one.amount, one.memo, one.virtual) for one in transfers]


def test_an_address_is_the_masters_id_the_mark_and_the_tag() -> None:
    address = virtual_address(MASTER_ID, 0x010203040506)
    assert address == "0x58e21090fdfdfdfdfdfdfdfdfdfd010203040506"
    assert is_virtual(address)
    assert not is_virtual(US)
    assert len(virtual_address(MASTER_ID, 0)) == len(virtual_address(MASTER_ID, 2**48 - 1)) == 42


@pytest.mark.parametrize("memo", [MEMO, None])
def test_both_hops_are_one_transfer_in_the_place_of_the_second(memo: str | None) -> None:
    [one] = read(to_virtual(USDC, PAYER, VIRTUAL, US, 149, memo))
    assert as_tuples([one]) == [(PAYER, US, 149, memo, VIRTUAL)]
    assert one.log_index == (1 if memo is None else 2)


def test_a_mint_to_an_address_is_money_from_nobody() -> None:
    minted = mint(USDC, VIRTUAL, 149, MEMO)
    calls = (minted[:2], transfer(USDC, VIRTUAL, US, 149), minted[2:])
    assert as_tuples(read(*calls)) == [("0x" + "0" * 40, US, 149, MEMO, VIRTUAL)]


def test_equal_transfers_in_one_transaction_keep_their_own_memos() -> None:
    memos: list[str | None] = [MEMO, None, "0x" + "5a" * 32]
    joined = read(*(to_virtual(USDC, PAYER, VIRTUAL, US, 149, memo) for memo in memos))
    assert [one.memo for one in joined] == memos


def test_transfers_to_several_addresses_and_tokens_are_not_mixed() -> None:
    calls = (
        to_virtual(USDC, PAYER, VIRTUAL, US, 149),
        transfer(USDC, PAYER, US, 149, MEMO),
        to_virtual(USDT, STRANGER, VIRTUAL, US, 149, MEMO),
        to_virtual(USDC, STRANGER, OTHER, US, 150),
    )
    assert as_tuples(read(*calls)) == [
        (PAYER, US, 149, None, VIRTUAL),
        (PAYER, US, 149, MEMO, None),
        (STRANGER, US, 149, MEMO, VIRTUAL),
        (STRANGER, US, 150, None, OTHER),
    ]


def test_the_address_of_another_master_is_an_address_like_any_other() -> None:
    foreign = virtual_address("0x01020304", 7)
    assert as_tuples(read(to_virtual(USDC, US, foreign, STRANGER, 149))) == [
        (US, foreign, 149, None, None),
        (foreign, STRANGER, 149, None, None),
    ]


@pytest.mark.parametrize("wrong", ["none", "amount", "address", "after"])
def test_a_second_hop_without_its_first_is_a_lie(wrong: str) -> None:
    second = transfer(USDC, VIRTUAL, US, 149)
    first = {
        "none": (),
        "amount": transfer(USDC, PAYER, VIRTUAL, 150),
        "address": transfer(USDC, PAYER, OTHER, 149),
        "after": transfer(USDC, PAYER, VIRTUAL, 149),
    }[wrong]
    calls = (second, first) if wrong == "after" else (first, second)
    with pytest.raises(UnreadableLog, match="virtual address alone"):
        read(*calls)


def test_each_first_hop_belongs_to_one_second() -> None:
    hop = transfer(USDC, VIRTUAL, US, 149)
    with pytest.raises(UnreadableLog, match="virtual address alone"):
        read(to_virtual(USDC, PAYER, VIRTUAL, US, 149), hop)


def test_the_order_in_which_a_node_lists_logs_does_not_matter() -> None:
    calls = [to_virtual(USDC, PAYER, VIRTUAL, US, amount, MEMO) for amount in (1, 1, 2, 3)]
    logs: list[Json] = logs_of(*calls)
    expected = join_hops(read_transfers(logs), OURS)
    for seed in range(20):
        random.Random(seed).shuffle(logs)
        assert join_hops(read_transfers(logs), OURS) == expected


def test_only_what_is_forwarded_to_us_needs_its_first_hop() -> None:
    transfers = read_transfers(
        logs_of(
            to_virtual(USDC, PAYER, VIRTUAL, US, 149),
            to_virtual(USDC, US, virtual_address("0x01020304", 7), STRANGER, 149),
        )
    )
    assert [one.sender for one in forwarded(transfers, OURS)] == [VIRTUAL]


@pytest.mark.parametrize("memo", [None, MEMO])
def test_nothing_from_an_address_has_no_first_hop_and_is_no_money(memo: str | None) -> None:
    """Anyone may call `transferFrom(ADDRESS, ACCOUNT, 0)`: it takes no allowance."""
    [nothing] = read(transfer(USDC, VIRTUAL, US, 0, memo))
    assert as_tuples([nothing]) == [(VIRTUAL, US, 0, memo, None)]
    assert forwarded([nothing], OURS) == []


def test_nothing_over_an_address_takes_no_first_hop_from_money() -> None:
    calls = (
        to_virtual(USDC, PAYER, VIRTUAL, US, 149, MEMO),
        to_virtual(USDC, STRANGER, VIRTUAL, US, 0),
        transfer(USDC, VIRTUAL, US, 0),
    )
    assert [one for one in as_tuples(read(*calls)) if one[2]] == [(PAYER, US, 149, MEMO, VIRTUAL)]

"""Logs into transfers: each transfer of money is counted once, with the memo that it bore."""

import random
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_typing import ABIEvent
from eth_utils.abi import event_abi_to_log_topic
from hexbytes import HexBytes
from pytempo.contracts.abis import RECEIVE_POLICY_GUARD_ABI
from tempo_provider import contracts
from tempo_provider.companion.scripted.chain import Json
from tempo_provider.companion.scripted.events import (
    FEE_MANAGER,
    GUARD,
    TRANSFER_WITH_MEMO,
    ZERO,
    blocked,
    blocked_receipt,
    fee,
    mint,
    to_virtual,
    transfer,
    word,
)
from tempo_provider.transfers import Transfer, UnreadableLog, read_blocked, read_transfers
from unit.tempo.vectors import (
    BLOCKED_BY_OX,
    MEMO,
    PAYER,
    RECEIVER,
    RECORDED,
    SENDER,
    STRANGER,
    US,
    USDC,
    USDT,
    logs_of,
)
from web3 import Web3
from web3.providers.base import BaseProvider
from web3.types import EventData, RPCEndpoint, RPCResponse

OTHER_MEMO = "0x" + "5a" * 32

Transferred = tuple[str, str, int, str | None]


def as_tuples(transfers: list[Transfer]) -> list[Transferred]:
    """Sender, receiver, amount and memo of each transfer."""
    return [(one.sender, one.receiver, one.amount, one.memo) for one in transfers]


def read_recorded(name: str) -> list[Transferred]:
    """Without what every transaction pays for itself."""
    everything = as_tuples(read_transfers(_money(RECORDED[name])))
    return [one for one in everything if one[1] != FEE_MANAGER]


def _money(logs: list[Json]) -> list[Json]:
    """As the filter asks: no mints, burns or roles."""
    kinds = (contracts.TRANSFER, contracts.TRANSFER_WITH_MEMO)
    return [log for log in logs if log["topics"][0] in kinds]


# -- what a real node emitted ------------------------------------------------------------------


def test_the_events_are_those_of_the_specification() -> None:
    assert contracts.TRANSFER == (
        "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    )
    assert contracts.TRANSFER_WITH_MEMO == (
        "0x57bc7354aa85aed339e000bccffabbc529466af35f0772c8f8ee1145927de7f0"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("transfer", [(SENDER, RECEIVER, 7, None)]),
        ("transferWithMemo", [(SENDER, RECEIVER, 1_500_000, MEMO)]),
        ("transferWithMemo of nothing", [(SENDER, RECEIVER, 0, MEMO)]),
        (
            "three calls in one transaction",
            [
                (SENDER, RECEIVER, 10, MEMO),
                (SENDER, RECEIVER, 10, MEMO),
                (SENDER, RECEIVER, 10, None),
            ],
        ),
        ("mintWithMemo", [(ZERO, RECEIVER, 1000, MEMO)]),
        ("burnWithMemo", [(SENDER, ZERO, 10, MEMO)]),
        ("transferFromWithMemo", [(SENDER, RECEIVER, 5, MEMO)]),
        ("transferWithMemo to oneself", [(SENDER, SENDER, 5, MEMO)]),
    ],
)
def test_a_recorded_transaction_moves_what_its_calls_say(
    name: str, expected: list[Transferred]
) -> None:
    assert read_recorded(name) == expected


class _Recorded(BaseProvider):
    """A node that knows these logs."""

    def __init__(self, logs: list[Json]) -> None:
        super().__init__()
        self._logs = logs

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        return {"jsonrpc": "2.0", "id": 1, "result": self._logs}


def read_by_web3(logs: list[Json], event: ABIEvent, topic: str) -> list[EventData]:
    """By its own log processing."""
    eth = Web3(_Recorded(logs)).eth
    events = eth.contract(abi=[event]).events[event["name"]]()
    return [
        events.process_log(one) for one in eth.get_logs({}) if one["topics"][0] == HexBytes(topic)
    ]


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_read_is_what_web3_reads(name: str) -> None:
    logs = _money(RECORDED[name])
    plain = read_by_web3(logs, contracts.TRANSFER_EVENT, contracts.TRANSFER)
    with_memo = read_by_web3(logs, contracts.MEMO_EVENT, contracts.TRANSFER_WITH_MEMO)
    memos = {
        (event["transactionHash"], event["logIndex"] - 1): "0x" + event["args"]["memo"].hex()
        for event in with_memo
    }

    assert read_transfers(logs) == [
        Transfer(
            block=event["blockNumber"],
            log_index=event["logIndex"],
            token=event["address"].lower(),
            sender=event["args"]["from"].lower(),
            receiver=event["args"]["to"].lower(),
            amount=event["args"]["amount"],
            memo=memos.get((event["transactionHash"], event["logIndex"])),
            block_hash="0x" + event["blockHash"].hex(),
            transaction="0x" + event["transactionHash"].hex(),
        )
        for event in plain
    ]


@pytest.mark.parametrize("name", RECORDED)
def test_the_scripted_chain_emits_what_the_real_one_does(name: str) -> None:
    """What the other tests are made of is held against what was recorded."""
    calls = {
        "transfer": [transfer(USDC, SENDER, RECEIVER, 7)],
        "transferWithMemo": [transfer(USDC, SENDER, RECEIVER, 1_500_000, MEMO)],
        "transferWithMemo of nothing": [transfer(USDC, SENDER, RECEIVER, 0, MEMO)],
        "three calls in one transaction": [
            transfer(USDC, SENDER, RECEIVER, 10, MEMO),
            transfer(USDC, SENDER, RECEIVER, 10, MEMO),
            transfer(USDT, SENDER, RECEIVER, 10),
        ],
        "mintWithMemo": [mint(USDC, RECEIVER, 1000, MEMO)],
        "burnWithMemo": [],
        "transferFromWithMemo": [transfer(USDC, SENDER, RECEIVER, 5, MEMO)],
        "transferWithMemo to oneself": [transfer(USDC, SENDER, SENDER, 5, MEMO)],
    }
    *recorded, _fee = RECORDED[name]
    scripted = logs_of(*calls[name])
    for made, real in zip(scripted, recorded, strict=bool(scripted)):
        assert made.keys() == real.keys()
        for field in ("topics", "data", "logIndex", "transactionIndex", "removed"):
            assert made[field] == real[field]


# -- a transfer and its memo -------------------------------------------------------------------


def test_a_transfer_with_a_memo_is_logged_twice_and_counted_once() -> None:
    logs = logs_of(transfer(USDC, PAYER, US, 149, MEMO))
    assert len(logs) == 2
    [read] = read_transfers(logs)
    assert (read.amount, read.memo, read.log_index) == (149, MEMO, 0)


def test_it_bears_the_place_of_its_transfer_whatever_came_before() -> None:
    logs = logs_of(fee(USDC, PAYER, 3), transfer(USDC, PAYER, US, 149, MEMO))
    assert [one.log_index for one in read_transfers(logs)] == [0, 1]


def test_two_equal_payments_in_one_transaction_are_two() -> None:
    one = transfer(USDC, PAYER, US, 149, MEMO)
    read = read_transfers(logs_of(one, one))
    assert as_tuples(read) == [(PAYER, US, 149, MEMO)] * 2
    assert [one.log_index for one in read] == [0, 2]


def test_payments_for_many_in_one_transaction_keep_their_memos() -> None:
    memos = [f"0x{n:064x}" for n in range(1, 8)]
    read = read_transfers(logs_of(*(transfer(USDC, PAYER, US, 5, memo) for memo in memos)))
    assert [one.memo for one in read] == memos


def test_a_memo_belongs_to_the_transfer_just_before_it() -> None:
    """The same money once without a memo and once with one."""
    read = read_transfers(
        logs_of(transfer(USDC, PAYER, US, 149), transfer(USDC, PAYER, US, 149, MEMO))
    )
    assert [one.memo for one in read] == [None, MEMO]


def test_the_order_of_an_answer_does_not_matter() -> None:
    logs = logs_of(*(transfer(USDC, PAYER, US, n, MEMO) for n in range(9)), mint(USDC, US, 4))
    logs = _money(logs)
    expected = read_transfers(logs)
    random.Random(4).shuffle(logs)
    assert read_transfers(logs) == expected


def test_blocks_are_read_in_their_order_though_their_numbers_are_text() -> None:
    [ninth, tenth] = (logs_of(transfer(USDC, PAYER, US, 1))[0] for _ in range(2))
    ninth, tenth = ninth | {"blockNumber": "0x9"}, tenth | {"blockNumber": "0x10"}
    assert [one.block for one in read_transfers([tenth, ninth])] == [9, 16]


def test_a_transfer_to_a_virtual_address_goes_on_without_its_memo() -> None:
    virtual = "0x01020304" + "fd" * 10 + "000000000007"
    read = read_transfers(logs_of(to_virtual(USDC, PAYER, virtual, US, 149, MEMO)))
    assert as_tuples(read) == [(PAYER, virtual, 149, MEMO), (virtual, US, 149, None)]


def test_addresses_and_hashes_are_in_lower_case_however_they_were_received() -> None:
    logs = logs_of(transfer(USDC, PAYER, US, 149, MEMO))
    shouting = [
        log
        | {name: "0x" + log[name][2:].upper() for name in ("address", "transactionHash")}
        | {"topics": [log["topics"][0], *("0x" + one[2:].upper() for one in log["topics"][1:])]}
        for log in logs
    ]
    assert read_transfers(shouting) == read_transfers(logs)


def test_the_largest_amount_is_read_exactly() -> None:
    [read] = read_transfers(logs_of(transfer(USDC, PAYER, US, 2**256 - 1, MEMO)))
    assert read.amount == 2**256 - 1


# -- what cannot have been emitted -------------------------------------------------------------


def a_log(**changes: Any) -> Json:
    """Of a plain transfer."""
    [log] = logs_of(transfer(USDC, PAYER, US, 149))
    return log | changes


MALFORMED = {
    "no topics": {"topics": []},
    "topics that are none": {"topics": None},
    "one topic": {"topics": [contracts.TRANSFER]},
    "a topic too many": {"topics": [contracts.TRANSFER, word(PAYER), word(US), MEMO]},
    "a memo too few": {"topics": [TRANSFER_WITH_MEMO, word(PAYER), word(US)]},
    "another event": {"topics": ["0x" + "11" * 32, word(PAYER), word(US)]},
    "an address of 32 bytes": {"topics": [contracts.TRANSFER, word(PAYER), "0x" + "ab" * 32]},
    "a short topic": {"topics": [contracts.TRANSFER, word(PAYER), "0xab"]},
    "a topic that is a number": {"topics": [contracts.TRANSFER, word(PAYER), 7]},
    "no amount": {"data": "0x"},
    "two amounts": {"data": word(1) + word(2)[2:]},
    "a negative amount": {"data": "0x-" + "1".rjust(63, "0")},
    "an amount with a gap": {"data": "0x1_0" + "0" * 61},
    "an amount that is a number": {"data": 149},
    "data of nothing": {"data": None},
    "a short address": {"address": "0x20c0"},
    "no address": {"address": None},
    "a short block hash": {"blockHash": "0x1234"},
    "no block hash": {"blockHash": None},
    "no transaction": {"transactionHash": None},
    "no block": {"blockNumber": None},
    "a block that is no number": {"blockNumber": "latest"},
    "no place": {"logIndex": None},
    "a place that no index holds": {"logIndex": "0x" + "f" * 4000},
    "a place below the first": {"logIndex": "-0x1"},
    "a place with a gap": {"logIndex": "0x1_0"},
    "a block beyond all numbers": {"blockNumber": "0x1" + "0" * 16},
}


@pytest.mark.parametrize("changes", MALFORMED.values(), ids=MALFORMED)
def test_a_log_that_no_token_emits_is_refused_by_name(changes: Json) -> None:
    with pytest.raises(UnreadableLog):
        read_transfers([a_log(**changes)])


@pytest.mark.parametrize("field", ["address", "topics", "data", "blockHash", "transactionHash"])
def test_a_log_without_a_field_is_refused_by_name(field: str) -> None:
    log = a_log()
    del log[field]
    with pytest.raises(UnreadableLog):
        read_transfers([log])


def test_a_memo_without_its_transfer_is_refused() -> None:
    """The node left the money out."""
    _plain, memo = logs_of(transfer(USDC, PAYER, US, 149, MEMO))
    with pytest.raises(UnreadableLog):
        read_transfers([memo])


@pytest.mark.parametrize(
    "changes",
    [
        {"data": word(1490)},
        {"address": USDT},
        {"topics": [TRANSFER_WITH_MEMO, word(STRANGER), word(US), MEMO]},
        {"topics": [TRANSFER_WITH_MEMO, word(PAYER), word(STRANGER), MEMO]},
        {"logIndex": "0x2"},
        {"transactionHash": "0x" + "77" * 32},
        {"blockHash": "0x" + "77" * 32},
        {"blockNumber": "0x2"},
    ],
    ids=["amount", "token", "sender", "receiver", "place", "transaction", "block hash", "block"],
)
def test_a_memo_that_is_not_of_the_transfer_before_it_is_refused(changes: Json) -> None:
    plain, memo = logs_of(transfer(USDC, PAYER, US, 149, MEMO))
    with pytest.raises(UnreadableLog):
        read_transfers([plain, memo | changes])


def test_a_memo_that_is_logged_twice_is_refused() -> None:
    plain, memo = logs_of(transfer(USDC, PAYER, US, 149, MEMO))
    again = memo | {"logIndex": "0x2", "topics": [*memo["topics"][:3], OTHER_MEMO]}
    with pytest.raises(UnreadableLog):
        read_transfers([plain, memo, again])


# -- what the guard keeps ----------------------------------------------------------------------


def guarded(*calls: Any) -> list[Json]:
    """The guard's logs alone, as the filter asks."""
    return [log for log in logs_of(*calls) if log["address"] == GUARD]


def test_a_blocked_transfer_is_read_with_the_receipt_that_claims_it() -> None:
    [read] = read_blocked(guarded(blocked(USDC, PAYER, US, 149, MEMO, nonce=3)))
    assert (read.token, read.receiver, read.amount) == (USDC, US, 149)
    assert read.receipt == "0x" + blocked_receipt(USDC, PAYER, US, MEMO, 3).hex()


def test_the_receipt_is_what_web3_reads() -> None:
    logs = guarded(blocked(USDC, PAYER, US, 149, MEMO))
    [event] = read_by_web3(logs, contracts.BLOCKED_EVENT, contracts.TRANSFER_BLOCKED)
    [read] = read_blocked(logs)
    assert read.receipt == "0x" + event["args"]["receipt"].hex()
    assert read.amount == event["args"]["amount"]
    assert read.token == event["args"]["token"].lower()
    assert read.receiver == event["args"]["receiver"].lower()


def placed(log: Json) -> Json:
    """A log of topics and data, with a place on the chain."""
    [template] = guarded(blocked(USDC, PAYER, US, 149, MEMO))
    return template | {name: log[name] for name in ("topics", "data")}


@pytest.mark.parametrize("name", BLOCKED_BY_OX)
def test_a_withheld_transfer_is_read_as_another_library_wrote_it(name: str) -> None:
    log = BLOCKED_BY_OX[name]
    [read] = read_blocked([placed(log)])
    assert (read.token, read.receiver, read.amount) == (USDC, US, 149_000_000)
    assert read.receipt == log["receipt"]
    assert (read.sender, read.memo) == (log["originator"], log["memo"])


def test_the_scripted_guard_emits_what_another_library_encodes() -> None:
    written = BLOCKED_BY_OX["transfer, blocked by the receive policy"]
    [log] = guarded(blocked(USDC, PAYER, US, 149_000_000, MEMO, nonce=7))
    assert (log["topics"], log["data"]) == (written["topics"], written["data"])


def test_the_guards_event_is_the_one_that_tempos_sdk_declares() -> None:
    event: Any = next(one for one in RECEIVE_POLICY_GUARD_ABI if one["name"] == "TransferBlocked")
    assert "0x" + event_abi_to_log_topic(event).hex() == contracts.TRANSFER_BLOCKED
    [log] = guarded(blocked(USDC, PAYER, US, 149, MEMO))
    [read] = read_by_web3([log], event, contracts.TRANSFER_BLOCKED)
    assert (read["args"]["amount"], read["args"]["receiptVersion"]) == (149, 1)


@pytest.mark.parametrize("shape", ["version 2", "a word more", "a word less", "nothing"])
def test_a_receipt_of_another_layout_is_kept_and_not_interpreted(shape: str) -> None:
    """Its bytes claim the money whatever they mean."""
    receipt = blocked_receipt(USDC, PAYER, US, MEMO, 1)
    other = {
        "version 2": b"\0" * 31 + b"\2" + receipt[32:],
        "a word more": receipt + b"\0" * 32,
        "a word less": receipt[:-32],
        "nothing": b"",
    }[shape]
    data = "0x" + encode(["uint256", "uint8", "bytes"], [149, 2, other]).hex()
    [log] = guarded(blocked(USDC, PAYER, US, 149, MEMO))
    [read] = read_blocked([log | {"data": data}])
    assert (read.receipt, read.sender, read.memo) == ("0x" + other.hex(), None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": "0x"},
        {"data": word(149)},
        {"data": None},
        {"topics": []},
        {"topics": [contracts.TRANSFER, word(USDC), word(US), word(1)]},
        {"topics": [contracts.TRANSFER_BLOCKED, word(USDC), word(US)]},
        {"topics": [contracts.TRANSFER_BLOCKED, "0x" + "ff" * 32, word(US), word(1)]},
        {"blockHash": None},
        {"transactionHash": "0x"},
        {"logIndex": None},
    ],
)
def test_a_blocked_transfer_that_the_guard_cannot_have_emitted_is_refused(changes: Json) -> None:
    [log] = guarded(blocked(USDC, PAYER, US, 149))
    with pytest.raises(UnreadableLog):
        read_blocked([log | changes])


@pytest.mark.parametrize("part", ["cut", "beyond its end", "longer than it is"])
def test_a_receipt_that_is_not_all_there_is_refused(part: str) -> None:
    """Without all of its bytes the money is stuck for ever."""
    [log] = guarded(blocked(USDC, PAYER, US, 149))
    words = [log["data"][2:][at : at + 64] for at in range(0, len(log["data"]) - 2, 64)]
    changed = {
        "cut": words[:-2],
        "beyond its end": [*words[:2], f"{2**200:064x}", *words[3:]],
        "longer than it is": [*words[:3], f"{2**200:064x}", *words[4:]],
    }[part]
    with pytest.raises(UnreadableLog):
        read_blocked([log | {"data": "0x" + "".join(changed)}])


# -- the transfer that the customer has to make ------------------------------------------------


def test_the_calldata_is_that_of_a_transfer_with_the_memo() -> None:
    data = contracts.transfer_calldata(US, 149_000_000, MEMO)
    assert data == f"0x95777d59{word(US)[2:]}{149_000_000:064x}{MEMO[2:]}"

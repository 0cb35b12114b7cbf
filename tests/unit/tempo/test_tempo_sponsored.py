"""Which signed transactions payd hands to a sponsor of fees: one transfer that completes a payment.

The envelopes are those of ox (viem's library), and of pytempo.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
import rlp
from pytempo import Call, TempoTransaction
from tempo_provider.envelope import Envelope, NotSponsored, read_envelope
from tempo_provider.memo import reference_of
from tempo_provider.sponsored_transfer import (
    FEE_MAX,
    GAS_PRICE_MAX,
    PRIORITY_FEE_MAX,
    VALIDITY_S,
    check_transfer,
)

from payd.plugins import CryptoTransfer

OX = json.loads(Path(__file__).with_name("sponsored_by_ox.json").read_text())
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
SENDER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
TOKEN = "0x20c0000000000000000000000000000000000001"
RECEIVER = "0x" + "7ea5" * 10
OWN_ADDRESS = "0x00c0ffee" + "fd" * 10 + "000000000007"
MEMO = b"81H455VB4PEX5VSKNK084SN02Q3RAVHX"
DUE = 149_000_000
END = 1_796_078_936
NOW = datetime.fromtimestamp(END - 600, UTC)
ACTION = CryptoTransfer(
    currency="USDC",
    chain_id=42431,
    token_address=TOKEN,
    receiver_address=RECEIVER,
    amount_base_units=DUE,
    decimals=6,
    memo="0x" + MEMO.hex(),
    calldata="0x",
    payment_uri="",
)
#: Place of the sponsor's signature among the fields.
SPONSOR_FIELD = 11


def calldata(receiver: str = RECEIVER, amount: int = DUE, memo: bytes | None = MEMO) -> bytes:
    words = bytes.fromhex(receiver[2:]).rjust(32, b"\0") + amount.to_bytes(32)
    selector = bytes.fromhex("a9059cbb" if memo is None else "95777d59")
    return selector + words + (memo or b"")


def by_ox(name: str) -> bytes:
    return bytes.fromhex(OX[name]["raw"][2:])


def by_pytempo(*calls: Call, mark: bytes = b"\0", key: str = KEY, **changes: Any) -> bytes:
    """pytempo leaves the sponsor's place empty; the mark says that a sponsor is awaited."""
    fields: dict[str, Any] = {
        "chain_id": 42431,
        "gas_limit": 300_000,
        "max_fee_per_gas": 25_000_000_000,
        "max_priority_fee_per_gas": 1_000_000_000,
        "nonce": 3,
        "valid_before": END,
    }
    made = TempoTransaction.create(
        **(fields | changes),
        calls=calls or (Call.create(to=TOKEN, data=calldata()),),
        awaiting_fee_payer=True,
    ).sign(key)
    parts = rlp.decode(made.encode()[1:])
    parts[SPONSOR_FIELD] = mark
    return b"\x76" + bytes(rlp.encode(parts))


def sponsored(raw: bytes, left: int = DUE, now: datetime = NOW, **asked: Any) -> Envelope:
    """The transaction, if payd hands it to a sponsor."""
    envelope = read_envelope(raw)
    check_transfer(envelope, attrs.evolve(ACTION, **asked), left, now)
    return envelope


def refusal(raw: bytes, **how: Any) -> str:
    with pytest.raises(NotSponsored) as refused:
        sponsored(raw, **how)
    return str(refused.value)


# -- what is sponsored -----------------------------------------------------------------------------

SIGNED = [
    f"{kind}{form}" for kind in ("secp256k1", "p256", "passkey") for form in ("", " for a sponsor")
]


@pytest.mark.parametrize("name", SIGNED)
def test_a_transfer_signed_by_ox_is_sponsored_for_its_sender(name: str) -> None:
    envelope = sponsored(by_ox(name))
    assert envelope.sender == OX[name]["sender"]
    assert [call.data for call in envelope.calls] == [calldata()]


def test_a_transfer_signed_by_pytempo_is_sponsored_for_its_sender() -> None:
    assert sponsored(by_pytempo()).sender == SENDER


def test_a_plain_transfer_to_an_address_of_the_payment_needs_no_memo() -> None:
    raw = by_ox("own address, without a memo")
    assert sponsored(raw, receiver_address=OWN_ADDRESS).sender == SENDER
    with_memo = by_pytempo(Call.create(to=TOKEN, data=calldata(OWN_ADDRESS)))
    assert sponsored(with_memo, receiver_address=OWN_ADDRESS).sender == SENDER


def test_a_memo_may_be_typed_in_either_case_as_the_watch_reads_it() -> None:
    lower = by_pytempo(Call.create(to=TOKEN, data=calldata(memo=MEMO.lower())))
    assert sponsored(lower).sender == SENDER


def test_of_a_partly_paid_payment_the_rest_is_sponsored() -> None:
    rest = by_pytempo(Call.create(to=TOKEN, data=calldata(amount=7)))
    assert sponsored(rest, left=7).sender == SENDER


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("access key", "not signed by the account's own key"),
        ("token for the fee", "names a token for the fee"),
        ("two calls", "has 2 calls"),
        ("access list", "has an access list"),
        ("no sponsor", "does not wait for a sponsor"),
        ("sponsored already", "does not wait for a sponsor"),
        ("no end", "valid_before"),
        ("authorizes a key", "15 fields"),
        ("own address, without a memo", "does not transfer"),
    ],
)
def test_what_ox_makes_and_is_more_than_the_transfer_is_refused(name: str, why: str) -> None:
    assert why in refusal(by_ox(name))


def call(to: str = TOKEN, value: int = 0, data: bytes | None = None) -> Call:
    return Call.create(to=to, value=value, data=calldata() if data is None else data)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (call(to="0x" + "20c1" * 10), "not the payment's token"),
        (call(value=1), "has a value"),
        (call(data=calldata(amount=DUE + 1)), "does not transfer"),
        (call(data=calldata(amount=DUE - 1)), "does not transfer"),
        (call(data=calldata(receiver=SENDER)), "does not transfer"),
        (call(data=calldata(memo=MEMO[::-1])), "not the payment's"),
        (call(data=calldata(memo=None)), "has no memo"),
        (call(data=calldata() + b"\0"), "neither transfer nor"),
        (call(data=calldata()[:-1]), "neither transfer nor"),
        (call(data=calldata(memo=None) + b"\0"), "neither transfer nor"),
        (call(data=b"\x09\x5e\xa7\xb3" + calldata()[4:68]), "neither transfer nor"),
        (call(data=b""), "does not transfer"),
        (call(data=calldata()[:16].replace(b"\0", b"\1") + calldata()[16:]), "does not transfer"),
    ],
)
def test_another_call_is_refused(one: Call, why: str) -> None:
    assert why in refusal(by_pytempo(one))


def test_a_call_that_is_appended_is_refused() -> None:
    assert "2 calls" in refusal(by_pytempo(call(), call(data=calldata(receiver=SENDER, amount=1))))


def test_a_contract_is_not_created() -> None:
    assert "create a contract" in refusal(by_pytempo(call(to="0x")))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"chain_id": 4217}, "for the chain 4217"),
        ({"valid_before": None}, "valid_before"),
        ({"valid_before": END - 600}, "valid_before"),
        ({"valid_before": END - 600 + VALIDITY_S + 1}, "valid_before"),
        ({"valid_after": END - 599}, "not valid yet"),
        ({"gas_limit": FEE_MAX // 25_000_000_000 + 1}, "more than 0.03 USD"),
        ({"max_fee_per_gas": GAS_PRICE_MAX + 1}, "more for each gas"),
        ({"max_priority_fee_per_gas": PRIORITY_FEE_MAX + 1}, "a block's maker"),
        ({"mark": b""}, "does not wait for a sponsor"),
        ({"mark": b"\1"}, "does not wait for a sponsor"),
        ({"mark": []}, "does not wait for a sponsor"),
    ],
)
def test_a_transaction_out_of_bounds_is_refused(changes: dict[str, Any], why: str) -> None:
    assert why in refusal(by_pytempo(**changes))


def test_the_bounds_themselves_are_sponsored() -> None:
    raw = by_pytempo(
        valid_before=END - 600 + VALIDITY_S,
        valid_after=END - 600,
        gas_limit=FEE_MAX // 25_000_000_000,
        max_priority_fee_per_gas=PRIORITY_FEE_MAX,
    )
    assert sponsored(raw).sender == SENDER


def test_a_payment_that_waits_for_nothing_is_not_sponsored() -> None:
    assert "waits for no transfer" in refusal(by_pytempo(), left=0)


def test_the_same_transaction_is_refused_when_its_time_is_over() -> None:
    raw = by_pytempo()
    assert sponsored(raw).sender == SENDER
    assert "valid_before" in refusal(raw, now=NOW + timedelta(seconds=600))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x76",
        b"\x02" + by_ox("secp256k1")[1:],
        b"\x76" + bytes(5000),
        b"\x76\x80",
        b"\x76" + b"\xc1" * 4000,
        b"\x76\xf8",
        b"\x76" + bytes(rlp.encode([[]] * 14)),
        b"\x76" + bytes(rlp.encode([b"\1"] * 14)),
        b"\x76" + bytes(rlp.encode([b""] * 13 + [bytes(65)])),
        by_ox("p256") + b"\0",
        by_ox("p256")[:-1],
    ],
    ids=lambda raw: raw[:6].hex() or "nothing",
)
def test_what_is_no_transaction_is_refused(raw: bytes) -> None:
    assert refusal(raw)


def meaning(envelope: Envelope) -> tuple[Any, ...]:
    """What the transaction does, by the rule of the watch for memos."""
    [one] = envelope.calls
    return envelope.chain_id, one.to, one.data[:68], reference_of("0x" + one.data[68:].hex())


@pytest.mark.parametrize("name", ["p256", "passkey", "p256 for a sponsor", "passkey for a sponsor"])
def test_no_changed_byte_lets_a_sponsor_pay_for_anything_else(name: str) -> None:
    """What passes is the same transfer; the chain refuses its signature, nonce or limits."""
    raw = by_ox(name)
    before = sponsored(raw)
    for at, byte in enumerate(raw):
        for change in (*(1 << bit for bit in range(8)), 0xFF, byte):
            changed = raw[:at] + bytes([byte ^ change]) + raw[at + 1 :]
            if changed == raw:
                continue
            try:
                after = sponsored(changed)
            except NotSponsored:
                continue
            assert meaning(after) == meaning(before), (at, change)
            assert after.gas * after.max_fee <= FEE_MAX


@pytest.mark.parametrize("name", ["secp256k1", "secp256k1 for a sponsor"])
def test_a_changed_byte_leaves_an_account_without_its_signature(name: str) -> None:
    """Only the two ways to write the last byte of a signature mean the same."""
    raw = by_ox(name)
    for at, byte in enumerate(raw):
        changed = raw[:at] + bytes([byte ^ 1]) + raw[at + 1 :]
        try:
            after = sponsored(changed)
        except NotSponsored:
            continue
        assert after.sender != SENDER, at
    other = raw[:-1] + bytes([raw[-1] - 27])
    assert sponsored(other) == sponsored(raw)

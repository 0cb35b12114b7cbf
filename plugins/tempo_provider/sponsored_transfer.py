"""Which transactions a sponsor may be asked to pay for: one transfer that completes one payment."""

from datetime import datetime
from typing import Final

from eth_utils.abi import function_signature_to_4byte_selector

from payd.plugins import CryptoTransfer
from tempo_provider.envelope import Call, Envelope, NotSponsored
from tempo_provider.memo import reference_of
from tempo_provider.virtual import is_virtual

#: Most that a sponsor pays, in 10⁻¹⁸ USD: 3 cents. A transfer to a new address costs about one.
FEE_MAX: Final = 3 * 10**16
#: Most for each gas, in 10⁻¹⁸ USD: twice what the chain takes (2 · 10¹⁰).
GAS_PRICE_MAX: Final = 4 * 10**10
#: Most for each gas that goes to the block's maker, who may be the sender.
PRIORITY_FEE_MAX: Final = 5 * 10**9
#: Longest time for which a sponsor's signature can be used.
VALIDITY_S: Final = 600

_TRANSFER: Final = function_signature_to_4byte_selector("transfer(address,uint256)")
_WITH_MEMO: Final = function_signature_to_4byte_selector(
    "transferWithMemo(address,uint256,bytes32)"
)
_WORD: Final = 32
_MEMO_AT: Final = 4 + 2 * _WORD


def check_transfer(envelope: Envelope, action: CryptoTransfer, left: int, now: datetime) -> float:
    """Check that it transfers exactly what is missing, and nothing else; return its seconds left.

    A part is refused, too: a customer could send the smallest unit again and again, and the sponsor
    would pay for each. Raises NotSponsored.
    """
    if left <= 0:
        raise NotSponsored("the payment waits for no transfer")
    if envelope.chain_id != action.chain_id:
        raise NotSponsored(f"it is for the chain {envelope.chain_id}, not {action.chain_id}")
    if len(envelope.calls) != 1:
        raise NotSponsored(f"it has {len(envelope.calls)} calls: a transfer is one")
    _check_call(envelope.calls[0], action, left)
    _check_fee(envelope)
    return _seconds_left(envelope, int(now.timestamp()))


def check_end(envelope: Envelope, expire_time: datetime) -> None:
    """Check that it cannot come after the payment has expired. Raises NotSponsored."""
    if envelope.valid_before is None or envelope.valid_before > expire_time.timestamp():
        raise NotSponsored(
            f"its valid_before is after the payment's end, {expire_time:%H:%M:%S %Z}"
        )


def _check_call(call: Call, action: CryptoTransfer, left: int) -> None:
    if call.to != action.token_address.lower():
        raise NotSponsored(f"it calls {call.to}, not the payment's token {action.token_address}")
    if call.value:
        raise NotSponsored("it has a value, which no transfer of a token has")
    expected = bytes.fromhex(action.receiver_address[2:]).rjust(_WORD, b"\0") + left.to_bytes(_WORD)
    if call.data[4:_MEMO_AT] != expected:
        raise NotSponsored(
            f"it does not transfer {left} base units, which the payment misses, to"
            f" {action.receiver_address}"
        )
    kind, memo = call.data[:4], call.data[_MEMO_AT:]
    if kind == _WITH_MEMO and len(memo) == _WORD:
        if reference_of(f"0x{memo.hex()}") != reference_of(action.memo):
            raise NotSponsored("its memo is not the payment's")
    elif kind != _TRANSFER or memo:
        raise NotSponsored("its call is neither transfer nor transferWithMemo")
    elif not is_virtual(action.receiver_address.lower()):
        raise NotSponsored("it has no memo, without which it belongs to no payment")


def _seconds_left(envelope: Envelope, now: int) -> float:
    end = envelope.valid_before
    if end is None or not now < end <= now + VALIDITY_S:
        raise NotSponsored(f"its valid_before is not within the next {VALIDITY_S} s")
    if envelope.valid_after is not None and envelope.valid_after > now:
        raise NotSponsored("it is not valid yet")
    return end - now


def _check_fee(envelope: Envelope) -> None:
    if envelope.max_priority_fee > envelope.max_fee:
        raise NotSponsored("its priority fee exceeds its fee")
    if envelope.max_fee > GAS_PRICE_MAX or envelope.max_priority_fee > PRIORITY_FEE_MAX:
        raise NotSponsored(
            f"it offers more for each gas than {GAS_PRICE_MAX:.0e}, or to a block's maker more"
            f" than {PRIORITY_FEE_MAX:.0e}"
        )
    if envelope.gas * envelope.max_fee > FEE_MAX:
        raise NotSponsored(
            f"gas and fee allow more than {FEE_MAX / 10**18:g} USD: lower one of them"
        )

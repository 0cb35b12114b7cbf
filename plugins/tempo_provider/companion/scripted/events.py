"""The logs that Tempo's contracts emit in one call, in their order.

Sources: the TIP-20, TIP-1022 and TIP-1028 specifications, and the node's precompiles.
"""

from collections.abc import Sequence
from typing import NamedTuple

from eth_abi.abi import encode
from eth_utils.crypto import keccak

FACTORY = "0x20fc000000000000000000000000000000000000"
POLICIES = "0x403c000000000000000000000000000000000000"
REGISTRY = "0xfdc0000000000000000000000000000000000000"
FEE_MANAGER = "0xfeec000000000000000000000000000000000000"
GUARD = "0xb10c000000000000000000000000000000000000"
ZERO = "0x" + "0" * 40


def topic0(signature: str) -> str:
    """Return topic 0 of an event's signature."""
    return "0x" + keccak(text=signature).hex()


TRANSFER = topic0("Transfer(address,address,uint256)")
TRANSFER_WITH_MEMO = topic0("TransferWithMemo(address,address,uint256,bytes32)")
MINT = topic0("Mint(address,uint256)")
BURN = topic0("Burn(address,uint256)")
BURN_AT = topic0("BurnAt(address,address,uint256)")
TRANSFER_BLOCKED = topic0("TransferBlocked(address,address,uint64,uint256,uint8,bytes)")


class Emitted(NamedTuple):
    """A log without its position in a block."""

    address: str
    topics: tuple[str, ...]
    data: str


Call = Sequence[Emitted]


def word(value: int | str) -> str:
    """Encode a number or an address in 32 bytes, as 0x-hex."""
    number = int(value, 16) if isinstance(value, str) else value
    return f"0x{number:064x}"


def transfer(token: str, sender: str, to: str, amount: int, memo: str | None = None) -> Call:
    """`transfer`, or `transferWithMemo`, which logs the same money twice."""
    plain = Emitted(token, (TRANSFER, word(sender), word(to)), word(amount))
    if memo is None:
        return (plain,)
    with_memo = (TRANSFER_WITH_MEMO, word(sender), word(to), memo)
    return (plain, Emitted(token, with_memo, word(amount)))


def mint(token: str, to: str, amount: int, memo: str | None = None) -> Call:
    """`mint`, or `mintWithMemo`."""
    minted = Emitted(token, (MINT, word(to)), word(amount))
    return (*transfer(token, ZERO, to, amount, memo), minted)


def burn(token: str, sender: str, amount: int, memo: str | None = None) -> Call:
    """`burn`, or `burnWithMemo`, whose memo may be that of a payment."""
    burnt = Emitted(token, (BURN, word(sender)), word(amount))
    return (*transfer(token, sender, ZERO, amount, memo), burnt)


def burn_at(token: str, holder: str, amount: int, burner: str = ZERO) -> Call:
    """`burnAt` (TIP-1006): an issuer burns a holder's tokens."""
    burnt = Emitted(token, (BURN_AT, word(burner), word(holder), word(amount)), "0x")
    return (*transfer(token, holder, ZERO, amount), burnt)


def fee(token: str, payer: str, amount: int) -> Call:
    """The fee of a transaction."""
    return transfer(token, payer, FEE_MANAGER, amount)


def to_virtual(
    token: str, sender: str, virtual: str, master: str, amount: int, memo: str | None = None
) -> Call:
    """A transfer to a virtual address, forwarded to its master without the memo."""
    return (
        *transfer(token, sender, virtual, amount, memo),
        *transfer(token, virtual, master, amount),
    )


def blocked(
    token: str, sender: str, to: str, amount: int, memo: str | None = None, nonce: int = 1
) -> Call:
    """A transfer that the receiver's policy redirects to the guard, so that it does not pay."""
    receipt = blocked_receipt(token, sender, to, memo, nonce)
    data = encode(["uint256", "uint8", "bytes"], [amount, 1, receipt])
    topics = (TRANSFER_BLOCKED, word(token), word(to), word(nonce))
    return (*transfer(token, sender, GUARD, amount), Emitted(GUARD, topics, "0x" + data.hex()))


def blocked_receipt(token: str, sender: str, to: str, memo: str | None, nonce: int) -> bytes:
    """Encode the receipt, version 1, with which the money can be claimed."""
    kinds = ["uint8", *["address"] * 4, "uint64", "uint64", "uint8", "uint8", "bytes32"]
    memo_bytes = bytes.fromhex((memo or word(0))[2:])
    by_receive_policy, of_transfer = 2, 0
    reason = (by_receive_policy, of_transfer)
    return encode(kinds, [1, token, to, sender, to, 1_790_000_000, nonce, *reason, memo_bytes])


def claim(token: str, to: str, amount: int) -> Call:
    """A claim at the guard: a plain transfer, without the memo."""
    return transfer(token, GUARD, to, amount)


def forged(call: Call, contract: str) -> Call:
    """The same logs from another contract, which anyone can deploy."""
    return tuple(one._replace(address=contract) for one in call)

"""A customer's signed transaction that waits for the signature of a sponsor, taken apart.

The type 0x76 is Tempo's own transaction; in the place of the sponsor's signature it has a zero
byte. 0x78 is the form in which viem hands it to a sponsor: the sender stands in that place. The
customer signs the same in both. Source: the transaction's specification
(docs.tempo.xyz/protocol/transactions/spec-tempo-transaction) and `ox/tempo`.

Nothing is skipped that could mean more than a transfer: unknown fields, lists that must be empty
and every spelling that a node would not write are refused.
"""

from typing import Any, Final

import attrs
import rlp
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException

#: Most bytes of a transaction: one call, and a passkey's signature of at most 2,048 bytes.
RAW_BYTES_MAX: Final = 4096
_TEMPO: Final = 0x76
_FOR_SPONSOR: Final = 0x78
#: What stands in the place of the sponsor's signature until it is made.
_MARK: Final = b"\0"
_FIELDS: Final = 14
_NUMBER_BYTES: Final = 32
_ADDRESS_BYTES: Final = 20
_SECP256K1_BYTES: Final = 65
#: A signature's first byte, where it is not the bare one of 65 bytes.
_P256, _PASSKEY = 1, 2
_P256_BYTES: Final = 130
_PASSKEY_BYTES: Final = range(129, 2050)
#: Coordinates of the public key.
_KEY_BYTES: Final = 64


class NotSponsored(Exception):
    """payd hands this transaction to no sponsor; the message says why, for the wallet."""


@attrs.frozen(kw_only=True)
class Call:
    """One call of a transaction. Addresses are 0x-hex in lower case."""

    to: str
    value: int
    data: bytes


@attrs.frozen(kw_only=True)
class Envelope:
    """What a sponsor would pay for. Times are Unix seconds; fees are in 10⁻¹⁸ USD for each gas."""

    sender: str
    chain_id: int
    max_priority_fee: int
    max_fee: int
    gas: int
    calls: tuple[Call, ...]
    valid_before: int | None
    valid_after: int | None


def read_envelope(raw: bytes) -> Envelope:
    """Take a signed transaction apart. Raises NotSponsored."""
    if len(raw) > RAW_BYTES_MAX:
        raise NotSponsored(f"the transaction has more than {RAW_BYTES_MAX} bytes")
    if raw[:1] not in (bytes([_TEMPO]), bytes([_FOR_SPONSOR])):
        raise NotSponsored("it is not a Tempo transaction: type 0x76, or 0x78 for a sponsor")
    fields = _decoded(raw[1:])
    if len(fields) != _FIELDS:
        raise NotSponsored(f"it has {len(fields)} fields, and a signed transfer has {_FIELDS}")
    numbers = [_number(fields[at]) for at in (0, 1, 2, 3, 6, 7)]
    for at, name in ((5, "an access list"), (12, "authorizations")):
        if fields[at] != []:
            raise NotSponsored(f"it has {name}, which no transfer needs")
    if fields[10] != b"":
        raise NotSponsored("it names a token for the fee, which the sponsor chooses")
    sender = _sender(fields)
    if fields[11] != (_MARK if raw[0] == _TEMPO else bytes.fromhex(sender[2:])):
        raise NotSponsored("it does not wait for a sponsor's signature, or names another sender")
    return Envelope(
        sender=sender,
        chain_id=numbers[0],
        max_priority_fee=numbers[1],
        max_fee=numbers[2],
        gas=numbers[3],
        calls=_calls(fields[4]),
        valid_before=_time(fields[8]),
        valid_after=_time(fields[9]),
    )


def _decoded(encoded: bytes) -> list[Any]:
    try:
        fields = rlp.decode(encoded)
        # Two spellings of one transaction would be two transactions to some readers.
        if isinstance(fields, list) and rlp.encode(fields) == encoded:
            return fields
    except (RLPException, IndexError, RecursionError):
        pass
    raise NotSponsored("it is not encoded as a node encodes it (RLP)")


def _number(field: object) -> int:
    """Read a number of at most 32 bytes, which has no zeros in front."""
    if not isinstance(field, bytes) or len(field) > _NUMBER_BYTES or field[:1] == b"\0":
        raise NotSponsored("a field that must be a number is none")
    return int.from_bytes(field)


def _time(field: object) -> int | None:
    return _number(field) or None


def _address(field: object) -> str:
    if not isinstance(field, bytes) or len(field) != _ADDRESS_BYTES:
        raise NotSponsored("a call has no address: it would create a contract")
    return f"0x{field.hex()}"


def _calls(field: object) -> tuple[Call, ...]:
    if not isinstance(field, list):
        raise NotSponsored("it has no list of calls")
    calls = []
    for parts in field:
        if not isinstance(parts, list) or len(parts) != 3 or not isinstance(parts[2], bytes):
            raise NotSponsored("a call has other parts than an address, a value and data")
        calls.append(Call(to=_address(parts[0]), value=_number(parts[1]), data=parts[2]))
    return tuple(calls)


def _sender(fields: list[Any]) -> str:
    """Find the account that signed; the chain checks a passkey's signature."""
    signature = fields[-1]
    if not isinstance(signature, bytes):
        raise NotSponsored("it is not signed")
    size, kind = len(signature), signature[:1]
    if size == _SECP256K1_BYTES:
        public_key = _recovered(fields, signature)
    elif kind == bytes([_P256]) and size == _P256_BYTES:
        public_key = signature[-1 - _KEY_BYTES : -1]
    elif kind == bytes([_PASSKEY]) and size in _PASSKEY_BYTES:
        public_key = signature[-_KEY_BYTES:]
    else:
        raise NotSponsored("it is not signed by the account's own key, or by none that payd knows")
    return f"0x{keccak(public_key)[-_ADDRESS_BYTES:].hex()}"


def _recovered(fields: list[Any], signature: bytes) -> bytes:
    """The public key by which the sender signed all fields but those that the sponsor fills in."""
    signed = [*fields[:10], b"", _MARK, *fields[12:-1]]
    v = signature[-1]
    try:
        made = Signature(signature[:-1] + bytes([v - 27 if v in (27, 28) else v]))
        key = made.recover_public_key_from_msg_hash(keccak(bytes([_TEMPO]) + rlp.encode(signed)))
    except (BadSignature, ValidationError):
        raise NotSponsored("its signature is none") from None
    return bytes(key.to_bytes())

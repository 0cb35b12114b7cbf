"""A customer's wallet that lacks the fee: it signs a transfer that a sponsor's signature completes.

Every wallet is a new account. The transaction is Tempo's type 0x76, as viem's `withRelay` sends it.
"""

import json
import secrets
from typing import Final

import rlp
from eth_abi.abi import encode
from eth_keys.datatypes import PrivateKey
from eth_utils.abi import function_signature_to_4byte_selector
from eth_utils.crypto import keccak

from payd.plugins import CryptoTransfer

_TEMPO: Final = b"\x76"
#: In place of the sponsor's signature, which is still missing.
_MARK: Final = b"\0"
_PRIORITY_FEE, _FEE, _GAS = 10**9, 25 * 10**9, 300_000
_WITH_MEMO: Final = "transferWithMemo(address,uint256,bytes32)"


def request_of(action: CryptoTransfer, amount: int, valid_before: int) -> bytes:
    """Return a new wallet's request to a sponsor, to sign its transfer of this amount."""
    raw = _signed(action, amount, valid_before)
    asked = {"jsonrpc": "2.0", "id": 1, "method": "eth_signRawTransaction", "params": [raw]}
    return json.dumps(asked).encode()


def _signed(action: CryptoTransfer, amount: int, valid_before: int) -> str:
    memo = bytes.fromhex(action.memo[2:])
    values = [action.receiver_address, amount, memo]
    data = function_signature_to_4byte_selector(_WITH_MEMO)
    data += encode(["address", "uint256", "bytes32"], values)
    call = [bytes.fromhex(action.token_address[2:]), 0, data]
    # Of no access list, nonce key, nonce, and start; the sponsor chooses the token of the fee.
    fields = [action.chain_id, _PRIORITY_FEE, _FEE, _GAS, [call], [], 0, 0, valid_before, 0]
    signed = rlp.encode([*fields, b"", _MARK, []])
    signature = PrivateKey(secrets.token_bytes(32)).sign_msg_hash(keccak(_TEMPO + signed))
    v = bytes([27 + signature.v])
    both = signature.r.to_bytes(32) + signature.s.to_bytes(32) + v
    return f"0x{(_TEMPO + rlp.encode([*fields, b'', _MARK, [], both])).hex()}"

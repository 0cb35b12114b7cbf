"""What the page asks of a wallet in the browser: a transfer of what is left, in two forms."""

import json

from payd.domain.next_action import CryptoTransfer
from payd.domain.payment import Payment
from payd.plugins.interface import Method
from payd.service.show_receipts import token_of
from payd.service.wallet_request import request_of_method

#: Hex digits of a call: "0x" and its selector, and each of its arguments.
_HEAD = 10
_WORD = 64


def wallet_requests(
    payment: Payment, action: CryptoTransfer, method: Method | None, page_url: str = ""
) -> str:
    """The chain and the requests (EIP-1193) as JSON; empty without any.

    The first request is the network's own, which takes the memo and the fee payer. A wallet that
    does not know it can send the call.
    """
    if token_of(payment, method) is None:
        return ""
    own = request_of_method(payment, method, page_url)
    call = transfer_call(action, max(0, action.amount_base_units - payment.received))
    requests, chain_id = [json.loads(own)] if own else [], hex(action.chain_id)
    if call:
        # A wallet refuses a call that names a chain on which it is not.
        transaction = {
            "to": action.token_address,
            "data": call,
            "value": "0x0",
            "chainId": chain_id,
        }
        requests.append({"method": "eth_sendTransaction", "params": [transaction]})
    return json.dumps({"chainId": chain_id, "requests": requests}) if requests else ""


def transfer_call(action: CryptoTransfer, left: int) -> str:
    """The calldata for what is left; empty where the provider made none."""
    if left == action.amount_base_units or not action.calldata:
        return action.calldata
    head, arguments = action.calldata[:_HEAD], action.calldata[_HEAD:]
    words = [arguments[at : at + _WORD] for at in range(0, len(arguments), _WORD)]
    amount = f"{action.amount_base_units:0{_WORD}x}"
    # A call with the whole amount would pay a part of it twice.
    if [word.lower() for word in words].count(amount) != 1:
        return ""
    return head + "".join(f"{left:0{_WORD}x}" if word.lower() == amount else word for word in words)

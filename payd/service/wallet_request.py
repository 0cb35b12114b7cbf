"""The transfer that a payment waits for, as a request to a wallet in the customer's browser."""

import json

from payd.domain.decimals import format_units
from payd.domain.next_action import CryptoTransfer
from payd.domain.payment import Payment
from payd.plugins.interface import CryptoCurrency, Method
from payd.ports import Providers
from payd.service.show_receipts import token_of

#: Where a wallet finds the sponsor of its fee, after the address of the payment's page.
SPONSOR_PATH = "/fee"


def wallet_request(payment: Payment, providers: Providers, page_url: str = "") -> str:
    """The request as JSON, for what is still missing; empty where a wallet cannot make it.

    It is made for each answer and not stored: what is missing changes, and so may the fee payer.
    `page_url` is the address of the payment's page, empty where there are no pages.
    """
    if not isinstance(payment.next_action, CryptoTransfer):
        return ""
    registered = providers.by_method(payment.method)
    return request_of_method(payment, registered.method if registered else None, page_url)


def request_of_method(payment: Payment, method: Method | None, page_url: str = "") -> str:
    """The same, where the payment's method is known; None if it has gone."""
    action = payment.next_action
    if not isinstance(action, CryptoTransfer) or not payment.status.is_open:
        return ""
    token = token_of(payment, method)
    left = action.amount_base_units - payment.received
    # Without its memo the transfer would belong to no payment, and wallets take it as text only.
    loses_memo = bool(action.memo) and not action.memo_text
    if token is None or not token.wallet_method or left <= 0 or loses_memo:
        return ""
    sponsor = f"{page_url}{SPONSOR_PATH}" if token.is_sponsored and page_url else ""
    amount = format_units(left, action.decimals)
    return _request(action, token, amount, sponsor or token.fee_payer_url)


def _request(action: CryptoTransfer, token: CryptoCurrency, amount: str, fee_payer: str) -> str:
    parameters = {
        "amount": amount,
        "chainId": action.chain_id,
        "feePayer": fee_payer,
        "memo": action.memo_text,
        "to": action.receiver_address,
        "token": action.token_address,
    }
    given = {name: value for name, value in parameters.items() if value}
    return json.dumps({"method": token.wallet_method, "params": [given]})

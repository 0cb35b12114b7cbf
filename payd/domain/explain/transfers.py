"""What a person has to send for a refund that payd cannot send itself."""

from payd.domain.explain.words import listing, memo_in_words, money
from payd.domain.next_action import CryptoTransfer, Redirect, Show
from payd.domain.payment import Payment
from payd.domain.refund import Refund


def how_to_send(payment: Payment, refund: Refund) -> str:
    """The instructions of the refund, as a clause: amount, receiver, and what it must carry."""
    amount = money(payment, refund.amount)
    match refund.next_action:
        case CryptoTransfer() as transfer:
            memo = f" with the memo {memo_in_words(transfer.memo)}" if transfer.memo else ""
            return (
                f"transfer {amount} (token {transfer.token_address}) at {payment.provider} (chain"
                f" {transfer.chain_id}) to {transfer.receiver_address}{memo}"
            )
        case Show(fields=fields) if fields:
            lines = listing(f"{field.label} {field.value}" for field in fields)
            return f"send {amount} with {lines}"
        case Redirect(url=url):
            return f"send {amount}{_to(refund)} at {url}"
    return f"send {amount}{_to(refund)} as its instructions say"


def _to(refund: Refund) -> str:
    return f" to {refund.destination}" if refund.destination else ""

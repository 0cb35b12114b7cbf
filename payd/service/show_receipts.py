"""Show the receipts of a payment: the newest, their number, and where to see each transaction."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

import attrs

from payd.domain.evidence import Receipt
from payd.domain.ledger import PaymentReceipts
from payd.domain.payment import Payment
from payd.plugins.interface import CryptoCurrency, Method
from payd.ports import Providers, Receipts

#: Receipts in an answer; a customer sends one, or a few. Anybody may send more.
RECEIPTS_MAX = 100

_HASH = re.compile(r"[0-9A-Za-z]{8,128}")


@attrs.frozen(kw_only=True)
class ShowReceipts:
    """Use case: the receipts in an answer about a payment."""

    receipts: Receipts
    providers: Providers

    async def receipts_of(
        self, payment: Payment, newest: Sequence[Receipt] | None = None
    ) -> PaymentReceipts:
        """The payment's receipts as they are now, or `newest` and their number.

        Raises StoreUnavailable.
        """
        if not payment.may_have_receipts:
            return PaymentReceipts()
        if newest is None:
            newest = await self.receipts.of_payment(payment.id, RECEIPTS_MAX)
        total = len(newest)
        if total == RECEIPTS_MAX:
            total = await self.receipts.count_of_payment(payment.id)
        registered = self.providers.by_method(payment.method) if newest else None
        token = token_of(payment, registered.method if registered else None)
        pages = {one.id: page for one in newest if (page := transaction_page(token, one))}
        return PaymentReceipts(newest=newest, total=total, pages=pages)


def token_of(payment: Payment, method: Method | None) -> CryptoCurrency | None:
    """The token in which a payment is due, as its method has it; None if it has it no longer."""
    terms = payment.crypto
    if terms is None or method is None:
        return None
    address = terms.token_address.lower()
    return next(
        (
            token
            for token in method.crypto_currencies
            if (token.chain_id, token.token_address.lower()) == (terms.chain_id, address)
        ),
        None,
    )


def transaction_page(token: CryptoCurrency | None, receipt: Receipt) -> str:
    """The page of a receipt's transaction in the block explorer; empty without one."""
    transaction = receipt.details.get("transaction", "")
    if token is None or not token.transaction_url or not _HASH.fullmatch(transaction):
        return ""
    return web_address(token.transaction_url.replace("{transaction}", transaction))


def web_address(url: str) -> str:
    """The address if it is that of a web page, else nothing: a link may lead nowhere else."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in ("http", "https") and parts.hostname else ""

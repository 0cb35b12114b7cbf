"""GetPayment, GetQuote and the payment methods: reads without effects."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import attrs

from payd.domain.errors import (
    CurrencyNotSupported,
    InvalidField,
    PaymentNotFound,
    UnknownMethod,
)
from payd.domain.money import Money, TokenTerms, base_units
from payd.domain.payment import Payment
from payd.domain.pricing import Quote
from payd.domain.request import QuoteAnswer, QuoteRequest
from payd.plugins.interface import CryptoCurrency, Method
from payd.ports import Clock, PaymentStore, PriceSource, Providers, Registered


@attrs.frozen(kw_only=True)
class Query:
    """Use case: look, don't touch."""

    store: PaymentStore
    providers: Providers
    prices: PriceSource
    clock: Clock
    quote_ttl: timedelta

    async def get(self, payment_id: UUID) -> Payment:
        """The newest version; raises PaymentNotFound."""
        payment = await self.store.get(payment_id)
        if payment is None:
            raise PaymentNotFound("no such payment", payment_id=str(payment_id))
        return payment

    async def get_by_key(self, idempotency_key: str) -> Payment:
        """The newest version; raises PaymentNotFound."""
        payment = await self.store.get_by_key(idempotency_key)
        if payment is None:
            raise PaymentNotFound("no payment has this idempotency key")
        return payment

    def quote(self, request: QuoteRequest) -> QuoteAnswer:
        """Prices of the list in force, for an amount that the method can charge.

        Raises UnknownMethod, UnknownProduct, CurrencyNotSupported, InvalidField.
        """
        method = self.method(request.method).method
        quote = self.prices.current().quote(request.items)
        crypto = token_terms(method, quote.total, request.crypto_currency)
        check_amounts(method, quote)
        return QuoteAnswer(
            items=quote.items,
            total=quote.total,
            method=method.key,
            crypto=crypto,
            pricing_version=quote.pricing_version,
            expire_time=self.clock.now() + self.quote_ttl,
        )

    def methods(self) -> Sequence[Registered]:
        """What a customer can pay with now."""
        return self.providers.registered()

    def method(self, key: str) -> Registered:
        """Who takes a method; raises UnknownMethod."""
        registered = self.providers.by_method(key)
        if registered is None:
            known = ", ".join(r.method.key for r in self.providers.registered())
            raise UnknownMethod(f"no provider takes {key!r}", method=key, known=known)
        return registered


def token_terms(method: Method, total: Money, crypto_currency: str) -> TokenTerms | None:
    """What is due in tokens; None for a method without. Raises CurrencyNotSupported."""
    if total.currency_code not in method.currencies:
        raise _unsupported(method, total.currency_code, method.currencies)
    tokens = {token.code: token for token in method.crypto_currencies}
    if not tokens and not crypto_currency:
        return None
    if crypto_currency not in tokens:
        raise _unsupported(method, crypto_currency, tuple(tokens))
    return _terms(method, tokens[crypto_currency], total)


def check_amounts(method: Method, quote: Quote) -> None:
    """Raises InvalidField for a total, or a price, that the method cannot charge."""
    rule = method.amounts.get(quote.total.currency_code)
    prices = (item.unit_price for item in quote.items)
    if rule is not None and (wrong := rule.wrong_with(prices, quote.total)) is not None:
        raise InvalidField("items", f"method {method.key!r} cannot charge this: {wrong}")


def _terms(method: Method, token: CryptoCurrency, total: Money) -> TokenTerms:
    try:
        due_base_units = base_units(total, token.decimals)
    except ValueError as error:
        raise CurrencyNotSupported(
            str(error), method=method.key, currency=token.code, known=""
        ) from error
    return TokenTerms(
        currency=token.code,
        chain_id=token.chain_id,
        token_address=token.token_address,
        decimals=token.decimals,
        due_base_units=due_base_units,
    )


def _unsupported(method: Method, currency: str, known: Sequence[str]) -> CurrencyNotSupported:
    wanted = f"{currency!r} is not supported" if currency else "a crypto_currency is required"
    reason = method.refused_currencies.get(currency)
    return CurrencyNotSupported(
        f"{wanted} for method {method.key!r}" + (f": {reason}" if reason else ""),
        method=method.key,
        currency=currency,
        known=", ".join(known),
    )

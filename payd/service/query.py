"""Reads that change nothing: payments, refunds, prices and payment methods."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import attrs

from payd.domain.errors import (
    CurrencyNotSupported,
    InvalidField,
    PaymentNotFound,
    PriceChanged,
    RefundNotFound,
    UnknownMethod,
)
from payd.domain.evidence import Receipt
from payd.domain.money import Money, TokenTerms, base_units
from payd.domain.page import Position
from payd.domain.payment import Payment
from payd.domain.pricing import Quote
from payd.domain.quote_token import open_quote, sign_quote
from payd.domain.refund import Refund
from payd.domain.request import QuoteAnswer, QuoteRequest, RefundFilter
from payd.plugins.interface import CryptoCurrency, Method
from payd.ports import (
    Clock,
    PaymentStore,
    PriceSource,
    Providers,
    Registered,
)
from payd.service.show_receipts import RECEIPTS_MAX


@attrs.frozen(kw_only=True)
class Query:
    """Use case: read payments, prices and payment methods."""

    store: PaymentStore
    providers: Providers
    prices: PriceSource
    clock: Clock
    quote_ttl: timedelta
    #: The keys of quote tokens: the first signs, all verify. Without one there are no tokens.
    quote_keys: Callable[[], Sequence[str]]

    async def get(self, payment_id: UUID) -> tuple[Payment, Sequence[Receipt]]:
        """The newest version of a payment and its newest receipts; raises PaymentNotFound."""
        found = await self.store.get_with_receipts(payment_id, RECEIPTS_MAX)
        if found is None:
            raise PaymentNotFound("no payment has this id", payment_id=str(payment_id))
        return found

    async def get_by_key(self, idempotency_key: str) -> Payment:
        """The newest version of the key's payment; raises PaymentNotFound."""
        payment = await self.store.get_by_key(idempotency_key)
        if payment is None:
            raise PaymentNotFound("no payment has this idempotency key")
        return payment

    async def get_refund(self, refund_id: UUID) -> tuple[Payment, Refund]:
        """A refund with its payment; raises RefundNotFound."""
        found = await self.store.get_refund(refund_id)
        if found is None:
            raise RefundNotFound("no refund has this id", refund_id=str(refund_id))
        return found

    async def get_refund_by_key(self, idempotency_key: str) -> tuple[Payment, Refund]:
        """The key's refund with its payment; raises RefundNotFound."""
        found = await self.store.get_refund_by_key(idempotency_key)
        if found is None:
            raise RefundNotFound("no refund has this idempotency key")
        return found

    async def list_refunds(
        self, wanted: RefundFilter, after: Position | None, limit: int
    ) -> Sequence[tuple[Payment, Refund]]:
        """A page of at most `limit` refunds, newest first, each with its payment."""
        return await self.store.list_refunds(wanted, after, limit)

    def quote(self, request: QuoteRequest) -> QuoteAnswer:
        """Price items by the current list, and sign the prices.

        Raises UnknownMethod, UnknownProduct, CurrencyNotSupported, InvalidField.
        """
        answer = self.price(request)
        keys = self.quote_keys()
        if not keys:
            return answer
        return attrs.evolve(answer, quote_token=sign_quote(request, answer, keys[0]))

    def price(
        self, request: QuoteRequest, quote_token: str = "", expected_total: Money | None = None
    ) -> QuoteAnswer:
        """The price by this token, else by the current list, and whether the method can charge it.

        Raises as `quote`, and QuoteInvalid, QuoteExpired, QuoteMismatch and PriceChanged.
        """
        method = self.method(request.method).method
        now, locked = self.clock.now(), None
        if quote_token:
            locked = open_quote(quote_token, request, self.quote_keys(), now)
        quote = locked.quote if locked else self._current(request, method)
        crypto = token_terms(method, quote.total, request.crypto_currency)
        check_amounts(method, quote)
        if locked is not None:
            locked.check_terms(crypto)
        if expected_total is not None and expected_total != quote.total:
            raise _price_changed(expected_total, quote.total)
        return QuoteAnswer(
            items=quote.items,
            total=quote.total,
            method=method.key,
            crypto=crypto,
            pricing_version=quote.pricing_version,
            expire_time=locked.expire_time if locked else now + self.quote_ttl,
        )

    def _current(self, request: QuoteRequest, method: Method) -> Quote:
        """The prices of the current list, in the request's currency or else the list's first."""
        prices = self.prices.current()
        currency = request.currency_code or prices.default_currency
        if currency in method.currencies:
            with suppress(CurrencyNotSupported):
                return prices.quote(request.items, currency)
        known = [c for c in prices.currencies_of(request.items) if c in method.currencies]
        raise _unsupported(method, currency, known)

    def methods(self) -> Sequence[Registered]:
        """The payment methods of the enabled providers."""
        return self.providers.registered()

    def method(self, key: str) -> Registered:
        """The method with its provider; raises UnknownMethod."""
        registered = self.providers.by_method(key)
        if registered is None:
            known = ", ".join(r.method.key for r in self.providers.registered())
            raise UnknownMethod(
                f"no enabled provider takes the method {key!r}; known are: {known or 'none'}",
                method=key,
                known=known,
            )
        return registered


def token_terms(method: Method, total: Money, crypto_currency: str) -> TokenTerms | None:
    """The amount due in tokens; None for a method without tokens.

    Raises CurrencyNotSupported if the method does not take the currency or the token, or if the
    token has too few decimals for the amount.
    """
    if total.currency_code not in method.currencies:
        raise _unsupported(method, total.currency_code, method.currencies)
    if not method.crypto_currencies and not crypto_currency:
        return None
    tokens = {token.code: token for token in method.crypto_currencies}
    possible = [code for code, token in tokens.items() if token.pays(total.currency_code)]
    if crypto_currency not in possible:
        raise _unsupported(method, crypto_currency, possible, _pays_others(tokens, crypto_currency))
    return _terms(method, tokens[crypto_currency], total)


def _pays_others(tokens: Mapping[str, CryptoCurrency], code: str) -> str:
    """Why a token of the method cannot pay this price; empty for a token that it does not take."""
    return f"it pays prices in {tokens[code].currency}" if code in tokens else ""


def check_amounts(method: Method, quote: Quote) -> None:
    """Check that the method can charge the prices and the total; raises InvalidField."""
    rule = method.amounts.get(quote.total.currency_code)
    prices = (item.unit_price for item in quote.items)
    if rule is not None and (wrong := rule.wrong_with(prices, quote.total)) is not None:
        raise InvalidField("items", f"method {method.key!r} cannot charge this: {wrong}")


def _price_changed(expected: Money, total: Money) -> PriceChanged:
    return PriceChanged(
        "the price has changed: show the new total to the customer first",
        expected_currency_code=expected.currency_code,
        expected_minor_units=str(expected.minor_units),
        currency_code=total.currency_code,
        minor_units=str(total.minor_units),
    )


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


def _unsupported(
    method: Method, currency: str, known: Sequence[str], why: str = ""
) -> CurrencyNotSupported:
    wanted = f"{currency!r} is not supported" if currency else "a crypto_currency is required"
    reason = why or method.refused_currencies.get(currency)
    because = f": {reason}" if reason else ""
    possible = ", ".join(known) or "none"
    return CurrencyNotSupported(
        f"{wanted} for method {method.key!r}{because}; supported here: {possible}",
        method=method.key,
        currency=currency,
        known=", ".join(known),
    )

"""The price list and quotes from it, in exact integers."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs

from payd.domain.errors import CurrencyNotSupported, InvalidField, UnknownProduct
from payd.domain.money import MINOR_UNITS_MAX, Money
from payd.domain.payment import LineItem
from payd.domain.request import Item

#: chain_profile_id, node_type, duration.
Product = tuple[str, str, str]

#: Most items of one request.
ITEMS_MAX = 100
#: Highest price, in minor units: the total of ITEMS_MAX items still fits a bigint.
PRICE_MAX = MINOR_UNITS_MAX // ITEMS_MAX

NAME_RULE = "1 to 64 of a-z 0-9 . _ -, beginning with a letter or a digit"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

#: Currencies of ISO 4217 in circulation, so that a typing error does not become a currency.
_CURRENCIES = frozenset(
    re.findall(
        r"[A-Z]{3}",
        """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN
        BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP
        GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS
        KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR
        MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD
        RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP
        TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW
        ZWG
        """,
    )
)


@attrs.frozen(kw_only=True)
class Quote:
    """Prices of the requested items, in the order of the request, and their total."""

    items: tuple[LineItem, ...]
    total: Money
    pricing_version: str


def _read_only(prices: Mapping[Product, Mapping[str, int]]) -> Mapping[Product, Mapping[str, int]]:
    return MappingProxyType({p: MappingProxyType(dict(units)) for p, units in prices.items()})


@attrs.frozen(kw_only=True)
class PriceList:
    """All prices: each product has one in at least one of the list's currencies.

    Building a list with an invalid price raises ValueError.
    """

    #: ISO 4217 codes, each once. The first is charged where a request names no currency.
    currencies: tuple[str, ...] = attrs.field()
    #: Product → currency → minor units.
    prices: Mapping[Product, Mapping[str, int]] = attrs.field(converter=_read_only, repr=False)
    #: SHA-256 of the file in hex, which every payment stores as its pricing_version.
    version: str = attrs.field(validator=attrs.validators.min_len(1))

    @currencies.validator
    def _are_currencies(self, _attribute: object, value: tuple[str, ...]) -> None:
        if not value or len(set(value)) < len(value):
            raise ValueError("currencies: needs at least one currency, and each only once")
        for wrong in filter(None, map(wrong_currency, value)):
            raise ValueError(f"currencies: {wrong}")

    @prices.validator
    def _are_prices(self, _attribute: object, value: Mapping[Product, Mapping[str, int]]) -> None:
        if not value:
            raise ValueError("prices: a price list needs at least one price")
        for product, units in value.items():
            wrong = [wrong_name(part) for part in product] + [*map(wrong_price, units.values())]
            if not units or not units.keys() <= set(self.currencies):
                wrong.append(f"needs a price, and none outside {', '.join(self.currencies)}")
            if any(wrong):
                raise ValueError(f"{'/'.join(product)}: {next(filter(None, wrong))}")

    @property
    def default_currency(self) -> str:
        """The currency of a request that names none: the list's first."""
        return self.currencies[0]

    def price(
        self, chain_profile_id: str, node_type: str, duration: str, currency_code: str
    ) -> Money:
        """The price of a product in a currency: the look-up of every quote.

        Raises UnknownProduct, and CurrencyNotSupported when the product has a price only in the
        currencies that the error names as `known`.
        """
        units = self._units(chain_profile_id, node_type, duration)
        if currency_code not in units:
            known = ", ".join(code for code in self.currencies if code in units)
            product = f"{chain_profile_id}/{node_type}/{duration}"
            raise CurrencyNotSupported(
                f"{product} has no price in {currency_code!r}; it has one in: {known}",
                currency=currency_code,
                known=known,
            )
        return Money(currency_code=currency_code, minor_units=units[currency_code])

    def currencies_of(self, items: Sequence[Item]) -> tuple[str, ...]:
        """Currencies in which each of the items has a price, in the list's order.

        Raises UnknownProduct for the first item without a price.
        """
        units = [self._units(i.chain_profile_id, i.node_type, i.duration) for i in items]
        return tuple(code for code in self.currencies if all(code in one for one in units))

    def quote(self, items: Sequence[Item], currency_code: str) -> Quote:
        """Price every item in one currency.

        Raises UnknownProduct and CurrencyNotSupported for the first item without such a price, and
        InvalidField unless there are 1 to ITEMS_MAX items.
        """
        if not 1 <= len(items) <= ITEMS_MAX:
            raise InvalidField("items", f"needs 1 to {ITEMS_MAX} items, has {len(items)}")
        lines = tuple(self._line_item(item, currency_code) for item in items)
        total = sum(line.unit_price.minor_units for line in lines)
        return Quote(
            items=lines,
            total=Money(currency_code=currency_code, minor_units=total),
            pricing_version=self.version,
        )

    def _line_item(self, item: Item, currency_code: str) -> LineItem:
        names = item.chain_profile_id, item.node_type, item.duration
        return LineItem(
            chain_profile_id=item.chain_profile_id,
            node_type=item.node_type,
            duration=item.duration,
            unit_price=self.price(*names, currency_code),
        )

    def _units(self, chain_profile_id: str, node_type: str, duration: str) -> Mapping[str, int]:
        """The product's prices by currency. Raises UnknownProduct."""
        units = self.prices.get((chain_profile_id, node_type, duration))
        if units is None:
            raise UnknownProduct(
                f"no price for {chain_profile_id}/{node_type}/{duration}",
                chain_profile_id=chain_profile_id,
                node_type=node_type,
                duration=duration,
            )
        return units


def wrong_name(name: object) -> str | None:
    """Return why this names no part of a product; None when it does."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return None
    return f"must be {NAME_RULE}"


def wrong_currency(currency: object) -> str | None:
    """Return why this is no currency of a price list; None when it is."""
    if isinstance(currency, str) and currency in _CURRENCIES:
        return None
    return f"must be an ISO 4217 code in capitals, such as USD; is {currency!r:.40}"


def wrong_price(minor_units: object) -> str | None:
    """Return why this is no price; None when it is."""
    # bool is a subclass of int, but never a price.
    if not isinstance(minor_units, int) or isinstance(minor_units, bool):
        return f"must be a whole number of minor units, unquoted; is {minor_units!r:.40}"
    if not 1 <= minor_units <= PRICE_MAX:
        return f"must be 1 to {PRICE_MAX} minor units; is {minor_units}"
    return None

"""The price list and quotes from it, in exact integers. A price file is checked as a whole."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import attrs

from payd.domain.errors import InvalidField, UnknownProduct
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
_PARTS = ("chain_profile_id", "node_type", "duration")

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
class PriceRow:
    """One price of the file, not checked yet, with the line numbers of its three keys."""

    product: Product
    minor_units: object
    lines: tuple[int, int, int]


@attrs.frozen(kw_only=True)
class PriceProblem:
    """A fault at one key of the price file, with its line number."""

    key: str
    line: int
    what: str


class PricesInvalid(ValueError):
    """The price file is invalid. `problems` lists every fault; no price of the file is used."""

    def __init__(self, problems: Sequence[PriceProblem]) -> None:
        super().__init__("; ".join(f"line {p.line}: {p.key}: {p.what}" for p in problems))
        self.problems = tuple(problems)


@attrs.frozen(kw_only=True)
class Quote:
    """Prices of the requested items, in the order of the request, and their total."""

    items: tuple[LineItem, ...]
    total: Money
    pricing_version: str


def _read_only(prices: Mapping[Product, int]) -> Mapping[Product, int]:
    return MappingProxyType(dict(prices))


@attrs.frozen(kw_only=True)
class PriceList:
    """All prices in one currency. Building a list with an invalid price raises ValueError."""

    currency: str = attrs.field()
    #: Minor units of `currency`.
    prices: Mapping[Product, int] = attrs.field(converter=_read_only, repr=False)
    #: SHA-256 of the file in hex, which every payment stores as its pricing_version.
    version: str = attrs.field(validator=attrs.validators.min_len(1))

    @currency.validator
    def _is_currency(self, _attribute: object, value: str) -> None:
        if (wrong := _wrong_currency(value)) is not None:
            raise ValueError(f"currency: {wrong}")

    @prices.validator
    def _are_prices(self, _attribute: object, value: Mapping[Product, int]) -> None:
        if not value:
            raise ValueError("prices: a price list needs at least one price")
        for product, minor_units in value.items():
            wrong = [_wrong_name(part) for part in product] + [_wrong_price(minor_units)]
            if any(wrong):
                raise ValueError(f"{'/'.join(product)}: {next(filter(None, wrong))}")

    def quote(self, items: Sequence[Item]) -> Quote:
        """Price every item.

        Raises UnknownProduct for the first item without a price, and InvalidField unless there are
        1 to ITEMS_MAX items.
        """
        if not 1 <= len(items) <= ITEMS_MAX:
            raise InvalidField("items", f"needs 1 to {ITEMS_MAX} items, has {len(items)}")
        lines = tuple(self._line_item(item) for item in items)
        total = sum(line.unit_price.minor_units for line in lines)
        return Quote(
            items=lines,
            total=Money(currency_code=self.currency, minor_units=total),
            pricing_version=self.version,
        )

    def _line_item(self, item: Item) -> LineItem:
        product = (item.chain_profile_id, item.node_type, item.duration)
        minor_units = self.prices.get(product)
        if minor_units is None:
            raise UnknownProduct(f"no price for {'/'.join(product)}", **attrs.asdict(item))
        return LineItem(
            chain_profile_id=item.chain_profile_id,
            node_type=item.node_type,
            duration=item.duration,
            unit_price=Money(currency_code=self.currency, minor_units=minor_units),
        )


def parse_prices(
    *, currency: object, currency_line: int, rows: Iterable[PriceRow], version: str
) -> PriceList:
    """Check a whole price file and build the list.

    Raises PricesInvalid with every problem, in the order of the file's lines.
    """
    problems: dict[str, PriceProblem] = {}
    if (wrong := _wrong_currency(currency)) is not None:
        problems["currency"] = PriceProblem(key="currency", line=currency_line, what=wrong)
    prices: dict[Product, int] = {}
    for row in rows:
        for problem in _wrong_row(row, prices):
            problems.setdefault(problem.key, problem)
        if isinstance(row.minor_units, int):
            prices.setdefault(row.product, row.minor_units)
    if not prices and not problems:
        problems["prices"] = PriceProblem(key="prices", line=1, what="must not be empty")
    if problems:
        raise PricesInvalid(sorted(problems.values(), key=lambda problem: problem.line))
    return PriceList(currency=str(currency), prices=prices, version=version)


def _wrong_row(row: PriceRow, seen: Mapping[Product, int]) -> Iterator[PriceProblem]:
    for depth, (part, line) in enumerate(zip(row.product, row.lines, strict=True), start=1):
        if (wrong := _wrong_name(part)) is not None:
            key = ".".join(("prices", *row.product[:depth]))
            yield PriceProblem(key=key, line=line, what=f"{_PARTS[depth - 1]} {wrong}")
    wrong = (
        "is a duplicate: the product already has a price"
        if row.product in seen
        else _wrong_price(row.minor_units)
    )
    if wrong is not None:
        yield PriceProblem(key=".".join(("prices", *row.product)), line=row.lines[-1], what=wrong)


def _wrong_name(name: object) -> str | None:
    if isinstance(name, str) and _NAME.fullmatch(name):
        return None
    return f"must be {NAME_RULE}"


def _wrong_currency(currency: object) -> str | None:
    if isinstance(currency, str) and currency in _CURRENCIES:
        return None
    return f"must be an ISO 4217 code in capitals, such as USD; is {currency!r:.40}"


def _wrong_price(minor_units: object) -> str | None:
    # bool is a subclass of int, but never a price.
    if not isinstance(minor_units, int) or isinstance(minor_units, bool):
        return f"must be a whole number of minor units, unquoted; is {minor_units!r:.40}"
    if not 1 <= minor_units <= PRICE_MAX:
        return f"must be 1 to {PRICE_MAX} minor units; is {minor_units}"
    return None

"""Check the rows of a price file as a whole and build the price list, or name every fault."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from payd.domain.pricing import PriceList, Product, wrong_currency, wrong_name, wrong_price

_PARTS = ("chain_profile_id", "node_type", "duration")


@attrs.frozen(kw_only=True)
class CurrencyRow:
    """One currency of the file, not checked yet, with its key and line number."""

    key: str
    line: int
    code: object


@attrs.frozen(kw_only=True)
class PriceRow:
    """One price of the file, not checked yet, with the line numbers of the product's three keys."""

    product: Product
    #: None for a plain number, which is a price in the list's first currency.
    currency: str | None = None
    minor_units: object
    lines: tuple[int, int, int]
    #: Line of the currency's key; for a plain number that of the product's last key.
    line: int

    @property
    def key(self) -> str:
        """Path of the price in the file."""
        return ".".join(("prices", *self.product, *filter(None, [self.currency])))


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


def parse_prices(
    *, currencies: Sequence[CurrencyRow], rows: Iterable[PriceRow], version: str
) -> PriceList:
    """Check a whole price file and build the list.

    Raises PricesInvalid with every problem, in the order of the file's lines.
    """
    problems: dict[str, PriceProblem] = {}
    codes: list[str] = []
    for wrong in _wrong_currencies(currencies, codes):
        problems.setdefault(wrong.key, wrong)
    prices: dict[Product, dict[str, int]] = {}
    for row in rows:
        currency = row.currency or (codes[0] if codes else "")
        units = prices.setdefault(row.product, {})
        for wrong in _wrong_row(row, currency, units, codes):
            problems.setdefault(wrong.key, wrong)
        units.setdefault(currency, row.minor_units if isinstance(row.minor_units, int) else 0)
    if not prices and not problems:
        problems["prices"] = PriceProblem(key="prices", line=1, what="must not be empty")
    for wrong in _without_price(currencies, prices.values()) if prices else ():
        problems.setdefault(wrong.key, wrong)
    if problems:
        raise PricesInvalid(sorted(problems.values(), key=lambda problem: problem.line))
    return PriceList(currencies=tuple(codes), prices=prices, version=version)


def _wrong_currencies(
    currencies: Sequence[CurrencyRow], codes: list[str]
) -> Iterator[PriceProblem]:
    """Problems of the currencies; adds the valid ones to `codes`."""
    for row in currencies:
        wrong = wrong_currency(row.code)
        if wrong is None and row.code in codes:
            wrong = f"is a duplicate: {row.code} is listed already"
        if wrong is not None:
            yield PriceProblem(key=row.key, line=row.line, what=wrong)
        else:
            codes.append(str(row.code))


def _wrong_row(
    row: PriceRow, currency: str, seen: Mapping[str, int], codes: Sequence[str]
) -> Iterator[PriceProblem]:
    for depth, (part, line) in enumerate(zip(row.product, row.lines, strict=True), start=1):
        if (wrong := wrong_name(part)) is not None:
            key = ".".join(("prices", *row.product[:depth]))
            yield PriceProblem(key=key, line=line, what=f"{_PARTS[depth - 1]} {wrong}")
    if currency in seen:
        price = f"a price in {currency}" if currency else "a price"
        wrong = f"is a duplicate: the product already has {price}"
    elif row.currency is not None and codes and row.currency not in codes:
        wrong = f"is not a currency of the list ({', '.join(codes)}): add it to `currencies`"
    else:
        wrong = wrong_price(row.minor_units)
    if wrong is not None:
        yield PriceProblem(key=row.key, line=row.line, what=wrong)


def _without_price(
    currencies: Iterable[CurrencyRow], prices: Iterable[Mapping[str, int]]
) -> Iterator[PriceProblem]:
    priced = set().union(*prices)
    for row in currencies:
        if wrong_currency(row.code) is None and row.code not in priced:
            what = f"no product has a price in {row.code}: add one, or remove the currency"
            yield PriceProblem(key=row.key, line=row.line, what=what)

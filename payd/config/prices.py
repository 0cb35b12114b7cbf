"""Load the price file: YAML → one checked PriceList, or every problem with its line."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from payd.config.problems import ConfigError, Problem
from payd.config.yaml_lines import Document, KeyPath, parse_yaml, read_bytes
from payd.domain.price_rows import CurrencyRow, PriceRow, PricesInvalid, parse_prices
from payd.domain.pricing import PriceList

_TOP_LEVEL = ("currency", "currencies", "prices")


def load_prices(file: Path) -> PriceList:
    """Read and check a price file. Raises ConfigError with all problems; never a partial list."""
    content = read_bytes(file, "pricing.file", str(file))
    document = parse_yaml(content, str(file))
    problems = list(document.problems)
    top = _section(document, (), document.data, problems)
    problems += _unknown_keys(document, top)
    currencies = _currencies(document, top, problems)
    rows = list(_rows(document, top.get("prices"), problems))
    try:
        prices = parse_prices(
            currencies=currencies,
            rows=rows,
            version=hashlib.sha256(content).hexdigest(),
        )
    except PricesInvalid as error:
        problems += _new_problems(error, str(file), problems)
        raise ConfigError(problems) from None
    if problems:
        raise ConfigError(problems)
    return prices


def _new_problems(error: PricesInvalid, file: str, known: list[Problem]) -> list[Problem]:
    """Problems found by the pricing rules, except at keys whose structure is wrong already."""
    return [
        Problem(key=problem.key, where=f"{file}:{problem.line}", what=problem.what)
        for problem in error.problems
        if not any(f"{shown.key}.".startswith(f"{problem.key}.") for shown in known)
    ]


def _unknown_keys(document: Document, top: dict[str, object]) -> Iterator[Problem]:
    for key in top:
        if key not in _TOP_LEVEL:
            what = f"unknown key; valid: {', '.join(_TOP_LEVEL)}"
            yield Problem(key=key, where=document.where((key,)), what=what)


def _currencies(
    document: Document, top: dict[str, object], problems: list[Problem]
) -> list[CurrencyRow]:
    """The currencies of the file: `currency: USD`, or `currencies: [USD, EUR]`."""
    if "currencies" not in top:
        line = document.lines.get(("currency",), 1)
        return [CurrencyRow(key="currency", line=line, code=top.get("currency"))]
    listed, where = top["currencies"], document.where(("currencies",))
    if "currency" in top:
        what = "remove it: `currencies` has every currency, the default first"
        problems.append(Problem(key="currency", where=document.where(("currency",)), what=what))
    if not isinstance(listed, list) or not listed:
        what = "must be a list of ISO 4217 codes, such as [USD, EUR]"
        problems.append(Problem(key="currencies", where=where, what=what))
        return [CurrencyRow(key="currencies", line=document.lines["currencies",], code=listed)]
    return [
        CurrencyRow(key=f"currencies.{n}", line=document.lines["currencies", str(n)], code=code)
        for n, code in enumerate(listed)
    ]


def _rows(document: Document, prices: object, problems: list[Problem]) -> Iterator[PriceRow]:
    chains = _section(document, ("prices",), prices, problems)
    for chain, node_types in chains.items():
        types = _section(document, ("prices", chain), node_types, problems)
        for node_type, durations in types.items():
            path = ("prices", chain, node_type)
            for duration, price in _section(document, path, durations, problems).items():
                yield from _product_rows(document, (*path, duration), price)


def _product_rows(document: Document, path: KeyPath, price: object) -> Iterator[PriceRow]:
    """The prices of one product: a plain number, or a mapping from currency to number."""
    _, chain, node_type, duration = path
    lines = (document.lines[path[:2]], document.lines[path[:3]], document.lines[path])
    product = (chain, node_type, duration)
    if not isinstance(price, dict) or not price:
        yield PriceRow(product=product, minor_units=price, lines=lines, line=lines[-1])
        return
    for currency, units in price.items():
        line = document.lines[(*path, currency)]
        yield PriceRow(
            product=product, currency=currency, minor_units=units, lines=lines, line=line
        )


def _section(
    document: Document, path: KeyPath, value: object, problems: list[Problem]
) -> dict[str, object]:
    if isinstance(value, dict) and value:
        return value
    what = "must not be empty" if value in (None, {}) else "must be a mapping"
    key = ".".join(path) or "(top level)"
    if all(problem.key != key for problem in problems):
        problems.append(Problem(key=key, where=document.where(path), what=what))
    return {}

"""Load the price file: YAML → one checked PriceList, or every problem with its line."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from payd.config.problems import ConfigError, Problem
from payd.config.yaml_lines import Document, KeyPath, parse_yaml, read_bytes
from payd.domain.pricing import PriceList, PriceRow, PricesInvalid, parse_prices

_TOP_LEVEL = ("currency", "prices")


def load_prices(file: Path) -> PriceList:
    """Read and check a price file. Raises ConfigError with all problems; never a partial list."""
    content = read_bytes(file, "pricing.file", str(file))
    document = parse_yaml(content, str(file))
    problems = list(document.problems)
    top = _section(document, (), document.data, problems)
    problems += _unknown_keys(document, top)
    rows = list(_rows(document, top.get("prices"), problems))
    try:
        prices = parse_prices(
            currency=top.get("currency"),
            currency_line=document.lines.get(("currency",), 1),
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
            what = "unknown key; valid: currency, prices"
            yield Problem(key=key, where=document.where((key,)), what=what)


def _rows(document: Document, prices: object, problems: list[Problem]) -> Iterator[PriceRow]:
    chains = _section(document, ("prices",), prices, problems)
    for chain, node_types in chains.items():
        types = _section(document, ("prices", chain), node_types, problems)
        for node_type, durations in types.items():
            path = ("prices", chain, node_type)
            for duration, minor_units in _section(document, path, durations, problems).items():
                yield PriceRow(
                    product=(chain, node_type, duration),
                    minor_units=minor_units,
                    lines=(
                        document.lines[path[:2]],
                        document.lines[path],
                        document.lines[(*path, duration)],
                    ),
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

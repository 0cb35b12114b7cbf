"""Charts of the overview: sums by day, method and status as rectangles of small pictures."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

import attrs
from payd_client import DailySum, Money, Overview, Status

from payd.transport.console.texts import texts
from payd.transport.console.written import money

WIDTH, HEIGHT = 600, 140
_GAP = 0.2
#: From the bottom of a bar to its top.
_KINDS = ("paid", "open", "ended")
_KIND_OF: Mapping[Status, str] = {
    Status.COMPLETED: "paid",
    Status.CANCELED: "ended",
    Status.EXPIRED: "ended",
    Status.FAILED: "ended",
}


@attrs.frozen
class Bar:
    """One rectangle; `label` appears when a pointer rests on it."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    label: str


@attrs.frozen(kw_only=True)
class Chart:
    """One picture, with its content in a sentence and in rows."""

    title: str
    summary: str
    highest: str
    first_day: str
    last_day: str
    kinds: tuple[str, ...]
    bars: tuple[Bar, ...]
    #: Day, then the values.
    rows: tuple[tuple[str, ...], ...]


@attrs.frozen(kw_only=True)
class Share:
    """One line of "by method" or "by status"."""

    name: str
    payments: int
    #: What they ask for: what is paid apart from what is open and what ended unpaid.
    amounts: tuple[str, ...]
    #: Parts of the bar: kind, begin and length; the longest line is 100 long.
    parts: tuple[tuple[str, float, float], ...]


def payments_chart(overview: Overview, days: int) -> Chart:
    """Number of payments of each day, by whether they are paid, open or ended unpaid."""
    counts: dict[tuple[date, str], int] = defaultdict(int)
    for one in overview.sums:
        counts[one.day, _kind(one)] += one.payments
    total = sum(counts.values())
    return _chart(
        title=texts()["chart.payments"],
        summary=texts()["chart.payments.summary"].format(total=total, days=days),
        values=counts,
        kinds=_KINDS,
        days=_days(overview, days),
        written=str,
    )


def money_charts(overview: Overview, days: int) -> Sequence[Chart]:
    """Prices of the completed payments of each day, a picture for each currency."""
    charts = []
    paid = [one for one in overview.sums if one.status is Status.COMPLETED]
    for currency in sorted({one.amount.currency_code for one in paid}):
        units: dict[tuple[date, str], int] = defaultdict(int)
        for one in paid:
            if one.amount.currency_code == currency:
                units[one.day, "paid"] += one.amount.minor_units
        write = _writer(currency)
        charts.append(
            _chart(
                title=texts()["chart.money"].format(currency=currency),
                summary=texts()["chart.money.summary"].format(
                    total=write(sum(units.values())), days=days
                ),
                values=units,
                kinds=("paid",),
                days=_days(overview, days),
                written=write,
            )
        )
    return charts


def shares(sums: Iterable[DailySum], name_of: Callable[[DailySum], str]) -> Sequence[Share]:
    """Sum up by what `name_of` returns, the most payments first."""
    found: dict[str, list[DailySum]] = defaultdict(list)
    for one in sums:
        found[name_of(one)].append(one)
    counts = {name: sum(one.payments for one in of_name) for name, of_name in found.items()}
    most = max(counts.values(), default=0) or 1
    return [
        Share(
            name=name,
            payments=count,
            amounts=tuple(_amounts(found[name])),
            parts=tuple(_parts(found[name], most)),
        )
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _amounts(sums: Sequence[DailySum]) -> Iterator[str]:
    """Each kind's prices, a currency each: `asked for and paid: 149.00 USD`."""
    units: dict[tuple[str, str], int] = defaultdict(int)
    for one in sums:
        units[_kind(one), one.amount.currency_code] += one.amount.minor_units
    for kind in _KINDS:
        written = [
            _writer(currency)(units[of, currency]) for of, currency in sorted(units) if of == kind
        ]
        if written:
            yield texts()[f"shares.{kind}"].format(amounts=", ".join(written))


def _parts(sums: Sequence[DailySum], most: int) -> Iterator[tuple[str, float, float]]:
    begin = 0.0
    for kind in _KINDS:
        count = sum(one.payments for one in sums if _kind(one) == kind)
        length = round(100 * count / most, 2)
        if length:
            yield kind, round(begin, 2), length
            begin += length


def _kind(one: DailySum) -> str:
    return _KIND_OF.get(one.status, "open")


def _days(overview: Overview, days: int) -> Sequence[date]:
    last = overview.time.date()
    return [last - timedelta(days=back) for back in reversed(range(days))]


def _writer(currency: str) -> Callable[[int], str]:
    return lambda units: money(Money(currency_code=currency, minor_units=units))


def _chart(
    *,
    title: str,
    summary: str,
    values: Mapping[tuple[date, str], int],
    kinds: tuple[str, ...],
    days: Sequence[date],
    written: Callable[[int], str],
) -> Chart:
    sums = {day: sum(values.get((day, kind), 0) for kind in kinds) for day in days}
    highest = max(sums.values(), default=0)
    step = WIDTH / len(days)
    bars = []
    for number, day in enumerate(days):
        top = float(HEIGHT)
        for kind in kinds:
            value = values.get((day, kind), 0)
            if not value:
                continue
            height = round(HEIGHT * value / highest, 2)
            top = round(top - height, 2)
            x, width = round(number * step, 2), round(step * (1 - _GAP), 2)
            label = f"{day} · {texts()[f'kind.{kind}']}: {written(value)}"
            bars.append(Bar(x, top, width, height, kind, label))
    return Chart(
        title=title,
        summary=summary,
        highest=written(highest),
        first_day=str(days[0]),
        last_day=str(days[-1]),
        kinds=kinds,
        bars=tuple(bars),
        rows=tuple(
            (str(day), *(written(values.get((day, kind), 0)) for kind in kinds))
            for day in reversed(days)
        ),
    )

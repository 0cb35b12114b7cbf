"""The overview's charts: every payment is counted once, and a bar is as high as its share."""

from datetime import UTC, date, datetime, timedelta

import attrs
from payd_client import Backlog, DailySum, Money, Overview, Status, TrailState
from payd_client.proto import payment_pb2 as pb

from payd.transport.console.charts import HEIGHT, WIDTH, money_charts, payments_chart, shares
from payd.transport.console.overview import trail_counts

TODAY = date(2026, 11, 30)


def a_sum(day: date, status: Status, payments: int, units: int, currency: str = "USD") -> DailySum:
    money = Money(currency_code=currency, minor_units=units)
    return DailySum(day=day, method="card", status=status, payments=payments, amount=money)


def an_overview(*sums: DailySum) -> Overview:
    backlog = Backlog(events=0, oldest_event_age=timedelta(0), reports=0, unmatched_receipts=0)
    trail = TrailState(
        checkpoint=None,
        checkpoint_time=None,
        unsigned_rows=0,
        unsigned_payments=0,
        unchained_rows=0,
    )
    return Overview(
        time=datetime(2026, 11, 30, 12, tzinfo=UTC),
        sums=sums,
        attention=(),
        checks=(),
        loops=(),
        backlog=backlog,
        trail=trail,
        message=pb.Overview(),
    )


SUMS = (
    a_sum(TODAY, Status.COMPLETED, 3, 300_00),
    a_sum(TODAY, Status.PENDING, 1, 100_00),
    a_sum(TODAY - timedelta(days=2), Status.EXPIRED, 2, 200_00),
    a_sum(TODAY - timedelta(days=2), Status.COMPLETED, 1, 5_000, "JPY"),
)


def test_bars_stand_on_one_another_and_the_highest_day_fills_the_picture() -> None:
    chart = payments_chart(an_overview(*SUMS), 7)
    today = [bar for bar in chart.bars if bar.x == max(one.x for one in chart.bars)]
    assert [(bar.kind, bar.y, bar.height) for bar in today] == [
        ("paid", HEIGHT / 4, HEIGHT * 3 / 4),
        ("open", 0, HEIGHT / 4),
    ]
    assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH for bar in chart.bars)
    assert chart.summary == "7 payments in 7 days"
    assert len(chart.rows) == 7
    assert chart.rows[0] == ("2026-11-30", "3", "1", "0")
    assert chart.rows[2] == ("2026-11-28", "1", "0", "2")


def test_each_currency_has_a_picture_of_what_was_completed() -> None:
    yen, dollars = money_charts(an_overview(*SUMS), 7)
    assert (yen.highest, dollars.highest) == ("5000 JPY", "300.00 USD")
    assert [bar.label for bar in dollars.bars] == ["2026-11-30 · paid: 300.00 USD"]


def test_shares_add_up_by_name_the_most_payments_first() -> None:
    first, *rest = shares(SUMS, lambda one: one.status.value)
    assert (first.name, first.payments) == ("COMPLETED", 4)
    assert list(first.parts) == [("paid", 0, 100)]
    assert list(first.amounts) == ["asked for and paid: 5000 JPY, 300.00 USD"]
    assert [list(one.parts) for one in rest] == [[("ended", 0, 50)], [("open", 0, 25)]]


def test_a_methods_bar_and_money_keep_apart_what_is_paid_open_and_ended() -> None:
    [card] = shares(SUMS, lambda one: one.method)
    assert card.payments == 7
    assert list(card.parts) == [
        *(("paid", 0, 57.14), ("open", 57.14, 14.29), ("ended", 71.43, 28.57))
    ]
    assert list(card.amounts) == [
        "asked for and paid: 5000 JPY, 300.00 USD",
        "asked for, still open: 100.00 USD",
        "asked for, never paid: 200.00 USD",
    ]


def test_a_site_without_payments_has_an_empty_picture() -> None:
    overview = an_overview()
    chart = payments_chart(overview, 30)
    assert (chart.bars, chart.summary, chart.highest) == ((), "0 payments in 30 days", "0")
    assert money_charts(overview, 30) == []
    assert shares((), lambda one: one.method) == []


def test_where_counting_of_the_audit_trail_ended_there_may_be_more() -> None:
    trail = attrs.evolve(an_overview().trail, unsigned_rows=9_999, unsigned_payments=300)
    assert trail_counts(trail) == {"unsigned": "9999 rows in 300 payments", "unchained": ""}
    trail = attrs.evolve(trail, unsigned_rows=10_000, unchained_rows=10_000)
    assert trail_counts(trail) == {
        "unsigned": "10000 or more rows in 300 or more payments",
        "unchained": "10000 or more",
    }

"""ExportPayments: which requests are taken, and what its answer says."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from payd_client.proto import payment_pb2 as pb

from payd.codec.accounting import days_message, export_request, movement_message
from payd.domain.accounting import (
    Account,
    Amounts,
    DaySums,
    Movement,
    MovementKind,
    Period,
    Sums,
    Unit,
)
from payd.domain.errors import InvalidField, InvalidPageToken
from payd.domain.page import Position

TOKEN = "0x20c0000000000000000000000000000000000000"
USDC = Unit(currency="USDC", decimals=6, chain_id=4217, token_address=TOKEN)
CRYPTO = Account(provider="tempo", method="crypto", unit=USDC)


def a_request(**overrides: Any) -> pb.ExportPaymentsRequest:
    fields: dict[str, Any] = {
        "first_day": "2026-01-01",
        "last_day": "2026-01-31",
        "by": pb.EXPORT_BY_DAY,
    }
    return pb.ExportPaymentsRequest(**(fields | overrides))


def test_a_request_names_its_days_in_a_time_zone() -> None:
    wanted = export_request(a_request(time_zone="Europe/Berlin")).filter
    assert wanted.period == Period(
        first=date(2026, 1, 1), last=date(2026, 1, 31), zone=ZoneInfo("Europe/Berlin")
    )
    assert not wanted.one_by_one
    for zone in ("", "UTC"):
        assert export_request(a_request(time_zone=zone)).filter.period.zone is UTC
    assert export_request(a_request(by=pb.EXPORT_BY_PAYMENT)).filter.one_by_one


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("first_day", day) for day in ("", "today", "2026-W01-1", "20260101", "1969-12-31")),
        *(("last_day", day) for day in ("2025-12-31", "2026-02-30", "9001-01-01", "2026-1-31")),
        *(("time_zone", zone) for zone in ("Mars/Olympus", "../../etc/passwd", "/etc", "Europe")),
        *(("time_zone", zone) for zone in ("a\x00b", "x" * 5000)),
        *(("by", by) for by in (0, 9)),
        ("page_size", 201),
    ],
)
def test_an_invalid_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidField) as error:
        export_request(a_request(**{field: value}))
    assert error.value.metadata["field"] == field


def test_a_page_token_is_for_one_export() -> None:
    page = export_request(a_request())
    token = page.token_of(Position(datetime(2026, 1, 2, tzinfo=UTC), UUID(int=0)))
    assert export_request(a_request(page_token=token)).after is not None
    for other in (
        {"first_day": "2026-01-02"},
        {"last_day": "2026-01-30"},
        {"time_zone": "Asia/Tokyo"},
        {"by": pb.EXPORT_BY_PAYMENT},
    ):
        with pytest.raises(InvalidPageToken):
            export_request(a_request(page_token=token, **other))


def test_sums_are_whole_decimal_strings() -> None:
    sums = Sums(
        account=CRYPTO,
        payments=3,
        refunds=1,
        disputes=2,
        dispute_returns=4,
        payments_with_fee=1,
        amounts=Amounts(gross=10**30 + 1, refunded=1, disputed=-5),
    )
    message = days_message(DaySums(date(2026, 1, 2), sums))
    assert message == pb.DaySums(
        day="2026-01-02",
        provider="tempo",
        method="crypto",
        unit=pb.ExportUnit(currency="USDC", decimals=6, chain_id=4217, token_address=TOKEN),
        amounts=pb.ExportAmounts(
            gross=str(10**30 + 1), refunded="1", disputed="-5", net=str(10**30 + 5)
        ),
        payments=3,
        refunds=1,
        disputes=2,
        dispute_returns=4,
        payments_with_fee=1,
    )


@pytest.mark.parametrize("kind", list(MovementKind))
def test_a_movement_counts_on_the_day_of_the_time_zone(kind: MovementKind) -> None:
    moved = Movement(
        time=datetime(2026, 1, 1, 23, 30, tzinfo=UTC),
        id=UUID(int=2),
        kind=kind,
        account=CRYPTO,
        amounts=Amounts(gross=7, fee=0),
        payment_id=UUID(int=1),
        reference="r",
        payment_reference="p",
        aliases=("0xab",),
        customer_id="user-1",
        idempotency_key="key-1",
    )
    berlin = Period(first=date(2026, 1, 1), last=date(2026, 1, 31), zone=ZoneInfo("Europe/Berlin"))

    message = movement_message(moved, berlin)

    assert message.day == "2026-01-02"
    assert pb.MovementKind.Name(message.kind) == f"MOVEMENT_KIND_{kind.value}"
    assert message.payment_id == str(UUID(int=1))
    assert message.refund_id == (str(UUID(int=2)) if kind is MovementKind.REFUND else "")
    assert (message.amounts.fee, message.amounts.net) == ("0", "7")
    assert (message.reference, message.payment_reference, *message.aliases) == ("r", "p", "0xab")

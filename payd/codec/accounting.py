"""The request and the answer of ExportPayments. An invalid field raises InvalidField."""

from datetime import UTC, date, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs
from payd_client.proto import payment_pb2 as pb

from payd.codec.page_tokens import PageRequest, page_request
from payd.codec.parts import time_message
from payd.domain.accounting import Account, Amounts, DaySums, Movement, MovementKind, Period, Unit
from payd.domain.errors import InvalidField

#: Far enough from the ends of the calendar that every time zone has them.
_FIRST, _LAST = date(1970, 1, 1), date(9000, 12, 31)
_KIND: dict[MovementKind, Any] = {
    kind: pb.MovementKind.Value(f"MOVEMENT_KIND_{kind.value}") for kind in MovementKind
}


@attrs.frozen(kw_only=True)
class Export:
    """What is to be exported."""

    period: Period
    #: Every movement, instead of the sums by day.
    one_by_one: bool


def export_request(message: pb.ExportPaymentsRequest) -> PageRequest[Export]:
    """Parse the request of ExportPayments. Raises InvalidField and InvalidPageToken."""
    first, last = _day("first_day", message.first_day), _day("last_day", message.last_day)
    if last < first:
        raise InvalidField("last_day", f"must not be before first_day, {first}")
    if message.by not in (pb.EXPORT_BY_DAY, pb.EXPORT_BY_PAYMENT):
        raise InvalidField("by", "must be EXPORT_BY_DAY or EXPORT_BY_PAYMENT")
    wanted = Export(
        period=Period(first=first, last=last, zone=_zone(message.time_zone)),
        one_by_one=message.by == pb.EXPORT_BY_PAYMENT,
    )
    asked = str(first), str(last), message.time_zone, message.by
    return page_request(message, wanted, "export", *asked)


def days_message(found: DaySums) -> pb.DaySums:
    """Build the message of the sums of one account on one day."""
    sums = found.sums
    return pb.DaySums(
        day=str(found.day),
        provider=sums.account.provider,
        method=sums.account.method,
        unit=_unit(sums.account),
        amounts=_amounts(sums.amounts),
        payments=sums.payments,
        refunds=sums.refunds,
        disputes=sums.disputes,
        dispute_returns=sums.dispute_returns,
        payments_with_fee=sums.payments_with_fee,
    )


def movement_message(moved: Movement, period: Period) -> pb.Movement:
    """Build the message of one movement."""
    return pb.Movement(
        time=time_message(moved.time),
        day=str(period.day_of(moved.time)),
        kind=_KIND[moved.kind],
        payment_id=str(moved.payment_id),
        refund_id=str(moved.id) if moved.kind is MovementKind.REFUND else "",
        provider=moved.account.provider,
        method=moved.account.method,
        reference=moved.reference,
        payment_reference=moved.payment_reference,
        aliases=moved.aliases,
        unit=_unit(moved.account),
        amounts=_amounts(moved.amounts),
        customer_id=moved.customer_id,
        idempotency_key=moved.idempotency_key,
    )


def _day(field: str, value: str) -> date:
    try:
        day = date.fromisoformat(value)
    except ValueError:
        day = None
    # fromisoformat takes other forms, too, such as weeks.
    if day is None or str(day) != value or not _FIRST <= day <= _LAST:
        raise InvalidField(field, f"must be a day from {_FIRST} to {_LAST}, such as 2026-01-31")
    return day


def _zone(name: str) -> tzinfo:
    if name in ("", "UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    # OSError and ValueError: a name that is a folder of the database, or no path at all.
    except (ZoneInfoNotFoundError, OSError, ValueError):
        raise InvalidField(
            "time_zone", "must be a name of the IANA database, such as Europe/Berlin"
        ) from None


def _unit(account: Account) -> pb.ExportUnit:
    unit: Unit = account.unit
    return pb.ExportUnit(**attrs.asdict(unit))


def _amounts(amounts: Amounts) -> pb.ExportAmounts:
    return pb.ExportAmounts(
        gross=str(amounts.gross),
        refunded=str(amounts.refunded),
        disputed=str(amounts.disputed),
        fee="" if amounts.fee is None else str(amounts.fee),
        net=str(amounts.net),
    )

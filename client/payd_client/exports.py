"""The accounting for a period, as ExportPayments returns it."""

import enum
from collections.abc import AsyncGenerator
from datetime import date, datetime
from typing import Any
from uuid import UUID

import attrs

from payd_client.paging import PagedCalls
from payd_client.part_messages import time_of
from payd_client.proto import payment_pb2 as pb

#: As many movements as payd returns at once.
_PAGE_SIZE = 200


class MovementKind(enum.Enum):
    """What moved money: see the proto."""

    PAYMENT = "PAYMENT"
    REFUND = "REFUND"
    DISPUTE = "DISPUTE"
    DISPUTE_RETURN = "DISPUTE_RETURN"


@attrs.frozen(kw_only=True)
class ExportUnit:
    """What the amounts of an export count."""

    #: ISO 4217 code, or the symbol of a token.
    currency: str
    #: 1 unit of the currency is 10**decimals.
    decimals: int
    #: EIP-155 id and 0x-hex address of a token; 0 and empty for a currency.
    chain_id: int
    token_address: str


@attrs.frozen(kw_only=True)
class ExportAmounts:
    """Amounts in the smallest units of the currency or token; `disputed`, `net` may be negative."""

    gross: int
    refunded: int
    disputed: int
    #: None where the provider does not say what it keeps.
    fee: int | None
    net: int


@attrs.frozen(kw_only=True)
class DaySums:
    """The movements of one day by one provider, method and currency or token."""

    day: date
    provider: str
    method: str
    unit: ExportUnit
    amounts: ExportAmounts
    payments: int
    refunds: int
    disputes: int
    dispute_returns: int
    payments_with_fee: int


@attrs.frozen(kw_only=True)
class Movement:
    """One movement of money of a payment."""

    time: datetime
    #: The day on which it counts.
    day: date
    kind: MovementKind
    payment_id: UUID
    #: None unless it is a refund.
    refund_id: UUID | None
    provider: str
    method: str
    #: The provider's id of what moved, and of the payment.
    reference: str
    payment_reference: str
    aliases: tuple[str, ...]
    unit: ExportUnit
    amounts: ExportAmounts
    customer_id: str
    idempotency_key: str


class ExportCalls(PagedCalls):
    """The part of PaymentClient that reads accounts. It needs an operator's certificate."""

    async def export_days(
        self, first: date, last: date, zone: str = "", *, deadline_s: float = 0.0
    ) -> AsyncGenerator[DaySums, None]:
        """Yield the accounting sums of each day, `last` included, of an IANA time zone, else UTC.

        Each page is a call of its own.
        """
        request = _request(first, last, zone, pb.EXPORT_BY_DAY)
        async for answer in self._pages("ExportPayments", request, None, deadline_s):
            for message in answer.days:
                yield _day_sums(message)

    async def export_movements(
        self, first: date, last: date, zone: str = "", *, deadline_s: float = 0.0
    ) -> AsyncGenerator[Movement, None]:
        """Yield every movement of money of the same days, oldest first."""
        request = _request(first, last, zone, pb.EXPORT_BY_PAYMENT)
        async for answer in self._pages("ExportPayments", request, None, deadline_s):
            for message in answer.movements:
                yield _movement(message)


def _request(first: date, last: date, zone: str, by: Any) -> pb.ExportPaymentsRequest:
    return pb.ExportPaymentsRequest(
        first_day=str(first), last_day=str(last), time_zone=zone, by=by, page_size=_PAGE_SIZE
    )


def _day_sums(message: pb.DaySums) -> DaySums:
    return DaySums(
        day=date.fromisoformat(message.day),
        provider=message.provider,
        method=message.method,
        unit=_unit(message.unit),
        amounts=_amounts(message.amounts),
        payments=message.payments,
        refunds=message.refunds,
        disputes=message.disputes,
        dispute_returns=message.dispute_returns,
        payments_with_fee=message.payments_with_fee,
    )


def _movement(message: pb.Movement) -> Movement:
    kind = pb.MovementKind.Name(message.kind).removeprefix("MOVEMENT_KIND_")
    return Movement(
        time=time_of(message.time),
        day=date.fromisoformat(message.day),
        kind=MovementKind(kind),
        payment_id=UUID(message.payment_id),
        refund_id=UUID(message.refund_id) if message.refund_id else None,
        provider=message.provider,
        method=message.method,
        reference=message.reference,
        payment_reference=message.payment_reference,
        aliases=tuple(message.aliases),
        unit=_unit(message.unit),
        amounts=_amounts(message.amounts),
        customer_id=message.customer_id,
        idempotency_key=message.idempotency_key,
    )


def _unit(message: pb.ExportUnit) -> ExportUnit:
    return ExportUnit(
        currency=message.currency,
        decimals=message.decimals,
        chain_id=message.chain_id,
        token_address=message.token_address,
    )


def _amounts(message: pb.ExportAmounts) -> ExportAmounts:
    return ExportAmounts(
        gross=int(message.gross),
        refunded=int(message.refunded),
        disputed=int(message.disputed),
        fee=int(message.fee) if message.fee else None,
        net=int(message.net),
    )

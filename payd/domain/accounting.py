"""Accounting: the movements of money in a period, and their sums by day. Pure."""

import enum
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from uuid import UUID

import attrs

_DAY = timedelta(days=1)


class MovementKind(enum.Enum):
    """What moved money.

    Attributes:
        PAYMENT: A payment was completed: what it brought, on the day of its completion.
        REFUND: A refund succeeded, on that day, whenever its payment was completed.
        DISPUTE: A dispute was opened: the provider withdraws the amount. An inquiry moves nothing.
        DISPUTE_RETURN: A dispute was won or withdrawn: the provider gives the amount back.
    """

    PAYMENT = "PAYMENT"
    REFUND = "REFUND"
    DISPUTE = "DISPUTE"
    DISPUTE_RETURN = "DISPUTE_RETURN"


@attrs.frozen(kw_only=True)
class Unit:
    """What an amount counts: minor units of a currency, or base units of a token."""

    #: ISO 4217 code, or the token's name.
    currency: str
    #: Of one unit of the currency, or one token.
    decimals: int
    #: EIP-155 number, and 0x-hex address; 0 and empty for a currency.
    chain_id: int = 0
    token_address: str = ""


@attrs.frozen(kw_only=True)
class Account:
    """What is summed apart: amounts of two accounts are never added."""

    provider: str
    method: str
    unit: Unit

    def order(self) -> tuple[str, ...]:
        """The key by which accounts are sorted."""
        unit = self.unit
        return self.provider, self.method, unit.currency, str(unit.chain_id), unit.token_address


@attrs.frozen(kw_only=True)
class Amounts:
    """Amounts of one account, in its unit."""

    #: What completed payments brought, also beyond what was due.
    gross: int = 0
    refunded: int = 0
    #: Withdrawn by disputes, less what was given back.
    disputed: int = 0
    #: What the provider keeps; None where it does not say.
    fee: int | None = None

    @property
    def net(self) -> int:
        """What is left. An unknown fee is not taken off."""
        return self.gross - self.refunded - self.disputed - (self.fee or 0)

    def __add__(self, other: "Amounts") -> "Amounts":
        known = [fee for fee in (self.fee, other.fee) if fee is not None]
        return Amounts(
            gross=self.gross + other.gross,
            refunded=self.refunded + other.refunded,
            disputed=self.disputed + other.disputed,
            fee=sum(known) if known else None,
        )


@attrs.frozen(kw_only=True)
class Movement:
    """One movement of money of a payment."""

    time: datetime
    #: With `time` its place in the order of all movements; a payment's and a refund's own id.
    id: UUID
    kind: MovementKind
    account: Account
    amounts: Amounts
    payment_id: UUID
    #: The provider's id of what moved: of the payment, of the refund, or of the dispute.
    reference: str
    #: The provider's id of the payment, and its other names: of objects, of transactions.
    payment_reference: str
    aliases: tuple[str, ...]
    customer_id: str
    idempotency_key: str


@attrs.frozen(kw_only=True)
class Sums:
    """Sums of the movements of one account."""

    account: Account
    payments: int = 0
    refunds: int = 0
    #: Number of disputes that were opened, and of those that gave the money back.
    disputes: int = 0
    dispute_returns: int = 0
    #: Number of payments whose fee is known.
    payments_with_fee: int = 0
    amounts: Amounts = attrs.field(factory=Amounts)

    @property
    def movements(self) -> int:
        """How many movements were added."""
        return self.payments + self.refunds + self.disputes + self.dispute_returns

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            account=self.account,
            payments=self.payments + other.payments,
            refunds=self.refunds + other.refunds,
            disputes=self.disputes + other.disputes,
            dispute_returns=self.dispute_returns + other.dispute_returns,
            payments_with_fee=self.payments_with_fee + other.payments_with_fee,
            amounts=self.amounts + other.amounts,
        )


@attrs.frozen
class Day:
    """A day of a time zone: [begin, end)."""

    date: date
    begin: datetime
    end: datetime


@attrs.frozen
class DaySums:
    """The sums of one account on one day."""

    day: date
    sums: Sums


@attrs.frozen(kw_only=True)
class Period:
    """Whole days of a time zone, the last one included."""

    first: date
    last: date
    zone: tzinfo = UTC

    @property
    def begin(self) -> datetime:
        """Begin of the first day."""
        return self._begin_of(self.first)

    @property
    def end(self) -> datetime:
        """End of the last day."""
        return self._begin_of(self.last + _DAY)

    def days(self, since: datetime) -> Iterator[Day]:
        """Its days, from the one that contains `since` on."""
        day = max(self.first, self.day_of(since))
        while day <= self.last:
            following = day + _DAY
            yield Day(day, self._begin_of(day), self._begin_of(following))
            day = following

    def day_of(self, moment: datetime) -> date:
        """The day on which a movement counts."""
        return moment.astimezone(self.zone).date()

    def _begin_of(self, day: date) -> datetime:
        """Midnight. Where clocks skip it, the moment at which they do so."""
        return datetime.combine(day, time.min, self.zone).astimezone(UTC)

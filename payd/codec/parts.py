"""Parts that several messages have: amounts, times, and what a person has to do."""

from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from payd_client.proto import payment_pb2 as pb

from payd.domain.money import MINOR_UNITS_MAX, Money, TokenTerms
from payd.domain.next_action import CryptoTransfer, NextAction, Redirect, Show, ShowKind

_SHOW_KIND: dict[ShowKind, Any] = {
    kind: pb.ShowKind.Value(f"SHOW_KIND_{kind.value}") for kind in ShowKind
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def money_message(money: Money) -> pb.Money:
    """Build the message of an amount of a currency."""
    return pb.Money(currency_code=money.currency_code, minor_units=money.minor_units)


def amount_message(amount: int, crypto: TokenTerms | None, currency: str) -> pb.Money:
    """Build the message of an amount in the unit of `due`; tokens are rounded down."""
    minor_units = crypto.minor_units(amount, currency) if crypto else amount
    # Tokens may exceed int64. The exact amount is in `crypto`, and an event must not fail here.
    return pb.Money(currency_code=currency, minor_units=min(minor_units, MINOR_UNITS_MAX))


def time_message(time: datetime) -> Timestamp:
    """Build the message of a time."""
    # In integers: a float would lose microseconds.
    return Timestamp(seconds=int(time.timestamp() // 1), nanos=time.microsecond * 1000)


def time_of(message: Timestamp) -> datetime:
    """Read a time; what is less than a microsecond is cut off. Raises ValueError."""
    if not 0 <= message.nanos < 1_000_000_000:
        raise ValueError("nanos out of range")
    try:
        return _EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def next_action_message(action: NextAction) -> pb.NextAction:
    """Build the message of what a person has to do."""
    match action:
        case Redirect(url=url):
            return pb.NextAction(redirect=pb.Redirect(url=url))
        case CryptoTransfer():
            return pb.NextAction(
                crypto_transfer=pb.CryptoTransfer(
                    currency=action.currency,
                    chain_id=action.chain_id,
                    token_address=action.token_address,
                    receiver_address=action.receiver_address,
                    amount_base_units=str(action.amount_base_units),
                    decimals=action.decimals,
                    memo=action.memo,
                    calldata=action.calldata,
                    payment_uri=action.payment_uri,
                    memo_text=action.memo_text,
                )
            )
        case Show():
            return pb.NextAction(show=_show(action))


def _show(show: Show) -> pb.Show:
    message = pb.Show(
        payload=show.payload,
        kind=_SHOW_KIND[show.kind],
        fields=[
            pb.ShowField(label=field.label, value=field.value, copyable=field.copyable)
            for field in show.fields
        ],
    )
    if show.expire_time is not None:
        message.expire_time.CopyFrom(time_message(show.expire_time))
    return message

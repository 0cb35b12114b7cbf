"""Conversion of the values that payments and refunds have in common."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from payd_client.parts import (
    CryptoTransfer,
    Failure,
    Money,
    NextAction,
    Redirect,
    Show,
    ShowField,
    ShowKind,
)
from payd_client.proto import payment_pb2 as pb


def money_of(message: pb.Money) -> Money:
    """Read an amount."""
    return Money(currency_code=message.currency_code, minor_units=message.minor_units)


def failure_of(message: pb.Failure) -> Failure:
    """Read why something failed."""
    return Failure(code=message.code, message=message.message)


def next_action_of(message: pb.NextAction) -> NextAction | None:
    """Read what a person has to do; None for nothing, or for a kind of a newer payd."""
    match message.WhichOneof("kind"):
        case "redirect":
            return Redirect(url=message.redirect.url)
        case "crypto_transfer":
            return _crypto_transfer(message.crypto_transfer)
        case "show":
            return _show(message.show)
    return None


def _crypto_transfer(message: pb.CryptoTransfer) -> CryptoTransfer:
    return CryptoTransfer(
        currency=message.currency,
        chain_id=message.chain_id,
        token_address=message.token_address,
        receiver_address=message.receiver_address,
        amount_base_units=int(message.amount_base_units),
        decimals=message.decimals,
        memo=message.memo,
        calldata=message.calldata,
        payment_uri=message.payment_uri,
        memo_text=message.memo_text,
        wallet_request=message.wallet_request,
    )


def _show(message: pb.Show) -> Show:
    return Show(
        kind=ShowKind(pb.ShowKind.Name(message.kind).removeprefix("SHOW_KIND_")),
        payload=message.payload,
        fields=tuple(
            ShowField(label=field.label, value=field.value, copyable=field.copyable)
            for field in message.fields
        ),
        expire_time=time_of(message.expire_time) if message.HasField("expire_time") else None,
    )


def time_of(message: Timestamp) -> datetime:
    """Read a time."""
    return message.ToDatetime(tzinfo=UTC)

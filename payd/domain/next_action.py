"""What a person has to do next: the customer to pay, or the merchant to send a refund."""

import enum
from datetime import datetime

import attrs
from attrs.validators import and_, deep_iterable, instance_of, max_len, optional

from payd.domain.text import is_amount, is_aware, is_short_text, is_whole

#: Most lines of a Show.
FIELDS_MAX = 20


@attrs.frozen(kw_only=True)
class Redirect:
    """The customer pays on this page."""

    url: str = attrs.field(validator=is_short_text)


@attrs.frozen(kw_only=True)
class CryptoTransfer:
    """The token transfer to make. Addresses, memo and calldata are 0x-hex."""

    currency: str = attrs.field(validator=is_short_text)
    chain_id: int = attrs.field(validator=is_whole)
    token_address: str = attrs.field(validator=is_short_text)
    receiver_address: str = attrs.field(validator=is_short_text)
    amount_base_units: int = attrs.field(validator=is_amount)
    decimals: int = attrs.field(validator=is_whole)
    memo: str = attrs.field(validator=is_short_text)
    calldata: str = attrs.field(validator=is_short_text)
    payment_uri: str = attrs.field(validator=is_short_text)


class ShowKind(enum.Enum):
    """How to present the payload of a Show."""

    #: The payload is the text of a QR code.
    QR = "QR"
    #: The fields are those of a bank transfer; the payload may be empty.
    BANK_TRANSFER = "BANK_TRANSFER"
    #: The payload is text for a person.
    TEXT = "TEXT"


@attrs.frozen(kw_only=True)
class ShowField:
    """One line of a Show, such as an IBAN."""

    label: str = attrs.field(validator=is_short_text)
    value: str = attrs.field(validator=is_short_text)
    #: Whether a person types the value elsewhere, so that a page offers to copy it.
    copyable: bool = attrs.field(default=False, validator=instance_of(bool))


@attrs.frozen(kw_only=True)
class Show:
    """Instructions for a person, on rails that have no page of their own."""

    kind: ShowKind = attrs.field(validator=instance_of(ShowKind))
    payload: str = attrs.field(default="", validator=is_short_text)
    fields: tuple[ShowField, ...] = attrs.field(
        default=(),
        validator=and_(
            instance_of(tuple), max_len(FIELDS_MAX), deep_iterable(instance_of(ShowField))
        ),
    )
    #: When the instructions stop being valid, if ever.
    expire_time: datetime | None = attrs.field(default=None, validator=optional(is_aware))


NextAction = Redirect | CryptoTransfer | Show

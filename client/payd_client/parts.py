"""Values that stand in payments, quotes and refunds alike: money, and what a person has to do."""

import enum
import re
from datetime import datetime

import attrs

_CURRENCY = re.compile(r"[A-Z]{3}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
#: int64, as in the proto.
_MINOR_UNITS_MAX = 2**63 - 1
#: uint256, as on a chain.
_BASE_UNITS_MAX = 2**256 - 1
_DECIMALS_MAX = 36


def is_currency(_instance: object, attribute: "attrs.Attribute[str]", value: str) -> None:
    """Validate an ISO 4217 code."""
    if not _CURRENCY.fullmatch(value):
        raise ValueError(f"{attribute.name}: not an ISO 4217 code such as USD: {value!r}")


def is_address(_instance: object, attribute: "attrs.Attribute[str]", value: str) -> None:
    """Validate a 20-byte address, 0x-hex."""
    if not _ADDRESS.fullmatch(value):
        raise ValueError(f"{attribute.name}: not a 20-byte 0x-hex address: {value!r}")


def is_minor_units(_instance: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    """Validate an amount in minor units."""
    if not 0 <= value <= _MINOR_UNITS_MAX:
        raise ValueError(f"{attribute.name}: not in the range of int64 from 0: {value}")


def is_base_units(_instance: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    """Validate an amount in a token's base units."""
    if not 0 <= value <= _BASE_UNITS_MAX:
        raise ValueError(f"{attribute.name}: not in the range of uint256: {value}")


def is_decimals(_instance: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    """Validate the number of decimal places of a token."""
    if not 0 <= value <= _DECIMALS_MAX:
        raise ValueError(f"{attribute.name}: not 0 to {_DECIMALS_MAX} decimals: {value}")


@attrs.frozen(kw_only=True)
class Money:
    """An amount in the minor units of a currency: USD 12.34 is 1234."""

    #: ISO 4217, such as USD.
    currency_code: str = attrs.field(validator=is_currency)
    minor_units: int = attrs.field(validator=is_minor_units)


@attrs.frozen(kw_only=True)
class Redirect:
    """Send the customer to this page."""

    url: str


@attrs.frozen(kw_only=True)
class CryptoTransfer:
    """Ask the customer for this token transfer. Addresses, memo and calldata are 0x-hex."""

    currency: str
    chain_id: int
    token_address: str
    receiver_address: str
    amount_base_units: int = attrs.field(validator=is_base_units)
    decimals: int
    memo: str
    calldata: str
    #: For a wallet, or as a QR code.
    payment_uri: str
    #: The memo as a person types it; empty if it is not text.
    memo_text: str = ""
    #: For a wallet in the browser (EIP-1193): JSON with `method` and `params`; may be empty.
    wallet_request: str = ""


class ShowKind(enum.Enum):
    """How to present the payload of a Show."""

    #: The payload is the text of a QR code.
    QR = "QR"
    #: The fields are those of a bank transfer.
    BANK_TRANSFER = "BANK_TRANSFER"
    #: The payload is text for a person.
    TEXT = "TEXT"


@attrs.frozen(kw_only=True)
class ShowField:
    """One line of a Show, such as an IBAN."""

    label: str
    value: str
    #: Whether a page should offer to copy the value.
    copyable: bool


@attrs.frozen(kw_only=True)
class Show:
    """Show these instructions, on a rail that has no page of its own."""

    kind: ShowKind
    payload: str
    fields: tuple[ShowField, ...]
    #: When they stop being valid; None when they stay valid.
    expire_time: datetime | None


NextAction = Redirect | CryptoTransfer | Show


@attrs.frozen(kw_only=True)
class Failure:
    """Why a payment or a refund FAILED: a short code for programs, a sentence for people."""

    code: str
    message: str

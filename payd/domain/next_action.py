"""What a person has to do next: the customer to pay, or the merchant to send a refund."""

import enum
import re
from datetime import datetime

import attrs
from attrs.validators import and_, deep_iterable, instance_of, max_len, optional

from payd.domain.text import is_amount, is_aware, is_short_text, is_whole

#: Most lines of a Show.
FIELDS_MAX = 20
#: Bytes of the text of a QR code: what the largest one holds with error correction M.
QR_BYTES_MAX = 2331
#: Characters of a memo that a person can type: they fill the 32 bytes that a token's memo has.
MEMO_CHARS = 32
_VISIBLE = re.compile(r"[!-~]+")


@attrs.frozen(kw_only=True)
class Redirect:
    """The customer pays on this page.

    Attributes:
        url: Absolute URL of the page.
    """

    url: str = attrs.field(validator=is_short_text)


@attrs.frozen(kw_only=True)
class CryptoTransfer:
    """The token transfer to make. Addresses, memo and calldata are 0x-hex.

    Attributes:
        currency: Name of the token, such as USDC.
        chain_id: EIP-155 number of the chain.
        token_address: Contract of the token.
        receiver_address: Account that receives the transfer.
        amount_base_units: Amount in base units of the token.
        decimals: Decimal places of the token's base unit.
        memo: What the transfer must carry so that it is known; empty without memos.
        calldata: The whole call, for wallets that take one; may be empty.
        payment_uri: The same as a URI, for a link or a QR code; may be empty.
    """

    currency: str = attrs.field(validator=is_short_text)
    chain_id: int = attrs.field(validator=is_whole)
    token_address: str = attrs.field(validator=is_short_text)
    receiver_address: str = attrs.field(validator=is_short_text)
    amount_base_units: int = attrs.field(validator=is_amount)
    decimals: int = attrs.field(validator=is_whole)
    memo: str = attrs.field(validator=is_short_text)
    calldata: str = attrs.field(validator=is_short_text)
    payment_uri: str = attrs.field(validator=is_short_text)

    @property
    def memo_text(self) -> str:
        """The memo as a person types it; empty if it is not 32 visible characters of text.

        Shorter text is left out, because wallets pad it on either side.
        """
        digits = self.memo.removeprefix("0x")
        try:
            text = bytes.fromhex(digits).decode("ascii")
        except ValueError:
            return ""
        return text if len(text) == MEMO_CHARS and _VISIBLE.fullmatch(text) else ""


class ShowKind(enum.Enum):
    """How to present the payload of a Show.

    Attributes:
        QR: The payload is the text of a QR code.
        BANK_TRANSFER: The fields are those of a bank transfer; the payload may be empty.
        TEXT: The payload is text for a person.
    """

    QR = "QR"
    BANK_TRANSFER = "BANK_TRANSFER"
    TEXT = "TEXT"


@attrs.frozen(kw_only=True)
class ShowField:
    """One line of a Show, such as an IBAN.

    Attributes:
        label: Name of the line, for people.
        value: Its text, exactly as a person has to type it.
        copyable: Whether a person types the value elsewhere, so that a page offers to copy it.
    """

    label: str = attrs.field(validator=is_short_text)
    value: str = attrs.field(validator=is_short_text)
    copyable: bool = attrs.field(default=False, validator=instance_of(bool))


@attrs.frozen(kw_only=True)
class Show:
    """Instructions for a person, on rails that have no page of their own.

    Attributes:
        kind: How to present it.
        payload: Text of the QR code, or text for a person; may be empty.
        fields: Lines such as IBAN, amount and reference.
        expire_time: When the instructions stop being valid, if ever.
    """

    kind: ShowKind = attrs.field(validator=instance_of(ShowKind))
    payload: str = attrs.field(default="", validator=is_short_text)
    fields: tuple[ShowField, ...] = attrs.field(
        default=(),
        validator=and_(
            instance_of(tuple), max_len(FIELDS_MAX), deep_iterable(instance_of(ShowField))
        ),
    )
    expire_time: datetime | None = attrs.field(default=None, validator=optional(is_aware))

    def __attrs_post_init__(self) -> None:
        """Refuse what nobody could act on: nothing to show, or a text that fits no QR code."""
        if not self.payload and not self.fields:
            raise ValueError("show: has neither a payload nor fields")
        if self.kind is ShowKind.QR:
            size = len(self.payload.encode())
            if not 0 < size <= QR_BYTES_MAX:
                raise ValueError(f"payload: a QR code has 1 to {QR_BYTES_MAX} bytes, this {size}")


NextAction = Redirect | CryptoTransfer | Show

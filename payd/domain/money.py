"""Money and token amounts: exact integers that carry their unit."""

import re
from decimal import Decimal

import attrs

from payd.domain.decimals import format_units
from payd.domain.text import BASE_UNITS_MAX

#: PostgreSQL's bigint, and int64 in the proto.
MINOR_UNITS_MAX = 2**63 - 1

_CURRENCY = re.compile(r"[A-Z]{3}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")

#: ISO 4217 currencies whose minor unit is not a hundredth.
_EXPONENTS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW"), 0),
    **dict.fromkeys(("PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


def currency_exponent(currency_code: str) -> int:
    """Decimal places of the currency's minor unit (ISO 4217)."""
    return _EXPONENTS.get(currency_code, 2)


@attrs.frozen(kw_only=True)
class Money:
    """An amount in minor units of an ISO 4217 currency, from 0 to MINOR_UNITS_MAX.

    Attributes:
        currency_code: ISO 4217 code, such as USD.
        minor_units: Amount in minor units of the currency: 14900 is 149.00 USD.
    """

    currency_code: str = attrs.field()
    minor_units: int = attrs.field()

    @currency_code.validator
    def _is_iso(self, _attribute: object, value: str) -> None:
        if not _CURRENCY.fullmatch(value):
            raise ValueError(
                f"currency_code: must be three capital letters, such as USD, not {value!r}"
            )

    @minor_units.validator
    def _fits(self, _attribute: object, value: int) -> None:
        if not 0 <= value <= MINOR_UNITS_MAX:
            raise ValueError(f"minor_units: must be 0 to {MINOR_UNITS_MAX}, not {value}")


def written(money: Money) -> str:
    """Format an amount exactly, in units of its currency: `1,234.50 USD`."""
    amount = format_units(money.minor_units, currency_exponent(money.currency_code))
    return f"{Decimal(amount):,f} {money.currency_code}"


@attrs.frozen(kw_only=True)
class TokenTerms:
    """The amount due in a token: which token, and how many of its base units.

    Attributes:
        currency: Name of the token, such as USDC.
        chain_id: EIP-155 number of the chain.
        token_address: 0x-hex, 20 bytes.
        decimals: Decimal places of the token's base unit.
        due_base_units: What is due, in base units.
    """

    currency: str
    chain_id: int
    token_address: str = attrs.field()
    decimals: int = attrs.field(validator=attrs.validators.in_(range(37)))
    due_base_units: int = attrs.field()

    @token_address.validator
    def _is_address(self, _attribute: object, value: str) -> None:
        if not _ADDRESS.fullmatch(value):
            raise ValueError(f"token_address: must be 0x and 40 hex digits, not {value!r}")

    @due_base_units.validator
    def _fits(self, _attribute: object, value: int) -> None:
        if not 0 <= value <= BASE_UNITS_MAX:
            raise ValueError(f"due_base_units: must be 0 to {BASE_UNITS_MAX}, not {value}")

    def minor_units(self, base_units: int, currency_code: str) -> int:
        """Convert to minor units of a currency at par with the token, rounded down."""
        shift = self.decimals - currency_exponent(currency_code)
        return int(base_units // 10**shift if shift >= 0 else base_units * 10**-shift)


def base_units(amount: Money, decimals: int) -> int:
    """Convert money to base units of a token at par with its currency.

    Raises ValueError when the token has too few decimals for the exact amount.
    """
    shift = decimals - currency_exponent(amount.currency_code)
    if shift >= 0:
        return int(amount.minor_units * 10**shift)
    units, rest = divmod(amount.minor_units, 10**-shift)
    if rest:
        raise ValueError(
            f"{amount.minor_units} minor units of {amount.currency_code} need more decimals "
            f"than the {decimals} of the token"
        )
    return int(units)

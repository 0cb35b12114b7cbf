"""Amounts as a remote side writes them, converted to payd's minor units: exactly, or refused."""

from collections.abc import Mapping
from decimal import Decimal

import attrs

from payd.domain.decimals import format_units, parse_units, rescale_units
from payd.domain.money import Money, currency_exponent

__all__ = ["RemoteUnits"]


@attrs.frozen(kw_only=True)
class RemoteUnits:
    """The units of one remote side: ISO 4217's, except where it differs.

    Where its unit is coarser than that of ISO 4217, some amounts cannot be charged: `step` is the
    `AmountRule.step_minor_units` that refuses them before a payment is made.

    Attributes:
        decimals: Currency → decimal places of amounts there, for each that differs from ISO 4217.
    """

    decimals: Mapping[str, int] = attrs.field(factory=dict)

    def decimals_of(self, currency_code: str) -> int:
        """Decimal places of this currency's amounts at the remote side."""
        return self.decimals.get(currency_code, currency_exponent(currency_code))

    def step(self, currency_code: str) -> int:
        """The number of minor units that every amount must be a multiple of."""
        return int(10 ** max(0, currency_exponent(currency_code) - self.decimals_of(currency_code)))

    def parse(self, amount: str | int | Decimal, currency_code: str) -> int:
        """Convert a decimal amount to minor units: `"149.00"` USD is 14900.

        Raises ValueError for anything that is not a whole number of minor units, and TypeError for
        a float.
        """
        return parse_units(amount, currency_exponent(currency_code))

    def format(self, money: Money) -> str:
        """Write an amount with the remote side's decimals: `"149.00"`. Raises ValueError."""
        return format_units(self.to_remote(money), self.decimals_of(money.currency_code))

    def to_remote(self, money: Money) -> int:
        """Convert an amount to whole units of the remote side. Raises ValueError."""
        code = money.currency_code
        return rescale_units(money.minor_units, currency_exponent(code), self.decimals_of(code))

    def from_remote(self, units: int, currency_code: str) -> int:
        """Convert whole units of the remote side to minor units.

        Raises ValueError for what is finer than a minor unit, and TypeError for a float.
        """
        if type(units) is not int:
            raise TypeError(f"units are an integer, not a {type(units).__name__}")
        return rescale_units(
            units, self.decimals_of(currency_code), currency_exponent(currency_code)
        )

"""Amounts that a method can charge in a currency, and why another one is refused."""

from collections.abc import Iterable

import attrs

from payd.domain.money import MINOR_UNITS_MAX, Money, written


@attrs.frozen(kw_only=True)
class AmountRule:
    """Limits of the remote side in one currency, in minor units of ISO 4217.

    Attributes:
        min_minor_units: The smallest total.
        max_minor_units: The largest total, and so the largest price.
        step_minor_units: Every price is a multiple of this: more than 1 when the remote side's unit
            is coarser.
    """

    min_minor_units: int = attrs.field(default=1, validator=attrs.validators.ge(0))
    max_minor_units: int = attrs.field(
        default=MINOR_UNITS_MAX, validator=attrs.validators.le(MINOR_UNITS_MAX)
    )
    step_minor_units: int = attrs.field(default=1, validator=attrs.validators.ge(1))

    def __attrs_post_init__(self) -> None:
        if self.min_minor_units > self.max_minor_units:
            raise ValueError("the smallest amount is larger than the largest")

    def wrong_with_price(self, price: Money) -> str | None:
        """Return why no quantity can be sold at this price; None when it can."""
        return self._wrong_with("price", price)

    def wrong_with(self, prices: Iterable[Money], total: Money) -> str | None:
        """Return why this total of these prices cannot be charged; None when it can."""
        for price in prices:
            if (wrong := self.wrong_with_price(price)) is not None:
                return wrong
        if total.minor_units < self.min_minor_units:
            least = self._money(total, self.min_minor_units)
            return f"the total {written(total)} is below the minimum of {least}"
        return self._wrong_with("total", total)

    def _wrong_with(self, what: str, amount: Money) -> str | None:
        if amount.minor_units % self.step_minor_units:
            step = self._money(amount, self.step_minor_units)
            return f"the {what} {written(amount)} is not a multiple of {step}"
        if amount.minor_units > self.max_minor_units:
            most = self._money(amount, self.max_minor_units)
            return f"the {what} {written(amount)} is above the maximum of {most}"
        return None

    @staticmethod
    def _money(like: Money, minor_units: int) -> str:
        return written(Money(currency_code=like.currency_code, minor_units=minor_units))

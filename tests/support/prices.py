"""Price lists for tests."""

from collections.abc import Mapping

from payd.domain.pricing import PriceList, Product


def one_currency(currency: str, prices: Mapping[Product, int], version: str = "v1") -> PriceList:
    """A price list of minor units in a single currency."""
    units = {product: {currency: minor_units} for product, minor_units in prices.items()}
    return PriceList(currencies=(currency,), prices=units, version=version)

"""The configuration, prices and allow-list in force; a reload replaces all three at once."""

from payd.config import Config, load_prices
from payd.domain.pricing import PriceList


class CurrentConfig:
    """Latest configuration; existing objects keep settings that cannot be reloaded.

    It has no lock: trio and asyncio share one thread, and `swap` does not yield. Readers call the
    methods again each time instead of keeping a result.
    """

    def __init__(self, config: Config) -> None:
        """Load the price file. Raises ConfigError for prices that cannot be used."""
        self.swap(config, load_prices(config.pricing.file))

    def current(self) -> PriceList:
        """The price list in force; makes this the core's PriceSource."""
        return self._prices

    def allowed(self) -> frozenset[str]:
        """Common names of the client certificates that may call."""
        return self._allowed

    def config(self) -> Config:
        """The configuration of the last start, reload or secret rotation."""
        return self._config

    def swap(self, config: Config, prices: PriceList) -> None:
        """Replace configuration, prices and allow-list together."""
        self._config, self._prices = config, prices
        self._allowed = frozenset(config.grpc.allowed_cns)

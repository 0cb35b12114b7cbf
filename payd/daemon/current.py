"""What changes while we run, held in one place for all who ask."""

from payd.config import Config, load_prices
from payd.domain.pricing import PriceList


class Holder:
    """What changes while we run, each whole: prices, the allow-list, secrets."""

    def __init__(self, config: Config) -> None:
        """Raises ConfigError for prices that cannot be used."""
        self.swap(config, load_prices(config.pricing.file))

    def current(self) -> PriceList:
        """The port PriceSource."""
        return self._prices

    def allowed(self) -> frozenset[str]:
        """Certificate names that may call."""
        return self._allowed

    def config(self) -> Config:
        """As it was last asked for. Who was built from an older one keeps what cannot change."""
        return self._config

    def swap(self, config: Config, prices: PriceList) -> None:
        """Replace all."""
        self._config, self._prices = config, prices
        self._allowed = frozenset(config.grpc.allowed_cns)

"""The configuration, prices and allow-list in force; a reload replaces all three at once."""

from collections.abc import Sequence

from payd import telemetry
from payd.config import Config, load_prices
from payd.domain.pricing import PriceList
from payd.domain.quote_token import KEY_LENGTH_MIN
from payd.telemetry import Secret, register_secret
from payd.transport.grpc.callers import Clients

_log = telemetry.get_logger(__name__)


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

    def clients(self) -> Clients:
        """Common names of the client certificates that may call, by role."""
        return self._clients

    def quote_keys(self) -> tuple[str, ...]:
        """The keys of quote tokens, newest first; empty without one."""
        return self._quote_keys

    def page_keys(self) -> tuple[str, ...]:
        """The keys of links to payment pages, newest first; empty without one."""
        return self._page_keys

    def config(self) -> Config:
        """The configuration of the last start, reload or secret rotation."""
        return self._config

    def swap(self, config: Config, prices: PriceList) -> None:
        """Replace configuration, prices and allow-list together."""
        self._config, self._prices = config, prices
        self._clients = Clients(
            apps=frozenset(config.grpc.allowed_cns), operators=frozenset(config.grpc.operator_cns)
        )
        self._quote_keys = _long_keys("quote_key", config.payments.quote_key)
        self._page_keys = _long_keys("page_key", config.http.page_key)


def _long_keys(name: str, secrets: Sequence[Secret] | None) -> tuple[str, ...]:
    """The configured keys. Those of a vault are not checked before: a short one is not used."""
    keys = tuple(key.reveal() for key in secrets or ())
    for key in keys:
        register_secret(key)
    if any(len(key) < KEY_LENGTH_MIN for key in keys):
        _log.error(f"{name}_refused", error=f"needs at least {KEY_LENGTH_MIN} characters")
    return tuple(key for key in keys if len(key) >= KEY_LENGTH_MIN)

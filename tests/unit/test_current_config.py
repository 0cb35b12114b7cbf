"""The configuration in force: what a reload replaces, and what it does not let in."""

from pathlib import Path

from payd.config import Config, Secret, with_vault
from payd.config.tree import Pricing
from payd.daemon.current import CurrentConfig

PRICES = Path(__file__).parents[2] / "config" / "pricing.yaml"
NEW, OLD = Secret("n" * 32), Secret("o" * 32)


def a_config(*keys: Secret) -> Config:
    return with_vault(Config(pricing=Pricing(file=PRICES)), {"quote_key": keys})


def test_the_quote_keys_are_those_in_force_newest_first() -> None:
    current = CurrentConfig(a_config(OLD))
    assert current.quote_keys() == ("o" * 32,)
    current.swap(a_config(NEW, OLD), current.current())
    assert current.quote_keys() == ("n" * 32, "o" * 32)
    current.swap(a_config(), current.current())
    assert current.quote_keys() == ()


def test_a_vaults_key_that_is_too_short_signs_nothing() -> None:
    """The vault is read while the daemon runs: there is no start that could be refused."""
    assert CurrentConfig(a_config(Secret("short"), OLD)).quote_keys() == ("o" * 32,)

"""Configuration: YAML and environment → one immutable tree, or a list of every problem.

The only place that reads YAML. What a setting does belongs to the package that reads it.
"""

from payd.config.describe import Row, describe
from payd.config.environment import parse_switch
from payd.config.load import DEFAULT_FILE, load_config, read_config
from payd.config.prices import load_prices
from payd.config.problems import EXIT_BAD_CONFIGURATION, ConfigError, Problem
from payd.config.providers import installed_providers, plain_settings, take_credentials
from payd.config.rules import unencrypted_connections
from payd.config.settings import SETTINGS, Setting
from payd.config.tree import Config, Provider, TlsFiles
from payd.config.vault import missing_from_vault, with_vault
from payd.telemetry import Secret

__all__ = [
    "DEFAULT_FILE",
    "EXIT_BAD_CONFIGURATION",
    "SETTINGS",
    "Config",
    "ConfigError",
    "Problem",
    "Provider",
    "Row",
    "Secret",
    "Setting",
    "TlsFiles",
    "describe",
    "installed_providers",
    "load_config",
    "load_prices",
    "missing_from_vault",
    "parse_switch",
    "plain_settings",
    "read_config",
    "take_credentials",
    "unencrypted_connections",
    "with_vault",
]

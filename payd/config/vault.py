"""Merge secrets from the vault into the configuration."""

from collections.abc import Mapping, Sequence

from payd.config.passwords import VAULT_NAMES
from payd.config.settings import BY_KEY
from payd.config.tree import Config
from payd.telemetry import Secret


def with_vault(config: Config, values: Mapping[str, Sequence[Secret]]) -> Config:
    """Return the configuration with these secrets; they win over secrets from files.

    `values` maps a name to its values, newest first. Most of payd's own secrets use only the
    newest.
    """
    origins = dict(config._origins)
    sections: dict[str, dict[str, object]] = {}
    for name, key in VAULT_NAMES.items():
        if values.get(name):
            section, _, field = key.partition(".")
            versions = values[name]
            held = versions[0] if BY_KEY[key].kind == "secret" else tuple(versions)
            sections.setdefault(section, {})[field] = held
            origins[key] = f"vault {config.vault.secret_path}"
    copied = config.model_copy(
        update={
            section: getattr(config, section).model_copy(update=fields)
            for section, fields in sections.items()
        }
    )
    copied._origins = origins
    copied._vault = {name: tuple(versions) for name, versions in values.items()}
    return copied


def missing_from_vault(config: Config) -> tuple[str, ...]:
    """Vault names of required secrets that are set nowhere."""
    return () if config.database.password is not None else ("db_password",)

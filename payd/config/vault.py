"""What the vault holds, put into the tree as if it had been configured."""

from collections.abc import Mapping, Sequence

from payd.config.passwords import VAULT_NAMES
from payd.config.tree import Config
from payd.telemetry import Secret


def with_vault(config: Config, held: Mapping[str, Sequence[Secret]]) -> Config:
    """The configuration with these secrets. What the vault holds wins over a file.

    `held` maps a name to its values, newest first; of the core's own only the newest counts.
    """
    origins = dict(config._origins)
    sections: dict[str, dict[str, object]] = {}
    for name, key in VAULT_NAMES.items():
        if held.get(name):
            section, _, field = key.partition(".")
            sections.setdefault(section, {})[field] = held[name][0]
            origins[key] = f"vault {config.vault.secret_path}"
    copied = config.model_copy(
        update={
            section: getattr(config, section).model_copy(update=fields)
            for section, fields in sections.items()
        }
    )
    copied._origins = origins
    copied._vault = {name: tuple(values) for name, values in held.items()}
    return copied


def missing_from_vault(config: Config) -> tuple[str, ...]:
    """The names without which the daemon cannot work, and that are nowhere."""
    return () if config.database.password is not None else ("db_password",)

"""The rows of `payd config show`: every setting, its value with secrets masked, its source."""

import re

import attrs

from payd.config.settings import BY_KEY
from payd.config.tree import Config, Provider
from payd.telemetry import REDACTED, Secret

#: Names of provider settings that probably contain a secret. payd does not know their meaning.
_SECRET_NAME = re.compile(r"(secret|password|passphrase|seed|credential|token|key)s?$")
_USER_IN_URL = re.compile(r"//[^@/\s,]*@")
_URL = re.compile(r"([a-z][a-z0-9+.-]*://)(?:[^@/\s]*@)?([^/?#\s]+)\S+")


@attrs.frozen(kw_only=True)
class Row:
    """One line of `payd config show`."""

    key: str
    env: str
    value: str
    #: `FILE:LINE`, `environment NAME`, `file PATH`, `default` or `default in production`.
    source: str


def describe(config: Config) -> tuple[Row, ...]:
    """Return every setting, fixed ones first, then those of the providers."""
    rows = [
        Row(
            key=key,
            env=setting.env,
            value=_shown(_value(config, key)),
            source=config.origin(key),
        )
        for key, setting in BY_KEY.items()
    ]
    for name, provider in config.providers.named.items():
        rows += _provider_rows(config, name, provider)
    return tuple(rows)


def _value(config: Config, key: str) -> object:
    value: object = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case Secret() | (Secret(), *_):
            return REDACTED
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(str(part) for part in value)
        case _:
            return _USER_IN_URL.sub(f"//{REDACTED}@", str(value))


def _provider_rows(config: Config, name: str, provider: Provider) -> list[Row]:
    rows = []
    for switch in ("enabled", "allow_in_production"):
        key = f"providers.{name}.{switch}"
        shown = _shown(getattr(provider, switch))
        rows.append(Row(key=key, env=_env(name, switch), value=shown, source=config.origin(key)))
    for setting, value in provider.settings.items():
        # The path or query of a URL may contain an API key: show only its host.
        shown = _URL.sub(r"\1\2/…", _shown(value))
        if value is not None and _SECRET_NAME.search(setting):
            shown = REDACTED
        key, source = f"providers.{name}.{setting}", provider.origins[setting]
        rows.append(Row(key=key, env=_env(name, setting), value=shown, source=source))
    return rows


def _env(name: str, setting: str) -> str:
    return f"{name}_{setting}".upper()

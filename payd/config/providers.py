"""Provider sections: payd's two switches, credentials, and settings for the plugin to check."""

import os
from collections.abc import Collection, Mapping
from importlib.metadata import entry_points
from pathlib import Path

from payd.config.draft import Draft, RawProvider, nearest, read_secret
from payd.config.environment import check_provider_name, parse_switch
from payd.config.problems import ConfigError, Problem
from payd.config.tree import Config, Provider
from payd.config.yaml_lines import Document
from payd.telemetry import Secret

_SWITCHES = ("enabled", "allow_in_production")
#: Entry-point group of the plugins; an entry point's name is the provider's name.
_ENTRY_POINTS = "payd"


def installed_providers() -> tuple[str, ...]:
    """Names of the installed plugins, from package metadata; imports none of them."""
    return tuple(point.name for point in entry_points(group=_ENTRY_POINTS))


def read_providers(draft: Draft, document: Document, section: Mapping[str, object]) -> None:
    """Add the file's `providers` section to the draft."""
    for name, value in section.items():
        path = ("providers", name)
        key, where = ".".join(path), document.where(path)
        if name == "failure_mode":
            draft.put(key, value, where)
        elif (wrong := check_provider_name(name)) is not None:
            near = nearest(name, ["failure_mode"]) if not isinstance(value, dict) else ""
            draft.refuse(key, wrong + near, where)
        elif not isinstance(value, dict | None):
            near = nearest(name, ["failure_mode"])
            draft.refuse(key, f"must be a mapping with `enabled` and its settings{near}", where)
        else:
            origins = {inner: document.where((*path, inner)) for inner in value or {}}
            draft.providers[name] = RawProvider(values=dict(value or {}), origins=origins)


def provider_sections(draft: Draft) -> dict[str, object]:
    """Convert every provider for the tree. Refuses switches that are not true or false."""
    return {name: _section(draft, name, raw) for name, raw in draft.providers.items()}


def _section(draft: Draft, name: str, raw: RawProvider) -> dict[str, object]:
    section: dict[str, object] = {}
    for switch in _SWITCHES:
        key = f"providers.{name}.{switch}"
        value = raw.values.get(switch, False)
        draft.origins[key] = raw.origins.get(switch, "default")
        try:
            section[switch] = _switch(value, switch in raw.from_environment)
        except ValueError as error:
            section[switch] = False
            draft.refuse(key, str(error))
    settings = {k: _absolute(draft, raw, k) for k in raw.values if k not in _SWITCHES}
    return section | {
        "settings": settings,
        "from_environment": frozenset(raw.from_environment & settings.keys()),
        "origins": {key: raw.origins[key] for key in settings},
    }


def _switch(value: object, is_text: bool) -> bool:
    if is_text:
        return parse_switch(str(value))
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false; is {value!r:.40}")
    return value


def _absolute(draft: Draft, raw: RawProvider, key: str) -> object:
    """Resolve a `…_file` path: in YAML relative to the file, else to the working directory."""
    value = raw.values[key]
    if not (key.endswith("_file") and isinstance(value, str)):
        return value
    folder = Path.cwd() if key in raw.from_environment else draft.folder
    return os.fspath(folder / value)


def take_credentials(
    config: Config, name: str, credentials: Collection[str]
) -> tuple[Provider, Mapping[str, tuple[Secret, ...]]]:
    """Split a provider's section into plain settings and credentials.

    Returns the section without credentials, and each credential's values, newest first: a file has
    one value per line. Keys are the names that the plugin declares, with or without the prefix
    `NAME_`. Values in Vault win. Raises ConfigError for a credential that is missing, written in
    the YAML file, or, in production, set by a variable.
    """
    section = config.providers.named[name]
    found: dict[str, tuple[Secret, ...]] = {}
    problems: list[Problem] = []
    for credential in credentials:
        setting = credential.removeprefix(f"{name}_")
        values, wrong = _credential(config, section, f"{name}_{setting}".upper(), setting)
        if wrong is not None:
            where = section.origins.get(setting) or section.origins.get(f"{setting}_file")
            key = f"providers.{name}.{setting}"
            problems.append(Problem(key=key, where=where or "not set", what=wrong))
        found[credential] = tuple(values)
    if problems:
        raise ConfigError(problems)
    rest = plain_settings(config, name, credentials)
    return section.model_copy(update=_keep(section, rest)), found


def plain_settings(config: Config, name: str, credentials: Collection[str]) -> dict[str, object]:
    """The provider's settings without its credentials; empty if it is not configured."""
    section = config.providers.named.get(name)
    secret = {credential.removeprefix(f"{name}_") for credential in credentials}
    settings = section.settings if section is not None else {}
    return {key: v for key, v in settings.items() if key.removesuffix("_file") not in secret}


def _credential(
    config: Config, section: Provider, env: str, setting: str
) -> tuple[list[Secret], str | None]:
    file = f"{setting}_file"
    value = section.settings.get(setting)
    if kept := config.in_vault(env.lower()):
        return list(kept), None
    if value is not None and setting not in section.from_environment:
        return [], f"secrets are not allowed in this file; set {file} or {env}_FILE"
    if value is not None and file in section.from_environment:
        return [], f"is set by both {env} and {env}_FILE; remove one"
    if value is not None and config.in_production:
        return [], f"{env} is refused in production; set {file} or {env}_FILE"
    if value is not None:
        # As in a file: one value per line, newest first.
        return [Secret(line) for line in str(value).split("\n") if line], None
    if isinstance(path := section.settings.get(file), str):
        return read_secret(Path(path))
    variable = "" if config.in_production else f" or {env}"
    vault = f", or store {env.lower()} in Vault" if config.vault.addr else ""
    return [], f"missing: set {file}, {env}_FILE{variable}{vault}"


def _keep(section: Provider, settings: dict[str, object]) -> dict[str, object]:
    return {
        "settings": settings,
        "from_environment": section.from_environment.intersection(settings),
        "origins": {key: section.origins[key] for key in settings},
    }

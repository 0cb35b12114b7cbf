"""Find every mistake in a configuration at once, for `payd config check`. Nothing is opened."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from payd.config import Config, ConfigError, Problem, plain_settings, read_config
from payd.daemon.preflight import enabled_plugin
from payd.providers.discovery import EnabledPlugin, PluginError, manifest_of
from payd.providers.plugin_problems import plugin_problems


def check_config(
    environ: Mapping[str, str], path: Path | None = None
) -> tuple[Config, Sequence[Problem]]:
    """Read the configuration as `load_config` does, and check the enabled providers as a whole.

    Returns what is valid of it, and every problem: of payd's own settings, and of providers their
    wheels, interface versions, settings, credentials and methods. A credential that may be in a
    vault counts as present.
    """
    config, problems = read_config(environ, path)
    return config, [*problems, *provider_problems(config)]


def provider_problems(config: Config) -> Sequence[Problem]:
    """Every problem of the enabled providers."""
    plugins, problems = [], []
    for name in config.providers.enabled():
        try:
            plugins.append(enabled_plugin(config, name))
        except ConfigError as error:
            problems += [one for one in error.problems if not _may_be_in_vault(config, one)]
            plugins.append(_without_credentials(config, name))
    for found in plugin_problems(plugins, config.environment):
        section = config.providers.named[found.provider]
        setting = found.setting.partition(".")[0]
        key = ".".join(filter(None, ("providers", found.provider, found.setting)))
        where = section.origins.get(setting) or _default_origin(config, found.provider, setting)
        problems.append(Problem(key=key, where=where, what=found.what))
    return problems


def _default_origin(config: Config, provider: str, setting: str) -> str:
    return "not set" if setting else config.origin(f"providers.{provider}.enabled")


def _may_be_in_vault(config: Config, problem: Problem) -> bool:
    return config.vault.addr is not None and problem.where == "not set"


def _without_credentials(config: Config, name: str) -> EnabledPlugin:
    section = config.providers.named[name]
    try:
        credentials = manifest_of(name).credentials
    except PluginError:
        credentials = ()
    return EnabledPlugin(
        name=name,
        settings=plain_settings(config, name, credentials),
        allow_in_production=section.allow_in_production,
    )

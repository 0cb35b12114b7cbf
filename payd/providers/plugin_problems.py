"""List everything that is wrong with the enabled plugins and their settings, building none."""

from collections.abc import Callable, Iterator, Sequence

import attrs

from payd.providers.discovery import (
    EnabledPlugin,
    PluginError,
    SettingsInvalid,
    check_environment,
    checked_manifest,
    configured,
    import_modules,
    methods_under,
    unusable,
)


@attrs.frozen(kw_only=True)
class PluginProblem:
    """One thing to correct. It never has the value of a setting."""

    provider: str
    #: Path of the setting; empty when the provider as a whole is concerned.
    setting: str = ""
    what: str


def plugin_problems(plugins: Sequence[EnabledPlugin], environment: str) -> list[PluginProblem]:
    """Return every problem that the start would meet, and modules that cannot be imported.

    Missing credentials are not among them: who reads them knows where they may be.
    """
    owners: dict[str, str] = {}
    return [one for plugin in plugins for one in _of_plugin(plugin, environment, owners)]


def _of_plugin(
    plugin: EnabledPlugin, environment: str, owners: dict[str, str]
) -> Iterator[PluginProblem]:
    try:
        manifest = checked_manifest(plugin.name)
    except PluginError as error:
        yield _of_error(error)
        return
    yield from _tried(lambda: check_environment(plugin, manifest, environment))
    yield from _tried(lambda: import_modules(manifest))
    try:
        config = configured(plugin)
        methods = methods_under(manifest, config)
        has_secrets = all(plugin.secrets.get(name) for name in manifest.credentials)
        wrong = unusable(plugin, manifest, config, environment) if has_secrets else ()
    except SettingsInvalid as error:
        yield from _of_settings(plugin.name, error.wrong)
        return
    except PluginError as error:
        yield _of_error(error)
        return
    yield from _of_settings(plugin.name, wrong)
    for method in methods:
        if (owner := owners.setdefault(method.key, plugin.name)) != plugin.name:
            what = f"offers the method {method.key!r}, which {owner} has"
            what += "; disable one of them, or give it other methods"
            yield PluginProblem(provider=plugin.name, what=what)


def _tried(step: Callable[[], None]) -> Iterator[PluginProblem]:
    try:
        step()
    except PluginError as error:
        yield _of_error(error)


def _of_error(error: PluginError) -> PluginProblem:
    return PluginProblem(provider=error.provider, what=f"{error.reason}; {error.what_to_do}")


def _of_settings(provider: str, wrong: Sequence[tuple[str, str]]) -> Iterator[PluginProblem]:
    for setting, why in wrong:
        yield PluginProblem(provider=provider, setting=setting, what=why)

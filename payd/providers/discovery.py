"""Find one plugin by its name, import it by itself, and check it without building it.

Whatever its code does becomes a PluginError: which plugin, why, and what an operator can do.
"""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

import attrs
import click
import pluggy
from pydantic import ValidationError

from payd.plugins import hookspecs
from payd.plugins.interface import Method, ProviderConfig, ProviderManifest
from payd.providers.calls import PluginFailed, guarded
from payd.providers.credentials import Credentials
from payd.providers.manifests import misfit, wrong_in_manifest, wrong_in_methods

__all__ = [
    "CheckedPlugin",
    "EnabledPlugin",
    "PluginError",
    "SettingsInvalid",
    "check_environment",
    "check_plugin",
    "checked_manifest",
    "commands_of",
    "configured",
    "has_audit",
    "import_modules",
    "manifest_of",
    "methods_of",
    "methods_under",
    "unusable",
]

T = TypeVar("T")

_INSTALL_WHEEL = (
    "install its wheel by its file, after what it depends on: pip install --no-deps FILE.whl"
)
_REPORT_TO_AUTHOR = "report this to the author of the plugin, or disable it"


@attrs.frozen(kw_only=True)
class EnabledPlugin:
    """The configuration of one provider."""

    name: str
    #: Its own settings; values from the environment are strings.
    settings: Mapping[str, object] = attrs.field(factory=dict)
    #: Credential that its manifest names → values, newest first.
    secrets: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict, repr=False)
    #: Permits a provider that is made for development.
    allow_in_production: bool = False


class PluginError(Exception):
    """A plugin cannot be used: which one, why, and what an operator can do about it."""

    def __init__(self, provider: str, reason: str, what_to_do: str) -> None:
        super().__init__(f"provider {provider}: {reason}; {what_to_do}")
        self.provider = provider
        self.reason = reason
        self.what_to_do = what_to_do


class SettingsInvalid(PluginError):
    """Settings are invalid: `wrong` has each one's name, empty for several at once, and why."""

    def __init__(self, provider: str, wrong: Sequence[tuple[str, str]]) -> None:
        keys = [".".join(filter(None, ("providers", provider, name))) for name, _ in wrong]
        reasons = (f"{key}: {why}" for key, (_, why) in zip(keys, wrong, strict=True))
        super().__init__(provider, "; ".join(reasons), "correct " + ", ".join(keys))
        self.wrong = tuple(wrong)


@attrs.frozen(kw_only=True)
class CheckedPlugin:
    """A plugin that passed the checks and may be built."""

    manifest: ProviderManifest
    config: ProviderConfig
    methods: tuple[Method, ...]
    secrets: Credentials = attrs.field(repr=False)

    @property
    def name(self) -> str:
        """As in the manifest."""
        return self.manifest.name

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its methods."""
        return tuple(method.key for method in self.methods)


def manifest_of(name: str) -> ProviderManifest:
    """Import the plugin of this name and return its manifest; raises PluginError."""
    manager, remedy = _registered(name)
    offered: object = _ask(
        name,
        "its payd_providers hook failed",
        remedy,
        lambda: [manifest for some in manager.hook.payd_providers() for manifest in some],
    )
    for manifest in offered if isinstance(offered, list) else []:
        if isinstance(manifest, ProviderManifest) and manifest.name == name:
            return manifest
    raise PluginError(name, "offers no provider of this name", remedy)


def _registered(name: str) -> tuple[pluggy.PluginManager, str]:
    """Register one plugin by itself, so that it fails alone; also return what to do then."""
    point = _entry_point(name)
    remedy = _remedy(point)
    plugin = _ask(name, "cannot be imported", remedy, point.load)
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    _ask(name, "cannot be registered", remedy, lambda: manager.register(plugin, name))
    return manager, remedy


def _remedy(point: EntryPoint) -> str:
    return f"fix or reinstall {_distribution(point)}, or disable it"


def methods_of(plugin: EnabledPlugin) -> Sequence[Method]:
    """Return its methods under its settings, without building it; raises PluginError."""
    manifest = checked_manifest(plugin.name)
    return methods_under(manifest, _configure(plugin, manifest))


def configured(plugin: EnabledPlugin) -> ProviderConfig:
    """Return its validated settings; raises PluginError."""
    return _configure(plugin, manifest_of(plugin.name))


def has_audit(name: str) -> bool:
    """Whether the provider of this name has an audit; raises PluginError."""
    return checked_manifest(name).capabilities.audit


def commands_of(name: str) -> Sequence[click.Command]:
    """Return the commands of the plugin of this name; raises PluginError."""
    manager, remedy = _registered(name)
    offered: object = _ask(
        name,
        "its payd_commands hook failed",
        remedy,
        lambda: [c for some in manager.hook.payd_commands(provider=name) for c in some],
    )
    found = offered if isinstance(offered, list) else []
    return [command for command in found if isinstance(command, click.Command)]


def check_plugin(plugin: EnabledPlugin, environment: str) -> CheckedPlugin:
    """Import and check a plugin, its settings and its credentials; raises PluginError."""
    manifest = checked_manifest(plugin.name)
    check_environment(plugin, manifest, environment)
    config = _configure(plugin, manifest)
    methods = methods_under(manifest, config)
    secrets = _secrets(plugin, manifest)
    if wrong := unusable(plugin, manifest, config, environment):
        raise SettingsInvalid(plugin.name, wrong)
    return CheckedPlugin(manifest=manifest, config=config, methods=methods, secrets=secrets)


def check_environment(plugin: EnabledPlugin, manifest: ProviderManifest, environment: str) -> None:
    """Raise PluginError for a provider that is made for development, in production."""
    if manifest.for_development and environment == "production" and not plugin.allow_in_production:
        raise PluginError(
            plugin.name,
            "is made for development and refused in production",
            f"disable it, or set providers.{plugin.name}.allow_in_production",
        )


def unusable(
    plugin: EnabledPlugin, manifest: ProviderManifest, config: ProviderConfig, environment: str
) -> Sequence[tuple[str, str]]:
    """Ask the plugin which settings and credentials do not fit; raises PluginError."""

    def ask() -> list[tuple[str, str]]:
        said = manifest.unusable(config, plugin.secrets, environment)
        return [(str(setting), str(why)) for setting, why in said]

    return _ask(plugin.name, "cannot check its settings", _REPORT_TO_AUTHOR, ask)


def import_modules(manifest: ProviderManifest) -> None:
    """Import the modules that a manifest names; raises PluginError. Some SDKs take seconds."""
    for module in manifest.imports:
        remedy = _remedy(_entry_point(manifest.name))
        _ask(manifest.name, f"cannot import {module}", remedy, partial(import_module, module))


def _entry_point(name: str) -> EntryPoint:
    points = tuple(entry_points(group=hookspecs.PROJECT, name=name))
    match points:
        case ():
            raise PluginError(name, "is enabled but not installed", _INSTALL_WHEEL)
        case (point,):
            return point
        case _:
            owners = ", ".join(sorted({_distribution(point) for point in points}))
            raise PluginError(name, f"is offered by {owners}", "uninstall all but one")


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def checked_manifest(name: str) -> ProviderManifest:
    """As `manifest_of`, and the manifest is valid and fits this payd; raises PluginError."""
    manifest = manifest_of(name)
    if (why := misfit(manifest)) is not None:
        raise PluginError(manifest.name, why, "install a version of it that fits this payd")
    why = _ask(
        manifest.name, "cannot be read", _REPORT_TO_AUTHOR, lambda: wrong_in_manifest(manifest)
    )
    if why is not None:
        raise PluginError(manifest.name, why, _REPORT_TO_AUTHOR)
    return manifest


def _configure(plugin: EnabledPlugin, manifest: ProviderManifest) -> ProviderConfig:
    def validate() -> ProviderConfig | ValidationError:
        try:
            return manifest.config_model.model_validate(dict(plugin.settings))
        except ValidationError as error:
            return error

    section = f"providers.{plugin.name}"
    said = _ask(plugin.name, "cannot check its settings", f"check {section}", validate)
    if not isinstance(said, ValidationError):
        return said
    wrong = said.errors(include_url=False, include_input=False, include_context=False)
    known = tuple(manifest.config_model.model_fields)
    # "At least one item" only repeats that the items are invalid.
    parents = {one["loc"][:depth] for one in wrong for depth in range(1, len(one["loc"]))}
    raise SettingsInvalid(
        plugin.name,
        [
            (setting, _explained(one["type"], one["msg"], plugin.name, setting, known))
            for one in wrong
            if one["loc"] not in parents
            for setting in [".".join(map(str, one["loc"]))]
        ],
    )


def _explained(kind: str, message: str, provider: str, setting: str, known: Sequence[str]) -> str:
    """Why a setting is invalid. Never its value, which may be a secret at the wrong place."""
    if kind == "missing":
        return f"missing: set it, or {provider.upper()}_{setting.upper()}"
    if kind == "extra_forbidden":
        near = get_close_matches(setting, known, n=1)
        return f"unknown setting; did you mean {near[0]}?" if near else "unknown setting: remove it"
    subject, _, rest = message.removeprefix("Value error, ").partition(" should ")
    return f"must {rest}" if rest else subject


def methods_under(manifest: ProviderManifest, config: ProviderConfig) -> tuple[Method, ...]:
    """Return the methods that it offers with these settings; raises PluginError."""
    methods = _ask(
        manifest.name,
        "cannot list its methods",
        _REPORT_TO_AUTHOR,
        lambda: tuple(manifest.methods(config)),
    )
    why = _ask(
        manifest.name,
        "cannot list its methods",
        _REPORT_TO_AUTHOR,
        lambda: wrong_in_methods(methods),
    )
    if why is not None:
        raise PluginError(manifest.name, why, _REPORT_TO_AUTHOR)
    return methods


def _secrets(plugin: EnabledPlugin, manifest: ProviderManifest) -> Credentials:
    missing = [name for name in manifest.credentials if not plugin.secrets.get(name)]
    if missing:
        reason = f"has no value for {', '.join(missing)}"
        raise PluginError(plugin.name, reason, "set it, or its *_FILE, or put it into the vault")
    return Credentials({name: plugin.secrets[name] for name in manifest.credentials})


def _ask(name: str, failing: str, what_to_do: str, act: Callable[[], T]) -> T:
    try:
        return guarded(act)
    except PluginFailed as error:
        raise PluginError(name, f"{failing}: {error}", what_to_do) from error

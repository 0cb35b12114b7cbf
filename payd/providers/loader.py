"""Load the enabled providers: discover, check, configure, build, map their methods.

Only enabled plugins are imported, each by itself: one that raises or hangs fails under its own name
with a reason, and the others are loaded.
"""

import enum
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

import attrs
import click
import pluggy
from pydantic import ValidationError

from payd.plugins import hookspecs
from payd.plugins.context import Clock, Logger, Metrics, NoMetrics, ProviderContext
from payd.plugins.interface import Method, Provider, ProviderConfig, ProviderManifest
from payd.ports.provider import Registered
from payd.providers.breaker import Random
from payd.providers.calls import PluginFailed, guarded
from payd.providers.credentials import Credentials
from payd.providers.fence import Fence, OnCall
from payd.providers.loop_monitor import watched_nursery
from payd.providers.manifests import misfit, wrong_in_manifest, wrong_in_methods
from payd.providers.methods import MethodMap

__all__ = [
    "EnabledPlugin",
    "FailureMode",
    "LoadReport",
    "LoadedPlugin",
    "OpenProviders",
    "PluginError",
    "commands_of",
    "configured",
    "described_methods",
    "has_audit",
    "manifest_of",
    "methods_of",
    "open_providers",
]

T = TypeVar("T")


_INSTALL_WHEEL = (
    "install its wheel by its file, after what it depends on: pip install --no-deps FILE.whl"
)
_TELL_AUTHOR = "report this to the author of the plugin, or disable it"


class FailureMode(enum.Enum):
    """Effect of a failing plugin on the start of the daemon."""

    #: The daemon does not start.
    STRICT = "strict"
    #: The daemon starts without the plugin's methods and reports it.
    DEGRADED = "degraded"


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


@attrs.frozen(kw_only=True)
class LoadedPlugin:
    """A provider that serves."""

    name: str
    version: str
    methods: tuple[str, ...]


@attrs.frozen(kw_only=True)
class LoadReport:
    """Result of loading, for each enabled plugin."""

    loaded: tuple[LoadedPlugin, ...]
    failed: tuple[PluginError, ...]


@attrs.frozen(kw_only=True)
class OpenProviders:
    """The providers that serve."""

    methods: MethodMap
    fences: tuple[Fence, ...]
    report: LoadReport
    #: Provider → its credentials, which a reload replaces.
    credentials: Mapping[str, Credentials] = attrs.field(factory=dict, repr=False)


async def _no_cursor(provider: str) -> str | None:
    """Return no cursor, for callers that run no watch."""
    return None


@asynccontextmanager
async def open_providers(  # noqa: PLR0913 - each thing of the daemon that a provider may see
    plugins: Sequence[EnabledPlugin],
    *,
    environment: str,
    clock: Clock,
    failure_mode: FailureMode,
    log_of: Callable[[str], Logger],
    random: Random,
    on_call: OnCall | None = None,
    metrics_of: Callable[[str], Metrics] = lambda provider: NoMetrics(),
    read_cursor: Callable[[str], Awaitable[str | None]] = _no_cursor,
) -> AsyncIterator[OpenProviders]:
    """Load and build the enabled providers; close them in reverse order at the end.

    `log_of`, `metrics_of` and `read_cursor` (the cursor of its watch) take a provider's name.
    In STRICT mode, raises PluginError for the first plugin that failed. Two providers of one method
    are a failure of the second.
    """
    is_strict = failure_mode is FailureMode.STRICT
    recursion_limit = sys.getrecursionlimit()
    checked, failed = _check_all(plugins, environment, failure_mode)
    checked, unimportable = _import_all(checked)
    failed += unimportable
    if failed and is_strict:
        raise failed[0]
    # An SDK may have raised it (py_ecc, imported by web3). Then deeply nested JSON from any caller
    # would overflow the stack and end the daemon.
    sys.setrecursionlimit(recursion_limit)
    serving: list[_Serving] = []
    # Watched from before a factory runs until every task of every provider has ended.
    async with watched_nursery() as nursery:
        try:
            for plugin in checked:
                log = log_of(plugin.name)
                context = ProviderContext(
                    environment=environment,
                    secrets=plugin.secrets,
                    clock=clock,
                    log=log,
                    metrics=metrics_of(plugin.name),
                    read_cursor=partial(read_cursor, plugin.name),
                )
                # Each call makes a fresh provider.
                build = partial(plugin.manifest.factory, context, plugin.config)
                fence = Fence(
                    build,
                    plugin.manifest,
                    log=log,
                    methods=plugin.keys,
                    secrets=plugin.secrets,
                    random=random,
                    on_call=on_call,
                )
                why: str | None = await nursery.start(fence.run)
                # The factory may have imported more.
                sys.setrecursionlimit(recursion_limit)
                if why is None:
                    serving.append(_Serving(plugin=plugin, fence=fence))
                else:
                    failed.append(_not_built(plugin.name, why))
            if not (failed and is_strict):
                yield _opened(serving, failed)
        finally:
            for one in reversed(serving):
                await one.fence.stop()
    if failed and is_strict:
        raise failed[0]


def check_plugins(
    plugins: Sequence[EnabledPlugin], *, environment: str, failure_mode: FailureMode
) -> None:
    """Raise PluginError for what `open_providers` would refuse before it builds anything."""
    _check_all(plugins, environment, failure_mode)


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
    manifest = manifest_of(plugin.name)
    return _methods(manifest, _configure(plugin, manifest))


def configured(plugin: EnabledPlugin) -> ProviderConfig:
    """Return its validated settings; raises PluginError."""
    return _configure(plugin, manifest_of(plugin.name))


def has_audit(name: str) -> bool:
    """Whether the provider of this name has an audit; raises PluginError."""
    manifest = manifest_of(name)
    _check_manifest(manifest)
    return manifest.capabilities.audit


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


def described_methods(plugins: Iterable[EnabledPlugin], log: Logger) -> MethodMap:
    """Return the methods of usable plugins, each with a provider that is not running."""
    registered = []
    for plugin in plugins:
        try:
            manifest = manifest_of(plugin.name)
            _check_manifest(manifest)
            methods = _methods(manifest, _configure(plugin, manifest))
        except PluginError as error:
            log.warning("plugin_unusable", provider=plugin.name, error=str(error))
            continue
        idle = Fence(_not_to_be_built, manifest, log=log, random=lambda: 0.0)
        registered += [Registered(method=method, provider=idle) for method in methods]
    return MethodMap(registered)


def _not_to_be_built() -> AbstractAsyncContextManager[Provider]:
    raise NotImplementedError("this provider was only described")


# -- one plugin, without building it -----------------------------------------------------------


@attrs.frozen(kw_only=True)
class _Checked:
    """A plugin that passed the checks and may be built."""

    manifest: ProviderManifest
    config: ProviderConfig
    methods: tuple[Method, ...]
    secrets: Credentials = attrs.field(repr=False)

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(method.key for method in self.methods)


def _check_all(
    plugins: Sequence[EnabledPlugin], environment: str, failure_mode: FailureMode
) -> tuple[list[_Checked], list[PluginError]]:
    checked: list[_Checked] = []
    failed: list[PluginError] = []
    for plugin in plugins:
        try:
            checked.append(_check(plugin, environment))
        except PluginError as error:
            failed.append(error)
    kept, refused = _resolve_conflicts(checked)
    failed += refused
    if failed and failure_mode is FailureMode.STRICT:
        raise failed[0]
    return kept, failed


def _import_all(checked: Sequence[_Checked]) -> tuple[list[_Checked], list[PluginError]]:
    """Import the modules that plugins name, before their tasks run: some SDKs take seconds."""
    kept: list[_Checked] = []
    failed: list[PluginError] = []
    for plugin in checked:
        try:
            for module in plugin.manifest.imports:
                remedy = _remedy(_entry_point(plugin.name))
                _ask(plugin.name, f"cannot import {module}", remedy, partial(import_module, module))
        except PluginError as error:
            failed.append(error)
        else:
            kept.append(plugin)
    return kept, failed


def _check(plugin: EnabledPlugin, environment: str) -> _Checked:
    manifest = manifest_of(plugin.name)
    _check_manifest(manifest)
    if manifest.for_development and environment == "production" and not plugin.allow_in_production:
        raise PluginError(
            plugin.name,
            "is made for development and refused in production",
            f"disable it, or set providers.{plugin.name}.allow_in_production",
        )
    config = _configure(plugin, manifest)
    methods = _methods(manifest, config)
    secrets = _secrets(plugin, manifest)
    return _Checked(manifest=manifest, config=config, methods=methods, secrets=secrets)


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


def _check_manifest(manifest: ProviderManifest) -> None:
    if (why := misfit(manifest)) is not None:
        raise PluginError(manifest.name, why, "install a version of it that fits this payd")
    why = _ask(manifest.name, "cannot be read", _TELL_AUTHOR, lambda: wrong_in_manifest(manifest))
    if why is not None:
        raise PluginError(manifest.name, why, _TELL_AUTHOR)


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
    wrong = [
        (".".join((section, *map(str, error["loc"]))), error["msg"])
        for error in said.errors(include_url=False, include_input=False, include_context=False)
    ]
    reason = "; ".join(f"{key}: {message}" for key, message in wrong)
    raise PluginError(plugin.name, reason, "correct " + ", ".join(key for key, _ in wrong))


def _methods(manifest: ProviderManifest, config: ProviderConfig) -> tuple[Method, ...]:
    methods = _ask(
        manifest.name,
        "cannot list its methods",
        _TELL_AUTHOR,
        lambda: tuple(manifest.methods(config)),
    )
    why = _ask(
        manifest.name, "cannot list its methods", _TELL_AUTHOR, lambda: wrong_in_methods(methods)
    )
    if why is not None:
        raise PluginError(manifest.name, why, _TELL_AUTHOR)
    return methods


def _secrets(plugin: EnabledPlugin, manifest: ProviderManifest) -> Credentials:
    missing = [name for name in manifest.credentials if not plugin.secrets.get(name)]
    if missing:
        reason = f"has no value for {', '.join(missing)}"
        raise PluginError(plugin.name, reason, "set it, or its *_FILE, or put it into the vault")
    return Credentials({name: plugin.secrets[name] for name in manifest.credentials})


def _resolve_conflicts(
    checked: Sequence[_Checked],
) -> tuple[list[_Checked], list[PluginError]]:
    """On a method conflict the provider configured first wins; the other is refused."""
    owners: dict[str, str] = {}
    kept: list[_Checked] = []
    refused: list[PluginError] = []
    for plugin in checked:
        taken = next((key for key in plugin.keys if key in owners), None)
        if taken is None:
            owners |= dict.fromkeys(plugin.keys, plugin.name)
            kept.append(plugin)
            continue
        reason = f"offers the method {taken!r}, which {owners[taken]} has"
        refused.append(
            PluginError(plugin.name, reason, "disable one of them, or give it other methods")
        )
    return kept, refused


def _ask(name: str, failing: str, what_to_do: str, act: Callable[[], T]) -> T:
    try:
        return guarded(act)
    except PluginFailed as error:
        raise PluginError(name, f"{failing}: {error}", what_to_do) from error


# -- what serves -------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class _Serving:
    plugin: _Checked
    fence: Fence


def _not_built(name: str, why: str) -> PluginError:
    return PluginError(name, f"cannot start: {why}", "check its settings and its remote side")


def _opened(serving: Sequence[_Serving], failed: Sequence[PluginError]) -> OpenProviders:
    registered = [
        Registered(method=method, provider=one.fence)
        for one in serving
        for method in one.plugin.methods
    ]
    loaded = tuple(
        LoadedPlugin(
            name=one.plugin.name, version=one.plugin.manifest.version, methods=one.plugin.keys
        )
        for one in serving
    )
    return OpenProviders(
        methods=MethodMap(registered),
        fences=tuple(one.fence for one in serving),
        report=LoadReport(loaded=loaded, failed=tuple(failed)),
        credentials={one.plugin.name: one.plugin.secrets for one in serving},
    )

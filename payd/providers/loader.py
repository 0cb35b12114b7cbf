"""Load the enabled providers: discover, check, configure, build, map their methods.

Only enabled plugins are imported, each by itself: one that raises or hangs fails under its own name
with a reason, and the others are loaded.
"""

import enum
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import attrs
import trio

from payd.plugins.context import Clock, Logger, Metrics, NoMetrics, ProviderContext
from payd.plugins.interface import Provider
from payd.ports.provider import Registered
from payd.providers.breaker import Random
from payd.providers.credentials import Credentials
from payd.providers.discovery import (
    CheckedPlugin,
    EnabledPlugin,
    PluginError,
    check_plugin,
    import_modules,
    manifest_of,
    methods_of,
)
from payd.providers.fence import Fence, OnCall
from payd.providers.lifecycle import End
from payd.providers.loop_monitor import watched_nursery
from payd.providers.methods import MethodMap

__all__ = [
    "FailureMode",
    "LoadReport",
    "LoadedPlugin",
    "OpenProviders",
    "described_methods",
    "open_providers",
]


class FailureMode(enum.Enum):
    """Effect of a failing plugin on the start of the daemon."""

    #: The daemon does not start.
    STRICT = "strict"
    #: The daemon starts, reports it, and refuses payments by the plugin's methods.
    DEGRADED = "degraded"


@attrs.frozen(kw_only=True)
class LoadedPlugin:
    """A provider that serves, or is built again until it does."""

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
    """The providers that serve, or are built again until they do."""

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
    stop: trio.Event | None = None,
) -> AsyncIterator[OpenProviders]:
    """Load and build the enabled providers; close them in reverse order at the end.

    `log_of`, `metrics_of` and `read_cursor` (the cursor of its watch) take a provider's name.
    A provider that does not start, for a reason that may pass, is built again until it serves. In
    STRICT mode, raises PluginError for the first plugin that failed otherwise; in the other mode
    these are left out. Two providers of one method are a failure of the second. `stop` ends
    factories.
    """
    is_strict, recursion_limit = failure_mode is FailureMode.STRICT, sys.getrecursionlimit()
    stop = trio.Event() if stop is None else stop
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
                factory = partial(plugin.manifest.factory, context, plugin.config)
                fence = Fence(
                    partial(_built, factory, recursion_limit),
                    plugin.manifest,
                    log=log,
                    methods=plugin.keys,
                    secrets=plugin.secrets,
                    random=random,
                    on_call=on_call,
                )
                end = await _started(fence, nursery, stop)
                if end is None or end.may_pass:
                    serving.append(_Serving(plugin=plugin, fence=fence))
                elif not stop.is_set():
                    failed.append(_not_built(plugin.name, end))
                if failed and is_strict:
                    break
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


def described_methods(plugins: Iterable[EnabledPlugin], log: Logger) -> MethodMap:
    """Return the methods of usable plugins, each with a provider that is not running."""
    registered = []
    for plugin in plugins:
        try:
            manifest, methods = manifest_of(plugin.name), methods_of(plugin)
        except PluginError as error:
            log.warning("plugin_unusable", provider=plugin.name, error=str(error))
            continue
        idle = Fence(_not_to_be_built, manifest, log=log, random=lambda: 0.0)
        registered += [Registered(method=method, provider=idle) for method in methods]
    return MethodMap(registered)


def _not_to_be_built() -> AbstractAsyncContextManager[Provider]:
    raise NotImplementedError("this provider was only described")


def _check_all(
    plugins: Sequence[EnabledPlugin], environment: str, failure_mode: FailureMode
) -> tuple[list[CheckedPlugin], list[PluginError]]:
    checked: list[CheckedPlugin] = []
    failed: list[PluginError] = []
    for plugin in plugins:
        try:
            checked.append(check_plugin(plugin, environment))
        except PluginError as error:
            failed.append(error)
    kept, refused = _resolve_conflicts(checked)
    failed += refused
    if failed and failure_mode is FailureMode.STRICT:
        raise failed[0]
    return kept, failed


def _import_all(
    checked: Sequence[CheckedPlugin],
) -> tuple[list[CheckedPlugin], list[PluginError]]:
    """Import what all of them name, before a task of any provider runs."""
    kept: list[CheckedPlugin] = []
    failed: list[PluginError] = []
    for plugin in checked:
        try:
            import_modules(plugin.manifest)
        except PluginError as error:
            failed.append(error)
        else:
            kept.append(plugin)
    return kept, failed


def _resolve_conflicts(
    checked: Sequence[CheckedPlugin],
) -> tuple[list[CheckedPlugin], list[PluginError]]:
    """On a method conflict the provider configured first wins; the other is refused."""
    owners: dict[str, str] = {}
    kept: list[CheckedPlugin] = []
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


@attrs.frozen(kw_only=True)
class _Serving:
    plugin: CheckedPlugin
    fence: Fence


async def _started(fence: Fence, nursery: trio.Nursery, stop: trio.Event) -> End | None:
    """Build a provider in the nursery, until `stop`; return why it does not serve."""

    async def stop_it() -> None:
        await stop.wait()
        await fence.stop()

    async with trio.open_nursery() as waiting:
        waiting.start_soon(stop_it)
        end: End | None = await nursery.start(fence.run)
        waiting.cancel_scope.cancel()
    return end


@asynccontextmanager
async def _built(
    factory: Callable[[], AbstractAsyncContextManager[Provider]], recursion_limit: int
) -> AsyncIterator[Provider]:
    """Build a provider; what its factory imports does not raise the recursion limit."""
    try:
        async with factory() as provider:
            sys.setrecursionlimit(recursion_limit)
            yield provider
    finally:
        sys.setrecursionlimit(recursion_limit)


def _not_built(name: str, end: End) -> PluginError:
    return PluginError(name, f"cannot start: {end.why}", "check its settings and its remote side")


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

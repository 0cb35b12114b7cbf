"""Start and stop the companions of the enabled providers, each isolated from the others.

A companion is code of a wheel. One that raises, hangs or cannot be imported is reported and its
provider is left out; `payd dev` goes on with the other providers.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.metadata import EntryPoint, entry_points

import attrs
import trio

from payd.config import Config, installed_providers, load_config, plain_settings
from payd.dev.clock import ClockRefused
from payd.dev.companion_context import DevContext, DevSession
from payd.dev.companion_task import CompanionTask, Failure, failure_of, follower
from payd.plugins import Companion, RunningCompanion
from payd.providers.discovery import EnabledPlugin, PluginError, manifest_of, methods_of

_ENTRY_POINTS = "payd.companions"
STOP_S = 10.0

Report = Callable[[str], None]


@attrs.define(kw_only=True)
class Added:
    """What the companions add to the daemon's environment, to dev.json and to the banner."""

    environment: dict[str, str]
    #: Provider → its companion that runs.
    running: dict[str, RunningCompanion] = attrs.field(factory=dict)
    announced: dict[str, str] = attrs.field(factory=dict)
    banner: list[str] = attrs.field(factory=list)
    shop: str = ""
    wallet_command: str = ""

    def add(self, provider: str, running: RunningCompanion) -> None:
        """Take over what one companion reports; values that the operator set win."""
        self.running[provider] = running
        present = _settings_of(load_config(self.environment, None), provider)
        for name, value in running.settings.items():
            if not {name, f"{name}_file"} & present.keys():
                self.environment[variable_of(provider, name)] = value
        self.announced |= {f"{provider}_{key}": text for key, text in running.announced.items()}
        self.banner += running.banner
        self.shop = self.shop or running.shop
        self.wallet_command = self.wallet_command or running.wallet_command


@asynccontextmanager
async def open_companions(
    session: DevSession, environ: Mapping[str, str], progress: Report, report: Report
) -> AsyncIterator[Added]:
    """Start the companions that are needed; the end of the block stops them.

    A provider that brings a companion is enabled unless NAME_ENABLED is set. Raises ConfigError,
    and ClockRefused where a remote side cannot follow the session's clock.
    """
    added = Added(environment=dict(environ))
    points = _entry_points()
    for provider in points:
        enabled = variable_of(provider, "enabled")
        added.environment[enabled] = added.environment.get(enabled) or "true"
    if session.clock:
        _refuse_without_companion(points, added)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        for provider, companion in _load_enabled(points, added, report):
            context = _context(provider, companion, session, added)
            if context is None:
                continue
            progress(f"the companion of {provider}")
            task = CompanionTask(provider, companion, context, report)
            running: RunningCompanion | Failure = await nursery.start(task.run, stop)
            if isinstance(running, Failure):
                _leave_out(provider, running, added, report)
            else:
                added.add(provider, running)
                if session.clock and running.move_clock:
                    await session.clock.add_follower(follower(provider, running.move_clock))
        try:
            yield added
        finally:
            stop.set()
            nursery.cancel_scope.deadline = trio.current_time() + STOP_S


# -- which companions start --------------------------------------------------------------------


def _entry_points() -> dict[str, EntryPoint]:
    providers = installed_providers()
    points = entry_points(group=_ENTRY_POINTS)
    return {point.name: point for point in points if point.name in providers}


def _refuse_without_companion(points: Mapping[str, EntryPoint], added: Added) -> None:
    """Raise ClockRefused for an enabled provider whose remote side can only be the real one."""
    enabled = load_config(added.environment, None).providers.enabled()
    for provider in sorted(enabled.keys() - points.keys()):
        raise ClockRefused(
            f"--clock cannot move the time of {provider}'s remote side: {provider} brings no"
            f" companion for payd dev. Set {variable_of(provider, 'enabled')}=false"
        )


def _load_enabled(
    points: Mapping[str, EntryPoint], added: Added, report: Report
) -> list[tuple[str, Companion]]:
    """Import the companions of enabled providers, in the order in which they start."""
    enabled = load_config(added.environment, None).providers.enabled()
    loaded: list[tuple[str, Companion]] = []
    for provider in sorted(points.keys() & enabled.keys()):
        try:
            companion = points[provider].load()
            if not isinstance(companion, Companion):
                raise TypeError(f"{points[provider].value} is not a payd.plugins.Companion")
        except Exception as error:  # noqa: BLE001 - anything may escape from a wheel
            _leave_out(provider, failure_of(error), added, report)
        else:
            loaded.append((provider, companion))
    return sorted(loaded, key=lambda one: one[1].opens_last)


def _context(
    provider: str, companion: Companion, session: DevSession, added: Added
) -> DevContext | None:
    """Generate missing credentials; return None where the real remote side is configured."""
    config = load_config(added.environment, None)
    settings = _settings_of(config, provider)
    is_real = any({name, f"{name}_file"} & settings.keys() for name in companion.replaces)
    for name, prefix in companion.generated.items():
        if not {name, f"{name}_file"} & settings.keys():
            settings[name] = f"{prefix}{session.secret(provider, name)}"
            added.environment[variable_of(provider, name)] = settings[name]
    if is_real and session.clock:
        names = ", ".join(variable_of(provider, name) for name in companion.replaces)
        raise ClockRefused(
            f"--clock cannot move the time of {provider}'s real remote side: unset {names},"
            f" or set {variable_of(provider, 'enabled')}=false"
        )
    if is_real:
        return None
    taken = _methods_of_others(config, provider) if companion.opens_last else frozenset()
    return DevContext(provider=provider, session=session, settings=settings, methods_taken=taken)


def _settings_of(config: Config, provider: str) -> dict[str, str]:
    """What the file and the environment say of a provider, as text."""
    section = config.providers.named.get(provider)
    return {key: str(value) for key, value in section.settings.items()} if section else {}


def _methods_of_others(config: Config, provider: str) -> frozenset[str]:
    """Return the methods of the other enabled providers that can be configured by now."""
    found: set[str] = set()
    for other in config.providers.enabled().keys() - {provider}:
        # The daemon reports a provider that cannot be configured.
        with suppress(PluginError):
            settings = plain_settings(config, other, manifest_of(other).credentials)
            methods = methods_of(EnabledPlugin(name=other, settings=settings))
            found |= {method.key for method in methods}
    return frozenset(found)


def _leave_out(provider: str, failure: Failure, added: Added, report: Report) -> None:
    """Disable a provider that has no remote side, so that payd starts without it."""
    enabled = variable_of(provider, "enabled")
    added.environment[enabled] = "false"
    report(
        f"provider {provider} is left out, its companion did not start: {failure.reason}."
        f" Start payd dev again after that, or set {enabled}=false"
    )


def variable_of(provider: str, setting: str) -> str:
    """The variable of a provider's setting."""
    return f"{provider}_{setting}".upper()

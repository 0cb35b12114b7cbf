"""Run checks, each with its own provider and remote side, and judge the outcome."""

import sys
import traceback
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import trio
from pydantic import ValidationError

from payd.plugins import (
    SDK_VERSION,
    Provider,
    ProviderConfig,
    ProviderContext,
    ProviderError,
    ProviderManifest,
    SupportsWatch,
)
from payd.plugins.testing import checks
from payd.plugins.testing.bench import Bench
from payd.plugins.testing.given import BenchClock, BenchLog, BenchSink
from payd.plugins.testing.guarded import opened
from payd.plugins.testing.held import HeldTheLoop, interrupted_when_held, owned
from payd.plugins.testing.registry import CHECKS, Check, Failed
from payd.plugins.testing.remote import CannotHappen, NotScripted, OpenRemote, RemoteMistake
from payd.plugins.testing.report import Outcome, Report, Verdict
from payd.plugins.testing.side_by_side import Judgement, side_by_side
from payd.plugins.testing.watching import keep_watching, said_of
from payd.providers.calls import describe, innermost

__all__ = ["checks", "open_bench", "report_of", "run_check", "run_checks", "run_kit"]

#: Start time of the kit's clock.
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
#: Seconds for one check, including the provider's start and end.
CHECK_TIMEOUT_S = 120.0
#: Python's own limit, which an SDK may raise beyond C's stack: payd puts it back, too.
_RECURSION_LIMIT = 1000
#: The message for a reason in the manifest that is out of date.
_OUTDATED = (
    "ProviderManifest.unproven says that it is unproven ({reason}), but it is {outcome}:"
    " remove it there"
)


async def run_kit(
    manifest: ProviderManifest,
    open_remote: OpenRemote,
    *,
    now: datetime,
    on_verdict: Callable[[Verdict], None] = lambda verdict: None,
) -> Report:
    """Run every check, and return the report; `on_verdict` is called for each, in their order."""
    verdicts = await run_checks(CHECKS, manifest, open_remote, on_verdict=on_verdict)
    return report_of(manifest, verdicts, now)


async def run_checks(
    checks: Sequence[Check],
    manifest: ProviderManifest,
    open_remote: OpenRemote,
    *,
    on_verdict: Callable[[Verdict], None] = lambda verdict: None,
    failures_max: int | None = None,
) -> Sequence[Verdict]:
    """Run checks side by side; return their verdicts in their order, as far as they ran.

    With `failures_max`, those after so many failures may be left out.
    """
    # One check finds out by itself whether it applies.
    claims = await claimed(manifest, open_remote) if len(checks) > 1 else None
    run = partial(_judgement, manifest=manifest, open_remote=open_remote, claims=claims)
    try:
        async with interrupted_when_held():
            return await side_by_side(checks, run, on_verdict=on_verdict, failures_max=failures_max)
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt) is None:
            raise
        # As pytest and click know it.
        raise KeyboardInterrupt from None


def report_of(manifest: ProviderManifest, verdicts: Sequence[Verdict], now: datetime) -> Report:
    """Build a report from verdicts."""
    return Report(
        provider=manifest.name,
        version=manifest.version,
        sdk=SDK_VERSION,
        time=now,
        verdicts=tuple(verdicts),
    )


async def claimed(manifest: ProviderManifest, open_remote: OpenRemote) -> Container[str] | None:
    """Names of the checks that apply to the provider, found with one opening of it.

    None if it cannot be opened: each check then reports why.
    """
    try:
        with trio.fail_after(CHECK_TIMEOUT_S):
            async with interrupted_when_held(), open_bench(manifest, open_remote) as bench:
                return {one.name for one in CHECKS if one.applies(manifest, bench.provider)}
    except (Exception, SystemExit):  # noqa: BLE001 - the provider's code
        return None


async def run_check(
    check: Check,
    manifest: ProviderManifest,
    open_remote: OpenRemote,
    claims: Container[str] | None = None,
) -> Verdict:
    """Run one check; any exception in it becomes the verdict.

    With the names of `claimed`, a check that does not apply opens nothing.
    """
    async with interrupted_when_held():
        return (await _judgement(check, manifest, open_remote, claims)).verdict


async def _judgement(
    check: Check,
    manifest: ProviderManifest,
    open_remote: OpenRemote,
    claims: Container[str] | None,
) -> Judgement:
    began = trio.current_time()
    outcome, message, is_certain = Outcome.NOT_CLAIMED, "", True
    if claims is None or check.name in claims:
        outcome, message, is_certain = await _outcome(check, manifest, open_remote)
    reason = _reason(check, manifest)
    if reason and outcome is Outcome.REMOTE_MISTAKE:
        # The author knows it: the check says nothing about the provider, and so proves nothing.
        outcome = Outcome.UNPROVEN
    if reason and outcome in (Outcome.PASSED, Outcome.NOT_CLAIMED):
        outcome, message = Outcome.FAILED, _OUTDATED.format(reason=reason, outcome=outcome.value)
    verdict = Verdict(
        check=check.name,
        level=check.level,
        outcome=outcome,
        message=message,
        why=check.why,
        seconds=round(trio.current_time() - began, 3),
        reason=reason,
    )
    return Judgement(verdict=verdict, is_certain=is_certain)


def _reason(check: Check, manifest: ProviderManifest) -> str:
    """Return why the check is unproven, as the manifest says; empty if it says nothing."""
    stated: object = manifest.unproven
    return str(stated.get(check.name, "")) if isinstance(stated, Mapping) else ""


async def _outcome(
    check: Check, manifest: ProviderManifest, open_remote: OpenRemote
) -> tuple[Outcome, str, bool]:
    """Run a check; return its outcome, the message, and whether a neighbour can have no part."""
    ended: list[BaseException] = []
    try:
        with trio.fail_after(CHECK_TIMEOUT_S):
            async with open_bench(manifest, open_remote) as bench:
                ended = bench.watch_errors
                if not check.applies(manifest, bench.provider):
                    return Outcome.NOT_CLAIMED, "", True
                await check.run(bench)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the provider's code: its verdict
        cause = innermost(error)
        outcome, message = _judged(cause)
        is_certain = isinstance(cause, NotScripted | CannotHappen | HeldTheLoop)
        return outcome, message + (said_of(ended) if outcome is Outcome.FAILED else ""), is_certain
    return Outcome.PASSED, "", True


def _judged(error: BaseException) -> tuple[Outcome, str]:
    if isinstance(error, BaseExceptionGroup):
        return _judged(innermost(error.exceptions[0]))
    match error:
        case NotScripted():
            return Outcome.UNPROVEN, str(error)
        case CannotHappen():
            return Outcome.NOT_CLAIMED, str(error)
        case RemoteMistake():
            return Outcome.REMOTE_MISTAKE, str(error)
        case Failed():
            return Outcome.FAILED, str(error)
        case trio.TooSlowError():
            return Outcome.FAILED, f"the check did not end within {CHECK_TIMEOUT_S:g} s"
        case ProviderError():
            call = next(iter(getattr(error, "__notes__", ())), "the provider")
            return Outcome.FAILED, f"{call} raised {describe(error)}; expected a result"
    return Outcome.FAILED, f"outside the provider's calls, at {_place(error)}: {describe(error)}"


def _place(error: BaseException) -> str:
    """File and line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "nowhere"


@asynccontextmanager
async def open_bench(manifest: ProviderManifest, open_remote: OpenRemote) -> AsyncIterator[Bench]:
    """Start the provider as payd does, with its own remote side. Raises Failed."""
    clock, log, sinks = BenchClock(START), BenchLog(), [BenchSink()]
    blocked_s: list[float] = []
    watch_errors: list[BaseException] = []
    dues: dict[UUID, int] = {}

    async def read_cursor() -> str | None:
        await trio.lowlevel.checkpoint()
        return next((sink.at for sink in reversed(sinks) if sink.at is not None), None)

    async with opened(open_remote, clock, dues) as remote:
        clock.is_real = not remote.follows_clock
        config = _config(manifest, remote.settings, "settings")
        secrets = dict(remote.secrets)
        context = ProviderContext(
            environment="test", secrets=secrets, clock=clock, log=log, read_cursor=read_cursor
        )
        bench = partial(
            Bench,
            manifest=manifest,
            config=config,
            methods=tuple(manifest.methods(config)),
            remote=remote,
            clock=clock,
            log=log,
            secrets=secrets,
            build=lambda changed: manifest.factory(
                context, _config(manifest, changed, "changed_settings")
            ),
            dues=dues,
            sinks=sinks,
            blocked_s=blocked_s,
            watch_errors=watch_errors,
        )
        # Long steps of what the factory starts count; those of the check itself do not.
        with owned(blocked_s.append):
            async with (
                manifest.factory(context, config) as provider,
                _watching(provider, sinks[0], watch_errors, begins=remote.needs_watch),
            ):
                sys.setrecursionlimit(min(_RECURSION_LIMIT, sys.getrecursionlimit()))
                with owned(None):
                    yield bench(provider=provider)


def _config(manifest: ProviderManifest, values: Mapping[str, Any], member: str) -> ProviderConfig:
    try:
        return manifest.config_model.model_validate(dict(values))
    except ValidationError as error:
        raise RemoteMistake(f"the configuration model refuses Remote.{member}: {error}") from None


@asynccontextmanager
async def _watching(
    provider: Provider, sink: BenchSink, ended: list[BaseException], *, begins: bool
) -> AsyncIterator[None]:
    """Run the provider's watch during the check, if the remote side needs it."""
    async with trio.open_nursery() as nursery:
        if begins and isinstance(provider, SupportsWatch):
            nursery.start_soon(keep_watching, provider, sink, ended)
        yield
        nursery.cancel_scope.cancel()

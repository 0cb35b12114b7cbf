"""Companions of `payd dev`: which start, what they get, and what one that fails can do."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import attrs
import pytest
import trio
import trio.testing

from payd.dev import companions
from payd.dev.companion_context import DevContext, DevSession
from payd.dev.companion_task import CompanionTask, Failure
from payd.dev.companions import Added, open_companions
from payd.dev.ports import Ports
from payd.dev.state import StateDir
from payd.plugins import Companion, CompanionContext, CompanionFailed, RunningCompanion

BASE = {"ENVIRONMENT": "development", "DB_PASSWORD": "x"}
Opened = Callable[[CompanionContext], AbstractAsyncContextManager[RunningCompanion]]


@attrs.frozen
class Point:
    """An entry point whose object is at hand."""

    name: str
    companion: object
    value: str = "somewhere:COMPANION"

    def load(self) -> object:
        if isinstance(self.companion, Exception):
            raise self.companion
        return self.companion


class Desk:
    """Starts companions as if wheels had brought them; keeps what is reported."""

    def __init__(self, state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
        ports = Ports({}, None)
        ports.choose("http", 0)
        self.session = DevSession(state=state, ports=ports, command=lambda what: f"payd {what}")
        self.reports: list[str] = []
        self._monkeypatch = monkeypatch

    def open(
        self, environ: Mapping[str, str] = {}, **wheels: object
    ) -> AbstractAsyncContextManager[Added]:
        points = {name: Point(name, brought) for name, brought in wheels.items() if brought}
        names = {name: f"{name.upper()}_" for name in wheels}
        self._monkeypatch.setattr(companions, "_entry_points", lambda: points)
        self._monkeypatch.setattr("payd.config.load.installed_providers", lambda: tuple(names))
        return open_companions(
            self.session, {**BASE, **environ}, lambda step: None, self.reports.append
        )


@pytest.fixture
def desk(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(state, monkeypatch)


def that_gives(running: RunningCompanion, seen: list[CompanionContext] | None = None) -> Opened:
    @asynccontextmanager
    async def open_companion(context: CompanionContext) -> AsyncIterator[RunningCompanion]:
        await trio.lowlevel.checkpoint()
        if seen is not None:
            seen.append(context)
        yield running

    return open_companion


def that_raises(error: Exception | None) -> Opened:
    @asynccontextmanager
    async def open_companion(context: CompanionContext) -> AsyncIterator[RunningCompanion]:
        await trio.lowlevel.checkpoint()
        if error:
            raise error
        yield RunningCompanion()

    return open_companion


async def test_an_installed_provider_is_enabled_with_the_settings_of_its_companion(
    desk: Desk,
) -> None:
    running = RunningCompanion(
        settings={"api_base": "http://fake"}, announced={"api": "http://fake"}, banner=("payd pay",)
    )
    async with desk.open(acme=Companion(open=that_gives(running))) as added:
        assert added.environment["ACME_ENABLED"] == "true"
        assert added.environment["ACME_API_BASE"] == "http://fake"
        assert added.announced == {"acme_api": "http://fake"}
        assert added.banner == ["payd pay"]
    assert desk.reports == []


async def test_what_the_operator_set_wins(desk: Desk) -> None:
    running = RunningCompanion(settings={"timeout_s": "1", "api_key": "fake"})
    companion = Companion(open=that_gives(running), generated={"memo_key": "m_"})
    given = {"ACME_TIMEOUT_S": "7", "ACME_API_KEY_FILE": "/key", "ACME_MEMO_KEY": "ours"}
    async with desk.open(given, acme=companion) as added:
        assert given.items() <= added.environment.items()
        assert "ACME_API_KEY" not in added.environment, "it would be set twice"


@pytest.mark.parametrize("name", ["ACME_API_KEY", "ACME_API_KEY_FILE"])
async def test_a_real_credential_keeps_the_companion_away(desk: Desk, name: str) -> None:
    seen: list[CompanionContext] = []
    companion = Companion(
        open=that_gives(RunningCompanion(), seen),
        replaces=("api_key",),
        generated={"webhook_secret": "whsec_"},
    )
    async with desk.open({name: "/real"}, acme=companion) as added:
        assert added.environment["ACME_ENABLED"] == "true"
        assert added.environment["ACME_WEBHOOK_SECRET"].startswith("whsec_")
    assert seen == []


async def test_a_disabled_provider_gets_no_companion(desk: Desk) -> None:
    seen: list[CompanionContext] = []
    companion = Companion(open=that_gives(RunningCompanion(), seen))
    async with desk.open({"ACME_ENABLED": "false"}, acme=companion) as added:
        assert added.environment["ACME_ENABLED"] == "false"
    assert seen == []


async def test_a_context_has_a_port_a_folder_a_url_and_the_generated_credentials(
    desk: Desk,
) -> None:
    seen: list[CompanionContext] = []
    companion = Companion(open=that_gives(RunningCompanion(), seen), generated={"key": "k_"})
    async with desk.open(acme=companion) as added:
        [context] = seen
        assert context.port("api", 0) == desk.session.ports.chosen["acme.api"]
        assert context.folder.is_dir()
        assert context.webhook_url.endswith("/webhooks/acme")
        assert context.settings["key"] == f"k_{context.secret('key')}"
        assert added.environment["ACME_KEY"] == context.settings["key"]
        assert context.pay_command("card") == (
            "payd pay --item ethereum-mainnet/full/30d --method card"
        )


@pytest.mark.parametrize(
    ("companion", "reason"),
    [
        (ModuleNotFoundError("No module named 'quart'"), "'quart'; install what the extra `dev`"),
        ("a text", "TypeError: somewhere:COMPANION is not a payd.plugins.Companion"),
        (Companion(open=that_raises(CompanionFailed("install npm"))), "install npm"),
        (Companion(open=that_raises(ExceptionGroup("", [OSError("port 1 is taken")]))), "port 1"),
        (Companion(open=that_raises(KeyError("x"))), "KeyError: 'x'"),
        (Companion(open=that_gives("nothing")), "it gives a str"),  # type: ignore[arg-type]
    ],
)
async def test_one_that_does_not_start_costs_its_provider_alone(
    desk: Desk, companion: object, reason: str
) -> None:
    good = Companion(open=that_gives(RunningCompanion(announced={"api": "here"})))
    async with desk.open(acme=companion, other=good) as added:
        assert added.environment["ACME_ENABLED"] == "false"
        assert added.announced == {"other_api": "here"}
    [report] = desk.reports
    assert report.startswith("provider acme is left out, its companion did not start: ")
    assert reason in report
    assert report.endswith("or set ACME_ENABLED=false")


async def test_one_that_fails_later_is_reported_and_cancels_nothing(desk: Desk) -> None:
    fail = trio.Event()

    @asynccontextmanager
    async def open_companion(context: CompanionContext) -> AsyncIterator[RunningCompanion]:
        async def serve() -> None:
            await fail.wait()
            raise OSError("the disk is full")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield RunningCompanion()
            nursery.cancel_scope.cancel()

    async with desk.open(acme=Companion(open=open_companion)):
        fail.set()
        await trio.testing.wait_all_tasks_blocked()
    [report] = desk.reports
    assert report.startswith("the companion of acme failed: the disk is full.")
    assert report.endswith("start payd dev again")


async def test_companions_that_open_last_know_the_others_methods(desk: Desk) -> None:
    opened: list[str] = []

    def noting(name: str) -> Opened:
        @asynccontextmanager
        async def open_companion(context: CompanionContext) -> AsyncIterator[RunningCompanion]:
            await trio.lowlevel.checkpoint()
            opened.append(name)
            if name == "mock":
                assert context.methods_taken == {"card"}
            yield RunningCompanion()

        return open_companion

    async with desk.open(
        mock=Companion(open=noting("mock"), opens_last=True),
        stripe=Companion(open=noting("stripe")),
    ):
        assert opened == ["stripe", "mock"]
    assert desk.reports == []


async def test_one_that_never_gets_ready_is_given_up(
    desk: Desk, autojump_clock: trio.testing.MockClock
) -> None:
    @asynccontextmanager
    async def open_companion(context: CompanionContext) -> AsyncIterator[RunningCompanion]:
        await trio.sleep(float("inf"))
        yield RunningCompanion()

    context = DevContext(provider="acme", session=desk.session, settings={})
    companion = Companion(open=open_companion)
    task = CompanionTask("acme", companion, context, desk.reports.append, start_s=180)
    async with trio.open_nursery() as nursery:
        status = await nursery.start(task.run, trio.Event())
    assert status == Failure("no result within 180 s")
    assert desk.reports == []


async def test_one_that_does_not_stop_is_cancelled(
    desk: Desk, autojump_clock: trio.testing.MockClock
) -> None:
    @asynccontextmanager
    async def open_companion(context: CompanionContext) -> AsyncIterator[RunningCompanion]:
        yield RunningCompanion()
        await trio.sleep_forever()

    began = trio.current_time()
    async with desk.open(acme=Companion(open=open_companion)):
        pass
    assert trio.current_time() - began == companions.STOP_S


@pytest.mark.parametrize(
    "wrong",
    [
        {"settings": {"API": "x"}},
        {"settings": {"port": 8000}},
        {"announced": {"a b": "x"}},
        {"banner": (1,)},
        {"shop": None},
    ],
)
def test_a_running_companion_is_checked(wrong: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        RunningCompanion(**wrong)  # type: ignore[arg-type]

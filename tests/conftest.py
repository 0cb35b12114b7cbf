"""What all tests share: the servers, once a session, and a place for a daemon, once a test."""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import hypothesis
import pytest
from support.absent import (
    NO_ANVIL,
    NO_CHROMIUM,
    NO_NAMESPACES,
    NO_NPM,
    NO_OWN_SYSTEMD,
    NO_PGBOUNCER,
    NO_SYSTEMD,
    NO_TLS_POSTGRES,
    do_without,
)
from support.daemon import Place
from support.kept_logs import running_logs
from support.own_nats import OwnNats
from support.planted_secrets import WATCH, search_database
from support.stack import Stack, running_stack

from payd.dev.ports import any_free

# The same examples in every run. `ci` tries more of them, on the other Pythons; `campaign` looks
# for new ones.
hypothesis.settings.register_profile("fast", derandomize=True, deadline=None, max_examples=50)
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, max_examples=100)
hypothesis.settings.register_profile("campaign", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

# A library that web3 imports raises Python's recursion limit beyond what C's stack can take. payd's
# loader resets it; tests that import the wheel themselves must not pass it on to other tests.
_RECURSION_LIMIT = sys.getrecursionlimit()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--campaign", action="store_true", help="run the long fault campaigns too")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "campaign: long; `make campaign` runs it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--campaign"):
        return
    skip = pytest.mark.skip(reason="a long campaign: make campaign")
    for item in items:
        if "campaign" in item.keywords:
            item.add_marker(skip)


def pytest_runtest_setup() -> None:
    sys.setrecursionlimit(_RECURSION_LIMIT)


def pytest_itemcollected(item: pytest.Item) -> None:
    """pytest-trio uses a clock that the test itself requests, not one of its fixtures."""
    asked = getattr(getattr(item, "_fixtureinfo", None), "argnames", ())
    for clock in {"autojump_clock", "mock_clock"} & set(getattr(item, "fixturenames", ())):
        if clock not in asked:
            raise pytest.UsageError(f"{item.nodeid}: ask for {clock} in the test's own arguments")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails prints what the daemons beside it have logged."""
    report = yield
    if report.failed:
        report.sections.extend(running_logs())
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if any(NO_CHROMIUM in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(f"not run: browser tests: {NO_CHROMIUM}", yellow=True)
    if any(NO_SYSTEMD in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(f"not run: systemd tests: {NO_SYSTEMD}", yellow=True)
    for tests, reason in (
        ("the composition", NO_NAMESPACES),
        ("the units under systemd", NO_OWN_SYSTEMD),
        ("TLS to PostgreSQL", NO_TLS_POSTGRES),
        ("PgBouncer", NO_PGBOUNCER),
    ):
        if any(reason in str(report.longrepr) for report in skipped):
            terminalreporter.write_line(f"not run: {tests}: {reason}", yellow=True)
    if any(NO_NPM in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(f"not run: TypeScript tests: {NO_NPM}", yellow=True)
    without_chain = [str(report.longrepr) for report in skipped if NO_ANVIL in str(report.longrepr)]
    if without_chain:
        why = without_chain[0].partition(NO_ANVIL)[2].rstrip("')")
        terminalreporter.write_line(f"not run: chain tests: {NO_ANVIL}{why}", yellow=True)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program; without windows and menus of its own it needs half the processor."""
    found = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    return found or do_without(NO_CHROMIUM)


@pytest.fixture(scope="session")
def systemd_analyze() -> str:
    """The program that judges units."""
    return shutil.which("systemd-analyze") or do_without(NO_SYSTEMD)


@pytest.fixture(scope="session")
def anvil() -> Path:
    """The local chain's program."""
    from tempo_provider.companion.anvil import find_anvil

    from payd.plugins import CompanionFailed

    try:
        return find_anvil(Path(__file__).parent.parent / ".payd" / "cache" / "tempo")
    except CompanionFailed as error:
        do_without(f"{NO_ANVIL}: {error}")


@pytest.fixture(scope="session", autouse=True)
def no_secret_is_written() -> Iterator[None]:
    """Search all output of all daemons of the session."""
    yield
    assert WATCH.hits == [], "a daemon wrote a secret"


#: Databases to search at the end of the session.
_DATABASES: list[str] = []


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """PostgreSQL, NATS and Valkey."""
    # Not in pytest's own folder: it is closed to the database's user.
    with (
        tempfile.TemporaryDirectory(prefix="payd-tests-", ignore_cleanup_errors=True) as folder,
        running_stack(Path(folder)) as stack,
    ):
        yield stack
        for url in _DATABASES:
            asyncio.run(search_database(url))


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The development certificates."""
    from payd.dev.pki import ensure_pki

    folder = tmp_path_factory.mktemp("pki")
    ensure_pki(folder, datetime.now(UTC))
    return folder


@pytest.fixture(scope="session")
def migrated(stack: Stack) -> str:
    """The name of a database with the schema; copying it takes less time than migrating again."""
    asyncio.run(_migrate(stack.database("migrated")))
    return "migrated"


@pytest.fixture(scope="session")
def new_place(
    stack: Stack, migrated: str, pki: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Place]:
    """For fixtures that need one of their own, of whatever scope."""
    return lambda: _new_place(stack, migrated, pki, tmp_path_factory.mktemp("place"))


@pytest.fixture
def place(new_place: Callable[[], Place], stack: Stack, tmp_path: Path) -> Iterator[Place]:
    """A migrated database of its own, on the shared servers."""
    with _searched_and_dropped(stack, new_place()) as place:
        yield attrs.evolve(place, data=tmp_path)


@pytest.fixture(scope="module")
def module_place(new_place: Callable[[], Place], stack: Stack) -> Iterator[Place]:
    """The same, for tests that leave nothing behind which another one would meet."""
    with _searched_and_dropped(stack, new_place()) as place:
        yield place


@contextlib.contextmanager
def _searched_and_dropped(stack: Stack, place: Place) -> Iterator[Place]:
    """Search the place's database for planted secrets after the test, and drop it.

    A database that is dropped soon never reaches the disk.
    """
    yield place
    asyncio.run(search_database(place.database))
    _DATABASES.remove(place.database)
    stack.drop(urlsplit(place.database).path.removeprefix("/"))


def _new_place(stack: Stack, migrated: str, pki: Path, data: Path) -> Place:
    url = stack.database(f"t{uuid.uuid4().hex}", migrated)
    _DATABASES.append(url)
    return Place(database=url, nats=stack.nats, redis=stack.redis, pki=pki, data=data)


async def _migrate(url: str) -> None:
    from payd.adapters.postgres.database import Database, DatabaseSettings
    from payd.adapters.postgres.migrate import migrate

    parts = urlsplit(url)
    settings = DatabaseSettings(
        host=str(parts.hostname),
        port=parts.port or 0,
        user=str(parts.username),
        password=str(parts.password),
        name=parts.path.removeprefix("/"),
        tls="disable",
        connect_timeout_s=60,
        acquire_timeout_s=60,
        command_timeout_s=60,
        statement_timeout_ms=50_000,
    )
    await migrate(Database(settings), lambda name: None)


@pytest.fixture(scope="session")
def own_nats(
    free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnNats]:
    """A server beside the shared one."""
    server = OwnNats(free_port(), tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A port of this machine that nobody has."""
    return any_free

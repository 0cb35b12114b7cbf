"""Sessions of the console end in time, and its logins accept one password."""

import pytest

from payd.daemon.builders.console import _known_proxy
from payd.transport.console.guard import is_own_host, is_own_origin, own_path
from payd.transport.console.passwords import NOBODY, entries_of, new_entry, parse_entry
from payd.transport.console.sessions import Sessions

HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
PASSWORD = "correct horse battery"


class Watch:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def sessions(watch: Watch) -> Sessions:
    return Sessions(idle_s=100, age_s=1000, now=watch)


def test_a_session_ends_when_it_is_idle(sessions: Sessions, watch: Watch) -> None:
    token, session = sessions.begin("alice", b"proof", "browser")
    watch.now = 100
    assert sessions.find(token, "browser") is session
    watch.now = 200
    assert sessions.find(token, "browser") is session
    watch.now = 301
    assert sessions.find(token, "browser") is None
    watch.now = 200
    assert sessions.find(token, "browser") is None


def test_a_page_that_asks_by_itself_keeps_no_session_alive(
    sessions: Sessions, watch: Watch
) -> None:
    token, session = sessions.begin("alice", b"proof", "browser")
    watch.now = 99
    assert sessions.find(token, "browser", is_use=False) is session
    watch.now = 101
    assert sessions.find(token, "browser", is_use=False) is None


def test_a_session_ends_however_busy_it_is(sessions: Sessions, watch: Watch) -> None:
    token, _ = sessions.begin("alice", b"proof", "browser")
    for watch.now in range(50, 1001, 50):
        assert sessions.find(token, "browser") is not None
    watch.now = 1001
    assert sessions.find(token, "browser") is None


def test_another_browser_ends_a_session(sessions: Sessions) -> None:
    token, _ = sessions.begin("alice", b"proof", "browser")
    assert sessions.find(token, "thief") is None
    assert sessions.find(token, "browser") is None


def test_sessions_take_a_limited_room(sessions: Sessions, watch: Watch) -> None:
    tokens = []
    for number in range(1001):
        watch.now = number / 100
        tokens.append(sessions.begin("alice", b"proof", "browser")[0])
    assert sessions.find(tokens[0], "browser") is None
    assert sessions.find(tokens[1], "browser") is not None
    assert sessions.find(tokens[-1], "browser") is not None
    assert len(set(tokens)) == 1001


def test_an_entry_accepts_its_password_only() -> None:
    line = new_entry("alice", PASSWORD)
    assert PASSWORD not in line
    entry = parse_entry(line)
    assert entry.accepts(PASSWORD)
    assert not entry.accepts(PASSWORD + " ")
    assert not NOBODY.accepts("")
    assert new_entry("alice", PASSWORD) != line


def test_a_line_that_is_no_entry_is_refused_without_being_shown() -> None:
    line = new_entry("alice", PASSWORD)
    name, _, digest = line.partition(":")
    for wrong in (
        "",
        PASSWORD,
        f"alice:{PASSWORD}",
        f"{name}/x:{digest}",
        line.replace("$32768$", "$32767$"),
        line.replace("$32768$", "$0$"),
        line.replace("$32768$8$", "$4194304$64$"),
        line.replace("$8$1$", "$0$1$"),
        line.replace("$8$1$", "$8$0$"),
    ):
        with pytest.raises(ValueError) as refused:  # noqa: PT011 - its text is compared
            parse_entry(wrong)
        assert not PASSWORD or PASSWORD not in str(refused.value)
        assert digest[-20:] not in str(refused.value)
    with pytest.raises(ValueError, match="twice"):
        entries_of([line, line])
    with pytest.raises(ValueError, match="no name"):
        new_entry("alice/x", PASSWORD)


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("127.0.0.1:8086", True),
        ("LOCALHOST:1", True),
        ("[::1]:8086", True),
        ("localhost", True),
        ("localhost.evil.example", False),
        ("evil.example", False),
        ("user@evil.example", False),
        ("127.0.0.1@evil.example", False),
        ("evil.example#localhost", False),
        ("[", False),
        ("", False),
    ],
)
def test_a_host_is_ours_by_its_name(host: str, is_own: bool) -> None:
    assert is_own_host(host, HOSTS) is is_own


@pytest.mark.parametrize(
    ("method", "headers", "is_own"),
    [
        ("GET", {}, True),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, True),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}, False),
        ("GET", {"sec-fetch-site": "same-site"}, False),
        ("POST", {}, True),
        ("POST", {"origin": "http://localhost:8086"}, True),
        ("POST", {"origin": "https://localhost:8086"}, True),
        ("POST", {"origin": "http://localhost:9999"}, False),
        ("POST", {"origin": "http://localhost:8086.evil.example"}, False),
        ("POST", {"origin": "null"}, False),
        ("POST", {"sec-fetch-site": "same-site"}, False),
    ],
)
def test_a_request_comes_from_our_own_pages(
    method: str, headers: dict[str, str], is_own: bool
) -> None:
    assert is_own_origin(method, "localhost:8086", headers) is is_own


@pytest.mark.parametrize(
    "path", ["//evil.example", "https://evil.example", "/\\evil", "x", "/\n/x"]
)
def test_a_login_leads_nowhere_else(path: str) -> None:
    assert own_path(path) == "/"
    assert own_path("/payments?page=x") == "/payments?page=x"


def test_a_short_secret_of_a_proxy_lets_nobody_in() -> None:
    assert _known_proxy("x-forwarded-user", "s" * 31) is None
    assert _known_proxy("x-forwarded-user", "s" * 32) is not None

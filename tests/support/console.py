"""A daemon with the operator console, and an operator's browser without a screen."""

import contextlib
import re
from collections.abc import Iterator
from functools import cache
from html import unescape
from typing import Any

import attrs
import httpx

from payd.transport.console.passwords import new_entry
from support.daemon import Daemon, Place, running_daemon
from support.plain_http import NO_TLS
from support.planted_secrets import WATCH

PASSWORD = "correct horse battery"
NAMES = ("alice", "bob")
COOKIE = "payd_console"
PROXY_SECRET = "p" * 40


@cache
def entries() -> str:
    """The lines of two operators."""
    return "\n".join(new_entry(name, PASSWORD) for name in NAMES)


@attrs.frozen(kw_only=True)
class RunningConsole:
    """A daemon, and the address of its console."""

    daemon: Daemon
    url: str
    #: Name → session. Logins are limited, so that one serves many tests.
    sessions: dict[str, str] = attrs.field(factory=dict)

    def browser(self, **headers: str) -> httpx.Client:
        """A browser that follows no redirect by itself."""
        return httpx.Client(verify=NO_TLS, base_url=self.url, timeout=60, headers=headers)

    @contextlib.contextmanager
    def operator(self, name: str = "alice", *, is_fresh: bool = False) -> Iterator["Operator"]:
        """An operator who is logged in; with `is_fresh` by a session that no other test has."""
        with self.browser() as client:
            if is_fresh or name not in self.sessions:
                answer = client.post("/login", data={"name": name, "password": PASSWORD})
                assert answer.status_code == 303, answer.text
                if not is_fresh:
                    self.sessions[name] = client.cookies[COOKIE]
            else:
                client.cookies.set(COOKIE, self.sessions[name])
            yield Operator(client)


@attrs.frozen
class Operator:
    """An operator's browser: follows links, and sends a page's own form token."""

    client: httpx.Client

    def read(self, path: str, status: int = 200) -> str:
        """The text of a page."""
        answer = self.client.get(path)
        assert answer.status_code == status, (path, answer.status_code, answer.text)
        WATCH.search(answer.text, f"the console's {path}")
        return answer.text

    def send(self, page: str, to: str = "", **values: str) -> httpx.Response:
        """Fill in the form of a page and send it."""
        fields = {**fields_of(self.read(page)), **values}
        return self.client.post(to or page.partition("?")[0], data=fields)


def fields_of(page: str) -> dict[str, str]:
    """The values that stand in the forms of a page."""
    found = re.findall(r'<input\b[^>]*\bname="([^"]*)"[^>]*\bvalue="([^"]*)"', page)
    return {name: unescape(value) for name, value in found}


@contextlib.contextmanager
def running_console(place: Place, **environment: Any) -> Iterator[RunningConsole]:
    """Run a daemon with a console on a free port."""
    settings = {
        "PAYD_CONSOLE_ENABLED": "true",
        "PAYD_CONSOLE_PORT": "0",
        "PAYD_CONSOLE_USERS": entries(),
        **environment,
    }
    with running_daemon(place, **settings) as daemon:
        line = next(one for one in daemon.lines if one.get("event") == "daemon_started")
        yield RunningConsole(daemon=daemon, url=f"http://{line['console']}")

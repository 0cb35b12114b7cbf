"""Recognizable secrets, and a search for them in everything that a daemon writes.

Every credential of every daemon in the tests is one that was registered here. Whatever a daemon
tells — its log, its metrics, readiness, what it answers, what it publishes, what it stores — is
searched; a hit fails the session, with the place where it was found.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import asyncpg

#: Part of every secret that a test invents.
MARK = "canary"
_SHORTEST = 8


class Watch:
    """The planted secrets, and the places where they were found."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self.hits: list[str] = []
        #: Number of characters searched, so that a search of nothing is noticed.
        self.searched = 0

    def plant(self, *secrets: str) -> None:
        """Search for these from now on, each line on its own."""
        for secret in secrets:
            self._secrets |= {line for line in secret.split("\n") if len(line) >= _SHORTEST}

    def secrets(self) -> list[str]:
        """All planted secrets."""
        return sorted(self._secrets)

    def search(self, text: str, where: str) -> None:
        """Record every secret in the text."""
        self.searched += 1
        for secret in self._secrets:
            if secret in text:
                self.hits.append(f"{secret[:4]}… in {where}: {text[:200]}")

    @contextlib.contextmanager
    def leaking_on_purpose(self, *secrets: str) -> Iterator[list[str]]:
        """Expect findings in this block, and ignore these secrets afterwards."""
        before, self.hits = self.hits, []
        self.plant(*secrets)
        try:
            yield self.hits
        finally:
            self.hits = before
            self._secrets -= set(secrets)


WATCH = Watch()

#: Settings that are secrets, as variables.
_SECRET_VARIABLES = (
    "DB_PASSWORD",
    "REDIS_PASSWORD",
    "NATS_ACCOUNT_SIGNING_SEED",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "TEMPO_MEMO_KEY",
)


def plant_environment(environment: dict[str, str]) -> None:
    """Return the secrets in a daemon's environment, including credentials in URLs."""
    WATCH.plant(*(environment.get(name, "") for name in _SECRET_VARIABLES))
    for name in ("NATS_URL", "TEMPO_RPC_URL"):
        for url in filter(None, environment.get(name, "").split(",")):
            WATCH.plant(*_secrets_of_url(urlsplit(url)))


def _secrets_of_url(url: SplitResult) -> list[str]:
    """Return password, token, query values and path: RPC hosts expect keys in any of them."""
    userinfo = url.netloc.rpartition("@")[0]
    query = [part.rpartition("=")[2] for part in url.query.split("&")]
    return [userinfo.partition(":")[2] or userinfo, *url.path.split("/"), *query]


def search_processes(pid: int) -> None:
    """Return the command lines of a process and its descendants, which any user can read."""
    with contextlib.suppress(OSError):
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        WATCH.search(argv.decode(errors="replace"), "a command line")
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                search_processes(int(child))


async def search_database(url: str) -> None:
    """Yield every row of every table of one database."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        patterns = [f"%{secret}%" for secret in WATCH.secrets()]
        for table in tables:
            found = await connection.fetch(
                f"SELECT t::text AS row FROM {table['name']} t WHERE t::text LIKE ANY($1)", patterns
            )
            WATCH.search("", table["name"])
            for row in found:
                WATCH.search(row["row"], table["name"])
    finally:
        await connection.close()

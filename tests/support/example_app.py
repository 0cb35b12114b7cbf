"""The example application as a process, with its own database, and a browser's requests to it."""

import os
import re
import threading
from pathlib import Path
from typing import Any

import asyncpg
import attrs
import httpx
from unit.cli.scripted_daemon import on_plain_asyncio

from support.daemon import Daemon
from support.forks import start_python
from support.plain_http import NO_TLS
from support.planted_secrets import WATCH
from support.waiting import PATIENCE_S

EXAMPLES = Path(__file__).parents[2] / "examples"
SABOTAGE = Path(__file__).parents[1] / "fixtures" / "sabotaged_main_app.py"
USERS = "alice:alice-token,bob:bob-token"
FULL_30D = {"chain_profile_id": "ethereum-mainnet", "node_type": "full", "duration": "30d"}
_LISTENING = re.compile(r"listening on (http://\S+)")


@attrs.frozen(kw_only=True)
class Surroundings:
    """What an example application needs: its database, and the addresses of payd."""

    database: str
    grpc: str
    http: str
    nats: str
    redis: str
    pki: Path

    @classmethod
    def of(cls, daemon: Daemon, database: str) -> "Surroundings":
        """Use this daemon."""
        place = daemon.place
        return cls(
            database=database,
            grpc=daemon.grpc,
            http=f"http://{daemon.http}",
            nats=place.nats,
            redis=place.redis,
            pki=place.pki,
        )

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(EXAMPLES),
            "MAIN_APP_PORT": "0",
            "MAIN_APP_DATABASE_URL": self.database,
            "MAIN_APP_USERS": USERS,
            "MAIN_APP_STAFF": "carol:carol-token",
            "MAIN_APP_ACK_WAIT_S": "1",
            "PAYD_TARGET": self.grpc,
            "PAYD_HTTP_URL": self.http,
            "PAYD_CLIENT_CA": str(self.pki / "ca.crt"),
            "PAYD_CLIENT_CERT": str(self.pki / "client.crt"),
            "PAYD_CLIENT_KEY": str(self.pki / "client.key"),
            "NATS_URL": self.nats,
            "REDIS_URL": self.redis,
        }

    def rows(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        """Query the application's own database."""

        async def fetch() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(self.database)
            try:
                return [dict(row) for row in await connection.fetch(sql, *arguments)]
            finally:
                await connection.close()

        return on_plain_asyncio(fetch())


class ExampleApp:
    """One process; `sabotage` names a mistake that it makes on purpose."""

    def __init__(self, surroundings: Surroundings, sabotage: str = "") -> None:
        program = [str(SABOTAGE), sabotage] if sabotage else ["-m", "main_app"]
        self.process = start_python(program, env=surroundings.environment())
        self.url = ""
        self.lines: list[str] = []
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> "ExampleApp":
        """Wait until it listens."""
        assert self._listening.wait(PATIENCE_S), self.lines
        assert self.url, self.lines
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.wait_ended()

    def client(self, user: str = "alice") -> httpx.Client:
        """An HTTP client that is signed in."""
        headers = {"Authorization": f"Bearer {user}-token"}
        return httpx.Client(verify=NO_TLS, base_url=self.url, headers=headers, timeout=PATIENCE_S)

    def wait_ended(self) -> int:
        """Stop it; return the exit code."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self.process.stdout
        self.process.stdout.close()
        return code

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            WATCH.search(line, "the example's log")
            self.lines.append(line)
            if found := _LISTENING.search(line):
                self.url = found[1]
                self._listening.set()
        self._listening.set()


def a_wish(key: str, **overrides: Any) -> dict[str, Any]:
    """Build the body of a POST that the mock provider accepts."""
    return {"idempotency_key": key, "items": [FULL_30D], "method": "mock", **overrides}

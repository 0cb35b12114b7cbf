"""docs/production.md, typed on bare servers in a new folder, ends with a paid payment."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from support.openbao import OpenBao, bao_program, bare_openbao
from support.own_nats import OwnNats

from payd.dev.ports import HOST, any_free
from payd.dev.postgres import Postgres, binaries, postgres
from payd.dev.state import open_state

PAGE = (Path(__file__).parents[3] / "docs/production.md").read_text()
#: Heading → the commands of its section.
STEPS = {
    heading: "".join(re.findall(r"^```sh\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL))
    for heading, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
#: What a person changes in payd.env before the servers are used.
EDIT = """
sed -i 's|^DB_PORT=.*|DB_PORT={postgres}|; s|^NATS_URL=.*|NATS_URL={nats}|
    s|50051|{grpc}|; s|^HTTP_PORT=.*|HTTP_PORT={http}|; s|^METRICS_PORT=.*|METRICS_PORT={metrics}|
' payd/payd.env
"""
#: Three minutes are the page's promise to a person; a busy machine may take longer.
TIMEOUT_S = 300


@attrs.frozen
class Servers:
    """Bare servers: nothing of payd is in them."""

    database: Postgres
    nats: OwnNats
    bao: OpenBao


@asynccontextmanager
async def bare_servers(folder: Path) -> AsyncIterator[Servers]:
    with open_state(folder / "servers", ephemeral=False) as state:
        nats = OwnNats(any_free(), folder / "nats")
        (folder / "bao").mkdir()
        async with postgres(state, any_free()) as database:
            # The package's first start makes what the page makes.
            for statement in ("DROP DATABASE payd", "DROP ROLE payd"):
                await psql(database, statement)
            with bare_openbao(folder / "bao") as bao:
                nats.start()
                try:
                    yield Servers(database, nats, bao)
                finally:
                    nats.stop()


async def psql(database: Postgres, statement: str) -> None:
    argv = [binaries() / "psql", "-h", HOST, "-p", str(database.port), "-U", "postgres", "-c"]
    environment = {"PGPASSWORD": database.password}
    await trio.run_process([*map(str, argv), statement], env=environment, capture_stdout=True)


def typed(
    script: str, home: Path, environment: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Run the commands; none of their processes outlives them."""
    said = home / "said.txt"
    with (
        said.open("w") as output,
        subprocess.Popen(
            ["bash", "-c", script],
            cwd=home,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as shell,
    ):
        try:
            shell.wait(TIMEOUT_S)
        finally:
            # A failed step leaves the daemon behind.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(script, shell.returncode, said.read_text())


@pytest.fixture
def programs(tmp_path: Path) -> str:
    """The PATH of a person who has installed payd, psql and vault."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "vault").symlink_to(bao_program())
    return os.pathsep.join(
        map(str, (folder, Path(sys.executable).parent, binaries(), os.environ["PATH"]))
    )


@pytest.mark.parametrize(
    "secrets", ["in Vault", pytest.param("in files", marks=pytest.mark.campaign)]
)
async def test_it_ends_with_a_paid_payment(tmp_path: Path, programs: str, secrets: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    async with bare_servers(tmp_path) as servers:
        edit = EDIT.format(
            postgres=servers.database.port,
            nats=servers.nats.url,
            grpc=any_free(),
            http=any_free(),
            metrics=any_free(),
        )
        steps = dict(STEPS)
        steps["1. Install"] += edit
        environment = {
            "PATH": programs,
            "HOME": str(home),
            "PGHOST": HOST,
            "PGPORT": str(servers.database.port),
            "PGPASSWORD": servers.database.password,
        }
        if secrets == "in files":
            del steps["3. Secrets"]
        else:
            environment |= {
                "VAULT_ADDR": servers.bao.addr,
                "VAULT_TOKEN": servers.bao.root_token,
            }
        script = "set -euo pipefail\n" + "\n".join(steps.values())
        done = await trio.to_thread.run_sync(typed, script, home, environment)
        log = home / "payd" / "payd.log"

    assert done.returncode == 0, done.stdout + (log.read_text() if log.exists() else "")
    assert "COMPLETED" in done.stdout
    assert "✗" not in done.stdout
    assert re.search("✓ payment pages +at https://pay.example.com", done.stdout)
    assert re.search("✓ audit trail +checkpoint of", done.stdout)
    assert (home / "payd" / "secrets" / "db_password").exists() is (secrets == "in files")

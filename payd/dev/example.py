"""Run the example application, with its own database, role and process."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

import trio

from payd.dev.ports import HOST
from payd.dev.postgres import Postgres, ensure_role
from payd.dev.servers import Command, answers, running
from payd.dev.state import StateDir
from payd.shipped import shipped

_NAME = "main_app"
#: For requests from a terminal; a browser gets an account of its own.
_USERS = "alice:alice-token,bob:bob-token"
#: The employee at /staff.
_STAFF = "carol:carol-token"
#: Short, so that a restarted example receives unacknowledged events soon.
_ACK_WAIT_S = "5"


@asynccontextmanager
async def example(
    state: StateDir, ports: Mapping[str, int], database: Postgres, nats: str, redis: str
) -> AsyncIterator[str]:
    """Run the example until the end of the block; give its URL. It waits for payd by itself."""
    password = state.secret(_NAME)
    await trio.to_thread.run_sync(ensure_role, database, _NAME, password)
    port = ports["example"]
    url = f"http://{HOST}:{port}"
    command = Command(
        name="example",
        argv=[sys.executable, "-m", _NAME],
        port=port,
        environment={
            "PYTHONPATH": str(shipped("examples")),
            "MAIN_APP_HOST": HOST,
            "MAIN_APP_PORT": str(port),
            "MAIN_APP_DATABASE_URL": f"postgresql://{_NAME}:{password}@{HOST}:{database.port}/{_NAME}",
            "MAIN_APP_USERS": _USERS,
            "MAIN_APP_STAFF": _STAFF,
            "MAIN_APP_ACK_WAIT_S": _ACK_WAIT_S,
            "PAYD_TARGET": f"{HOST}:{ports['grpc']}",
            "PAYD_HTTP_URL": f"http://{HOST}:{ports['http']}",
            "PAYD_CLIENT_CA": str(state.pki / "ca.crt"),
            "PAYD_CLIENT_CERT": str(state.pki / "client.crt"),
            "PAYD_CLIENT_KEY": str(state.pki / "client.key"),
            "NATS_URL": nats,
            "REDIS_URL": redis,
        },
    )
    async with running(state, command, partial(answers, port)):
        yield url

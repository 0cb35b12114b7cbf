"""All servers of `payd dev`, in a process that a test can kill: prints their pids and addresses."""

import json
import sys
from functools import partial
from pathlib import Path

import trio

from payd import telemetry
from payd.dev.ports import USUAL, choose_ports
from payd.dev.postgres import postgres
from payd.dev.servers import answers, nats_command, running, valkey_command
from payd.dev.state import open_state


async def main(folder: Path) -> None:
    """Run until this process is stopped."""
    telemetry.configure_logging("info", "json")
    with open_state(folder, ephemeral=False) as state:
        # Not the default ports, which tests that run at the same time may use.
        ports = choose_ports({**dict.fromkeys(USUAL, 0), **state.last_ports()}, None).chosen
        state.keep_ports(ports)
        nats, valkey = nats_command(state, ports["nats"]), valkey_command(ports["redis"])
        async with (
            postgres(state, ports["postgres"]) as database,
            running(state, nats, partial(answers, ports["nats"])) as nats_server,
            running(state, valkey, partial(answers, ports["redis"])) as valkey_server,
        ):
            servers = (database.server, nats_server, valkey_server)
            started = {"pids": [server.pid for server in servers], "postgres": database.url()}
            print(json.dumps(started), flush=True)  # noqa: T201 - how the test learns of them
            await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))

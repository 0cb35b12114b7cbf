"""One daemon and several on one database and one port, under the same load."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import attrs

from bench.call_rows import CALLS, load
from bench.measured import Row
from bench.stage import Daemon, Place, Stage
from payd.dev.ports import choose_ports

#: Each caller has a connection of its own: the kernel chooses a daemon for each connection.
_CALLERS = 16


def what(count: int) -> str:
    """Return what the table calls so many daemons."""
    return f"payd, {count} daemon{'s' if count > 1 else ''}"


def measure(stage: Stage, place: Place, counts: Sequence[int], seconds: float) -> Iterator[Row]:
    """Rows for each number of daemons, with the null provider."""
    for count in counts:
        with sharing(stage, place, count) as daemons:
            for call in CALLS:
                row = load(
                    stage,
                    place,
                    *(daemon.process for daemon in daemons),
                    what=what(count),
                    call=call,
                    method="null",
                    target=daemons[0].grpc,
                    concurrency=_CALLERS,
                    connections=_CALLERS,
                    seconds=seconds,
                )
                yield attrs.evolve(row, call=f"{row.call}, {_CALLERS} connections")


@contextmanager
def sharing(stage: Stage, place: Place, count: int) -> Iterator[Sequence[Daemon]]:
    """Run so many daemons on one gRPC port and one HTTP port."""
    ports = choose_ports({}, None).chosen
    environ = {
        **stage.null(place),
        "PAYD_SHARE_PORTS": "true",
        "GRPC_PORT": str(ports["grpc"]),
        "HTTP_PORT": str(ports["http"]),
    }
    with ExitStack() as stack:
        yield [stack.enter_context(stage.payd(environ)) for _ in range(count)]

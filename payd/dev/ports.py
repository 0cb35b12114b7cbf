"""Which ports to listen on: the usual ones, or free ones where those are taken."""

import secrets
import socket
from collections.abc import Collection, Mapping

USUAL = {
    "grpc": 50051,
    "http": 8085,
    "metrics": 9086,
    "postgres": 55432,
    "nats": 54222,
    "redis": 56379,
    "stripe": 52111,
    "tempo": 58545,
    "example": 8000,
}
HOST = "127.0.0.1"
#: Below what Linux gives to outgoing connections (32768 and up): such a one, or a server that takes
#: port 0, would hold the port between our choice and the server's start.
_OURS = range(15000, 32000)


def choose_ports(last: Mapping[str, int], port_base: int | None) -> dict[str, int]:
    """A port for each service; those of `last` time or from `port_base` on where they are free."""
    wanted = {**USUAL, **last}
    if port_base is not None:
        wanted = {name: port_base + offset for offset, name in enumerate(USUAL)}
    chosen: dict[str, int] = {}
    for name in USUAL:
        port = wanted[name]
        free = port > 0 and port not in chosen.values() and is_free(port)
        chosen[name] = port if free else any_free(set(chosen.values()))
    return chosen


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def any_free(taken: Collection[int] = ()) -> int:
    """A port that nobody has; at random, so that two who choose at once hardly choose one."""
    while True:
        port = secrets.choice(_OURS)
        if port not in taken and is_free(port):
            return port

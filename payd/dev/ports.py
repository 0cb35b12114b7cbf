"""Choose the ports of `payd dev`: the usual ones, or free ones where those are taken."""

import os
import secrets
import socket
from collections import deque
from collections.abc import Collection, Mapping

USUAL = {
    "grpc": 50051,
    "http": 8085,
    "metrics": 9086,
    "postgres": 55432,
    "nats": 54222,
    "redis": 56379,
    "example": 8000,
    "console": 8086,
}
HOST = "127.0.0.1"
#: Below Linux's range for outgoing connections (32768 and up). A port of that range could be taken
#: by an outgoing connection, or by a server on port 0, between our choice and the server's start.
_OURS = range(15000, 32000)
#: Random ports that are tried. All of them are taken only where nearly every port is.
_TRIES_MAX = 1000
#: How many of the ports that `any_free` returned last stay reserved.
_RESERVED_MAX = 64
#: The sockets that reserve them.
_reserved: deque[int] = deque()


class Ports:
    """One port for each service, each chosen once."""

    def __init__(self, last: Mapping[str, int], port_base: int | None) -> None:
        self.chosen: dict[str, int] = {}
        self._last = last
        self._port_base = port_base

    def choose(self, name: str, usual: int) -> int:
        """Choose the next port after `port_base`, else the last run's, else the usual, else any."""
        if name in self.chosen:
            return self.chosen[name]
        port = self._last.get(name, usual)
        if self._port_base is not None:
            port = self._port_base + len(self.chosen)
        is_usable = port > 0 and port not in self.chosen.values() and is_free(port)
        # The server binds it seconds later; until then another `payd dev` may look for ports.
        if not is_usable or not _reserve(port):
            port = any_free(set(self.chosen.values()))
        self.chosen[name] = port
        return port


def choose_ports(last: Mapping[str, int], port_base: int | None) -> Ports:
    """Choose a port for each of our own services; companions ask for further ones."""
    ports = Ports(last, port_base)
    for name, usual in USUAL.items():
        ports.choose(name, usual)
    return ports


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def any_free(taken: Collection[int] = ()) -> int:
    """Return a free port that no other process gets from here as long as this one keeps it.

    A server may bind it seconds later. Raises OSError if no port is free.
    """
    for _ in range(_TRIES_MAX):
        port = secrets.choice(_OURS)
        if port not in taken and is_free(port) and _reserve(port):
            return port
    raise OSError(f"no free port found between {_OURS[0]} and {_OURS[-1]}: stop some servers")


def _reserve(port: int) -> bool:
    """Reserve a port by its UDP number, which none of our servers uses; False if it is reserved."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as claim:
        try:
            claim.bind((HOST, port))
        except OSError:
            return False
        _reserved.append(claim.detach())
    if len(_reserved) > _RESERVED_MAX:
        os.close(_reserved.popleft())
    return True

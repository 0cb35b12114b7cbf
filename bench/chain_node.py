"""A chain that never was, served as JSON-RPC: as many blocks as are wanted, and the logs they have.

anvil mines some hundred blocks a second at best; catching up is measured against this instead.
Blocks have what the watch reads of them: number, hashes, time, and a bloom filter that is true.
"""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from eth_utils.crypto import keccak
from tempo_provider.contracts import GUARD, TRANSFER, TRANSFER_WITH_MEMO, topic_of
from tempo_provider.virtual import is_virtual

from payd.dev.ports import HOST

CHAIN_ID = 42431
TOKEN = "0x20c0000000000000000000000000000000000001"
RECEIVER = "0x" + "7ea5" * 10
#: Id of the receiver as a master: its virtual addresses begin with it.
MASTER_ID = "0x7ea57ea5"
SENDER = "0x" + "5e" * 20
#: In units of the token: what every payment of the bench is due.
AMOUNT = 149_000_000
_TIME_0 = 1_790_000_000
_VIEWS = {
    "0x313ce567": f"{6:064x}",  # decimals()
    "0xe5a6b10f": f"{32:064x}{3:064x}{b'USD'.hex():0<64}",  # currency()
    "0x5c975abb": f"{0:064x}",  # paused()
    "0x70a08231": f"{0:064x}",  # balanceOf(address)
    "0xd84ab166": f"{RECEIVER[2:]:0>64}",  # getMaster(bytes4)
}
_YES = f"{1:064x}"


class UnknownMethod(Exception):
    """As any node that was asked for another one's methods."""


class Node:
    """Blocks from 0 to `final`. Every transfer has a block of its own."""

    def __init__(self) -> None:
        self.final = 0
        self._logs: dict[int, list[dict[str, Any]]] = {}

    def answer(self, method: str, params: list[Any]) -> Any:
        """The result; raises UnknownMethod."""
        match method:
            case "eth_chainId":
                return hex(CHAIN_ID)
            case "eth_getBlockByNumber":
                number = self.final if params[0] == "finalized" else int(params[0], 16)
                return self._header(number) if number <= self.final else None
            case "eth_getLogs":
                return self._found(params[0])
            case "eth_call":
                return "0x" + _VIEWS.get(params[0]["data"][:10], _YES)
            case "bench_grow":
                return self._grow(*params)
            case _:
                raise UnknownMethod(method)

    def _grow(self, blocks: int, names: list[str]) -> int:
        """So many blocks more, the transfers spread evenly; the new final block."""
        every = blocks // len(names) if names else blocks
        for number, name in enumerate(names, start=1):
            at = self.final + number * every
            self._logs[at] = transfer(at, name)
        self.final += blocks
        return self.final

    def _header(self, number: int) -> dict[str, str]:
        return {
            "number": hex(number),
            "hash": block_hash(number),
            "parentHash": block_hash(number - 1),
            "timestamp": hex(int(block_time(number).timestamp())),
            "logsBloom": f"0x{_bloom(self._logs.get(number, [])):0512x}",
        }

    def _found(self, wanted: dict[str, Any]) -> list[Any]:
        """The logs with a wanted receiver: nothing leaves us or is kept from us."""
        if wanted["address"] == GUARD or len(wanted["topics"]) < 3:
            return []
        receivers = frozenset(wanted["topics"][2])
        if "blockHash" in wanted:
            blocks = [
                logs for logs in self._logs.values() if logs[0]["blockHash"] == wanted["blockHash"]
            ]
        else:
            first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
            blocks = [self._logs.get(number, []) for number in range(first, last + 1)]
        return [log for logs in blocks for log in logs if log["topics"][2] in receivers]


@lru_cache(maxsize=100_000)
def block_hash(number: int) -> str:
    """The same for ever."""
    return "0x" + sha256(b"block %d" % number).hexdigest()


def block_time(number: int) -> datetime:
    """Two blocks a second."""
    return datetime.fromtimestamp(_TIME_0 + number // 2, UTC)


def transfer(number: int, name: str) -> list[dict[str, Any]]:
    """Both logs of one transfer, alone in its block: to a virtual address, or with a memo."""
    common = {
        "address": TOKEN,
        "blockNumber": hex(number),
        "blockHash": block_hash(number),
        "transactionHash": "0x" + sha256(b"tx %d" % number).hexdigest(),
        "transactionIndex": "0x0",
        "data": f"0x{AMOUNT:064x}",
        "removed": False,
    }
    sender, receiver = topic_of(SENDER), topic_of(RECEIVER)
    if is_virtual(name):
        address = topic_of(name)
        first, second = [TRANSFER, sender, address], [TRANSFER, address, receiver]
    else:
        first = [TRANSFER, sender, receiver]
        second = [TRANSFER_WITH_MEMO, sender, receiver, name]
    return [
        {**common, "logIndex": "0x0", "topics": first},
        {**common, "logIndex": "0x1", "topics": second},
    ]


def _bloom(logs: Iterable[dict[str, Any]]) -> int:
    """Ethereum's yellow paper, 4.4.3."""
    bits = 0
    for value in {value for log in logs for value in (log["address"], *log["topics"])}:
        digest = keccak(hexstr=value)
        for at in (0, 2, 4):
            bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return bits


# -- from the bench ----------------------------------------------------------------------------


@contextmanager
def chain() -> Iterator[str]:
    """A chain of one block in a process of its own; its URL."""
    command = [sys.executable, "-m", "bench.chain_node"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://{HOST}:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def grow(url: str, blocks: int, names: list[str]) -> int:
    """Blocks with transfers to these addresses or memos become final; the last one's number."""
    asked = {"jsonrpc": "2.0", "id": 1, "method": "bench_grow", "params": [blocks, names]}
    request = urllib.request.Request(
        url, json.dumps(asked).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return int(json.load(answer)["result"])


def settings(url: str) -> dict[str, str]:
    """The environment of a daemon that reads this chain."""
    return {
        "TEMPO_ENABLED": "true",
        "TEMPO_RPC_URL": url,
        "TEMPO_CHAIN_ID": str(CHAIN_ID),
        "TEMPO_RECEIVER_ADDRESS": RECEIVER,
        "TEMPO_TOKENS": f"USDC={TOKEN}",
        "TEMPO_MEMO_KEY": "bench",
    }


def _outcome(node: Node, method: str, params: list[Any]) -> dict[str, Any]:
    try:
        return {"result": node.answer(method, params)}
    except UnknownMethod:
        return {"error": {"code": -32601, "message": f"the method {method} does not exist"}}


def main() -> None:
    """`python -m bench.chain_node` prints its port and serves until it is killed."""
    node = Node()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one packet: else each answer waits 40 ms for the client's delayed ACK.
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            is_single = isinstance(asked, dict)
            said = [
                {"jsonrpc": "2.0", "id": a["id"], **_outcome(node, a["method"], a["params"])}
                for a in ([asked] if is_single else asked)
            ]
            body = json.dumps(said[0] if is_single else said).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()

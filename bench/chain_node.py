"""A chain that never was, served as JSON-RPC: as many blocks as are wanted, and the logs that they have.

anvil mines some hundred blocks a second at best; catching up is measured against this instead.
"""

import json
import sys
from functools import lru_cache
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tempo_provider.contracts import TRANSFER, TRANSFER_WITH_MEMO, topic_of

CHAIN_ID = 42431
TOKEN = "0x20c0000000000000000000000000000000000001"
RECEIVER = "0x" + "7ea5" * 10
SENDER = "0x" + "5e" * 20
_TIME_0 = 1_790_000_000
_WORDS = {
    "0x313ce567": f"{6:064x}",  # decimals()
    "0xe5a6b10f": f"{32:064x}{3:064x}{b'USD'.hex():0<64}",  # currency()
    "0x5c975abb": f"{0:064x}",  # paused()
    "0x70a08231": f"{0:064x}",  # balanceOf(address)
}


class Node:
    """Blocks 0 to `final`; transfers come with their memos, evenly spread."""

    def __init__(self, final: int, memos: list[str]) -> None:
        self.final = final
        every = max(1, final // max(1, len(memos)))
        self.logs = {(i + 1) * every: transfer((i + 1) * every, m) for i, m in enumerate(memos)}

    def answer(self, method: str, params: list[Any]) -> Any:
        """The result."""
        match method:
            case "eth_chainId":
                return hex(CHAIN_ID)
            case "eth_getBlockByNumber":
                number = self.final if params[0] == "finalized" else int(params[0], 16)
                return header(number) if number <= self.final else None
            case "eth_getLogs":
                return self._logs(params[0])
            case "eth_call":
                return "0x" + _WORDS.get(params[0]["data"][:10], f"{1:064x}")
            case "bench_add":
                self.final += 1
                self.logs[self.final] = transfer(self.final, params[0])
                return self.final
            case _:
                raise ValueError(method)

    def _logs(self, wanted: dict[str, Any]) -> list[Any]:
        if (
            "fromBlock" not in wanted
            or len(wanted["topics"]) < 3
            or wanted["address"] != _tokens(wanted)
        ):
            return []
        first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
        return [log for n, logs in self.logs.items() if first <= n <= last for log in logs]


def _tokens(wanted: dict[str, Any]) -> Any:
    """The filter for what comes to us names tokens; the guard's does not."""
    address = wanted["address"]
    return address if isinstance(address, list) else None


@lru_cache(maxsize=100_000)
def block_hash(number: int) -> str:
    """The same for ever."""
    return "0x" + sha256(b"block %d" % number).hexdigest()


def header(number: int) -> dict[str, str]:
    """A block without its transactions; its empty bloom filter says nothing."""
    return {
        "number": hex(number),
        "hash": block_hash(number),
        "parentHash": block_hash(number - 1),
        "timestamp": hex(_TIME_0 + number // 2),
    }


def transfer(number: int, memo: str) -> list[dict[str, Any]]:
    """Both logs of one transfer of a single unit."""
    common = {
        "address": TOKEN,
        "blockNumber": hex(number),
        "blockHash": block_hash(number),
        "transactionHash": "0x" + sha256(b"tx %d" % number).hexdigest(),
        "transactionIndex": "0x0",
        "data": f"0x{1:064x}",
        "removed": False,
    }
    sides = [topic_of(SENDER), topic_of(RECEIVER)]
    return [
        {**common, "logIndex": "0x0", "topics": [TRANSFER, *sides]},
        {**common, "logIndex": "0x1", "topics": [TRANSFER_WITH_MEMO, *sides, memo]},
    ]


def main() -> None:
    """`python -m bench.chain_node BLOCKS`, with one memo a line on stdin; prints its port."""
    node = Node(int(sys.argv[1]), sys.stdin.read().split())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            single = isinstance(asked, dict)
            said = [
                {"jsonrpc": "2.0", "id": a["id"], "result": node.answer(a["method"], a["params"])}
                for a in ([asked] if single else asked)
            ]
            body = json.dumps(said[0] if single else said).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()

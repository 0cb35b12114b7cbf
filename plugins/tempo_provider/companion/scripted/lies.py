"""False responses of a node: each function changes a response, given its request."""

from collections.abc import Callable
from typing import Any

from tempo_provider.companion.scripted.chain import Json
from tempo_provider.companion.scripted.node import Lie
from tempo_provider.companion.scripted.rpc import matches

#: Selects the logs that a lie changes.
Which = Callable[[Json], bool]


def every(log: Json) -> bool:
    """Select all logs."""
    return True


def of_transaction(name: str) -> Which:
    """Select the logs of one transaction."""
    return lambda log: bool(log["transactionHash"] == name)


def about(method: str, change: Callable[[Any], Any]) -> Lie:
    """Change the result of a method, unless it is null."""

    def lie(asked: Json, answer: Json) -> Json:
        if asked["method"] != method or answer.get("result") is None:
            return answer
        return answer | {"result": change(answer["result"])}

    return lie


def about_ranges(lie: Lie) -> Lie:
    """Lie about ranges but not about single blocks, as a load balancer over two nodes may."""
    return lambda asked, answer: (
        answer if "blockHash" in str(asked["params"]) else lie(asked, answer)
    )


def drops(which: Which = every) -> Lie:
    """Omit logs."""
    return about("eth_getLogs", lambda logs: [log for log in logs if not which(log)])


def alters(field: str, value: Any, which: Which = every) -> Lie:
    """Change a field of logs."""
    return about(
        "eth_getLogs",
        lambda logs: [log | {field: value} if which(log) else log for log in logs],
    )


def adds(*more: Json) -> Lie:
    """Add logs that do not exist to the requests that they match."""

    def lie(asked: Json, answer: Json) -> Json:
        if asked["method"] != "eth_getLogs" or answer.get("result") is None:
            return answer
        wanted = asked["params"][0]
        span = (wanted.get(end, "0x0") for end in ("fromBlock", "toBlock"))
        first, last = (int(end, 16) for end in span)
        false = [
            log
            for log in more
            if matches(log, wanted) and first <= int(log["blockNumber"], 16) <= last
        ]
        return answer | {"result": [*answer["result"], *false]}

    return lie


def repeats() -> Lie:
    """Return every log twice, the second time at another index."""
    return about(
        "eth_getLogs",
        lambda logs: (
            logs + [log | {"logIndex": hex(int(log["logIndex"], 16) + 1000)} for log in logs]
        ),
    )


def says_of_blocks(field: str, value: Any) -> Lie:
    """Change a field of every block."""
    return about("eth_getBlockByNumber", lambda block: block | {field: value})


def says(method: str, value: Any) -> Lie:
    """Always return this result."""
    return lambda asked, answer: (
        {"jsonrpc": "2.0", "id": asked["id"], "result": value}
        if asked["method"] == method
        else answer
    )


def fails(method: str, code: int, message: str) -> Lie:
    """Always return this error."""
    error = {"code": code, "message": message}
    return lambda asked, answer: (
        {"jsonrpc": "2.0", "id": asked["id"], "error": error}
        if asked["method"] == method
        else answer
    )


def answers_another(asked: Json, answer: Json) -> Json:
    """Respond with an id that no request had."""
    return answer | {"id": 4711}


def is_null(asked: Json, answer: Json) -> Json:
    """Respond with null to every request."""
    return {"jsonrpc": "2.0", "id": asked["id"], "result": None}

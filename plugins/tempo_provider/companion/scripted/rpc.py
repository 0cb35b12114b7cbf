"""Build a node's JSON-RPC responses, with reth's error messages. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tempo_provider.companion.scripted.chain import Block, Json, ScriptedChain
from tempo_provider.companion.scripted.events import FACTORY, POLICIES, REGISTRY, ZERO

#: reth's own limit.
RANGE_MAX = 100_000
INVALID_PARAMS, SERVER_ERROR, NO_METHOD = -32602, -32000, -32601


class RpcFailure(Exception):
    """A JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message}


def _selector(signature: str) -> str:
    return "0x" + keccak(text=signature)[:4].hex()


DECIMALS, CURRENCY, PAUSED, POLICY_ID, BALANCE_OF, IS_TIP20, MAY_RECEIVE, MASTER = map(
    _selector,
    (
        *("decimals()", "currency()", "paused()", "transferPolicyId()"),
        *("balanceOf(address)", "isTIP20(address)", "isAuthorizedRecipient(uint64,address)"),
        "getMaster(bytes4)",
    ),
)
TRANSFER, TRANSFER_WITH_MEMO = map(
    _selector, ("transfer(address,uint256)", "transferWithMemo(address,uint256,bytes32)")
)


@attrs.define(kw_only=True)
class View:
    """A chain as one node sees it."""

    chain: ScriptedChain
    #: How many blocks the node is behind.
    lag: int = 0
    range_max: int = RANGE_MAX
    results_max: int = 20_000
    #: How many blocks of state the node keeps; None: all, as an archive node.
    state_blocks: int | None = None
    #: Old nodes report no logs, instead of an error, for blocks that they lack.
    is_silent_about_the_future: bool = False

    @property
    def head(self) -> int:
        """The newest block that the node has."""
        return max(0, self.chain.head.number - self.lag)

    @property
    def finalized(self) -> int:
        """The newest final block that the node has."""
        return max(0, min(self.head, self.chain.finalized - self.lag))

    def answer(self, asked: Mapping[str, Any]) -> Json:
        """Return the response to one request."""
        answered = {"jsonrpc": "2.0", "id": asked.get("id")}
        methods: dict[str, Callable[..., Any]] = {
            "eth_chainId": lambda: hex(self.chain.chain_id),
            "web3_clientVersion": lambda: "scripted/1.0",
            "eth_blockNumber": lambda: hex(self.head),
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getLogs": self._logs,
            "eth_call": self._call,
            **({"tempo_forkSchedule": self._forks} if self.chain.fork_name else {}),
        }
        method = methods.get(asked["method"])
        try:
            if method is None:
                raise RpcFailure(NO_METHOD, f"the method {asked['method']} does not exist")
            return answered | {"result": method(*asked.get("params", ()))}
        except RpcFailure as failure:
            return answered | {"error": failure.error}

    def _forks(self) -> Json:
        """Build tempoxyz/tempo's `ForkSchedule` (crates/alloy)."""
        active = {"name": self.chain.fork_name, "activationTime": 0, "active": True}
        return {"schedule": [active | {"forkId": "0x471a451c"}], "active": self.chain.fork_name}

    def _number(self, tag: str) -> int:
        tags = {
            "earliest": 0,
            "safe": self.finalized,
            "finalized": self.finalized,
            "latest": self.head,
            "pending": self.head,
        }
        return tags[tag] if tag in tags else int(tag, 16)

    def _block_by_number(self, tag: str, full: bool = False) -> Json | None:
        number = self._number(tag)
        return self.chain.blocks[number].header() if number <= self.head else None

    def _block_by_hash(self, block_hash: str, full: bool = False) -> Json | None:
        found = self._find(block_hash)
        return found.header() if found else None

    def _find(self, block_hash: str) -> Block | None:
        known = self.chain.blocks[: self.head + 1]
        return next((block for block in known if block.hash == block_hash.lower()), None)

    def _logs(self, wanted: Mapping[str, Any]) -> list[Json]:
        found: list[Json] = []
        for block in self._span(wanted):
            if block.transactions:
                found += [log for log in block.logs() if matches(log, wanted)]
            if len(found) > self.results_max:
                first = int(wanted["fromBlock"], 16)
                raise RpcFailure(
                    INVALID_PARAMS,
                    f"query exceeds max results {self.results_max}, "
                    f"retry with the range {first}-{max(first, block.number - 1)}",
                )
        return found

    def _span(self, wanted: Mapping[str, Any]) -> Sequence[Block]:
        if "blockHash" in wanted:
            block = self._find(wanted["blockHash"])
            if block is None:
                raise RpcFailure(SERVER_ERROR, "unknown block")
            return [block]
        first, last = (self._number(wanted.get(end, "latest")) for end in ("fromBlock", "toBlock"))
        if last < first:
            raise RpcFailure(INVALID_PARAMS, "invalid block range params")
        if last - first > self.range_max:
            raise RpcFailure(INVALID_PARAMS, f"query exceeds max block range {self.range_max}")
        if last > self.head:
            if self.is_silent_about_the_future:
                return []
            raise RpcFailure(INVALID_PARAMS, "block range extends beyond current head block")
        return self.chain.blocks[first : last + 1]

    def _call(self, call: Mapping[str, str], tag: str = "latest", *_: Any) -> str:
        number = self._number(tag)
        if number > self.head:
            raise RpcFailure(SERVER_ERROR, "header not found")
        if self.state_blocks is not None and number <= self.head - self.state_blocks:
            raise RpcFailure(SERVER_ERROR, f"state at block #{number} is pruned")
        to, data = call["to"].lower(), call.get("data") or call["input"]
        selector, argument = data[:10], "0x" + data[-40:].lower()
        if to == FACTORY and selector == IS_TIP20:
            token = self.chain.tokens.get(argument)
            return _returned("bool", token is not None and token.is_tip20)
        if to == POLICIES and selector == MAY_RECEIVE:
            asked = (int(data[10:74], 16), argument)
            return _returned("bool", self.chain.may_receive.get(asked, True))
        if to == REGISTRY and selector == MASTER:
            return _returned("address", self.chain.masters.get(f"0x{data[10:18]}", ZERO))
        token = self.chain.tokens.get(to)
        if token is None:
            return "0x"
        if selector == BALANCE_OF:
            return _returned("uint256", self.chain.balance(to, argument, number))
        if selector in (TRANSFER, TRANSFER_WITH_MEMO):
            # Everybody has enough.
            return _returned("bool", True)
        views = {
            DECIMALS: ("uint8", token.decimals),
            CURRENCY: ("string", token.currency),
            PAUSED: ("bool", token.is_paused),
            POLICY_ID: ("uint64", token.policy_id),
        }
        if selector not in views:
            raise RpcFailure(3, "execution reverted")
        return _returned(*views[selector])


def _returned(kind: str, value: Any) -> str:
    return "0x" + encode([kind], [value]).hex()


def matches(log: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a log matches a filter: any of its addresses, and its topics by position."""
    addresses = _any_of(wanted.get("address"))
    if addresses and log["address"] not in addresses:
        return False
    places = wanted.get("topics") or []
    if len(places) > len(log["topics"]):
        return False
    return all(
        not _any_of(place) or topic in _any_of(place)
        for place, topic in zip(places, log["topics"], strict=False)
    )


def _any_of(value: str | Sequence[str] | None) -> list[str]:
    values = [value] if isinstance(value, str) else value or []
    return [one.lower() for one in values]

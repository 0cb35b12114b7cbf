"""A chain whose blocks a test mines, deterministic to the last hash.

The same script gives the same chain. Balances are the sums of the tokens' `Transfer` logs, so that
a reader of all logs can compare its totals with them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

import attrs
from eth_utils.crypto import keccak

from tempo_provider.companion.scripted.events import TRANSFER, Call, Emitted, word

#: Time of block 0, in Unix seconds.
GENESIS_TIME = 1_790_000_000
#: As on Tempo, two blocks share a second.
BLOCK_MS = 500

Json = dict[str, Any]


@attrs.define(kw_only=True)
class Token:
    """The properties that a token's contract reports."""

    decimals: int = 6
    currency: str = "USD"
    is_paused: bool = False
    is_tip20: bool = True
    #: Its transfer policy; 1 lets everybody receive.
    policy_id: int = 1


@attrs.frozen(kw_only=True)
class Transaction:
    """A transaction with the logs of its calls."""

    hash: str
    logs: tuple[Emitted, ...]


@attrs.frozen(kw_only=True)
class Block:
    """A block, with its JSON-RPC representations."""

    number: int
    hash: str
    parent: str
    time_ms: int
    transactions: tuple[Transaction, ...]

    def header(self) -> Json:
        """Return the block as JSON-RPC, with the hashes of its transactions."""
        return {
            "number": hex(self.number),
            "hash": self.hash,
            "parentHash": self.parent,
            "timestamp": hex(self.time_ms // 1000),
            "timestampMillis": hex(self.time_ms),
            "logsBloom": f"0x{self.bloom():0512x}",
            "transactions": [one.hash for one in self.transactions],
        }

    def bloom(self) -> int:
        """Return the bloom filter over the addresses and topics of the logs."""
        bits = 0
        for transaction in self.transactions:
            for log in transaction.logs:
                for value in (log.address, *log.topics):
                    bits |= bloom_bits(value)
        return bits

    def logs(self) -> list[Json]:
        """Return the logs as JSON-RPC."""
        placed = [
            (log, transaction.hash, position)
            for position, transaction in enumerate(self.transactions)
            for log in transaction.logs
        ]
        return [
            {
                "address": log.address,
                "topics": list(log.topics),
                "data": log.data,
                "blockNumber": hex(self.number),
                "blockHash": self.hash,
                "blockTimestamp": hex(self.time_ms // 1000),
                "transactionHash": transaction,
                "transactionIndex": hex(position),
                "logIndex": hex(index),
                "removed": False,
            }
            for index, (log, transaction, position) in enumerate(placed)
        ]


@cache
def bloom_bits(value: str) -> int:
    """Return the three bits of 2048 that a value sets (Ethereum's yellow paper, 4.4.3)."""
    digest = keccak(hexstr=value)
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") % 2048)
    return bits


class ScriptedChain:
    """A chain that a test extends (`mine`), makes final (`finalize`) and reorganises (`reorg`)."""

    def __init__(self, tokens: Mapping[str, Token], chain_id: int = 1337) -> None:
        self.chain_id = chain_id
        self.tokens = dict(tokens)
        self.blocks: list[Block] = []
        self.finalized = 0
        #: The active fork; None makes `tempo_forkSchedule` an unknown method.
        self.fork_name: str | None = "T12"
        #: (token, account) → balance before the first block, in base units.
        self.granted: dict[tuple[str, str], int] = {}
        #: (policy, account) → whether it may receive; any account that is not named may.
        self.may_receive: dict[tuple[int, str], bool] = {}
        #: Master id → account, of virtual addresses.
        self.masters: dict[str, str] = {}
        self._waiting: list[Transaction] = []
        self._sent = 0
        #: Changes with each reorganisation, so that the same content gets another hash.
        self._branch = 0
        #: How much later the blocks are than at the usual pace.
        self._skipped_ms = 0
        self._append(())

    @property
    def head(self) -> Block:
        """The newest block, final or not."""
        return self.blocks[-1]

    def send(self, *calls: Call) -> str:
        """Add a transaction of these calls to the next block; return its hash."""
        self._sent += 1
        logs = tuple(log for call in calls for log in call)
        transaction = Transaction(hash=_digest("transaction", self._sent), logs=logs)
        self._waiting.append(transaction)
        return transaction.hash

    def mine(self, blocks: int = 1) -> None:
        """Mine blocks; the first contains the sent transactions."""
        for _ in range(blocks):
            self._append(tuple(self._waiting))
            self._waiting.clear()

    def skip(self, by: timedelta) -> None:
        """Let the next blocks be so much later, as if none had been mined meanwhile."""
        self._skipped_ms += round(by.total_seconds() * 1000)

    def finalize(self, number: int | None = None) -> None:
        """Make blocks final up to a number, by default all."""
        self.finalized = self.head.number if number is None else number

    def settle(self, blocks: int = 1) -> None:
        """Mine blocks and make them final."""
        self.mine(blocks)
        self.finalize()

    def reorg(self, depth: int, *, keep: bool = False) -> None:
        """Replace the newest blocks by as many others, empty unless `keep`.

        Final blocks are replaced, too.
        """
        dropped = self.blocks[-depth:]
        del self.blocks[-depth:]
        self._branch += 1
        for block in dropped:
            self._append(block.transactions if keep else ())

    def fork(self) -> "ScriptedChain":
        """Copy the chain, for a node that sees another branch from here on."""
        other = ScriptedChain(self.tokens, self.chain_id)
        other.blocks = list(self.blocks)
        other.finalized, other.granted = self.finalized, dict(self.granted)
        other.masters = dict(self.masters)
        other._skipped_ms = self._skipped_ms
        other._sent, other._branch = self._sent, self._branch + 1000
        return other

    def balance(self, token: str, account: str, number: int) -> int:
        """Return a balance at the end of a block, in base units."""
        units = self.granted.get((token, account), 0)
        ours = word(account)
        for block in self.blocks[: number + 1]:
            for transaction in block.transactions:
                for log in transaction.logs:
                    if log.address == token and log.topics[0] == TRANSFER:
                        units += _moved(log, ours)
        return units

    def _append(self, transactions: Sequence[Transaction]) -> None:
        number = len(self.blocks)
        parent = self.blocks[-1].hash if self.blocks else "0x" + "0" * 64
        names = [transaction.hash for transaction in transactions]
        self.blocks.append(
            Block(
                number=number,
                hash=_digest("block", self._branch, number, parent, *names),
                parent=parent,
                time_ms=GENESIS_TIME * 1000 + number * BLOCK_MS + self._skipped_ms,
                transactions=tuple(transactions),
            )
        )


def _moved(log: Emitted, account: str) -> int:
    amount = int(log.data, 16)
    return amount * ((log.topics[2] == account) - (log.topics[1] == account))


def _digest(*parts: object) -> str:
    return "0x" + hashlib.sha3_256(repr(parts).encode()).hexdigest()

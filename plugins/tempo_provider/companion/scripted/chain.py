"""Blocks that are made when a test says so, deterministic to the last hash.

The same script gives the same chain. Balances are what the tokens' `Transfer` logs sum up to, so
that whoever reads all logs can hold his books against them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import attrs
from eth_utils.crypto import keccak

from tempo_provider.companion.scripted.events import TRANSFER, Call, Emitted, word

#: Of block 0, in Unix seconds.
GENESIS_TIME = 1_790_000_000
#: Two blocks have the same second: as on Tempo.
BLOCK_MS = 500

Json = dict[str, Any]


@attrs.define(kw_only=True)
class Token:
    """What a token's contract says of itself."""

    decimals: int = 6
    currency: str = "USD"
    is_paused: bool = False
    is_tip20: bool = True


@attrs.frozen(kw_only=True)
class Transaction:
    """All that its calls emitted."""

    hash: str
    logs: tuple[Emitted, ...]


@attrs.frozen(kw_only=True)
class Block:
    """One of them, with what a node says of it."""

    number: int
    hash: str
    parent: str
    time_ms: int
    transactions: tuple[Transaction, ...]

    def header(self) -> Json:
        """As JSON-RPC has it, without the transactions."""
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
        """Of the addresses and topics of its logs."""
        bits = 0
        for transaction in self.transactions:
            for log in transaction.logs:
                for value in (log.address, *log.topics):
                    bits |= bloom_bits(value)
        return bits

    def logs(self) -> list[Json]:
        """As JSON-RPC has them."""
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
    """Three of 2048 (Ethereum's yellow paper, 4.4.3)."""
    digest = keccak(hexstr=value)
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") % 2048)
    return bits


class ScriptedChain:
    """Grows by `mine`, is final up to where `finalize` said, and changes its mind in `reorg`."""

    def __init__(self, tokens: Mapping[str, Token], chain_id: int = 1337) -> None:
        self.chain_id = chain_id
        self.tokens = dict(tokens)
        self.blocks: list[Block] = []
        self.finalized = 0
        #: The active fork; with None its nodes do not know `tempo_forkSchedule`.
        self.fork_name: str | None = "T12"
        #: (token, account) → base units before the first block.
        self.granted: dict[tuple[str, str], int] = {}
        self._waiting: list[Transaction] = []
        self._sent = 0
        #: Another after each reorganisation, so that the same block has another hash.
        self._branch = 0
        self._append(())

    @property
    def head(self) -> Block:
        """The newest one, final or not."""
        return self.blocks[-1]

    def send(self, *calls: Call) -> str:
        """One transaction of these calls, for the next block; its hash."""
        self._sent += 1
        logs = tuple(log for call in calls for log in call)
        transaction = Transaction(hash=_digest("transaction", self._sent), logs=logs)
        self._waiting.append(transaction)
        return transaction.hash

    def mine(self, blocks: int = 1) -> None:
        """What was sent goes into the first of them."""
        for _ in range(blocks):
            self._append(tuple(self._waiting))
            self._waiting.clear()

    def finalize(self, number: int | None = None) -> None:
        """Up to this block, or up to the head."""
        self.finalized = self.head.number if number is None else number

    def settle(self, blocks: int = 1) -> None:
        """Mine, and make it final."""
        self.mine(blocks)
        self.finalize()

    def reorg(self, depth: int, *, keep: bool = False) -> None:
        """Other blocks instead of the newest ones, as many; empty unless `keep`.

        Does not ask what is final.
        """
        dropped = self.blocks[-depth:]
        del self.blocks[-depth:]
        self._branch += 1
        for block in dropped:
            self._append(block.transactions if keep else ())

    def fork(self) -> "ScriptedChain":
        """The same chain up to now, for a node of another opinion from here on."""
        other = ScriptedChain(self.tokens, self.chain_id)
        other.blocks = list(self.blocks)
        other.finalized, other.granted = self.finalized, dict(self.granted)
        other._sent, other._branch = self._sent, self._branch + 1000
        return other

    def balance(self, token: str, account: str, number: int) -> int:
        """At the end of a block."""
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
                time_ms=GENESIS_TIME * 1000 + number * BLOCK_MS,
                transactions=tuple(transactions),
            )
        )


def _moved(log: Emitted, account: str) -> int:
    amount = int(log.data, 16)
    return amount * ((log.topics[2] == account) - (log.topics[1] == account))


def _digest(*parts: object) -> str:
    return "0x" + hashlib.sha3_256(repr(parts).encode()).hexdigest()

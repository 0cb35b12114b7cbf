"""Logs to read: recorded from a real Tempo node's precompiles, and made by the scripted chain."""

import json
from pathlib import Path
from typing import Any

from tempo_provider.companion.scripted.chain import Json, ScriptedChain
from tempo_provider.companion.scripted.events import Call

from payd.plugins import Observation, Receipt

#: Of anvil 1.7.1 in Tempo mode: each transaction's receipt.
RECORDED: dict[str, list[Json]] = json.loads(
    Path(__file__).with_name("recorded_logs.json").read_text()
)

#: Logs of withheld transfers, encoded by another library; the file names it.
BLOCKED_BY_OX: dict[str, Json] = json.loads(
    Path(__file__).with_name("blocked_by_ox.json").read_text()
)["logs"]

#: Receiver, sender and memo of the recorded transfers.
RECEIVER = "0x" + "7ea5" * 10
SENDER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
MEMO = "0x" + "00112233445566778899aabbccddeeff" * 2

USDC = "0x20c0000000000000000000000000000000000001"
USDT = "0x20c0000000000000000000000000000000000002"
US = "0x" + "ab" * 20
PAYER = "0x" + "cd" * 20
STRANGER = "0x" + "ef" * 20


def logs_of(*calls: Call) -> list[Json]:
    """What one transaction of these calls emits, in a block of its own."""
    chain = ScriptedChain({})
    chain.send(*calls)
    chain.mine()
    return chain.head.logs()


def receipt_of(observation: Observation) -> Receipt:
    """The one that it carries."""
    fact: Any = observation.fact
    [receipt] = fact
    assert isinstance(receipt, Receipt)
    return receipt

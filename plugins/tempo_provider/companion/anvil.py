"""Run anvil as a Tempo chain on this machine; npm downloads it where it is not installed.

The chain is saved in the companion's folder: the cursor in payd's database must still name a
block of this chain after a restart.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import trio
from eth_utils.abi import function_signature_to_4byte_selector

from payd.plugins import CompanionContext, CompanionFailed
from tempo_provider.companion.scripted.events import REGISTRY

#: A release that has Tempo's precompiles (hardforks up to t4).
ANVIL = "@foundry-rs/anvil@1.7.1"
CHAIN_ID = 42431
#: The first account of a local chain receives the payments; the others are customers.
RECEIVER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
#: A salt that passes the registry's proof of work for it, as ox documents it (wevm/ox,
#: VirtualMaster), and the id under which it registers the account.
MASTER_SALT = 0xABF52BAF
MASTER_ID = "0x58e21090"
#: Some 60 MB, also by a slow line.
_DOWNLOAD_S = 300
#: anvil writes the whole chain each time, some 150 MB after a day.
_SAVE_S = 30
#: Blocks on top of one that make it final.
_UNTIL_FINAL = 3
#: payd reads the chain twice a second. When its own clock moves, it should have read these blocks:
#: else it looks at an expired payment too early, and again only after 10 s.
_READ_S = 1.5


@asynccontextmanager
async def running_chain(context: CompanionContext, port: int) -> AsyncIterator[None]:
    """Run a chain that mines a block each second. Raises CompanionFailed."""
    anvil = await trio.to_thread.run_sync(find_anvil, context.cache)
    argv = anvil_argv(anvil, context.host, port, "--block-time", "1")
    argv += ["--state", os.fspath(context.folder / "chain.json")]
    # anvil saves its blocks on SIGTERM; the interval is for a power cut.
    argv += ["--state-interval", str(_SAVE_S)]
    async with context.server("anvil", argv, port, death_signal=signal.SIGTERM):
        yield


async def register_master(url: str) -> None:
    """Register the receiver as a master, so that each payment has an address of its own.

    A chain that was kept from an earlier run has it already.
    """
    register = _data("registerVirtualMaster(bytes32)", f"{MASTER_SALT:064x}")
    async with httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as node:
        if await _master(node) == RECEIVER:
            return
        wanted = {"from": RECEIVER, "to": REGISTRY, "data": register}
        await _call(node, "eth_sendTransaction", wanted)
        await _call(node, "anvil_mine", "0x1")
        if await _master(node) != RECEIVER:
            raise CompanionFailed("the chain refused to register the master of the addresses")


async def _master(node: httpx.AsyncClient) -> str:
    """The account to which addresses under MASTER_ID forward."""
    data = _data("getMaster(bytes4)", MASTER_ID[2:].ljust(64, "0"))
    answer = await _call(node, "eth_call", {"to": REGISTRY, "data": data}, "latest")
    return f"0x{answer[-40:]}"


def _data(signature: str, word: str) -> str:
    return f"0x{function_signature_to_4byte_selector(signature).hex()}{word}"


async def move_clock(url: str, time: datetime, runs: bool) -> None:
    """Set the time of the next blocks, and mine some: what waits for a final block sees it.

    A chain that stands still goes on mining, with blocks of the same time, so that transfers still
    arrive. The time of the newest block never goes back.
    """
    async with httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as node:
        await _call(node, "anvil_removeBlockTimestampInterval")
        await _call(node, "evm_setTime", int(time.timestamp()))
        await _call(node, "anvil_mine", "0x1")
        await _call(node, "anvil_setBlockTimestampInterval", 0)
        await _call(node, "anvil_mine", hex(_UNTIL_FINAL))
        if runs:
            await _call(node, "anvil_removeBlockTimestampInterval")
    await trio.sleep(_READ_S)


async def _call(node: httpx.AsyncClient, method: str, *params: object) -> Any:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = (await node.post("/", json=request)).json()
    if "error" in answer:
        raise CompanionFailed(f"{method}: {answer['error'].get('message')}")
    return answer["result"]


def anvil_argv(anvil: Path, host: str, port: int, *more: str) -> list[str]:
    """Return the command of a node with Tempo's precompiles; two blocks make a block final."""
    return [
        *(str(anvil), "--silent", "--host", host, "--port", str(port)),
        *("--network", "tempo", "--hardfork", "t4", "--chain-id", str(CHAIN_ID)),
        *("--slots-in-an-epoch", "1"),
        *more,
    ]


def find_anvil(folder: Path) -> Path:
    """Return anvil from the PATH or from `folder`; npm installs it there where both have none.

    Blocks. Raises CompanionFailed.
    """
    if on_path := shutil.which("anvil"):
        return Path(on_path)
    if found := _installed(folder):
        return found
    npm = shutil.which("npm")
    if npm is None:
        raise CompanionFailed(
            "anvil is not installed, and npm, which downloads it, is missing: install npm"
        )
    folder.mkdir(parents=True, exist_ok=True)
    argv = [npm, "install", "--prefix", os.fspath(folder), ANVIL]
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(  # noqa: S603 - npm from the PATH, with our own arguments
            [*argv, *quiet], capture_output=True, text=True, timeout=_DOWNLOAD_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise CompanionFailed(
            f"`npm install {ANVIL}` took longer than {_DOWNLOAD_S} s: check the network"
        ) from None
    found = _installed(folder)
    if found is None:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise CompanionFailed(f"`npm install {ANVIL}` failed: {last:.200}")
    return found


def _installed(folder: Path) -> Path | None:
    """Find the program, which is in the package of the platform."""
    found = sorted(folder.glob("node_modules/@foundry-rs/anvil-*/bin/anvil"))
    return found[0] if found else None

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

import httpx
import trio

from payd.plugins import CompanionContext, CompanionFailed

#: A release that has Tempo's precompiles (hardforks up to t4).
ANVIL = "@foundry-rs/anvil@1.7.1"
CHAIN_ID = 42431
#: An account whose key is unknown: payd receives money without one.
RECEIVER = "0x" + "7ea5" * 10
_DOWNLOAD_S = 120
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


async def _call(node: httpx.AsyncClient, method: str, *params: object) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = (await node.post("/", json=request)).json()
    if "error" in answer:
        raise CompanionFailed(f"{method}: {answer['error'].get('message')}")


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

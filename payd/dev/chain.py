"""A Tempo chain on this machine, for the provider that takes tokens: anvil, fetched when needed.

Its blocks are kept beside the other servers' data: what the database knows of the chain must
still be true after a restart.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import trio

from payd.config import installed_providers, parse_switch
from payd.dev.ports import HOST
from payd.dev.servers import Command, answers, running
from payd.dev.state import StateDir

#: Of a release that knows Tempo's precompiles (stack of forks up to t4).
ANVIL = "@foundry-rs/anvil@1.7.1"
CHAIN_ID = 42431
#: An account that nobody has the key of: payd needs none to be paid.
RECEIVER = "0x" + "7ea5" * 10
_FETCH_S = 120
#: anvil writes the whole chain each time, some 150 MB after a day.
_SAVE_S = 30
_TEMPO = "tempo"


class NoAnvil(Exception):
    """anvil is not here and cannot be had; the message says how to get it."""


@attrs.frozen(kw_only=True)
class Chain:
    """What the daemon's environment and dev.json hear of it."""

    environment: Mapping[str, str]
    #: Of dev.json; empty where no chain of ours runs.
    announced: Mapping[str, str]


NO_CHAIN = Chain(environment={}, announced={})


@asynccontextmanager
async def chain(
    state: StateDir,
    ports: Mapping[str, int],
    environ: Mapping[str, str],
    progress: Callable[[str], None],
    tell: Callable[[str], None],
) -> AsyncIterator[Chain]:
    """Settings of the Tempo provider; the chain runs until the end of the block."""
    wanted = parse_switch(environ.get("TEMPO_ENABLED", "true"))
    if _TEMPO not in installed_providers() or not wanted or "TEMPO_RPC_URL" in environ:
        yield NO_CHAIN
        return
    progress("Tempo chain")
    try:
        anvil = await trio.to_thread.run_sync(find_anvil, state.path / "anvil")
    except NoAnvil as error:
        tell(f"no crypto payments: {error}")
        yield Chain(environment={"TEMPO_ENABLED": "false"}, announced={})
        return
    port = ports[_TEMPO]
    command = anvil_command(anvil, port, "--block-time", "1", *_kept(state.data / "chain.json"))
    async with running(state, command, partial(answers, port)):
        url = f"http://{HOST}:{port}"
        settings = {
            "TEMPO_ENABLED": "true",
            "TEMPO_RPC_URL": url,
            "TEMPO_CHAIN_ID": str(CHAIN_ID),
            "TEMPO_RECEIVER_ADDRESS": RECEIVER,
            "TEMPO_POLL_INTERVAL_S": "0.5",
        }
        if not {"TEMPO_MEMO_KEY", "TEMPO_MEMO_KEY_FILE"} & environ.keys():
            settings["TEMPO_MEMO_KEY"] = state.secret("tempo_memo")
        announced = {"tempo_rpc": url, "tempo_chain_id": str(CHAIN_ID)}
        yield Chain(environment=settings, announced=announced)


def anvil_command(anvil: Path, port: int, *also: str) -> Command:
    """A node with Tempo's precompiles, whose final block is two behind the newest."""
    argv = [
        *(str(anvil), "--silent", "--host", HOST, "--port", str(port)),
        *("--network", "tempo", "--hardfork", "t4", "--chain-id", str(CHAIN_ID)),
        *("--slots-in-an-epoch", "1"),
    ]
    # It saves its blocks on a SIGTERM: what the database knows must not be lost when we are killed.
    death = signal.SIGTERM
    return Command(name="anvil", argv=[*argv, *also], death_signal=death, port=port)


def find_anvil(folder: Path) -> Path:
    """anvil of the PATH, or of `folder`, where it is put by npm when it is in neither.

    Blocks. Raises NoAnvil.
    """
    if on_path := shutil.which("anvil"):
        return Path(on_path)
    if found := _installed(folder):
        return found
    npm = shutil.which("npm")
    if npm is None:
        raise NoAnvil("anvil is not installed, and npm, which fetches it, is missing: install npm")
    folder.mkdir(parents=True, exist_ok=True)
    argv = [npm, "install", "--prefix", os.fspath(folder), ANVIL]
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(  # noqa: S603 - npm of the PATH, with arguments of ours
            [*argv, *quiet], capture_output=True, text=True, timeout=_FETCH_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise NoAnvil(f"`npm install {ANVIL}` took longer than {_FETCH_S} s") from None
    found = _installed(folder)
    if found is None:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise NoAnvil(f"`npm install {ANVIL}` failed: {last:.200}")
    return found


def _installed(folder: Path) -> Path | None:
    """The platform's own package brings the program."""
    found = sorted(folder.glob("node_modules/@foundry-rs/anvil-*/bin/anvil"))
    return found[0] if found else None


def _kept(file: Path) -> list[str]:
    """Written when it ends; now and then for an end without a last word, like a power cut."""
    return ["--state", os.fspath(file), "--state-interval", str(_SAVE_S)]

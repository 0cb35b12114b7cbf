"""A local Tempo chain for `payd dev`; `scripted` has the nodes of the provider's tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from payd.plugins import Companion, CompanionContext, RunningCompanion

__all__ = ["COMPANION"]

_USUAL_PORT = 58545


@asynccontextmanager
async def _open(context: CompanionContext) -> AsyncIterator[RunningCompanion]:
    from tempo_provider.companion import anvil

    port = context.port("rpc", _USUAL_PORT)
    url = f"http://{context.host}:{port}"
    settings = {
        "rpc_url": url,
        "chain_id": str(anvil.CHAIN_ID),
        "receiver_address": anvil.RECEIVER,
        "poll_interval_s": "0.5",
    }
    async with anvil.running_chain(context, port):
        if not context.settings.keys() & {"receiver_address", "master_id"}:
            await anvil.register_master(url)
            settings["master_id"] = anvil.MASTER_ID
        yield RunningCompanion(
            settings=settings,
            announced={"rpc": url, "chain_id": str(anvil.CHAIN_ID)},
            banner=(
                context.pay_command("crypto", "--crypto-currency USDC --no-wait"),
                context.command("tempo pay PAYMENT_ID"),
            ),
            wallet_command="tempo pay",
            move_clock=partial(anvil.move_clock, url),
        )


COMPANION = Companion(
    open=_open, replaces=("network", "rpc_url", "chain_id"), generated={"memo_key": ""}
)

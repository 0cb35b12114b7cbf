"""Control the scripted chain from the conformance kit: payments by memo, or by their addresses."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import trio

from payd.plugins import CryptoTransfer, NextAction, PaymentRef
from payd.plugins.testing import BenchClock, CannotHappen, Fault, Remote
from tempo_provider.companion.scripted.chain import ScriptedChain, Token
from tempo_provider.companion.scripted.events import (
    TRANSFER,
    TRANSFER_WITH_MEMO,
    Call,
    to_virtual,
    transfer,
    word,
)
from tempo_provider.companion.scripted.node import (
    Cuts,
    Hangs,
    Manner,
    Says,
    ScriptedNode,
    ScriptedSponsor,
    open_node,
    open_nodes,
)
from tempo_provider.companion.scripted.wallet import request_of
from tempo_provider.cursor import cursor_of

_CHAIN_ID = 1337
_TOKENS = {
    "USDC": "0x20c0000000000000000000000000000000000001",
    "USDT": "0x20c0000000000000000000000000000000000002",
}
_US = "0x" + "ab" * 20
_OTHERS = "0x" + "ef" * 20
_PAYER = "0x" + "cd" * 20
#: Ids under which these accounts are registered as masters.
_MASTERS = {"0x58e21090": _US, "0x00c0ffee": _OTHERS}
_MASTER_ID, _OTHER_MASTER_ID = _MASTERS
_SPONSOR_KEY = "tp_key_of_the_sponsor"
_NO_KEY = CannotHappen("nodes are asked without a key or a token")
_PAUSED = CannotHappen("a node that limits is paused, and `cancel` does not wait for it")
_MANNERS: Mapping[Fault, Manner] = {
    Fault.LOST_REQUEST: Cuts(),
    Fault.LOST_ANSWER: Cuts(),
    Fault.SERVER_ERROR: Says(status=503),
    Fault.GARBAGE: Says(body=b"<html>"),
    Fault.HANG: Hangs(),
}


@asynccontextmanager
async def open_remote(clock: BenchClock) -> AsyncIterator[Remote]:
    """Start a chain and two nodes of it, for payments by memo."""
    async with _open(clock, has_addresses=False) as remote:
        yield remote


@asynccontextmanager
async def open_remote_with_addresses(clock: BenchClock) -> AsyncIterator[Remote]:
    """Start the same for payments by plain transfers to an address of each."""
    async with _open(clock, has_addresses=True) as remote:
        yield remote


@asynccontextmanager
async def _open(clock: BenchClock, *, has_addresses: bool) -> AsyncIterator[Remote]:
    chain = ScriptedChain({address: Token() for address in _TOKENS.values()}, _CHAIN_ID)
    chain.masters = dict(_MASTERS)
    chain.settle(3)
    async with open_nodes(chain, 2) as nodes, open_node(chain, ScriptedSponsor) as sponsor:
        remote = TempoRemote(clock, chain, nodes, sponsor, has_addresses=has_addresses)
        remote.synchronize_clock()
        yield remote


class TempoRemote(Remote):
    """The scripted chain, controlled by the kit."""

    remembers = False
    #: The tokens were checked at the start, and health asks again after a while. `cancel` and the
    #: watch ask the nodes.
    sends_nothing = frozenset({"create", "fetch", "health"})
    refund_destination = _PAYER
    needs_watch = True

    def __init__(
        self,
        clock: BenchClock,
        chain: ScriptedChain,
        nodes: list[ScriptedNode],
        sponsor: ScriptedNode,
        *,
        has_addresses: bool,
    ) -> None:
        self._clock = clock
        self._chain = chain
        self._nodes = nodes
        self._sponsor = sponsor
        self._finalizes = True
        self.secrets = {"tempo_memo_key": ("a key of the conformance kit",)}
        self.settings = {
            "receiver_address": _US,
            "rpc_url": [node.url for node in nodes],
            "chain_id": _CHAIN_ID,
            "tokens": _TOKENS,
            "watched_tokens": [],
            "poll_interval_s": 0.1,
            "start_block": 0,
            "fee_sponsor_url": f"{sponsor.url}/{_SPONSOR_KEY}",
            **({"master_id": _MASTER_ID} if has_addresses else {}),
        }

    def synchronize_clock(self) -> None:
        """Advance the kit's clock to the newest block."""
        newest = datetime.fromtimestamp(self._chain.head.time_ms / 1000, UTC)
        if newest > self._clock.now():
            self._clock.advance(newest - self._clock.now())

    async def requests(self) -> int:
        """Return the number of requests that the nodes have received."""
        return sum(node.asked.total() for node in self._nodes)

    async def objects(self, payment_id: UUID) -> int:
        """Return 1: a payment is only its memo, which cannot exist twice on a chain."""
        await trio.lowlevel.checkpoint()
        return 1

    def metadata(self, fault: Fault | None) -> Mapping[str, str]:
        """Return no metadata: no fault can happen in `create`."""
        if fault is not None:
            raise CannotHappen("creating sends nothing to the chain")
        return {}

    async def fault(self, fault: Fault) -> None:
        """Let all nodes answer in the manner of the fault."""
        if fault is Fault.RATE_LIMITED:
            raise _PAUSED
        if fault not in _MANNERS:
            raise _NO_KEY
        for node in self._nodes:
            node.behaves(_MANNERS[fault])
        await trio.lowlevel.checkpoint()

    async def sponsor_fault(self, fault: Fault) -> None:
        """Let the sponsor answer in the manner of the fault, and the nodes as before."""
        self._sponsor.behaves(_MANNERS[fault])
        await trio.lowlevel.checkpoint()

    async def sponsored(self) -> int:
        """Return the number of requests to the sponsor."""
        await trio.lowlevel.checkpoint()
        return self._sponsor.asked.total()

    async def wallet_request(self, action: CryptoTransfer, amount: int, until: datetime) -> bytes:
        """Return what a new account's wallet sends to the sponsor."""
        await trio.lowlevel.checkpoint()
        return request_of(action, amount, int(until.timestamp()))

    async def mend(self) -> None:
        """Let all nodes and the sponsor be honest again."""
        for node in (*self._nodes, self._sponsor):
            node.heals()
        await trio.lowlevel.checkpoint()

    def retry_after_s(self) -> float:
        """Raise CannotHappen: no call waits for a node."""
        raise _PAUSED

    async def forbid(self) -> None:
        """Raise CannotHappen: a node knows no rights."""
        raise _NO_KEY

    async def expire_token(self) -> None:
        """Raise CannotHappen: nodes are asked without a token."""
        raise _NO_KEY

    async def refuse_tokens(self) -> None:
        """Raise CannotHappen: nodes are asked without a token."""
        raise _NO_KEY

    def changed_settings(self) -> Mapping[str, Any]:
        """Return the settings with another receiver and another time to live."""
        changed = {**self.settings, "receiver_address": _OTHERS, "payment_ttl_minutes": 45}
        if "master_id" in changed:
            changed["master_id"] = _OTHER_MASTER_ID
        return changed

    async def received(self, ref: PaymentRef) -> int:
        """Return the sum of the transfers with the payment's memo or to its address."""
        await trio.lowlevel.checkpoint()
        ours: set[tuple[str | None, ...]] = {(TRANSFER_WITH_MEMO, word(_US), ref.reference)}
        ours |= {(TRANSFER, word(address)) for address in ref.aliases}
        return sum(
            int(log.data, 16)
            for block in self._chain.blocks
            for transaction in block.transactions
            for log in transaction.logs
            if log.address == ref.asset and (log.topics[0], *log.topics[2:]) in ours
        )

    async def pay(self, ref: PaymentRef, amount: int) -> None:
        """Transfer the amount to the payment, in a final block."""
        self._chain.send(_paid(ref, amount))
        await self.rest()

    async def asks_for(self, ref: PaymentRef) -> int:
        """Raise CannotHappen: the chain knows nothing of a payment before its transfer."""
        raise CannotHappen("creating sends nothing to the chain")

    async def pay_together(self, refs: Sequence[PaymentRef], amounts: Sequence[int]) -> None:
        """Transfer all amounts in one transaction, each to its payment."""
        self._chain.send(*(_paid(ref, amount) for ref, amount in zip(refs, amounts, strict=True)))
        await self.rest()

    async def pay_unfinal(self, ref: PaymentRef, amount: int) -> None:
        """Transfer the amount in a block that is not final."""
        self._chain.send(_paid(ref, amount))
        self._finalizes = False
        await self.rest()

    async def finalize(self, ref: PaymentRef) -> None:
        """Make all blocks final."""
        self._finalizes = True
        await self.rest()

    async def refuse(self, ref: PaymentRef) -> None:
        """Raise CannotHappen: no payment is refused for good."""
        raise CannotHappen("nobody refuses a transfer on a chain: it happens or does not")

    async def pay_late(self, ref: PaymentRef, amount: int) -> None:
        """Transfer the amount: nobody can prevent a late transfer."""
        await self.pay(ref, amount)

    async def pay_in_another_asset(self, ref: PaymentRef, amount: int) -> None:
        """Transfer another token to the payment."""
        other = next(one for one in _TOKENS.values() if one != ref.asset.lower())
        self._chain.send(_paid(ref, amount, other))
        await self.rest()

    async def dispute(self, ref: PaymentRef) -> None:
        """Raise CannotHappen: a transfer has no dispute."""
        raise CannotHappen("a transfer on a chain cannot be disputed")

    async def later(self, by: timedelta) -> None:
        """Let the next blocks be later."""
        self._chain.skip(by)
        await self.rest()

    async def refund(self, ref: PaymentRef, amount: int) -> None:
        """Transfer the amount back with the payment's memo, as a person would without payd."""
        self._chain.send(transfer(ref.asset, _US, _PAYER, amount, ref.reference))
        await self.rest()

    async def transfer(self, action: NextAction) -> None:
        """Transfer what a refund's instructions say."""
        assert isinstance(action, CryptoTransfer)  # noqa: S101 - what the provider returns
        receiver, amount = action.receiver_address, action.amount_base_units
        self._chain.send(transfer(action.token_address, _US, receiver, amount, action.memo))
        await self.rest()

    async def rest(self) -> None:
        """Mine one more block, usually a final one."""
        self._chain.mine()
        if self._finalizes:
            self._chain.finalize()
        self.synchronize_clock()
        await trio.lowlevel.checkpoint()

    async def has_read(self, cursor: str | None) -> bool | None:
        """Compare with the final block; None while blocks are seen that are not final."""
        await trio.lowlevel.checkpoint()
        if not self._finalizes:
            return None
        return cursor is not None and cursor_of(cursor).point.number >= self._chain.finalized

    def key_name(self) -> str:
        """Raise CannotHappen: no credential is sent to the chain."""
        raise CannotHappen("the memo key gives no access: it signs memos")


def _paid(ref: PaymentRef, amount: int, token: str = "") -> Call:
    """The customer's transfer: plain to the payment's own address, else with its memo."""
    token = token or ref.asset
    for address in ref.aliases:
        return to_virtual(token, _PAYER, address, _US, amount)
    return transfer(token, _PAYER, _US, amount, ref.reference)

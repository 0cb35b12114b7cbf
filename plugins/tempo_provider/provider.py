"""The Tempo provider: transfer instructions, the state of the chain watch, account balances.

Nothing is created on the chain. A payment's memo is made once and stored with it; what arrives is
found by the watch, whatever has become of the payment since.
"""

import re
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from functools import cache, partial
from itertools import chain
from typing import Any

import httpx
import trio
from web3 import Web3

from payd.plugins import (
    Absent,
    Created,
    CreateOperation,
    CryptoTransfer,
    Found,
    Holding,
    InvalidRequest,
    Logger,
    NotAttempted,
    PaymentRef,
    Provider,
    ProviderContext,
    ProviderStatus,
    RefundInstructions,
    RefundOperation,
    RefundRef,
    Sink,
    Snapshot,
    SponsorRequest,
)
from tempo_provider.config import TempoConfig
from tempo_provider.contracts import (
    DECIMALS,
    TRANSFER,
    TRANSFER_WITH_MEMO,
    topic_of,
    transfer_calldata,
)
from tempo_provider.cursor import Cursor, Point, cursor_of
from tempo_provider.forks import log_fork
from tempo_provider.memo import memo_of, reference_of
from tempo_provider.nudge import Nudge
from tempo_provider.receivers import why_not_a_receiver
from tempo_provider.refund_memo import refund_memo_of
from tempo_provider.rpc import Endpoint, RpcError, Unreadable
from tempo_provider.slices import read_point
from tempo_provider.sponsor import ANSWER_BYTES_MAX, Sponsor, SponsorEndpoint
from tempo_provider.tokens import Tokens, read_balances, read_master
from tempo_provider.transfers import UnreadableLog, amount_of, memo_in
from tempo_provider.virtual import is_virtual, master_id_of, virtual_address
from tempo_provider.watcher import Watcher
from tempo_provider.witnesses import Witnesses

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
#: Blocks of lag above which cancel does not query a payment's transfers; the watch finds them.
GAP_BLOCKS_MAX = 10_000
#: Seconds that the start waits for the chain.
CHECK_S = 4.0
#: Seconds that the very first payments wait for the watch to begin.
BEGIN_S = 3.0
BEGIN_POLL_S = 0.1
#: Largest amount in a token contract; a larger sum is wrong and cannot be stored.
UNITS_MAX = 2**256 - 1


@asynccontextmanager
async def open_provider(context: ProviderContext, config: TempoConfig) -> AsyncIterator[Provider]:
    """Open the provider. Starts while the chain is unreachable, but not with another chain."""
    timeout_s = config.request_timeout_s
    # Refuse compression: a short response could unpack to a very long one.
    plain = {"accept-encoding": "identity"}
    async with httpx.AsyncClient(timeout=timeout_s, headers=plain, verify=_tls()) as http:
        endpoints = [Endpoint(url, http, context.clock, timeout_s) for url in config.rpc_url]
        witnesses = Witnesses(endpoints, config.quorum, context.log, context.metrics)
        tokens = Tokens(config, witnesses, context.log, context.metrics)
        await _check_at_start(tokens, witnesses, context.log)
        sponsor = None
        if config.fee_sponsor_url is not None:
            service = SponsorEndpoint(
                config.fee_sponsor_url, http, context.clock, timeout_s, ANSWER_BYTES_MAX
            )
            sponsor = Sponsor(service, [one.beside() for one in endpoints], context)
        yield TempoProvider(context, config, witnesses, tokens, sponsor)


@cache
def _tls() -> ssl.SSLContext:
    """The context of all clients of this process: reading the authorities takes 30 ms."""
    return httpx.create_ssl_context()


async def _check_at_start(tokens: Tokens, witnesses: Witnesses, log: Logger) -> None:
    """Check chain and tokens. A wrong one stops the start; an unreachable chain is only logged."""
    with trio.move_on_after(CHECK_S) as checking:
        try:
            await tokens.check()
        except NotAttempted as error:
            log.warning("chain_away_at_start", error=str(error))
            return
    if checking.cancelled_caught:
        log.warning("chain_away_at_start", error=f"no answer in {CHECK_S:g} s")
        return
    await log_fork(witnesses, log)


class TempoProvider:
    """Provider, SupportsPrepare, SupportsRefund, SupportsSponsor, SupportsWatch, SupportsAudit."""

    #: Only one daemon runs the watch; others would only double the requests.
    singleton = True

    def __init__(
        self,
        context: ProviderContext,
        config: TempoConfig,
        witnesses: Witnesses,
        tokens: Tokens,
        sponsor: Sponsor | None = None,
    ) -> None:
        self._context = context
        self._config = config
        self._witnesses = witnesses
        self._tokens = tokens
        self._sponsor = sponsor
        #: Watched pairs of account and token, as last read.
        self._known_pairs: AbstractSet[tuple[str, str]] = frozenset()

    def prepare(self, operation: CreateOperation) -> Mapping[str, Any]:
        """Compute the memo with the newest key, and the receiver: our account, or an address of it.

        The account is stored, too: the settings may have another one when `create` is called.
        """
        key = self._context.secrets["tempo_memo_key"][0]
        receiver = account = self._config.receiver_address
        if self._config.master_id is not None and operation.tag is not None:
            receiver = virtual_address(self._config.master_id, operation.tag)
        return {
            "memo": memo_of(operation.payment_id, key),
            "receiver_address": receiver,
            "account": account,
        }

    async def create(self, operation: CreateOperation) -> Created:
        """Return the transfer instructions. Only checks on the chain that the token is usable."""
        terms = operation.crypto
        if terms is None:
            raise NotAttempted("the payment has no token: pass crypto_currency")
        await self._tokens.require(terms.token_address)
        memo = str(operation.parameters["memo"])
        receiver = str(operation.parameters["receiver_address"])
        account = str(operation.parameters.get("account", receiver))
        await self._require_watched(account, terms.token_address)
        amount, has_own = terms.due_base_units, receiver != account
        uri_memo = None if has_own else memo
        action = CryptoTransfer(
            currency=terms.currency,
            chain_id=terms.chain_id,
            token_address=terms.token_address,
            receiver_address=receiver,
            amount_base_units=amount,
            decimals=DECIMALS,
            memo=memo,
            calldata=transfer_calldata(receiver, amount, memo),
            payment_uri=_payment_uri(
                terms.token_address, terms.chain_id, receiver, amount, uri_memo
            ),
        )
        aliases = (receiver,) if has_own else ()
        return Created(reference=memo, next_action=action, aliases=aliases)

    async def fetch(self, ref: PaymentRef) -> Found | Absent:
        """Return the time that the watch has reached; the money itself is reported by receipts."""
        if ref.reference is None:
            return Absent()
        cursor = await self._cursor()
        standing = _standing(ref, cursor.point, 0)
        return Found(created=Created(reference=ref.reference, next_action=None), snapshot=standing)

    async def cancel(self, ref: PaymentRef) -> Snapshot:
        """Return what has arrived after the watch's cursor, up to the current final block."""
        cursor = await self._cursor()
        witnesses = self._witnesses
        try:
            last = witnesses.final(await witnesses.heads())
            if last <= cursor.point.number:
                return _standing(ref, cursor.point, 0)
            if last - cursor.point.number > GAP_BLOCKS_MAX:
                raise NotAttempted("the watch is too far behind")
            ahead = partial(read_sent, ref=ref, cursor=cursor, last=last)
            point, seen = await witnesses.agree(ahead)
        except RpcError as error:
            raise NotAttempted(f"the chain cannot be read: {error}") from None
        return _standing(ref, point, seen)

    async def refund(self, operation: RefundOperation) -> RefundInstructions:
        """Say what to transfer: payd has no key. The memo is that of the refund."""
        destination = await self._destination(operation.destination)
        token = operation.asset.lower()
        await self._require_watched(self._config.receiver_address, token)
        key, amount = self._context.secrets["tempo_memo_key"][0], operation.amount
        memo = refund_memo_of(operation.refund_id, destination, key)
        chain_id = self._config.chain_id
        action = CryptoTransfer(
            currency=self._config.code_of(token),
            chain_id=chain_id,
            token_address=token,
            receiver_address=destination,
            amount_base_units=amount,
            decimals=DECIMALS,
            memo=memo,
            calldata=transfer_calldata(destination, amount, memo),
            payment_uri=_payment_uri(token, chain_id, destination, amount, memo),
        )
        return RefundInstructions(next_action=action)

    async def fetch_refund(self, ref: RefundRef) -> Absent:
        """Return Absent: instructions leave no trace, and the watch reports the transfer."""
        await trio.lowlevel.checkpoint()
        return Absent()

    async def sponsor(self, request: SponsorRequest) -> bytes:
        """Forward a transaction that pays the payment and nothing else to the fee's sponsor."""
        if self._sponsor is None:
            raise NotAttempted("`fee_sponsor_url` is not set")
        return await self._sponsor.answer(request)

    async def _destination(self, text: str) -> str:
        """Check where to send to. Nobody can take a transfer back.

        Raises InvalidRequest, and NotAttempted when nobody says whose a virtual address is.
        """
        address = text.strip()
        if not _ADDRESS.fullmatch(address):
            why = "it is not an address: 0x and 40 hexadecimal digits"
        elif not _has_checksum(address):
            why = "the address is mistyped: its checksum (EIP-55) is wrong"
        elif await self._is_ours(address.lower()):
            why = "it is our own account"
        else:
            why = why_not_a_receiver(address.lower())
        if why:
            raise InvalidRequest("destination", why)
        return address.lower()

    async def _is_ours(self, address: str) -> bool:
        """Whether money sent there is ours again, be it by settings of the past."""
        stored = await self._context.read_cursor()
        accounts = cursor_of(stored).accounts if stored else frozenset()
        if is_virtual(address):
            read = partial(read_master, master_id=master_id_of(address))
            try:
                address = await self._witnesses.agree(read)
            except RpcError as error:
                raise NotAttempted(f"the chain cannot be read: {error}") from None
        return address in accounts | {self._config.receiver_address}

    async def health(self) -> None:
        """Check that the remote side responds to our credentials."""
        await self._tokens.check()

    async def watch(self, sink: Sink, *, task_status: trio.TaskStatus[None]) -> None:
        """Report transfers to the sink until cancelled."""
        task_status.started()
        context, url = self._context, self._config.ws_url
        nudge = Nudge(url, _tls(), context.log, context.metrics) if url else None
        watcher = Watcher(
            self._config,
            self._witnesses,
            memo_keys=lambda: context.secrets["tempo_memo_key"],
            clock=context.clock,
            log=context.log,
            metrics=context.metrics,
            nudge=nudge,
        )
        if nudge is None:
            await watcher.run(sink)
        else:
            await _run_nudged(watcher, nudge, sink)

    async def holdings(self, cursor: str) -> Sequence[Holding]:
        """Read the balances of our accounts at the end of the cursor's block."""
        at = cursor_of(cursor)
        pairs = [(one.account, one.token) for one in at.openings]
        read = partial(read_balances, pairs=pairs, block=at.point.number)
        try:
            units = await self._witnesses.agree(read)
        except RpcError as error:
            raise NotAttempted(f"the chain cannot be read: {error}") from None
        balances = dict(zip(pairs, units, strict=True))
        return [
            Holding(
                asset=token,
                opening=sum(one.units for one in at.openings if one.token == token),
                balance=sum(held for (_, of), held in balances.items() if of == token),
                at=f"block {at.point.number} {at.point.hash}",
            )
            for token in sorted(at.tokens)
        ]

    async def _require_watched(self, receiver: str, token: str) -> None:
        """Wait until the watch covers the pair: earlier transfers would never be seen."""
        pair = (receiver.lower(), token.lower())
        if pair in self._known_pairs:
            return
        with trio.move_on_after(BEGIN_S):
            while True:
                stored = await self._context.read_cursor()
                self._known_pairs = cursor_of(stored).since().keys() if stored else frozenset()
                if pair in self._known_pairs:
                    return
                await trio.sleep(BEGIN_POLL_S)
        raise NotAttempted("the watch has not begun")

    async def _cursor(self) -> Cursor:
        stored = await self._context.read_cursor()
        if stored is None:
            raise NotAttempted("the watch has not begun")
        return cursor_of(stored)


async def _run_nudged(watcher: Watcher, nudge: Nudge, sink: Sink) -> None:
    """Run the watch beside its nudge, until cancelled."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(nudge.run)
        await watcher.run(sink)


def _has_checksum(address: str) -> bool:
    """Whether its checksum is right; an address in one case has none."""
    digits = address[2:]
    return digits in (digits.lower(), digits.upper()) or Web3.is_checksum_address(address)


async def read_sent(
    endpoint: Endpoint, ref: PaymentRef, cursor: Cursor, last: int
) -> tuple[Point, int]:
    """Block `last`, and what arrived for the payment since the cursor. Raises RpcError.

    That is what has its memo, and what its own address forwarded.
    """
    point = await read_point(endpoint, last)
    ours = [topic_of(account) for account in sorted(cursor.accounts)]
    # No filter of memos: a person may have typed each letter in either case.
    filters: list[Sequence[Any]] = [[[TRANSFER_WITH_MEMO], None, ours]]
    aliases = set(ref.aliases) - cursor.accounts
    if own := sorted(topic_of(one) for one in aliases if is_virtual(one)):
        filters.append([[TRANSFER], own, ours])
    span = {
        "fromBlock": hex(cursor.point.number + 1),
        "toBlock": hex(last),
        "address": ref.asset,
    }
    with_memo, *forwarded = await endpoint.batch(
        [("eth_getLogs", (span | {"topics": topics},)) for topics in filters]
    )
    names = (ref.reference, str(ref.payment_id))
    try:
        logs = [log for log in with_memo if reference_of(memo_in(log)) in names]
        seen = sum(amount_of(log) for log in chain(logs, *forwarded))
    except (TypeError, UnreadableLog) as error:
        raise Unreadable(f"{endpoint.name}: {error}") from None
    if seen > UNITS_MAX:
        raise Unreadable(f"{endpoint.name}: the sum of transfers exceeds a token's maximum")
    return point, seen


def _standing(ref: PaymentRef, point: Point, seen: int) -> Snapshot:
    """Build a snapshot without confirmed money: only receipts confirm money, each once."""
    return Snapshot(
        status=ProviderStatus.PROCESSING if seen else ProviderStatus.OPEN,
        asset=ref.asset,
        received=seen,
        confirmed=0,
        as_of=point.complete_time,
        reference=ref.reference,
    )


def _payment_uri(token: str, chain_id: int, receiver: str, amount: int, memo: str | None) -> str:
    """Build an ERC-681 URI, of a plain transfer without a memo.

    With one, a wallet that lacks the function refuses, instead of losing the memo.
    """
    if memo is None:
        return f"ethereum:{token}@{chain_id}/transfer?address={receiver}&uint256={amount}"
    return (
        f"ethereum:{token}@{chain_id}/transferWithMemo"
        f"?address={receiver}&uint256={amount}&bytes32={memo}"
    )

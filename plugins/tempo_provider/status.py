"""What `payd tempo status` shows: chain, endpoints, tokens, and how far payd has read."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import attrs
import httpx
import trio

from payd.plugins import Clock, Logger, NoMetrics
from tempo_provider.config import TempoConfig
from tempo_provider.cursor import Point
from tempo_provider.forks import TESTED_FORKS, active_fork
from tempo_provider.networks import NETWORKS
from tempo_provider.quantities import quantity
from tempo_provider.rpc import Endpoint, RpcError
from tempo_provider.slices import read_head, read_point
from tempo_provider.tokens import read_standings, what_is_wrong, why_unusable
from tempo_provider.witnesses import Witnesses

Document = Mapping[str, Any]

#: Seconds from the transfer to a final block, on a chain that is well.
_FINALITY_S = 2.0


class _SystemClock:
    """The time of day: a command runs outside the daemon, which would pass its clock."""

    def now(self) -> datetime:
        """Return the current time."""
        return datetime.now(UTC)


class _Silent:
    """A log whose lines the document has already."""

    def info(self, event: str, **fields: Any) -> None:
        """Drop the line."""

    warning = error = info


@attrs.define(kw_only=True, eq=False)
class _Seen:
    """What one endpoint has answered."""

    endpoint: Endpoint
    chain_id: int | None = None
    latest: int | None = None
    final: Point | None = None
    #: Whether it has the same block as the others at the newest height that enough of them have.
    agrees: bool | None = None
    error: str = ""


async def read_status(
    config: TempoConfig,
    figures: Mapping[str, float],
    clock: Clock | None = None,
    log: Logger | None = None,
) -> Document:
    """Ask the endpoints now; `figures` are the running daemon's metrics, or nothing."""
    clock, log = clock or _SystemClock(), log or _Silent()
    async with httpx.AsyncClient(timeout=config.request_timeout_s) as http:
        endpoints = [Endpoint(url, http, clock, config.request_timeout_s) for url in config.rpc_url]
        witnesses = Witnesses(endpoints, config.quorum, log, NoMetrics())
        seen = [_Seen(endpoint=endpoint) for endpoint in endpoints]
        async with trio.open_nursery() as nursery:
            for one in seen:
                nursery.start_soon(_look, one)
        final = _final(seen, config.quorum)
        await _compare(seen, final)
        fork = await active_fork(witnesses)
        tokens = await _tokens(config, witnesses)
    return {
        "network": _network(config),
        "chain_id": config.chain_id,
        "fork": fork,
        "fork_is_tested": fork in TESTED_FORKS if fork else None,
        "head_block": max((one.latest for one in seen if one.latest is not None), default=None),
        "final_block": final,
        "final_age_s": _age_s(seen, final, clock.now()),
        **_watch(config, figures, endpoints),
        "quorum": config.quorum,
        "endpoints": [_endpoint(one, config.chain_id) for one in seen],
        "tokens": tokens,
    }


async def _look(seen: _Seen) -> None:
    endpoint = seen.endpoint
    try:
        chain_id, latest = await endpoint.batch([("eth_chainId", ()), ("eth_blockNumber", ())])
        seen.chain_id, seen.latest = quantity(chain_id), quantity(latest)
        seen.final = await read_head(endpoint)
    except RpcError as error:
        seen.error = str(error)
    except ValueError as error:
        seen.error = f"{endpoint.name}: {error}"


def _final(seen: Sequence[_Seen], quorum: int) -> int | None:
    numbers = sorted((one.final.number for one in seen if one.final is not None), reverse=True)
    return numbers[quorum - 1] if len(numbers) >= quorum else None


async def _compare(seen: Sequence[_Seen], number: int | None) -> None:
    """Compare the endpoints' blocks at one height; the hash that most have is the right one."""
    hashes: dict[str, list[_Seen]] = {}
    for one in seen:
        if number is None or one.final is None or one.final.number < number:
            continue
        try:
            point = await read_point(one.endpoint, number)
        except RpcError as error:
            one.error = str(error)
        else:
            hashes.setdefault(point.hash, []).append(one)
    sizes = [len(alike) for alike in hashes.values()]
    most = max(sizes, default=0)
    for alike in hashes.values():
        for one in alike:
            one.agrees = len(alike) == most and sizes.count(most) == 1


async def _tokens(config: TempoConfig, witnesses: Witnesses) -> list[Document]:
    offered = config.offered
    read = partial(read_standings, tokens=tuple(offered.values()), receiver=config.receiver_address)
    try:
        standings = await witnesses.agree(read)
    except RpcError as error:
        return [_token(code, at, config, "unknown", str(error)) for code, at in offered.items()]
    documents = []
    for code, address in offered.items():
        standing = standings[address]
        wrong = what_is_wrong(standing, config.currency_of(address)) or why_unusable(standing)
        state = "unusable" if wrong else "ok"
        documents.append(_token(code, address, config, state, wrong, standing.policy_id))
    return documents


def _token(
    code: str, address: str, config: TempoConfig, state: str, detail: str, policy: int | None = None
) -> Document:
    return {
        "code": code,
        "address": address,
        "currency": config.currency_of(address),
        "transfer_policy": policy,
        "state": state,
        "detail": detail,
    }


def _network(config: TempoConfig) -> str:
    by_chain = {one.chain_id: name for name, one in NETWORKS.items()}
    return config.network or by_chain.get(config.chain_id, "")


def _age_s(seen: Sequence[_Seen], final: int | None, now: datetime) -> float | None:
    """Age of the final block: that of an endpoint that has it as its newest."""
    times = [one.final.time for one in seen if one.final and one.final.number == final]
    return round((now - max(times)).total_seconds(), 1) if times else None


def _watch(
    config: TempoConfig, figures: Mapping[str, float], endpoints: Sequence[Endpoint]
) -> Document:
    """How far the watch of the daemon is, how often it asks, and what that means for a payment."""
    poll_s = figures.get("payd_tempo_poll_interval_seconds")
    if poll_s is None:
        allowed = sorted(one.budget.usual_interval_s() for one in endpoints)[config.quorum - 1]
        poll_s = max(config.poll_interval_s, allowed)
    return {
        "watch_block": figures.get("payd_tempo_cursor_block"),
        "watch_lag_blocks": figures.get("payd_tempo_cursor_lag_blocks"),
        "poll_interval_s": round(poll_s, 2),
        # Limited endpoints are asked for a block in the step after the one that has seen it.
        "completes_within_s": round(2 * poll_s + _FINALITY_S, 1),
        "unmatched_receipts": figures.get("payd_unmatched_receipts"),
    }


def _endpoint(seen: _Seen, chain_id: int) -> Document:
    budget = seen.endpoint.budget
    return {
        "name": seen.endpoint.name,
        "state": _state(seen, chain_id),
        "final_block": seen.final.number if seen.final else None,
        "limit": budget.limit,
        "remaining": budget.remaining if budget.limit is not None else None,
        "takes_batches": seen.endpoint.takes_batches,
        "detail": seen.error,
    }


def _state(seen: _Seen, chain_id: int) -> str:
    if seen.error:
        return "failed"
    if seen.chain_id != chain_id:
        return f"of chain {seen.chain_id}"
    return {True: "agrees", False: "disagrees", None: "behind"}[seen.agrees]

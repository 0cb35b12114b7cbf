"""One endpoint's logs of a range of blocks, checked for consistency.

A short range is read with the header of each of its blocks: they must link, each log must lie in
one of them, and a header's bloom filter must not contradict the logs. A long one, while catching
up, is held by the headers at its ends and of the blocks that have logs.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import attrs
from eth_utils.crypto import keccak

from tempo_provider.contracts import (
    GUARD,
    TRANSFER,
    TRANSFER_BLOCKED,
    TRANSFER_WITH_MEMO,
    topic_of,
)
from tempo_provider.cursor import Point, point_of
from tempo_provider.hops import forwarded, join_hops
from tempo_provider.rpc import Call, Endpoint, Unreadable
from tempo_provider.transfers import (
    Blocked,
    Log,
    Transfer,
    UnreadableLog,
    read_blocked,
    read_transfers,
)

#: Maximum number of blocks in a range that is read with all its headers.
LINKED_MAX = 64
#: A bloom filter with more bits set than this matches nearly everything.
_BLOOM_USEFUL_BITS = 1024

Header = Mapping[str, Any]

#: Most addresses in one filter.
_ADDRESSES_MAX = 200

#: Number of `log_filters`.
_FILTERS = 3
_HEAD: Call = ("eth_getBlockByNumber", ("finalized", False))


@attrs.frozen(kw_only=True)
class Watched:
    """The accounts and tokens whose transfers are read; addresses in lower case."""

    accounts: frozenset[str]
    tokens: frozenset[str]


@attrs.frozen(kw_only=True)
class Slice:
    """The transfers in blocks `first` to `last`. Two honest endpoints return equal slices."""

    first: int
    last: Point
    #: The block at the anchor's height; another hash means that the chain has changed.
    anchor: Point
    transfers: tuple[Transfer, ...]
    blocked: tuple[Blocked, ...]
    #: The blocks that contain any of these.
    points: Mapping[int, Point]


class Ahead(NamedTuple):
    """An endpoint's newest final block, and the slice that was asked for with it."""

    head: Point
    found: Slice


async def read_head(endpoint: Endpoint) -> Point:
    """Read the endpoint's newest final block. Raises RpcError."""
    return _point(endpoint, *await endpoint.batch([_HEAD]))


async def read_point(endpoint: Endpoint, number: int) -> Point:
    """Read a block by its number. Raises RpcError."""
    return _point(endpoint, await endpoint.call("eth_getBlockByNumber", hex(number), False))


async def read_ahead(
    endpoint: Endpoint, watched: Watched, anchor: int, first: int, last: int
) -> Ahead:
    """Read a slice, and in the same request the newest final block. Raises RpcError."""
    calls, numbers = _slice_calls(endpoint, watched, anchor, first, last)
    head, *answers = await endpoint.batch([_HEAD, *calls])
    found = await _slice_of(endpoint, watched, numbers, range(first, last + 1), answers)
    return Ahead(_point(endpoint, head), found)


async def read_slice(
    endpoint: Endpoint, watched: Watched, anchor: int, first: int, last: int
) -> Slice:
    """Read our transfers in blocks `first` to `last`. Raises RpcError."""
    calls, numbers = _slice_calls(endpoint, watched, anchor, first, last)
    answers = await endpoint.batch(calls)
    return await _slice_of(endpoint, watched, numbers, range(first, last + 1), answers)


def _slice_calls(
    endpoint: Endpoint, watched: Watched, anchor: int, first: int, last: int
) -> tuple[list[Call], Sequence[int]]:
    """Calls for the logs and headers of a range, and the numbers of those headers.

    Without batches a header for each block would cost too many requests.
    """
    is_linked = endpoint.takes_batches and 0 < last - anchor <= LINKED_MAX
    numbers = range(anchor, last + 1) if is_linked else (anchor, last)
    filters = log_filters(watched, first, last)
    calls: list[Call] = [("eth_getLogs", (one,)) for one in filters]
    return calls + [_header(number) for number in numbers], numbers


async def _slice_of(
    endpoint: Endpoint,
    watched: Watched,
    numbers: Sequence[int],
    span: range,
    answers: Sequence[Any],
) -> Slice:
    """Check the answers to `_slice_calls`, and read what they lack. Raises RpcError."""
    incoming, outgoing, guarded = (_logs(endpoint, one) for one in answers[:_FILTERS])
    headers = dict(zip(numbers, answers[_FILTERS:], strict=True))
    points = {number: _point(endpoint, one, number) for number, one in headers.items()}
    try:
        transfers = await _read_transfers(endpoint, watched, [*incoming, *outgoing])
        blocked = read_blocked(guarded)
    except UnreadableLog as error:
        raise Unreadable(f"{endpoint.name}: {error}") from None
    _check_filters(endpoint, watched, span, transfers, blocked)
    found: list[Transfer | Blocked] = [*transfers, *blocked]
    touched = {one.block for one in found}
    points |= await _read_points(endpoint, sorted(touched - points.keys()))
    _check_hashes(endpoint, points, found)
    if isinstance(numbers, range):
        _check_links(endpoint, [headers[number] for number in numbers])
        known = Counter(str(log["blockHash"]).lower() for log in incoming)
        await _check_blooms(endpoint, watched, [headers[n] for n in numbers[1:]], known)
    return Slice(
        first=span[0],
        last=points[numbers[-1]],
        anchor=points[numbers[0]],
        transfers=tuple(transfers),
        blocked=tuple(blocked),
        points={number: points[number] for number in touched},
    )


async def _read_transfers(
    endpoint: Endpoint, watched: Watched, logs: Sequence[Log]
) -> list[Transfer]:
    """Read transfers, those over virtual addresses with both hops. Raises UnreadableLog, RpcError.

    The filters find the second hops only: the number of addresses does not matter. The first ones
    are asked for by the addresses that have just received something.
    """
    transfers = read_transfers(_each_once(logs))
    second = forwarded(transfers, watched.accounts)
    if not second:
        return transfers
    first = await endpoint.batch([("eth_getLogs", (one,)) for one in _first_hops(second)])
    more = [log for answer in first for log in _logs(endpoint, answer)]
    joined = join_hops(read_transfers(_each_once([*logs, *more])), watched.accounts)
    # Without the first hops of others, which nobody asked for.
    return [one for one in joined if {one.sender, one.receiver} & watched.accounts]


def _first_hops(second: Sequence[Transfer]) -> Iterator[dict[str, Any]]:
    """Filters for the logs of the transfers to virtual addresses that these forward.

    Each address is in one filter only: however often it received money, no log comes twice.
    """
    addresses = sorted({one.sender for one in second})
    for start in range(0, len(addresses), _ADDRESSES_MAX):
        chunk = addresses[start : start + _ADDRESSES_MAX]
        among = set(chunk)
        part = [one for one in second if one.sender in among]
        yield {
            "fromBlock": hex(min(one.block for one in part)),
            "toBlock": hex(max(one.block for one in part)),
            "address": sorted({one.token for one in part}),
            "topics": [
                [TRANSFER, TRANSFER_WITH_MEMO],
                None,
                [topic_of(address) for address in chunk],
            ],
        }


def log_filters(watched: Watched, first: int, last: int) -> list[dict[str, Any]]:
    """Filters for incoming, outgoing and blocked transfers."""
    span = {"fromBlock": hex(first), "toBlock": hex(last)}
    tokens = sorted(watched.tokens)
    ours = [topic_of(account) for account in sorted(watched.accounts)]
    return [
        span | {"address": tokens, "topics": [[TRANSFER, TRANSFER_WITH_MEMO], None, ours]},
        span | {"address": tokens, "topics": [[TRANSFER, TRANSFER_WITH_MEMO], ours]},
        span | {"address": GUARD, "topics": [[TRANSFER_BLOCKED], None, ours]},
    ]


def _header(number: int) -> Call:
    return "eth_getBlockByNumber", (hex(number), False)


def _point(endpoint: Endpoint, header: Any, number: int | None = None) -> Point:
    if header is None:
        raise Unreadable(
            f"{endpoint.name}: has no block {'finalized' if number is None else number}"
        )
    try:
        point = point_of(header)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(f"{endpoint.name}: not a block: {error!r:.200}") from None
    if number not in (None, point.number):
        raise Unreadable(f"{endpoint.name}: block {point.number} instead of {number}")
    return point


async def _read_points(endpoint: Endpoint, numbers: Sequence[int]) -> dict[int, Point]:
    headers = await endpoint.batch([_header(number) for number in numbers])
    return {
        number: _point(endpoint, header, number)
        for number, header in zip(numbers, headers, strict=True)
    }


def _logs(endpoint: Endpoint, answer: Any) -> list[Log]:
    if not isinstance(answer, list) or not all(isinstance(log, dict) for log in answer):
        raise Unreadable(f"{endpoint.name}: not a list of logs")
    if any(log.get("removed") for log in answer):
        raise Unreadable(f"{endpoint.name}: a log marked removed in a final block")
    return answer


def _each_once(logs: Iterable[Log]) -> list[Log]:
    """Remove duplicates: a transfer between our accounts matches two filters."""
    return list(
        {(str(log.get("blockHash")), str(log.get("logIndex"))): log for log in logs}.values()
    )


# -- consistency checks -------------------------------------------------------------------------


def _check_filters(
    endpoint: Endpoint,
    watched: Watched,
    span: range,
    transfers: Sequence[Transfer],
    blocked: Sequence[Blocked],
) -> None:
    for one in transfers:
        ours = one.receiver in watched.accounts or one.sender in watched.accounts
        if not ours or one.token not in watched.tokens or one.block not in span:
            raise Unreadable(f"{endpoint.name}: a log outside the filter: {one.transaction}")
    for held in blocked:
        if held.receiver not in watched.accounts or held.block not in span:
            raise Unreadable(f"{endpoint.name}: a log outside the filter: {held.transaction}")


def _check_hashes(
    endpoint: Endpoint, points: Mapping[int, Point], found: Iterable[Transfer | Blocked]
) -> None:
    for one in found:
        if one.block_hash != points[one.block].hash:
            raise Unreadable(f"{endpoint.name}: a log of another block {one.block}")


def _check_links(endpoint: Endpoint, headers: Sequence[Header]) -> None:
    for parent, child in pairwise(headers):
        if str(child.get("parentHash")).lower() != str(parent["hash"]).lower():
            raise Unreadable(f"{endpoint.name}: block {child['number']} has another parent")


async def _check_blooms(
    endpoint: Endpoint, watched: Watched, headers: Sequence[Header], known: Mapping[str, int]
) -> None:
    """Read blocks again whose bloom filter matches our transfers; all their logs must be known.

    The request names the block's hash, which a server cannot answer without having the block.
    """
    doubtful = [header for header in headers if _may_have(header, watched)]
    incoming = _without_span(log_filters(watched, 0, 0)[0])
    again = await endpoint.batch(
        [("eth_getLogs", ({"blockHash": one["hash"], **incoming},)) for one in doubtful]
    )
    for header, logs in zip(doubtful, again, strict=True):
        if len(_logs(endpoint, logs)) > known.get(str(header["hash"]).lower(), 0):
            raise Unreadable(f"{endpoint.name}: omitted logs of block {header['number']}")


def _without_span(one: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in one.items() if key in ("address", "topics")}


def _may_have(header: Header, watched: Watched) -> bool:
    try:
        bloom = int(header["logsBloom"], 16)
    except (KeyError, TypeError, ValueError):
        return False
    if not bloom or bloom.bit_count() > _BLOOM_USEFUL_BITS:
        return False

    def has(value: str) -> bool:
        bits = _bloom_bits(value)
        return bloom & bits == bits

    return (
        has(TRANSFER)
        and any(map(has, watched.tokens))
        and any(has(topic_of(account)) for account in watched.accounts)
    )


def _bloom_bits(value: str) -> int:
    """The three bits that an address or a topic sets (Ethereum's yellow paper, 4.4.3)."""
    digest = keccak(hexstr=value)
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return bits

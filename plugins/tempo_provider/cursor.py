"""The watch's cursor: the last block read, and the balances when watching began."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from tempo_provider.quantities import quantity

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Consecutive blocks may have the same time.
_TICK = timedelta(microseconds=1)


@attrs.frozen(kw_only=True)
class Point:
    """A block, by its number and its hash."""

    number: int
    #: 0x-hex in lower case.
    hash: str
    time: datetime

    @property
    def complete_time(self) -> datetime:
        """The latest time that no later block can have."""
        return self.time - _TICK


@attrs.frozen(kw_only=True)
class Opening:
    """An account's balance of a token when watching that pair began."""

    account: str
    token: str
    #: `units` is the balance at the end of this block; only later transfers count.
    block: int
    units: int


@attrs.frozen(kw_only=True)
class Cursor:
    """Stored with the receipts that it covers, in one transaction."""

    chain_id: int
    point: Point
    #: Pairs are watched for ever, because late money may also arrive at old addresses.
    openings: tuple[Opening, ...]

    @property
    def accounts(self) -> frozenset[str]:
        """Our addresses."""
        return frozenset(opening.account for opening in self.openings)

    @property
    def tokens(self) -> frozenset[str]:
        """Addresses of the watched tokens."""
        return frozenset(opening.token for opening in self.openings)

    def missing(self, accounts: Iterable[str], tokens: Iterable[str]) -> list[tuple[str, str]]:
        """Pairs of the given and the known accounts and tokens that are not watched yet."""
        known = {(opening.account, opening.token) for opening in self.openings}
        wanted = {
            (account, token)
            for account in self.accounts | set(accounts)
            for token in self.tokens | set(tokens)
        }
        return sorted(wanted - known)

    def since(self) -> Mapping[tuple[str, str], int]:
        """Map account and token to the block after which their transfers count."""
        return {(opening.account, opening.token): opening.block for opening in self.openings}

    def dumps(self) -> str:
        """Serialise for storage."""
        point = self.point
        return json.dumps(
            {
                "chain_id": self.chain_id,
                "block": point.number,
                "hash": point.hash,
                "time": point.time.isoformat(),
                "openings": [[o.account, o.token, o.block, str(o.units)] for o in self.openings],
            },
            separators=(",", ":"),
        )


def cursor_of(text: str) -> Cursor:
    """Parse the result of `dumps`."""
    fields = json.loads(text)
    return Cursor(
        chain_id=fields["chain_id"],
        point=Point(
            number=fields["block"],
            hash=fields["hash"],
            time=datetime.fromisoformat(fields["time"]),
        ),
        openings=tuple(
            Opening(account=account, token=token, block=block, units=int(units))
            for account, token, block, units in fields["openings"]
        ),
    )


def point_of(header: Mapping[str, Any]) -> Point:
    """Parse a block header. Raises ValueError, KeyError or TypeError for an invalid one."""
    block_hash = header["hash"].lower()
    number, seconds = quantity(header["number"]), quantity(header["timestamp"])
    if len(block_hash) != 66 or int(block_hash, 16) < 0:
        raise ValueError(f"not a block: {block_hash!r:.100}, {number}, {seconds}")
    try:
        time = _EPOCH + timedelta(seconds=seconds)
        return Point(number=number, hash=block_hash, time=time)
    except OverflowError:
        raise ValueError("a block without a time") from None

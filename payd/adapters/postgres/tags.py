"""Tags from a sequence in PostgreSQL, a block at a time: most payments need no statement for it."""

from collections import deque

from payd.adapters.postgres.database import Database
from payd.domain.tag import tag_of

#: Numbers in a block. A daemon that ends leaves the rest of its block unused. The sequence's
#: maximum depends on it.
_BLOCK = 64


class PostgresTags:
    """Implements the port Tags."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._left: deque[int] = deque()

    async def next(self) -> int:
        """Return the next tag of this daemon's block. Raises StoreUnavailable."""
        while not self._left:
            [row] = await self._database.fetch("take_tags")
            first, key = row["block"] * _BLOCK, row["key"].bytes
            self._left.extend(tag_of(number, key) for number in range(first, first + _BLOCK))
        return self._left.popleft()

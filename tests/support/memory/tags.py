"""Tags of a sequence in memory."""

from itertools import count

from payd.domain.tag import tag_of


class MemoryTags:
    """Implements the port Tags."""

    def __init__(self) -> None:
        self._numbers = count()

    async def next(self) -> int:
        return tag_of(next(self._numbers), b"the key of the tests")

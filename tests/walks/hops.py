"""Count the code of payd that one walk runs through: files, functions, calls, depth."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import payd

_ROOM = str(Path(payd.__file__).parent)
_ADAPTERS = f"{_ROOM}/adapters/"


class Hops:
    """What ran between the start and the end of a `counted` block.

    Adapters are left out: their statements run in the database, and the walks have memory for it.
    """

    def __init__(self) -> None:
        self._functions: set[CodeType] = set()
        #: Kept, so that no new frame gets the id of an old one.
        self._frames: dict[int, FrameType] = {}
        self.depth = 0

    @property
    def files(self) -> list[str]:
        """Paths below `payd/` of the modules that ran."""
        paths = {code.co_filename for code in self._functions}
        return sorted(path.removeprefix(_ROOM + "/") for path in paths)

    @property
    def functions(self) -> list[str]:
        """The functions that ran, each once, as `file:name`."""
        return sorted(
            f"{code.co_filename.removeprefix(_ROOM + '/')}:{code.co_qualname}"
            for code in self._functions
        )

    @property
    def calls(self) -> int:
        """How often a function began; resuming a coroutine is no new call."""
        return len(self._frames)

    def see(self, frame: FrameType, event: str, _argument: Any) -> None:
        """The profile function."""
        code = frame.f_code
        if event != "call" or not _is_ours(code) or id(frame) in self._frames:
            return
        self._functions.add(code)
        self._frames[id(frame)] = frame
        self.depth = max(self.depth, _depth(frame))


@contextmanager
def counted() -> Iterator[Hops]:
    """Count what this thread runs within the block, in every task."""
    hops = Hops()
    before = sys.getprofile()
    sys.setprofile(hops.see)
    try:
        yield hops
    finally:
        sys.setprofile(before)


def _is_ours(code: CodeType) -> bool:
    """A named function of payd: comprehensions and generator expressions belong to theirs."""
    path, name = code.co_filename, code.co_name
    return path.startswith(_ROOM) and not path.startswith(_ADAPTERS) and name[0] != "<"


def _depth(frame: FrameType | None) -> int:
    depth = 0
    while frame is not None:
        depth += _is_ours(frame.f_code)
        frame = frame.f_back
    return depth

"""Parse JSON-RPC quantities: block numbers, times and indexes."""

import re
from typing import Any

#: At most 64 bits, as for block numbers, log indexes and chain ids (execution-apis, `uint64`).
#: Python's own `int` also takes signs, gaps and any length, which its `str` then refuses.
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,16}")


def quantity(value: Any) -> int:
    """Parse a quantity. Raises ValueError for anything else."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise ValueError(f"not a quantity: {value!r:.100}")
    return int(value, 16)

"""JSON-RPC quantities: block numbers, times and places, as a node writes them."""

import re
from typing import Any

#: 64 bits: what numbers of blocks, logs and chains have (ethereum/execution-apis, `uint64`).
#: Python's own `int` also takes signs, gaps and any length, which its `str` then refuses.
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,16}")


def quantity(value: Any) -> int:
    """The number; raises ValueError for anything else."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise ValueError(f"not a quantity: {value!r:.100}")
    return int(value, 16)

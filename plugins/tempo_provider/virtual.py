"""Virtual addresses (TIP-1022): an address for each payment, whose money the chain forwards to us.

An address is the master's id of 4 bytes, ten bytes FD, and a tag of 6 bytes.
"""

from typing import Final

_MARK: Final = "fd" * 10


def virtual_address(master_id: str, tag: int) -> str:
    """Build the address of a tag under a master (0x-hex, 4 bytes)."""
    return f"{master_id}{_MARK}{tag:012x}"


def is_virtual(address: str) -> bool:
    """Whether an address (lower case) has the form of a virtual one: no account can have it."""
    return address[10:30] == _MARK


def master_id_of(address: str) -> str:
    """Return the id of the master of a virtual address."""
    return address[:10]

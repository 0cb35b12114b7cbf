"""Search a salt whose hash with an address begins with zeros: Keccak-256, compiled by numba.

numba has no part in the daemon, and compiling takes some seconds: import this module to search.
"""

from typing import Any, Final

import numba
import numpy as np

#: Rate of Keccak-256: the message and its padding are one block of it.
_BLOCK_BYTES: Final = 136
_LANES: Final = 25
#: The lanes of the message where the salt's last 8 bytes stand: the end of one, the begin of the
#: next. A salt follows an address of 20 bytes, and has 32.
_HIGH_LANE, _LOW_LANE = 5, 6


def first_salt(account: bytes, first: int, count: int, zero_bits: int) -> int:
    """The first of `count` salts from `first` on that fits an account of 20 bytes; -1 for none.

    `zero_bits` is a multiple of 8, and at most 64. Other threads run meanwhile.
    """
    mask = np.uint64((1 << zero_bits) - 1)
    return int(_search(_message_of(account), first, count, mask))


def _round_constants() -> Any:
    """Those of the Keccak reference: the bits of a linear feedback shift register."""
    constants, register = [], 1
    for _ in range(24):
        value = 0
        for place in range(7):
            value |= (register & 1) << (1 << place) - 1
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(value)
    return np.array(constants, dtype=np.uint64)


def _rotations() -> tuple[Any, Any]:
    """Along the walk of rho and pi: where each lane goes, and by how many bits it is rotated."""
    places, turns = [], []
    x, y = 1, 0
    for step in range(24):
        x, y = y, (2 * x + 3 * y) % 5
        places.append(x + 5 * y)
        turns.append((step + 1) * (step + 2) // 2 % 64)
    return np.array(places, dtype=np.int64), np.array(turns, dtype=np.uint64)


_CONSTANTS: Final = _round_constants()
_PLACES, _TURNS = _rotations()


def _message_of(address: bytes) -> Any:
    """The padded block of an address and a salt of zeros, as lanes."""
    block = address + bytes(32) + b"\x01"
    block = block.ljust(_BLOCK_BYTES - 1, b"\0") + b"\x80"
    return np.frombuffer(block.ljust(_LANES * 8, b"\0"), dtype="<u8").astype(np.uint64)


@numba.njit(nogil=True)
def _search(message: Any, first: int, count: int, zeros: Any) -> int:
    """The first of `count` salts from `first` on whose hash has no bit of `zeros`; -1 for none.

    `zeros` is a mask of the hash's first 8 bytes, read as a little-endian number.
    """
    state, sums = np.empty(25, np.uint64), np.empty(5, np.uint64)
    for salt in range(first, first + count):
        state[:] = message
        state[_HIGH_LANE] |= np.uint64(_reversed(salt >> 32)) << np.uint64(32)
        state[_LOW_LANE] |= np.uint64(_reversed(salt & 0xFFFFFFFF))
        for constant in _CONSTANTS:
            _mix(state, sums)
            state[0] ^= constant
        if state[0] & zeros == 0:
            return salt
    return -1


@numba.njit(nogil=True)
def _reversed(number: int) -> int:
    """The 4 bytes of a number in the other order."""
    outer = (number & 0xFF) << 24 | number >> 24
    return outer | (number & 0xFF00) << 8 | number >> 8 & 0xFF00


@numba.njit(nogil=True)
def _mix(state: Any, sums: Any) -> None:
    """One round of the permutation, but for its constant: theta, rho and pi, chi."""
    for x in range(5):
        sums[x] = state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20]
    for x in range(5):
        after = sums[(x + 1) % 5]
        parity = sums[(x + 4) % 5] ^ (after << np.uint64(1) | after >> np.uint64(63))
        for y in range(0, 25, 5):
            state[y + x] ^= parity
    moving = state[1]
    for step in range(24):
        place, turn = _PLACES[step], _TURNS[step]
        moved = moving << turn | moving >> (np.uint64(64) - turn)
        moving = state[place]
        state[place] = moved
    for y in range(0, 25, 5):
        for x in range(5):
            sums[x] = state[y + x]
        for x in range(5):
            state[y + x] = sums[x] ^ (~sums[(x + 1) % 5] & sums[(x + 2) % 5])

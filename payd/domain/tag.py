"""Tags: numbers of 48 bits that name payments where a remote side has room for nothing longer."""

import hashlib
import hmac

#: Bits of a tag.
TAG_BITS = 48
_HALF_BITS = TAG_BITS // 2
_HALF = (1 << _HALF_BITS) - 1
#: Four are enough for a permutation that looks random (Luby and Rackoff, 1988).
_ROUNDS = 6


def tag_of(number: int, key: bytes) -> int:
    """Permute the numbers of 48 bits: another number is another tag, and tags tell no order.

    A Feistel network: whatever its rounds compute, it can be undone, so that no two numbers meet.
    """
    left, right = number >> _HALF_BITS, number & _HALF
    for round_ in range(_ROUNDS):
        left, right = right, left ^ _mixed(right, round_, key)
    return left << _HALF_BITS | right


def _mixed(half: int, round_: int, key: bytes) -> int:
    digest = hmac.digest(key, bytes([round_]) + half.to_bytes(3), hashlib.sha256)
    return int.from_bytes(digest[:3])

"""Transfers over virtual addresses: two logs of one movement of money are made one transfer.

The first log is from the sender to the address, and the second from the address to its master's
account. The second is the arrival of the money; the first says who sent it, and which memo it bore.
A log of no money is not the second: anyone may transfer nothing from an address, without an
allowance, and then there is no first one.
"""

from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from tempo_provider.transfers import Transfer, UnreadableLog
from tempo_provider.virtual import is_virtual


def forwarded(transfers: Sequence[Transfer], accounts: AbstractSet[str]) -> Sequence[Transfer]:
    """Those in which a virtual address forwarded money to one of our accounts."""
    return [one for one in transfers if _is_second_hop(one, accounts)]


def join_hops(transfers: Sequence[Transfer], accounts: AbstractSet[str]) -> list[Transfer]:
    """Make one transfer of both hops, in the place of the second; `transfers` are in order.

    The first hop is the nearest one before it with the same money to the same address, in the same
    transaction. Raises UnreadableLog where it is missing.
    """
    first_hops: defaultdict[tuple[str, str, str, int], list[Transfer]] = defaultdict(list)
    joined: dict[tuple[int, int], Transfer] = {}
    for one in transfers:
        if _is_second_hop(one, accounts):
            before = first_hops[one.transaction, one.sender, one.token, one.amount]
            if not before:
                raise UnreadableLog(f"money from a virtual address alone: {one.transaction}")
            first = before.pop()
            del joined[first.block, first.log_index]
            whole = one._replace(sender=first.sender, memo=first.memo, virtual=one.sender)
            joined[one.block, one.log_index] = whole
            continue
        if is_virtual(one.receiver):
            first_hops[one.transaction, one.receiver, one.token, one.amount].append(one)
        joined[one.block, one.log_index] = one
    return list(joined.values())


def _is_second_hop(one: Transfer, accounts: AbstractSet[str]) -> bool:
    return one.amount > 0 and one.receiver in accounts and is_virtual(one.sender)

"""Addresses that cannot receive payments because they belong to the chain itself.

Tokens refuse money sent there, or it is lost, or others can move it.
Source: tempoxyz/tempo, crates/contracts/src/precompiles/mod.rs and zone_factory.rs.
"""

from typing import Final

#: Prefix of every TIP-20 token's address (docs.tempo.xyz/protocol/tip20/spec).
TOKEN_PREFIX: Final = "0x20c000000000000000000000"  # noqa: S105 - an address, not a password
#: Prefix of every zone portal's address, existing or not (TIP-1091).
_PORTAL_PREFIX: Final = "0x5ad000000000000000000000"
#: Finding a key for an address with a run of this many zero bytes takes 2⁸⁰ tries.
_ZERO_BYTES: Final = 10

_OWN: Final = {
    "0x20fc000000000000000000000000000000000000": "the token factory",
    "0x403c000000000000000000000000000000000000": "the registry of transfer policies",
    "0x4d50500000000000000000000000000000000000": "the channel reserve",
    "0x5ad1000000000000000000000000000000000000": "the zone portals' code",
    "0x5af2000000000000000000000000000000000000": "the zone factory",
    "0xb10c000000000000000000000000000000000000": "the guard of receive policies",
    "0xca11bde05977b3631167028862be2a173976ca11": "Multicall3",
    "0xdec0000000000000000000000000000000000000": "the stablecoin exchange",
    "0xfdc0000000000000000000000000000000000000": "the registry of virtual addresses",
    "0xfeec000000000000000000000000000000000000": "the FeeManager",
}


def why_not_a_receiver(address: str) -> str:
    """Why `address` (0x-hex, lower case) cannot be an account; empty if it may be one."""
    if address in _OWN:
        return f"it is {_OWN[address]}"
    if address.startswith(TOKEN_PREFIX):
        return "it is a TIP-20 token"
    if address.startswith(_PORTAL_PREFIX):
        return "it is a zone's portal"
    if bytes(_ZERO_BYTES) in bytes.fromhex(address[2:]):
        return "no key for it can exist"
    return ""

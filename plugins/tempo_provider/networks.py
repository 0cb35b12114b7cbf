"""Tempo's networks: chain id, public endpoint, explorer and tokens of each."""

from collections.abc import Mapping
from typing import Final

import attrs

PATH_USD: Final = "0x20c0000000000000000000000000000000000000"
_ALPHA_USD, _BETA_USD, _THETA_USD = (f"{PATH_USD[:-1]}{n}" for n in (1, 2, 3))
#: The same on mainnet and testnet.
_OUSD: Final = "0x20c0000000000000000000006a37da5c996874be"
_EURC_E: Final = "0x20c0000000000000000000001621e21f71cf12fb"
_TESTNET_USDC_E: Final = "0x20c0000000000000000000009e8d7eb59b783726"

MAINNET, TESTNET, LOCALNET, DEVNET = 4217, 42431, 1337, 31318


@attrs.frozen(kw_only=True)
class Network:
    """What payd knows of a chain: each value replaces a setting that is not set."""

    chain_id: int
    #: Empty for a chain without a public endpoint.
    rpc_url: str = ""
    explorer_url: str = ""
    #: Code → address of the tokens that are offered.
    tokens: Mapping[str, str] = attrs.field(
        factory=lambda: {"USDC": _ALPHA_USD, "USDT": _BETA_USD},
    )
    #: Tokens that are not offered but are real money if a customer sends them.
    watched_tokens: tuple[str, ...] = (PATH_USD, _THETA_USD)


#: Endpoints from docs.tempo.xyz/quickstart/connection-details, tokens from the chain's token list
#: (tokenlist.tempo.xyz/list/4217); elsewhere than on mainnet the faucet's tokens.
NETWORKS: Final[Mapping[str, Network]] = {
    "mainnet": Network(
        chain_id=MAINNET,
        rpc_url="https://rpc.tempo.xyz",
        explorer_url="https://explore.tempo.xyz",
        tokens={
            "USDC": "0x20c000000000000000000000b9537d11c60e8b50",
            "USDT": "0x20c00000000000000000000014f22ca97301eb73",
        },
        watched_tokens=(PATH_USD, _OUSD, _EURC_E),
    ),
    "testnet": Network(
        chain_id=TESTNET,
        rpc_url="https://rpc.moderato.tempo.xyz",
        explorer_url="https://explore.testnet.tempo.xyz",
        watched_tokens=(PATH_USD, _THETA_USD, _OUSD, _TESTNET_USDC_E),
    ),
    "local": Network(chain_id=LOCALNET, rpc_url="http://127.0.0.1:8545"),
}

#: Chain → its name for people.
_NAMES: Final[Mapping[int, str]] = {
    MAINNET: "Tempo",
    TESTNET: "Tempo testnet (Moderato)",
    LOCALNET: "Tempo on this machine",
    DEVNET: "Tempo devnet",
}

#: What a chain id alone says. A local node may have the testnet's id, and neither its explorer nor
#: all of its tokens.
_BY_CHAIN: Final[Mapping[int, Network]] = {
    MAINNET: attrs.evolve(NETWORKS["mainnet"], rpc_url=""),
    **{chain: Network(chain_id=chain) for chain in (TESTNET, LOCALNET, DEVNET)},
}


def name_of(chain_id: int) -> str:
    """A chain's name for people."""
    return _NAMES.get(chain_id, "Tempo")


def network_of(name: object, chain_id: object) -> Network | None:
    """What is known of a network, by its name or else by its chain id, as the settings have them.

    Raises ValueError for the name of one network with the chain id of another.
    """
    number = _number(chain_id)
    network = NETWORKS.get(name) if isinstance(name, str) else None
    if network is None:
        return _BY_CHAIN.get(number) if number is not None else None
    others = {one.chain_id: other for other, one in NETWORKS.items() if other != name}
    if number in others:
        raise ValueError(
            f"`network` is {name}, and `chain_id` {number} is {others[number]}: set one of them"
        )
    return network


def _number(value: object) -> int | None:
    try:
        return int(value) if isinstance(value, int | str) else None
    except ValueError:
        return None

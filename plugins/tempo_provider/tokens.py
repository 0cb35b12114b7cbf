"""The offered tokens and their state on the chain: currency, decimals, paused or not."""

from functools import partial

import attrs
import trio
from web3 import Web3
from web3.exceptions import Web3Exception

from payd.plugins import Logger, Misconfigured, NotAttempted
from tempo_provider.config import TempoConfig
from tempo_provider.contracts import DECIMALS, factory_contract, token_contract
from tempo_provider.quantities import quantity
from tempo_provider.rpc import Endpoint, RpcError, Unreadable, web3_of
from tempo_provider.witnesses import Witnesses

#: Seconds for which a check of chain and tokens is valid.
FRESH_S = 60.0
#: Currency that every token must represent, as prices are in it.
CURRENCY = "USD"


#: Exceptions that web3 raises for an invalid response.
_UNREADABLE = (Web3Exception, ArithmeticError, AttributeError, TypeError, ValueError)


async def read_balance(endpoint: Endpoint, token: str, account: str, block: int) -> int:
    """Balance of `account` in base units of `token` at the end of a block. Raises RpcError."""
    web3 = web3_of(endpoint)
    balance_of = token_contract(web3, token).functions.balanceOf(Web3.to_checksum_address(account))
    try:
        return int(await balance_of.call(block_identifier=block))
    except _UNREADABLE as error:
        raise Unreadable(f"{endpoint.name}: no balance of {token}: {error!r:.200}") from None


@attrs.frozen(kw_only=True)
class Standing:
    """State of a token on the chain."""

    is_tip20: bool
    decimals: int = 0
    currency: str = ""
    is_paused: bool = False


async def read_standing(endpoint: Endpoint, token: str) -> Standing:
    """Read a token's current state. Raises RpcError."""
    web3 = web3_of(endpoint)
    address = Web3.to_checksum_address(token)
    try:
        if not await factory_contract(web3).functions.isTIP20(address).call():
            return Standing(is_tip20=False)
        contract = token_contract(web3, token).functions
        return Standing(
            is_tip20=True,
            decimals=int(await contract.decimals().call()),
            currency=str(await contract.currency().call()),
            is_paused=bool(await contract.paused().call()),
        )
    except _UNREADABLE as error:
        raise Unreadable(f"{endpoint.name}: cannot read token {token}: {error!r:.200}") from None


class Tokens:
    """Checks chain id and tokens at the start and periodically."""

    def __init__(self, config: TempoConfig, witnesses: Witnesses, log: Logger) -> None:
        self._config = config
        self._witnesses = witnesses
        self._log = log
        self._paused: frozenset[str] = frozenset()
        self._checked_at: float | None = None
        self._checking = trio.Lock()

    async def check(self) -> None:
        """Check chain and tokens unless the last check is recent.

        Raises Misconfigured for another chain, or for a token that is not what it should be, and
        NotAttempted when no endpoint answers.
        """
        async with self._checking:
            if self._checked_at is not None and trio.current_time() < self._checked_at + FRESH_S:
                return
            try:
                await self._check_chain()
                await self._check_tokens()
            except RpcError as error:
                raise NotAttempted(f"the chain cannot be read: {error}") from None
            self._checked_at = trio.current_time()

    async def require(self, token: str) -> None:
        """Check that `token` is usable now. Raises NotAttempted, and what `check` raises."""
        if self._checked_at is None:
            await self.check()
        if token.lower() in self._paused:
            raise NotAttempted(f"the token {token} is paused by its issuer")

    async def _check_chain(self) -> None:
        """Check that a quorum of endpoints is on our chain; log endpoints of other chains."""
        ours, others = 0, []
        failure: RpcError = Unreadable("too few endpoints")
        for endpoint in self._witnesses.endpoints:
            try:
                chain_id = quantity(await endpoint.call("eth_chainId"))
            except (TypeError, ValueError):
                failure = Unreadable(f"{endpoint.name}: no chain id")
            except RpcError as error:
                failure = error
            else:
                ours += chain_id == self._config.chain_id
                if chain_id != self._config.chain_id:
                    others.append(f"{endpoint.name} is of chain {chain_id}")
        if others:
            self._log.error("endpoints_of_another_chain", endpoints=others)
        if ours < self._witnesses.quorum:
            if others:
                raise Misconfigured(f"{', '.join(others)}, not {self._config.chain_id}")
            raise failure

    async def _check_tokens(self) -> None:
        paused = set()
        for code, address in self._config.tokens.items():
            standing = await self._witnesses.agree(partial(read_standing, token=address))
            wrong = _what_is_wrong(standing)
            if wrong:
                raise Misconfigured(f"{code} ({address}) {wrong}")
            if standing.is_paused:
                paused.add(address.lower())
                self._log.warning("token_paused", currency=code, token_address=address)
        self._paused = frozenset(paused)


def _what_is_wrong(standing: Standing) -> str:
    if not standing.is_tip20:
        return "is not a TIP-20 token"
    if standing.decimals != DECIMALS:
        return f"has {standing.decimals} decimals, not {DECIMALS}"
    if standing.currency != CURRENCY:
        return f"stands for {standing.currency!r:.20}, not {CURRENCY}"
    return ""

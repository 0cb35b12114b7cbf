"""What must be right on the chain: the offered tokens, and the master of virtual addresses."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import attrs
import trio

from payd.plugins import Logger, Metrics, Misconfigured, NotAttempted
from tempo_provider.config import TempoConfig
from tempo_provider.contracts import (
    BALANCE_OF,
    CURRENCY_OF,
    DECIMALS,
    DECIMALS_OF,
    FACTORY,
    GET_MASTER,
    IS_AUTHORIZED_RECIPIENT,
    IS_TIP20,
    PAUSED,
    POLICIES,
    REGISTRY,
    TRANSFER_POLICY_ID,
    UNREADABLE,
    ZERO,
    View,
)
from tempo_provider.quantities import quantity
from tempo_provider.rpc import Endpoint, Refused, RpcError, Unreadable
from tempo_provider.witnesses import Witnesses

#: Seconds for which a check of chain and tokens is valid.
FRESH_S = 60.0

_STATE = (DECIMALS_OF, CURRENCY_OF, PAUSED, TRANSFER_POLICY_ID)
#: The policy that lets everybody receive; the registry has it from the beginning.
_ALLOWS_ALL = 1


async def read_balances(
    endpoint: Endpoint, pairs: Sequence[tuple[str, str]], block: int
) -> Sequence[int]:
    """Balances of pairs of account and token at the end of a block, in base units.

    Of a token that does not exist nobody has any: a network's token may be created later. Raises
    RpcError.
    """
    calls = [
        call
        for account, token in pairs
        for call in (
            IS_TIP20.call(FACTORY, token, block=hex(block)),
            BALANCE_OF.call(token, account, block=hex(block)),
        )
    ]
    answers = await endpoint.attempt(calls)
    return [
        int(_read(endpoint, BALANCE_OF, balance, token))
        if _read(endpoint, IS_TIP20, exists, token)
        else 0
        for (_, token), exists, balance in zip(pairs, answers[::2], answers[1::2], strict=True)
    ]


@attrs.frozen(kw_only=True)
class Standing:
    """State of a token on the chain."""

    is_tip20: bool
    decimals: int = 0
    currency: str = ""
    is_paused: bool = False
    policy_id: int = _ALLOWS_ALL
    #: Whether the token's transfer policy lets our account receive.
    may_receive: bool = True


async def read_standings(
    endpoint: Endpoint, tokens: Sequence[str], receiver: str
) -> Mapping[str, Standing]:
    """Read the current state of tokens, in as few requests as possible. Raises RpcError."""
    calls = [
        call
        for token in tokens
        for call in (IS_TIP20.call(FACTORY, token), *(view.call(token) for view in _STATE))
    ]
    answers = await endpoint.attempt(calls)
    size = 1 + len(_STATE)
    standings = {
        token: _standing(endpoint, token, answers[size * at : size * (at + 1)])
        for at, token in enumerate(tokens)
    }
    restricted = [token for token, one in standings.items() if one.policy_id != _ALLOWS_ALL]
    allowed = await endpoint.attempt(
        [
            IS_AUTHORIZED_RECIPIENT.call(POLICIES, standings[token].policy_id, receiver)
            for token in restricted
        ]
    )
    for token, answer in zip(restricted, allowed, strict=True):
        may_receive = bool(_read(endpoint, IS_AUTHORIZED_RECIPIENT, answer, token))
        standings[token] = attrs.evolve(standings[token], may_receive=may_receive)
    return standings


def _standing(endpoint: Endpoint, token: str, answers: Sequence[Any]) -> Standing:
    is_tip20, *state = answers
    if not _read(endpoint, IS_TIP20, is_tip20, token):
        return Standing(is_tip20=False)
    decimals, currency, is_paused, policy_id = (
        _read(endpoint, view, answer, token) for view, answer in zip(_STATE, state, strict=True)
    )
    return Standing(
        is_tip20=True,
        decimals=decimals,
        currency=currency,
        is_paused=is_paused,
        policy_id=policy_id,
    )


def _read(endpoint: Endpoint, view: View, answer: Any, token: str) -> Any:
    if isinstance(answer, Refused):
        raise answer
    try:
        return view.read(answer)
    except UNREADABLE as error:
        text = f"{endpoint.name}: cannot read {view.name} of {token}: {error!r:.200}"
        raise Unreadable(text) from None


class Tokens:
    """Checks chain id and tokens at the start and periodically."""

    def __init__(
        self, config: TempoConfig, witnesses: Witnesses, log: Logger, metrics: Metrics
    ) -> None:
        self._config = config
        self._witnesses = witnesses
        self._log = log
        self._metrics = metrics
        #: Token → why it cannot be offered now.
        self._unusable: Mapping[str, str] = {}
        self._checked_at: float | None = None
        self._checking = trio.Lock()

    async def check(self) -> None:
        """Check chain and tokens unless the last check is recent.

        Raises Misconfigured for another chain, for a token that is not what it should be and for a
        master id that is not our account's, and NotAttempted when no endpoint answers.
        """
        async with self._checking:
            if self._checked_at is not None and trio.current_time() < self._checked_at + FRESH_S:
                return
            try:
                await self._check_chain()
                await self._check_tokens()
                await self._check_master()
            except RpcError as error:
                raise NotAttempted(f"the chain cannot be read: {error}") from None
            self._checked_at = trio.current_time()

    async def require(self, token: str) -> None:
        """Check that `token` is usable now. Raises NotAttempted, and what `check` raises."""
        if self._checked_at is None:
            await self.check()
        if why := self._unusable.get(token.lower()):
            raise NotAttempted(f"the token {token} {why}")

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
        config = self._config
        read = partial(
            read_standings,
            tokens=tuple(config.offered.values()),
            receiver=config.receiver_address,
        )
        standings = await self._witnesses.agree(read)
        unusable = {}
        for code, address in config.offered.items():
            standing = standings[address]
            if wrong := what_is_wrong(standing, config.currency_of(address)):
                raise Misconfigured(f"{code} ({address}) {wrong}")
            if why := why_unusable(standing):
                unusable[address] = why
                if self._unusable.get(address) != why:
                    self._log.warning(
                        "token_unusable", currency=code, token_address=address, reason=why
                    )
        self._unusable = unusable
        self._metrics.set("tokens_unusable", len(unusable))

    async def _check_master(self) -> None:
        """Check that money to our virtual addresses is forwarded to our account."""
        master_id, account = self._config.master_id, self._config.receiver_address
        if master_id is None:
            return
        master = await self._witnesses.agree(partial(read_master, master_id=master_id))
        if master == ZERO:
            advice = "register it, as `payd tempo register-master` says, or unset it"
            raise Misconfigured(f"`master_id` {master_id} is not registered: {advice}")
        if master != account:
            raise Misconfigured(f"`master_id` {master_id} is of {master}, not of {account}")


async def read_master(endpoint: Endpoint, master_id: str) -> str:
    """The account to which addresses under an id forward; ZERO without one. Raises RpcError."""
    [answer] = await endpoint.attempt([GET_MASTER.call(REGISTRY, bytes.fromhex(master_id[2:]))])
    return str(_read(endpoint, GET_MASTER, answer, REGISTRY)).lower()


def what_is_wrong(standing: Standing, currency: str) -> str:
    """Why it cannot be the token that the settings mean; empty if it may be."""
    if not standing.is_tip20:
        return "is not a TIP-20 token"
    if standing.decimals != DECIMALS:
        return f"has {standing.decimals} decimals, not {DECIMALS}"
    if standing.currency != currency:
        return f"stands for {standing.currency!r:.20}, not {currency}"
    return ""


def why_unusable(standing: Standing) -> str:
    """Why nobody can pay us with it at present; empty if everybody can."""
    if standing.is_paused:
        return "is paused by its issuer"
    if not standing.may_receive:
        return f"may not be received by our account: its transfer policy {standing.policy_id}"
    return ""

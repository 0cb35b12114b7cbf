"""Remote sides of Acme for tests of the kit: with other members, or with access tokens."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from acme_provider.conformance import AcmeRemote, open_remote
from acme_provider.provider import AcmeProvider

from payd.plugins import Created, Misconfigured, Pace, RateLimited
from payd.plugins.testing import BenchClock, OpenRemote, Remote

__all__ = ["PacedAcme", "TokenAcme", "TokenRemote", "open_tokens", "opening", "opening_tokens"]


def opening(remote: type[Remote]) -> OpenRemote:
    """The remote side of Acme under another class, which may be made as Acme's is."""

    @asynccontextmanager
    async def opened(clock: BenchClock) -> AsyncIterator[Remote]:
        async with open_remote(clock) as usual:
            made: Any = remote(usual._acme)  # type: ignore[attr-defined,call-arg]  # as Acme's
            yield made

    return opened


# -- access tokens -----------------------------------------------------------------------------

#: URL of a fake API → its token endpoint.
_TOKEN_ENDPOINTS: dict[str, "TokenRemote"] = {}


class TokenRemote(AcmeRemote):
    """Acme with a token endpoint; its API key is the token that is valid now."""

    issued = 0
    refuses = False

    def issue(self) -> str:
        """Answer a request for a token. Raises Misconfigured."""
        self._acme.requests += 1
        if self.refuses:
            raise Misconfigured("the token endpoint refuses the client")
        self.issued += 1
        self._acme.api_key = f"token-{self.issued}"
        return self._acme.api_key

    async def expire_token(self) -> None:
        self._acme.api_key = "the next token"

    async def refuse_tokens(self) -> None:
        self.refuses = True

    async def mend(self) -> None:
        self.refuses = False
        await super().mend()

    async def tokens(self) -> int:
        return self.issued


def opening_tokens(kind: type[TokenRemote]) -> OpenRemote:
    """The remote side of Acme with a token endpoint of this kind."""

    @asynccontextmanager
    async def opened(clock: BenchClock) -> AsyncIterator[Remote]:
        async with opening(kind)(clock) as remote:
            url = str(remote.settings["api_base"])
            _TOKEN_ENDPOINTS[url] = remote  # type: ignore[assignment]  # it is one
            yield remote
            del _TOKEN_ENDPOINTS[url]

    return opened


open_tokens = opening_tokens(TokenRemote)


class TokenAcme(AcmeProvider):
    """Replaces an expired token once, whichever call meets it first."""

    token = "none yet"
    renewing: trio.Lock | None = None

    async def create(self, operation: Any) -> Created:
        return await self.with_token(super().create, operation)

    async def fetch(self, ref: Any) -> Any:
        return await self.with_token(super().fetch, ref)

    async def cancel(self, ref: Any) -> Any:
        return await self.with_token(super().cancel, ref)

    async def health(self) -> None:
        await self.with_token(super().health)

    async def with_token(self, call: Callable[..., Any], *arguments: Any) -> Any:
        used = self.token
        self._api._read_key = lambda: self.token
        try:
            return await call(*arguments)
        except Misconfigured:
            await self.renew(used)
        return await call(*arguments)

    async def renew(self, used: str) -> None:
        self.renewing = self.renewing or trio.Lock()
        async with self.renewing:
            if self.token == used:
                self.token = await self.fetch_token()

    async def fetch_token(self) -> str:
        await trio.sleep(0.01)
        return _TOKEN_ENDPOINTS[self._config.api_base].issue()


# -- an outgoing rate limit --------------------------------------------------------------------


class PacedAcme(AcmeProvider):
    """Sends nothing while the remote side has asked for a pause, by payd's own helper."""

    pace: Pace | None = None

    async def create(self, operation: Any) -> Created:
        return await self.paced(super().create, operation)

    async def fetch(self, ref: Any) -> Any:
        return await self.paced(super().fetch, ref)

    async def cancel(self, ref: Any) -> Any:
        return await self.paced(super().cancel, ref)

    async def paced(self, call: Callable[..., Any], argument: Any) -> Any:
        self.pace = self.pace or Pace(200, burst=20, wait_max_s=0.2)
        await self.pace.turn()
        try:
            return await call(argument)
        except RateLimited as error:
            self.pace.hold(error.retry_after_s)
            raise

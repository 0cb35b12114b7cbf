"""Logins of operators: by name and password, or by the header of a trusted proxy."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping

import attrs
import trio

from payd.telemetry import get_logger
from payd.transport.console.passwords import NAME, NOBODY, Entry
from payd.transport.console.sessions import Session

_log = get_logger(__name__)

#: The header in which the proxy proves itself.
SECRET_HEADER = "x-console-secret"  # noqa: S105 - the name of a header
_PASSWORD_LENGTH_MAX = 1024
#: More of a name is not looked at.
_NAME_LENGTH_MAX = 64


@attrs.frozen(kw_only=True)
class Proxy:
    """A proxy that logs operators in."""

    #: Names the user.
    user_header: str
    secret: str = attrs.field(repr=False)


class TooManyLogins(Exception):
    """A login has to wait."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"wait {wait_s:g} s")
        self.wait_s = wait_s


@attrs.frozen(kw_only=True)
class Logins:
    """Checks who logs in; the entries may change while payd runs."""

    entries: Callable[[], Mapping[str, Entry]]
    proxy: Callable[[], Proxy | None]
    #: Seconds until this name may try again; 0 admits the attempt.
    wait_of: Callable[[str], Awaitable[float]]
    #: One hash at a time: each takes memory, and time that payments need.
    _hashing: trio.CapacityLimiter = attrs.field(
        factory=lambda: trio.CapacityLimiter(1), init=False
    )

    async def proof_of(self, name: str, password: str) -> bytes | None:
        """Return the proof of a right name and password; None otherwise.

        Raises TooManyLogins.
        """
        if (wait_s := await self.wait_of(name[:_NAME_LENGTH_MAX])) > 0:
            raise TooManyLogins(wait_s)
        entry = self.entries().get(name, NOBODY)
        is_right = len(password) <= _PASSWORD_LENGTH_MAX and await trio.to_thread.run_sync(
            entry.accepts, password, limiter=self._hashing
        )
        known = name if NAME.fullmatch(name) else "(no name)"
        if is_right and entry is not NOBODY:
            _log.info("console_login", operator=known)
            return _proof(entry)
        _log.warning("console_login_failed", operator=known)
        return None

    def proxy_user(self, headers: Mapping[str, str]) -> str:
        """Return the user that a trusted proxy names; empty without one."""
        proxy = self.proxy()
        if proxy is None or not self.is_by_proxy(headers):
            return ""
        user = headers.get(proxy.user_header, "")
        return user if NAME.fullmatch(user) else ""

    def is_by_proxy(self, headers: Mapping[str, str]) -> bool:
        """Whether a request proves to come from the trusted proxy."""
        proxy, secret = self.proxy(), headers.get(SECRET_HEADER, "")
        return proxy is not None and hmac.compare_digest(secret.encode(), proxy.secret.encode())

    def is_valid(self, session: Session, headers: Mapping[str, str]) -> bool:
        """Whether the operator of a session could still log in."""
        if not session.proof:
            return self.proxy_user(headers) == session.user
        entry = self.entries().get(session.user)
        return entry is not None and hmac.compare_digest(_proof(entry), session.proof)


def _proof(entry: Entry) -> bytes:
    return hashlib.sha256(entry.salt + entry.digest).digest()

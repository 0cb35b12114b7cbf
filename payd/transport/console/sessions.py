"""Sessions of operators: in memory, ended by logout, by idleness, by age, and by another browser.

A browser holds a random token. The hash of the token leads to the session, so that a copy of this
process's memory opens no session by itself, and looking one up compares no secret byte by byte.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable

import attrs

_TOKEN_BYTES = 32
#: Beyond it the session that was idle longest ends.
_SESSIONS_MAX = 1000


@attrs.define(eq=False, kw_only=True)
class Session:
    """One operator in one browser."""

    user: str
    #: Proof of the login; the session ends when it is no longer valid. Empty behind a proxy.
    proof: bytes
    #: Hash of what the browser calls itself.
    browser: bytes
    #: Every form must send it back.
    form_token: str
    begin_time: float
    last_time: float


@attrs.frozen(kw_only=True)
class Sessions:
    """All sessions of this listener."""

    idle_s: float
    age_s: float
    #: Monotonic seconds.
    now: Callable[[], float]
    _sessions: dict[bytes, Session] = attrs.field(factory=dict, init=False)

    def begin(self, user: str, proof: bytes, browser: str) -> tuple[str, Session]:
        """Begin a session; return its token, for the browser only."""
        token, now = secrets.token_urlsafe(_TOKEN_BYTES), self.now()
        session = Session(
            user=user,
            proof=proof,
            browser=_hash(browser),
            form_token=secrets.token_urlsafe(_TOKEN_BYTES),
            begin_time=now,
            last_time=now,
        )
        self._drop_ended(now)
        self._sessions[_hash(token)] = session
        return token, session

    def find(self, token: str, browser: str, *, is_use: bool = True) -> Session | None:
        """Return the token's session; None without one, also when it has just ended.

        `is_use` is False for what a page asks by itself: it keeps no session alive.
        """
        session, now = self._sessions.get(_hash(token)), self.now()
        if session is None:
            return None
        # Another browser has a stolen token: the session ends for both.
        is_same = hmac.compare_digest(session.browser, _hash(browser))
        if self._has_ended(session, now) or not is_same:
            self.end(token)
            return None
        if is_use:
            session.last_time = now
        return session

    def end(self, token: str) -> None:
        """End a session. Repeatable."""
        self._sessions.pop(_hash(token), None)

    def _has_ended(self, session: Session, now: float) -> bool:
        is_idle = now - session.last_time > self.idle_s
        return is_idle or now - session.begin_time > self.age_s

    def _drop_ended(self, now: float) -> None:
        for key in [key for key, one in self._sessions.items() if self._has_ended(one, now)]:
            del self._sessions[key]
        while len(self._sessions) >= _SESSIONS_MAX:
            oldest = min(self._sessions, key=lambda key: self._sessions[key].last_time)
            del self._sessions[oldest]


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()

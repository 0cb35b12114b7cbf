"""Secrets from Vault or OpenBao: AppRole login, token renewal, KV version 2; runs on trio.

hvac blocks, so each request runs in a thread with a deadline. Each pass does what is due: log in or
renew, then read. The caller keeps the last values when the vault is sealed or unreachable.
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs
import trio

from payd.ports import Clock, SecretsUnavailable
from payd.telemetry import Secret, forget_secret, get_logger, register_secret

_log = get_logger(__name__)

T = TypeVar("T")

#: A token is renewed after this fraction of its life, and replaced at the next one if refused.
_RENEW_AT = 2 / 3
_REPLACE_AT = 0.9
#: A renewal that grants less than this fraction of a login is the last: the maximum life is near.
_WORTH_IT = 0.5
#: Random part of each delay, so that daemons started together do not call together.
_JITTER = 0.1
#: Most requests in flight. An abandoned one occupies its thread until the connection ends.
_THREADS = 2
_TEXT_MAX = 160

#: Called with operation and outcome after each request.
OnOperation = Callable[[str, str], None]


@attrs.frozen(kw_only=True)
class VaultSettings:
    """Address of the vault, AppRole and path of the secrets."""

    addr: str
    role_id: str
    secret_id_path: Path
    #: None uses the system's certificates.
    ca_file: Path | None
    #: MOUNT/PATH of a KV version 2 engine.
    secret_path: str
    approle_mount: str = "approle"
    timeout_s: float = 5.0


@attrs.frozen(kw_only=True)
class VaultState:
    """State of the vault client, for readiness and metrics."""

    #: When secrets were last read successfully.
    read_time: datetime | None
    token_expire_time: datetime | None
    #: Why the last pass failed; None if it succeeded.
    problem: str | None


@attrs.frozen(kw_only=True)
class _Token:
    """A token from a login or renewal; times are by trio's clock."""

    value: str = attrs.field(repr=False)
    #: Lifetime that the login granted.
    full_life_s: float
    renew_at: float
    replace_at: float
    expires_at: float


class Vault:
    """Reads secrets; keeps a token alive between reads."""

    def __init__(
        self,
        settings: VaultSettings,
        clock: Clock,
        random: Callable[[], float],
        on_operation: OnOperation = lambda operation, outcome: None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._random = random
        self._on_operation = on_operation
        self._limiter = trio.CapacityLimiter(_THREADS)
        self._token: _Token | None = None
        self._state = VaultState(read_time=None, token_expire_time=None, problem=None)

    def state(self) -> VaultState:
        """The current state."""
        return self._state

    def due_in_s(self) -> float:
        """Seconds until the token needs renewal or replacement; infinite without a token."""
        if self._token is None:
            return math.inf
        now = trio.current_time()
        due = self._token.renew_at if now < self._token.renew_at else self._token.replace_at
        return max(0.0, min(due, self._token.replace_at) - now)

    async def read(self) -> Mapping[str, tuple[Secret, ...]]:
        """Log in or renew if due, and read. Raises SecretsUnavailable.

        Returns for each name its values, newest first.
        """
        try:
            secrets = await self._pass()
        except SecretsUnavailable as error:
            if error.reason != self._state.problem:
                _log.warning("vault_unavailable", reason=error.reason)
            self._state = attrs.evolve(self._state, problem=error.reason)
            raise
        if self._state.problem is not None:
            _log.info("vault_available")
        self._state = attrs.evolve(self._state, problem=None, read_time=self._clock.now())
        return secrets

    async def _pass(self) -> Mapping[str, tuple[Secret, ...]]:
        await self._keep_token()
        try:
            return await self._read()
        except _Refused as error:
            refused = f"reading {self._settings.secret_path}: {error}"
        # The token was revoked, or its policy changed: a new login shows which.
        try:
            await self._log_in()
            return await self._read()
        except _Refused as error:
            again = f"{refused}; again after a login: {error}"
            raise SecretsUnavailable(again) from None

    async def _keep_token(self) -> None:
        token, now = self._token, trio.current_time()
        if token is not None and token.renew_at <= now < token.replace_at:
            await self._renew(token)
        elif token is None or now >= token.replace_at:
            try:
                await self._log_in()
            except _Refused as error:
                # The secret id is used up, expired or revoked: an operator has to renew the file.
                what = f"login with {self._settings.secret_id_path}: {error}; renew the secret id"
                if token is None or now >= token.expires_at:
                    raise SecretsUnavailable(what) from None
                _log.warning("vault_login_refused", reason=what)

    async def _log_in(self) -> None:
        secret_id = _read_secret_id(self._settings.secret_id_path)
        register_secret(secret_id)
        auth = await self._ask("login", partial(_log_in, self._settings, secret_id))
        life_s = float(auth["lease_duration"])
        self._hold(str(auth["client_token"]), life_s, life_s, renewable=bool(auth["renewable"]))
        _log.info("vault_logged_in", life_s=life_s)

    async def _renew(self, token: _Token) -> None:
        try:
            auth = await self._ask("renew", partial(_renew, self._settings, token.value))
        except (_Refused, SecretsUnavailable) as error:
            _log.warning("vault_renewal_failed", reason=str(error))
            # Not tried again: if the token is dead, the next read fails and logs in.
            self._token = attrs.evolve(token, renew_at=math.inf)
            return
        life_s = float(auth["lease_duration"])
        self._hold(token.value, life_s, token.full_life_s, renewable=bool(auth["renewable"]))

    def _hold(self, value: str, life_s: float, full_life_s: float, *, renewable: bool) -> None:
        if self._token is not None and self._token.value != value:
            forget_secret(self._token.value)
        register_secret(value)
        # A lifetime of 0 never ends.
        life_s, ends = life_s or math.inf, None
        if life_s < math.inf:
            ends = self._clock.now() + timedelta(seconds=life_s)
        now, early = trio.current_time(), 1 - _JITTER * self._random()
        renews = renewable and life_s >= full_life_s * _WORTH_IT
        self._token = _Token(
            value=value,
            full_life_s=full_life_s,
            renew_at=now + life_s * _RENEW_AT * early if renews else math.inf,
            replace_at=now + life_s * (_REPLACE_AT if renews else _RENEW_AT) * early,
            expires_at=now + life_s,
        )
        self._state = attrs.evolve(self._state, token_expire_time=ends)

    async def _read(self) -> Mapping[str, tuple[Secret, ...]]:
        assert self._token is not None  # noqa: S101 - _pass got one
        stored = await self._ask("read", partial(_read, self._settings, self._token.value))
        return {name: _values(name, value) for name, value in stored.items()}

    async def _ask(self, operation: str, request: Callable[[], T]) -> T:
        """Run one request. Raises _Refused if the vault refuses it, else SecretsUnavailable."""
        outcome = "failed"
        try:
            with trio.fail_after(self._settings.timeout_s * 2):
                answer = await trio.to_thread.run_sync(
                    partial(_named, operation, request),
                    abandon_on_cancel=True,
                    limiter=self._limiter,
                )
            outcome = "ok"
        except trio.TooSlowError:
            raise SecretsUnavailable(
                f"{operation}: no answer within {self._settings.timeout_s * 2:g} s"
            ) from None
        except _Refused:
            outcome = "refused"
            raise
        finally:
            self._on_operation(operation, outcome)
        return answer


class _Refused(Exception):
    """The vault refused the request."""


def _read_secret_id(path: Path) -> str:
    try:
        secret_id = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SecretsUnavailable(f"{path}: {type(error).__name__}") from None
    if not secret_id:
        raise SecretsUnavailable(f"{path} is empty: write the secret id there")
    return secret_id


def _values(name: str, value: object) -> tuple[Secret, ...]:
    """Split into one value per line, newest first, and register them as secret."""
    lines = value.splitlines() if isinstance(value, str) else []
    values = [line.strip() for line in lines if line.strip()]
    if not values:
        raise SecretsUnavailable(f"{name} is empty or not text: set it in the vault")
    for one in values:
        register_secret(one)
    return tuple(map(Secret, values))


# -- in a thread -------------------------------------------------------------------------------


def _log_in(settings: VaultSettings, secret_id: str) -> Mapping[str, Any]:
    client = _client(settings, "")
    answer = client.auth.approle.login(
        role_id=settings.role_id, secret_id=secret_id, mount_point=settings.approle_mount
    )
    return dict(answer["auth"])


def _renew(settings: VaultSettings, token: str) -> Mapping[str, Any]:
    return dict(_client(settings, token).auth.token.renew_self()["auth"])


def _read(settings: VaultSettings, token: str) -> Mapping[str, object]:
    mount, _, path = settings.secret_path.partition("/")
    answer = _client(settings, token).secrets.kv.v2.read_secret_version(
        # Accept the path of `vault kv get` and that of the HTTP API.
        path=path.removeprefix("data/"),
        mount_point=mount,
        raise_on_deleted_version=True,
    )
    return dict(answer["data"]["data"])


def _client(settings: VaultSettings, token: str) -> Any:
    # Slow to import, and needed only with a vault.
    import hvac

    verify = str(settings.ca_file) if settings.ca_file else True
    return hvac.Client(
        url=settings.addr,
        token=token,
        verify=verify,
        timeout=settings.timeout_s,
        allow_redirects=False,
    )


def _named(operation: str, request: Callable[[], T]) -> T:
    """Run a request and translate its errors. hvac's messages contain no secret, but long URLs."""
    import hvac.exceptions
    import requests

    try:
        return request()
    except hvac.exceptions.VaultDown as error:
        raise SecretsUnavailable(
            f"{operation}: the vault is sealed or not serving: {_shortened(error)}"
        ) from None
    except hvac.exceptions.InvalidPath as error:
        raise SecretsUnavailable(
            f"{operation}: the path does not exist: {_shortened(error)}"
        ) from None
    except (
        hvac.exceptions.Forbidden,
        hvac.exceptions.Unauthorized,
        hvac.exceptions.InvalidRequest,
    ) as error:
        raise _Refused(_shortened(error)) from None
    except (hvac.exceptions.VaultError, requests.RequestException, OSError) as error:
        raise SecretsUnavailable(
            f"{operation}: {type(error).__name__}: {_shortened(error)}"
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{operation}: the answer is not one of a vault ({type(error).__name__})"
        raise SecretsUnavailable(what) from None


def _shortened(error: BaseException) -> str:
    return " ".join(str(error).split())[:_TEXT_MAX]

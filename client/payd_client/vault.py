"""Client certificate from a KV version 2 secret in Vault or OpenBao; needs the extra `vault`."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from payd_client.credentials import CredentialsUnavailable, Pem
from payd_client.extras import require

_TIMEOUT_S = 5.0
_FIELDS = ("ca", "cert", "key")


@attrs.define(kw_only=True)
class TlsVault:
    """Fields `ca`, `cert` and `key` of a secret, read after an AppRole login."""

    addr: str
    role_id: str
    secret_id_file: Path
    #: MOUNT/PATH of the secret.
    secret_path: str
    #: CA of the vault's own certificate; None: the CAs of the system.
    ca_file: Path | None = None
    reread_s: float = 60.0
    _token: str = attrs.field(default="", init=False, repr=False)

    async def read(self) -> Pem:
        """Read the secret in a thread, because hvac blocks. Raises CredentialsUnavailable."""
        require("hvac", "vault", "TlsVault")
        read = partial(_with_one_error, self._read)
        reading = asyncio.get_running_loop().run_in_executor(None, read)
        try:
            secret = await asyncio.wait_for(reading, 3 * _TIMEOUT_S)
        except TimeoutError:
            raise CredentialsUnavailable(f"{self.addr}: no answer in time") from None
        if missing := [name for name in _FIELDS if name not in secret]:
            raise CredentialsUnavailable(f"{self.secret_path} has no {', '.join(missing)}")
        return Pem(**{name: str(secret[name]).encode() for name in _FIELDS})

    def _read(self) -> dict[str, Any]:
        import hvac.exceptions

        if self._token:
            try:
                return self._secret()
            except hvac.exceptions.Forbidden:
                # The token has expired, or the policy forbids the secret: a new token shows which.
                self._token = ""
        answer = self._client().auth.approle.login(
            role_id=self.role_id, secret_id=self.secret_id_file.read_text().strip()
        )
        self._token = answer["auth"]["client_token"]
        return self._secret()

    def _secret(self) -> dict[str, Any]:
        mount, _, path = self.secret_path.partition("/")
        answer = self._client().secrets.kv.v2.read_secret_version(
            path=path.removeprefix("data/"), mount_point=mount, raise_on_deleted_version=True
        )
        return dict(answer["data"]["data"])

    def _client(self) -> Any:
        import hvac

        verify = str(self.ca_file) if self.ca_file else True
        return hvac.Client(
            url=self.addr,
            token=self._token,
            verify=verify,
            timeout=_TIMEOUT_S,
            allow_redirects=False,
        )


def _with_one_error(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Turn every error of the vault into CredentialsUnavailable."""
    import hvac.exceptions
    import requests

    try:
        return read()
    except (hvac.exceptions.VaultError, requests.RequestException, OSError, ValueError) as error:
        raise CredentialsUnavailable(f"vault: {type(error).__name__}: {error}"[:300]) from None

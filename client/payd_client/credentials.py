"""Who we are to payd: a certificate, its key and the CA, from files or from Vault."""

import asyncio
import os
import ssl
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import attrs

_VAULT_TIMEOUT_S = 5.0


class CredentialsUnavailable(Exception):
    """They could not be read; the message says why."""


@attrs.frozen(kw_only=True)
class Pem:
    """The CA of payd's certificate, and our own certificate with its key."""

    ca: bytes
    cert: bytes
    key: bytes = attrs.field(repr=False)

    def context(self) -> ssl.SSLContext:
        """TLS 1.3 and HTTP/2. Raises ValueError for what does not fit together."""
        try:
            context = ssl.create_default_context(cadata=self.ca.decode())
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            self._load(context)
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise ValueError(f"the certificates do not work: {error}") from None
        context.set_alpn_protocols(["h2"])
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        # The library reads files only; these are in memory, and have no name on a disk.
        files = [os.memfd_create("payd-client"), os.memfd_create("payd-client")]
        try:
            for file, content in zip(files, (self.cert, self.key), strict=True):
                os.write(file, content)
            context.load_cert_chain(*(f"/proc/self/fd/{file}" for file in files))
        finally:
            for file in files:
                os.close(file)


class TlsSource(Protocol):
    """Where they come from. `read` runs on asyncio and raises CredentialsUnavailable."""

    @property
    def reread_s(self) -> float:
        """Read again so often; a change is taken over without a restart."""
        ...

    async def read(self) -> Pem:
        """As they are now."""
        ...


@attrs.frozen(kw_only=True)
class TlsFiles:
    """PEM files."""

    ca: Path
    cert: Path
    key: Path
    reread_s: float = 5.0

    async def read(self) -> Pem:
        """See TlsSource."""
        try:
            return Pem(
                ca=self.ca.read_bytes(), cert=self.cert.read_bytes(), key=self.key.read_bytes()
            )
        except OSError as error:
            raise CredentialsUnavailable(str(error)) from None


@attrs.define(kw_only=True)
class TlsVault:
    """Fields `ca`, `cert` and `key` of a KV version 2 secret in Vault or OpenBao; AppRole login."""

    addr: str
    role_id: str
    secret_id_file: Path
    #: MOUNT/PATH.
    secret_path: str
    #: Of the vault's own certificate; None: the system's.
    ca_file: Path | None = None
    reread_s: float = 60.0
    _token: str = attrs.field(default="", init=False, repr=False)

    async def read(self) -> Pem:
        """See TlsSource. hvac blocks, so it runs in a thread."""
        work = asyncio.get_running_loop().run_in_executor(None, partial(_named, self._read))
        try:
            held = await asyncio.wait_for(work, 3 * _VAULT_TIMEOUT_S)
        except TimeoutError:
            raise CredentialsUnavailable(f"{self.addr}: no answer in time") from None
        if missing := {"ca", "cert", "key"} - held.keys():
            raise CredentialsUnavailable(f"{self.secret_path} has no {', '.join(sorted(missing))}")
        return Pem(**{name: str(held[name]).encode() for name in ("ca", "cert", "key")})

    def _read(self) -> dict[str, Any]:
        import hvac.exceptions

        if self._token:
            try:
                return self._secret()
            except hvac.exceptions.Forbidden:
                # The token has ended; a new one tells whether the policy has.
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
            timeout=_VAULT_TIMEOUT_S,
            allow_redirects=False,
        )


def _named(read: Any) -> dict[str, Any]:
    import hvac.exceptions
    import requests

    try:
        held: dict[str, Any] = read()
    except (hvac.exceptions.VaultError, requests.RequestException, OSError, ValueError) as error:
        raise CredentialsUnavailable(f"vault: {type(error).__name__}: {error}"[:300]) from None
    return held

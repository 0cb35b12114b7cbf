"""The main app's client certificate, its key and the CA of payd's certificate."""

import os
import ssl
from pathlib import Path
from typing import Protocol

import attrs


class CredentialsUnavailable(Exception):
    """The certificates could not be read; the message names the cause."""


@attrs.frozen(kw_only=True)
class Pem:
    """CA certificate, client certificate and client key in PEM format."""

    ca: bytes
    cert: bytes
    key: bytes = attrs.field(repr=False)

    def context(self) -> ssl.SSLContext:
        """Build a context for TLS 1.3 and HTTP/2. Raises ValueError for invalid certificates."""
        try:
            context = ssl.create_default_context(cadata=self.ca.decode())
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            self._load(context)
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise ValueError(f"invalid certificate or key: {error}") from None
        context.set_alpn_protocols(["h2"])
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        # ssl reads only files; a memory file keeps the key off every disk.
        files = [os.memfd_create("payd-client"), os.memfd_create("payd-client")]
        try:
            for file, content in zip(files, (self.cert, self.key), strict=True):
                os.write(file, content)
            context.load_cert_chain(*(f"/proc/self/fd/{file}" for file in files))
        finally:
            for file in files:
                os.close(file)


class TlsSource(Protocol):
    """Source of the certificates. `read` is awaited on asyncio."""

    @property
    def reread_s(self) -> float:
        """Seconds between two reads. The client takes over changed certificates by itself."""
        ...

    async def read(self) -> Pem:
        """Read the current certificates. Raises CredentialsUnavailable."""
        ...


@attrs.frozen(kw_only=True)
class TlsFiles:
    """Certificates from PEM files."""

    ca: Path
    cert: Path
    key: Path
    reread_s: float = 5.0

    async def read(self) -> Pem:
        """Read the three files. Raises CredentialsUnavailable."""
        try:
            return Pem(
                ca=self.ca.read_bytes(), cert=self.cert.read_bytes(), key=self.key.read_bytes()
            )
        except OSError as error:
            raise CredentialsUnavailable(str(error)) from None

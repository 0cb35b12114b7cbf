"""The server's certificates: loaded together, tried by a handshake with themselves, then used.

A changed file becomes a new context for later connections; open ones keep theirs. A pair that does
not fit, or has expired, changes nothing.
"""

import hashlib
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import structlog
from cryptography import x509

_log = structlog.get_logger(__name__)

#: Flights of a handshake between two sides in one process; TLS 1.3 needs three.
_FLIGHTS_MAX = 10


@attrs.frozen(kw_only=True)
class CertificateFiles:
    """PEM files: the server's chain, its key, and the CA of the clients' certificates."""

    cert: Path
    key: Path
    ca: Path


class CertificateRefused(Exception):
    """Files that cannot be used; the message names which and why."""


@attrs.frozen(kw_only=True)
class Certificates:
    """One version of the certificates, ready for use."""

    context: ssl.SSLContext
    server_expire_time: datetime
    #: When the first client CA expires.
    client_ca_expire_time: datetime
    digest: bytes


class Tls:
    """The certificates in use."""

    def __init__(self, certificates: Certificates) -> None:
        self._current = certificates

    def current(self) -> Certificates:
        """Return the certificates for the next connection."""
        return self._current

    def swap(self, certificates: Certificates) -> None:
        """Use these from now on."""
        self._current = certificates


def tls_context(files: CertificateFiles) -> ssl.SSLContext:
    """Require TLS 1.3 and a client certificate of our CA. Raises OSError and ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _Tls
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files.cert, files.key)
    context.load_verify_locations(files.ca)
    context.set_alpn_protocols(["h2"])
    return context


def digest_of(files: CertificateFiles) -> bytes:
    """Hash the files, to notice a change. Raises CertificateRefused when one cannot be read."""
    digest = hashlib.sha256()
    for file in (files.cert, files.key, files.ca):
        try:
            content = file.read_bytes()
        except OSError as error:
            raise CertificateRefused(f"{file}: {error.strerror}") from None
        digest.update(hashlib.sha256(content).digest())
    return digest.digest()


def load_certificates(files: CertificateFiles, now: datetime) -> Certificates:
    """Load and try the files. Raises CertificateRefused. Blocks for some milliseconds."""
    digest = digest_of(files)
    try:
        context = tls_context(files)
        own = x509.load_pem_x509_certificate(files.cert.read_bytes())
        _shake_hands_with_itself(files)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise CertificateRefused(f"{files.cert}, {files.key}, {files.ca}: {error}") from None
    if digest_of(files) != digest:
        raise CertificateRefused(
            f"{files.cert}, {files.key}, {files.ca}: changed while they were read; try again"
        )
    begins, ends = own.not_valid_before_utc, own.not_valid_after_utc
    if not begins <= now < ends:
        valid = f"it is valid from {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC"
        raise CertificateRefused(f"renew {files.cert}: {valid}")
    authorities: Any = context.get_ca_certs()
    if not authorities:
        raise CertificateRefused(f"{files.ca}: contains no CA certificate")
    if not any(now < _time(authority["notAfter"]) for authority in authorities):
        raise CertificateRefused(f"{files.ca}: every CA certificate in it has expired")
    return Certificates(
        context=context,
        server_expire_time=ends,
        client_ca_expire_time=min(_time(authority["notAfter"]) for authority in authorities),
        digest=digest,
    )


def _shake_hands_with_itself(files: CertificateFiles) -> None:
    """Try key and chain in a handshake, without a client certificate: we have none to present."""
    server_context = tls_context(files)
    server_context.sslobject_class = ssl.SSLObject
    server_context.verify_mode = ssl.CERT_NONE
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    client_context.set_alpn_protocols(["h2"])
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server)
    for _ in range(_FLIGHTS_MAX):
        if all([_flight(client), _flight(server)]):
            return
    raise ssl.SSLError("the handshake did not end")


def _flight(side: ssl.SSLObject) -> bool:
    """Take one turn of a handshake; return whether it is done."""
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _time(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


class _Tls(ssl.SSLObject):
    """Logs a failed handshake in one line. The failure ends its own connection only."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            _log.info("tls_handshake_failed", reason=error.reason)
            raise

"""The door's certificates: loaded whole, tried by a handshake with themselves, then in use.

A changed file becomes a new context; whoever comes in afterwards meets that one, and who is in
stays. A pair that does not fit, or has ended, changes nothing.
"""

import hashlib
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import structlog

_log = structlog.get_logger(__name__)

#: Flights of a handshake between two that answer each other; TLS 1.3 needs three.
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
    """One generation, ready for use."""

    context: ssl.SSLContext
    server_expire_time: datetime
    #: Of the client CA that ends first.
    client_ca_expire_time: datetime
    digest: bytes


class Tls:
    """Holds the generation in use."""

    def __init__(self, certificates: Certificates) -> None:
        self._current = certificates

    def current(self) -> Certificates:
        """What the next connection meets."""
        return self._current

    def swap(self, certificates: Certificates) -> None:
        """Use these from now on."""
        self._current = certificates


def tls_context(files: CertificateFiles) -> ssl.SSLContext:
    """TLS 1.3 with a client certificate of our CA. Raises OSError and ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _Tls
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files.cert, files.key)
    context.load_verify_locations(files.ca)
    context.set_alpn_protocols(["h2"])
    return context


def digest_of(files: CertificateFiles) -> bytes:
    """What tells whether a file has changed. Raises CertificateRefused when one is away."""
    digest = hashlib.sha256()
    for file in (files.cert, files.key, files.ca):
        try:
            content = file.read_bytes()
        except OSError as error:
            raise CertificateRefused(f"{file}: {error.strerror}") from None
        digest.update(hashlib.sha256(content).digest())
    return digest.digest()


def load_certificates(files: CertificateFiles, now: datetime) -> Certificates:
    """The files, tried. Raises CertificateRefused. Blocks for some milliseconds."""
    digest = digest_of(files)
    try:
        context = tls_context(files)
        # Of the standard library, and the only reader of a certificate in it.
        decoded: Any = ssl._ssl._test_decode_cert(str(files.cert))  # type: ignore[attr-defined]
        _shake_hands_with_itself(files)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise CertificateRefused(f"{files.cert}, {files.key}, {files.ca}: {error}") from None
    if digest_of(files) != digest:
        raise CertificateRefused(f"{files.cert}, {files.key}, {files.ca}: changing just now")
    ends = _time(decoded["notAfter"])
    if not _time(decoded["notBefore"]) <= now < ends:
        valid = f"it is valid from {decoded['notBefore']} to {decoded['notAfter']}"
        raise CertificateRefused(f"renew {files.cert}: {valid}")
    authorities: Any = context.get_ca_certs()
    if not authorities:
        raise CertificateRefused(f"{files.ca}: holds no certificate of an authority")
    if not any(now < _time(authority["notAfter"]) for authority in authorities):
        raise CertificateRefused(f"{files.ca}: every authority in it has ended")
    return Certificates(
        context=context,
        server_expire_time=ends,
        client_ca_expire_time=min(_time(authority["notAfter"]) for authority in authorities),
        digest=digest,
    )


def _shake_hands_with_itself(files: CertificateFiles) -> None:
    """Key and chain complete a handshake. Ours only: we have no client's certificate to show."""
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
    """One turn of a handshake; whether it is done."""
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _time(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


class _Tls(ssl.SSLObject):
    """A handshake that fails ends its connection only, and leaves one line."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            _log.info("tls_handshake_failed", reason=error.reason)
            raise

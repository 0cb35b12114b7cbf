"""A CA of one's own, and the certificates that it signs, for `payd dev` and `payd init`.

A certificate is replaced when it is missing, expires soon or was signed by another CA.
"""

import datetime as dt
import ipaddress
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: File stem → common name. `stranger` has a valid certificate, but is on no allow-list.
CLIENTS = {
    "client": "main-app",
    "client-b": "main-app-b",
    "operator": "operator",
    "stranger": "stranger",
}
ALLOWED_CNS = ("main-app", "main-app-b")
OPERATOR_CNS = ("operator",)
#: The names by which clients on this machine reach a server.
LOCAL = ("localhost", "127.0.0.1", "::1")

_LIFE = dt.timedelta(days=365)
_RENEW = dt.timedelta(days=30)
_SKEW = dt.timedelta(hours=1)


def ensure_pki(
    folder: Path,
    now: dt.datetime,
    clients: Mapping[str, str] = MappingProxyType(CLIENTS),
    hosts: Sequence[str] = LOCAL,
    ca_name: str = "payd development CA",
) -> Sequence[Path]:
    """Write what is missing or must be replaced into `folder`; return the new certificates.

    `clients` are their common names by the stems of their files. `hosts` are the names and
    addresses of the server; existing certificates keep theirs.
    """
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    written = []
    ca = _load(folder, "ca")
    if ca is None or _is_old(ca[0], now):
        key = ec.generate_private_key(ec.SECP256R1())
        ca = _certificate(ca_name, key, None, key, [], now), key
        written.append(_save(folder, "ca", *ca))
    for stem, name in {"server": hosts[0], **clients}.items():
        known = _load(folder, stem)
        if known is None or _is_old(known[0], now) or not _is_signed_by(known[0], ca[0]):
            key = ec.generate_private_key(ec.SECP256R1())
            names = [_host(host) for host in hosts] if stem == "server" else []
            certificate = _certificate(name, key, ca[0], ca[1], names, now)
            written.append(_save(folder, stem, certificate, key))
    return written


def _certificate(
    common_name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName],
    now: dt.datetime,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    is_ca = issuer is None
    usage = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False
        )
        .add_extension(_key_usage(is_ca), True)
    )
    if not is_ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    return builder.sign(issuer_key, hashes.SHA256())


def _key_usage(is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _load(folder: Path, stem: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    try:
        certificate = x509.load_pem_x509_certificate((folder / f"{stem}.crt").read_bytes())
        key = serialization.load_pem_private_key((folder / f"{stem}.key").read_bytes(), None)
    except (OSError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    return (certificate, key) if key.public_key() == certificate.public_key() else None


def _save(
    folder: Path, stem: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> Path:
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / f"{stem}.key"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
    written = folder / f"{stem}.crt"
    written.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return written


def _is_old(certificate: x509.Certificate, now: dt.datetime) -> bool:
    return certificate.not_valid_after_utc - _RENEW < now


def _is_signed_by(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True

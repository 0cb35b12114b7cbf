"""A certificate authority for the tests: issues many certificates, valid and invalid ones."""

import datetime as dt
import shutil
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from payd.dev import pki


@attrs.define
class Authority:
    """Issues the certificates that a daemon reads from one folder."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(cls) -> "Authority":
        """Create an authority that no client or server trusts yet."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = pki._certificate("payd development CA", key, None, key, [], _now())
        return cls(made, key)

    @classmethod
    def of(cls, folder: Path) -> "Authority":
        """Load the authority whose files are in the folder."""
        loaded = pki._load(folder, "ca")
        assert loaded is not None
        return cls(*loaded)

    def pem(self) -> bytes:
        """The authority's own certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def server(self, *, age: dt.timedelta = dt.timedelta()) -> tuple[bytes, bytes]:
        """Issue a server certificate with its key, as PEM; `age` shifts its start into the past."""
        names = [pki._host(host) for host in pki.LOCAL]
        return self._issue("localhost", names, _now() - age)

    def server_of(self, host: str) -> tuple[bytes, bytes]:
        """Issue a server certificate for another host, with its key, as PEM."""
        return self._issue(host, [x509.DNSName(host)], _now())

    def client(self, common_name: str) -> tuple[bytes, bytes]:
        """Issue a client certificate with its key, as PEM."""
        return self._issue(common_name, [], _now())

    def _issue(
        self, name: str, names: list[x509.GeneralName], now: dt.datetime
    ) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        made = pki._certificate(name, key, self.certificate, self.key, names, now)
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return made.public_bytes(serialization.Encoding.PEM), secret


def copy_of(folder: Path, target: Path) -> Path:
    """Copy the certificates of `folder`, so that a test can change them in isolation."""
    shutil.copytree(folder, target)
    return target


def replace(file: Path, content: bytes) -> None:
    """Replace a file atomically, as a careful operator does."""
    draft = file.with_name(file.name + ".new")
    draft.write_bytes(content)
    draft.replace(file)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)

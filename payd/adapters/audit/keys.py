"""Ed25519 keys of the audit trail: the daemons sign with one, anybody verifies with the other."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from payd.adapters.audit.chain import canonical

_SEED_BYTES = 32
#: Signed before every document, so that a signature is of use nowhere else.
_PURPOSE = b"payd audit\n"


class KeyRefused(Exception):
    """The text is no key of the audit trail; says what one looks like."""


class SigningKey:
    """The private key: 64 hexadecimal digits, as `openssl rand -hex 32` makes them."""

    def __init__(self, seed: str) -> None:
        """Raises KeyRefused."""
        try:
            raw = bytes.fromhex(seed)
        except ValueError:
            raw = b""
        if len(raw) != _SEED_BYTES:
            raise KeyRefused("the audit signing key must be 64 hexadecimal digits")
        self._key = Ed25519PrivateKey.from_private_bytes(raw)
        self.id = _id_of(self._key.public_key())

    def signed_line(self, document: Mapping[str, Any]) -> str:
        """The document as canonical JSON, with the key's id and a signature over all of it."""
        unsigned = {**document, "key": self.id}
        signature = self._key.sign(_PURPOSE + canonical(unsigned).encode())
        return canonical({**unsigned, "signature": signature.hex()})

    def public_pem(self) -> str:
        """The public key, for those who verify."""
        public = self._key.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


class PublicKeys:
    """Public keys by their ids; several after a rotation."""

    def __init__(self, *pems: str) -> None:
        """Raises KeyRefused."""
        self._keys: dict[str, Ed25519PublicKey] = {}
        for pem in pems:
            try:
                key = load_pem_public_key(pem.encode())
            except ValueError:
                key = None
            if not isinstance(key, Ed25519PublicKey):
                raise KeyRefused("not an Ed25519 public key in PEM: see `payd audit public-key`")
            self._keys[_id_of(key)] = key

    def know(self, key_id: object) -> bool:
        """Whether one of the keys has this id."""
        return key_id in self._keys

    def have_signed(self, line: bytes) -> bool:
        """Whether the line is a document, byte by byte as one of the keys signed it."""
        try:
            document = json.loads(line)
            if not isinstance(document, dict) or canonical(document).encode() != line:
                return False
            key = self._keys[document.get("key", "")]
            signature = bytes.fromhex(document.pop("signature", ""))
            key.verify(signature, _PURPOSE + canonical(document).encode())
        except (ValueError, TypeError, KeyError, InvalidSignature):
            return False
        return True


def _id_of(key: Ed25519PublicKey) -> str:
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]

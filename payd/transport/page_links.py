"""Links to payment pages: a token that stands for a payment and says nothing about it.

A token is the payment's id, encrypted and authenticated by AES-SIV (RFC 5297): 32 bytes, the same
for every daemon with the same key. Nothing is stored, a database's reader can open no page, and a
token that payd did not make costs no statement.
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from uuid import UUID

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

#: Characters of a token: base64 of 32 bytes, without padding.
TOKEN_LENGTH = 43
#: Keeps a key that is used elsewhere, too, from making the same texts there.
_PURPOSE = b"payd payment page 1"


@attrs.frozen(kw_only=True)
class PageLinks:
    """The addresses of payment pages."""

    #: The origin that customers reach, such as https://pay.example.com; empty: no pages.
    public_url: str
    #: The keys of tokens: the first makes them, all open them.
    keys: Callable[[], Sequence[str]]

    def url_of(self, payment_id: UUID) -> str:
        """The address of a payment's page; empty where there are no pages."""
        keys = self.keys()
        if not self.public_url or not keys:
            return ""
        token = _text(_cipher(keys[0]).encrypt(payment_id.bytes, [_PURPOSE]))
        return f"{self.public_url.rstrip('/')}/pay/{token}"

    def payment_id_of(self, token: str) -> UUID | None:
        """The payment of a token; None for a token that none of the keys has made."""
        if not self.public_url or len(token) != TOKEN_LENGTH:
            return None
        try:
            sealed = base64.urlsafe_b64decode(token + "=")
        except ValueError:
            return None
        # base64 ignores foreign characters and spare bits: only what payd wrote is a token.
        if _text(sealed) != token:
            return None
        return next((found for key in self.keys() if (found := _opened(sealed, key))), None)


def _opened(sealed: bytes, key: str) -> UUID | None:
    try:
        return UUID(bytes=_cipher(key).decrypt(sealed, [_PURPOSE]))
    except InvalidTag:
        return None


@lru_cache(maxsize=4)
def _cipher(key: str) -> AESSIV:
    return AESSIV(hashlib.sha512(key.encode()).digest())


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

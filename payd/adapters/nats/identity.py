"""Who payd is at NATS: a short-lived user JWT of its own making, with the least it works with.

Decentralised authentication (docs.nats.io, "JWT"): whoever holds the seed of an account, or of
one of its signing keys, makes users. The user's own key pair is made here, and never leaves.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import nkeys

#: Beside the event itself: its headers.
_HEADER_BYTES_MAX = 8192
_SUBSCRIPTIONS_MAX = 10
#: Clocks differ: the server must not find it made in its future.
_SKEW = timedelta(seconds=5)
_JWT_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}


class BadSigningSeed(Exception):
    """The seed is none of an account; the message does not quote it."""


@attrs.frozen(kw_only=True)
class Permissions:
    """What a publisher of this stream may do, and nothing else."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    message_bytes: int


@attrs.frozen(kw_only=True)
class Identity:
    """What a connection shows, and signs with."""

    jwt: str = attrs.field(repr=False)
    #: Of the user, not of the account.
    seed: bytes = attrs.field(repr=False)
    expire_time: datetime

    def sign(self, nonce: str) -> bytes:
        """The server's challenge, answered."""
        signed: bytes = nkeys.from_seed(bytearray(self.seed)).sign(nonce.encode())
        return base64.b64encode(signed)


@attrs.frozen(kw_only=True)
class NatsIdentity:
    """How payd comes by its identity; none of it set is none at all, for development."""

    #: In force now; None where there is none.
    signing_seed: Callable[[], str | None] = lambda: None
    #: The account's public key, where the seed is one of a signing key.
    account: str | None = None
    #: The signing key carries the permissions.
    is_scoped: bool = False
    ttl: timedelta = timedelta(hours=1)
    credentials_file: Path | None = None


def permissions(
    stream: str, subjects: Sequence[str], inbox: str, message_bytes: int, *, creates: bool
) -> Permissions:
    """Publish these subjects and look at the stream; `creates` lets it make the stream, too."""
    api = [f"$JS.API.STREAM.INFO.{stream}"]
    if creates:
        api.append(f"$JS.API.STREAM.CREATE.{stream}")
    return Permissions(
        publish=(*subjects, *api),
        subscribe=(f"{inbox}.>",),
        message_bytes=message_bytes + _HEADER_BYTES_MAX,
    )


def mint(source: NatsIdentity, seed: str, name: str, may: Permissions, now: datetime) -> Identity:
    """A fresh user of the account that `seed` signs for. Raises BadSigningSeed."""
    signer, issuer = _signer(seed)
    user_seed = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
    user = nkeys.from_seed(bytearray(user_seed)).public_key.decode()
    # The server counts in whole seconds.
    ends = (now + source.ttl).replace(microsecond=0)
    claims: dict[str, Any] = {
        "iat": int((now - _SKEW).timestamp()),
        "exp": int(ends.timestamp()),
        "iss": issuer,
        "sub": user,
        "name": name,
        "nats": _user_claims(source, issuer, may),
    }
    claims["jti"] = _id_of(claims)
    unsigned = f"{_encoded(_JWT_HEADER)}.{_encoded(claims)}"
    signature = base64.urlsafe_b64encode(signer.sign(unsigned.encode())).rstrip(b"=").decode()
    return Identity(jwt=f"{unsigned}.{signature}", seed=bytes(user_seed), expire_time=ends)


def connect_options(source: NatsIdentity, identity: Identity | None) -> dict[str, Any]:
    """Arguments of nats-py's `connect` that authenticate: a minted identity, else a .creds file."""
    if identity is not None:
        jwt = identity.jwt.encode()
        return {"user_jwt_cb": lambda: jwt, "signature_cb": identity.sign}
    if source.credentials_file is not None:
        return {"user_credentials": str(source.credentials_file)}
    return {}


def _signer(seed: str) -> tuple[Any, str]:
    text = seed.strip().encode()
    try:
        signer = nkeys.from_seed(bytearray(text))
        issuer = signer.public_key.decode()
        raw = base64.b32decode(text + b"=" * (-len(text) % 8))
    except (nkeys.NkeysError, ValueError, TypeError) as error:
        raise BadSigningSeed(f"the signing seed is none ({type(error).__name__})") from None
    if nkeys.crc16_checksum(raw[:-2]) != raw[-2:]:
        # The library does not look: a slip would be another key, which the server refuses.
        raise BadSigningSeed("the signing seed is mistyped: its checksum is wrong")
    if not issuer.startswith("A"):
        raise BadSigningSeed(f"the signing seed is not an account's, but of kind {issuer[0]}")
    return signer, issuer


def _user_claims(source: NatsIdentity, issuer: str, may: Permissions) -> dict[str, Any]:
    claims: dict[str, Any] = {"type": "user", "version": 2}
    if source.account is not None and source.account != issuer:
        claims["issuer_account"] = source.account
    if not source.is_scoped:
        # Beside those of a scoped key the server refuses a user's own.
        claims |= {
            "pub": {"allow": list(may.publish)},
            "sub": {"allow": list(may.subscribe)},
            "subs": _SUBSCRIPTIONS_MAX,
            "data": -1,
            "payload": may.message_bytes,
        }
    return claims


def _id_of(claims: dict[str, Any]) -> str:
    # No server checks its form; that there is one, and that it is another each time.
    digest = hashlib.sha256(json.dumps(claims).encode()).digest()
    return base64.b32encode(digest).decode().rstrip("=")


def _encoded(part: dict[str, Any]) -> str:
    text = json.dumps(part, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()

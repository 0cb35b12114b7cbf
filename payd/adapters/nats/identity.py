"""payd's identity at NATS: mint a short-lived user JWT with minimal permissions.

NATS has decentralised authentication (docs.nats.io, "JWT"): the seed of an account, or of one of
its signing keys, can sign users. The user's key pair is made here and never leaves the process.
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
from payd_client.consumer import DEAD_LETTERS

#: Allowance for the headers of an event, beside its body.
_HEADER_BYTES_MAX = 8192
_SUBSCRIPTIONS_MAX = 10
#: Clocks differ: the JWT must not be issued in the future by the server's clock.
_SKEW = timedelta(seconds=5)
_JWT_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}


class BadSigningSeed(Exception):
    """The seed is not an account's, or mistyped. The message does not contain it."""


@attrs.frozen(kw_only=True)
class Permissions:
    """Permissions of a user: subjects to publish and subscribe to, and the largest message."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    message_bytes: int


@attrs.frozen(kw_only=True)
class Identity:
    """A minted user: its JWT, and the seed with which it signs the server's challenge."""

    jwt: str = attrs.field(repr=False)
    #: Seed of the user, not of the account.
    seed: bytes = attrs.field(repr=False)
    expire_time: datetime

    def sign(self, nonce: str) -> bytes:
        """Sign the server's challenge; return the signature as base64."""
        signed: bytes = nkeys.from_seed(bytearray(self.seed)).sign(nonce.encode())
        return base64.b64encode(signed)


@attrs.frozen(kw_only=True)
class NatsIdentity:
    """Source of the identity: a signing seed, or a .creds file, or nothing for development."""

    #: Returns the current seed; None if none is set.
    signing_seed: Callable[[], str | None] = lambda: None
    #: Public key of the account, needed if the seed is of a signing key.
    account: str | None = None
    #: Whether the signing key is scoped, so that it determines the permissions.
    is_scoped: bool = False
    ttl: timedelta = timedelta(hours=1)
    credentials_file: Path | None = None


def permissions(
    stream: str, subjects: Sequence[str], inbox: str, message_bytes: int, *, creates: bool
) -> Permissions:
    """Permissions to publish `subjects`, to read the stream, and to replay dead letters.

    With `creates` also to create the stream.
    """
    api = [f"$JS.API.STREAM.INFO.{stream}"]
    api += [f"$JS.API.STREAM.{what}.{DEAD_LETTERS}" for what in ("INFO", "MSG.GET", "MSG.DELETE")]
    if creates:
        api.append(f"$JS.API.STREAM.CREATE.{stream}")
    return Permissions(
        publish=(*subjects, *api),
        subscribe=(f"{inbox}.>",),
        message_bytes=message_bytes + _HEADER_BYTES_MAX,
    )


def mint(source: NatsIdentity, seed: str, name: str, may: Permissions, now: datetime) -> Identity:
    """Mint a new user of the account that `seed` signs for. Raises BadSigningSeed."""
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
    """Arguments for nats-py's `connect`: the minted identity, or else the .creds file."""
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
        raise BadSigningSeed(
            f"the signing seed is invalid ({type(error).__name__}): set the seed of an account"
        ) from None
    if nkeys.crc16_checksum(raw[:-2]) != raw[-2:]:
        # nkeys does not check it: a typing error would give another key, which the server refuses.
        raise BadSigningSeed("the signing seed is mistyped: its checksum does not match")
    if not issuer.startswith("A"):
        raise BadSigningSeed(
            f"the signing seed is of kind {issuer[0]}: set one of an account, which starts with SA"
        )
    return signer, issuer


def _user_claims(source: NatsIdentity, issuer: str, may: Permissions) -> dict[str, Any]:
    claims: dict[str, Any] = {"type": "user", "version": 2}
    if source.account is not None and source.account != issuer:
        claims["issuer_account"] = source.account
    if not source.is_scoped:
        # With a scoped signing key the server refuses users that have permissions of their own.
        claims |= {
            "pub": {"allow": list(may.publish)},
            "sub": {"allow": list(may.subscribe)},
            "subs": _SUBSCRIPTIONS_MAX,
            "data": -1,
            "payload": may.message_bytes,
        }
    return claims


def _id_of(claims: dict[str, Any]) -> str:
    # The server requires an id that differs each time, and does not check its form.
    digest = hashlib.sha256(json.dumps(claims).encode()).digest()
    return base64.b32encode(digest).decode().rstrip("=")


def _encoded(part: dict[str, Any]) -> str:
    text = json.dumps(part, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()

"""A real nats-server in operator mode, with keys and JWTs that the tests create."""

import base64
import json
import os
import secrets
import signal
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import nkeys

from support.planted_secrets import WATCH
from support.waiting import wait_until

_RELOADED = b"Reloaded server configuration"


@attrs.frozen
class Key:
    """An nkey of any kind."""

    seed: str = attrs.field(repr=False)

    @classmethod
    def new(cls, kind: int) -> "Key":
        seed = nkeys.encode_seed(secrets.token_bytes(32), kind).decode()
        WATCH.plant(seed)
        return cls(seed)

    @property
    def public(self) -> str:
        return str(nkeys.from_seed(bytearray(self.seed.encode())).public_key.decode())

    def sign(self, claims: dict[str, Any]) -> str:
        """Sign a JWT of these claims with this key as the issuer."""
        header = {"typ": "JWT", "alg": "ed25519-nkey"}
        whole = {"jti": secrets.token_hex(16), "iat": int(time.time()) - 5, **claims}
        unsigned = f"{_encoded(header)}.{_encoded(whole | {'iss': self.public})}"
        signer = nkeys.from_seed(bytearray(self.seed.encode()))
        return f"{unsigned}.{_base64(signer.sign(unsigned.encode()))}"


@attrs.define
class OperatorNats:
    """One server; its account `payments` has JetStream and the signing keys that a test chooses."""

    folder: Path
    port: int
    operator: Key = attrs.field(factory=lambda: Key.new(nkeys.PREFIX_BYTE_OPERATOR))
    system: Key = attrs.field(factory=lambda: Key.new(nkeys.PREFIX_BYTE_ACCOUNT))
    account: Key = attrs.field(factory=lambda: Key.new(nkeys.PREFIX_BYTE_ACCOUNT))
    #: Certificate and key; None means no TLS.
    tls: tuple[Path, Path] | None = None
    process: "subprocess.Popen[bytes] | None" = None
    #: Created once: a server refuses to reload with another operator.
    operator_jwt: str = ""
    system_jwt: str = ""

    def __attrs_post_init__(self) -> None:
        nats = {"type": "operator", "version": 2, "system_account": self.system.public}
        claims = {"sub": self.operator.public, "name": "tests", "nats": nats}
        self.operator_jwt = self.operator.sign(claims)
        nats = {"type": "account", "version": 2, "limits": _PLAIN_LIMITS}
        self.system_jwt = self.operator.sign(
            {"sub": self.system.public, "name": "SYS", "nats": nats}
        )

    @property
    def url(self) -> str:
        return f"{'nats' if self.tls is None else 'tls'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it is ready; it keeps its stored data."""
        binary = Path(sysconfig.get_path("scripts")) / "nats-server"
        with (self.folder / "nats.log").open("wb") as log:
            self.process = subprocess.Popen(
                [str(binary), "-c", str(self.folder / "operator.conf")],
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"]},
            )
        _until_ready(self)

    def kill(self) -> None:
        """Kill it as a power cut would, even if it is frozen."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def new_signing_key(self) -> Key:
        """Create a signing key that `allow` may add to the account."""
        return Key.new(nkeys.PREFIX_BYTE_ACCOUNT)

    def allow(self, signing_keys: Sequence[Key | dict[str, Any]] = ()) -> None:
        """Write the configuration with these signing keys; reload a running server."""
        keys = [key.public if isinstance(key, Key) else key for key in signing_keys]
        account = self.operator.sign(
            {
                "sub": self.account.public,
                "name": "payments",
                "nats": {
                    "type": "account",
                    "version": 2,
                    "signing_keys": keys,
                    "limits": _LIMITS,
                },
            }
        )
        tls = ""
        if self.tls is not None:
            tls = f'tls {{ cert_file: "{self.tls[0]}", key_file: "{self.tls[1]}" }}\n'
        config = self.folder / "operator.conf"
        config.write_text(
            f"{tls}"
            f'listen: "127.0.0.1:{self.port}"\n'
            f'jetstream {{ store_dir: "{self.folder / "store"}" }}\n'
            f"operator: {self.operator_jwt}\n"
            f"system_account: {self.system.public}\n"
            "resolver: MEMORY\n"
            f"resolver_preload: {{ {self.account.public}: {account}\n"
            f"{self.system.public}: {self.system_jwt} }}\n"
        )
        if self.process is not None:
            log = self.folder / "nats.log"
            before = log.read_bytes().count(_RELOADED)
            self.process.send_signal(signal.SIGHUP)
            # A client that connects before the reload would make the server keep the old account.
            wait_until(
                lambda: log.read_bytes().count(_RELOADED) > before, log.read_text, interval_s=0.01
            )

    def credentials(self, permissions: dict[str, Any] | None = None, life_s: float = 3600) -> Path:
        """Write a .creds file for a user of the account; by default an administrator."""
        user = Key.new(nkeys.PREFIX_BYTE_USER)
        claims: dict[str, Any] = {"subs": -1, "data": -1, "payload": -1, **(permissions or {})}
        jwt = self.account.sign(
            {
                "sub": user.public,
                "name": "somebody",
                "exp": int(time.time() + life_s),
                "nats": {"type": "user", "version": 2, **claims},
            }
        )
        file = self.folder / f"{user.public[:12]}.creds"
        file.write_text(
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
        )
        return file


_PLAIN_LIMITS = {
    **dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1),
    "wildcards": True,
}
_LIMITS = {**_PLAIN_LIMITS, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}


@contextmanager
def running_operator_nats(
    folder: Path, port: int, tls: tuple[Path, Path] | None = None
) -> Iterator[OperatorNats]:
    """Run the server until the end of the block. Only the account's own key may sign."""
    nats = OperatorNats(folder, port, tls=tls)
    nats.allow()
    try:
        nats.start()
        yield nats
    finally:
        nats.kill()


def _until_ready(nats: OperatorNats) -> None:
    log = nats.folder / "nats.log"
    wait_until(lambda: b"Server is ready" in log.read_bytes(), log.read_text, process=nats.process)


def _encoded(part: dict[str, Any]) -> str:
    return _base64(json.dumps(part, separators=(",", ":")).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

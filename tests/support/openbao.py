"""A real OpenBao for tests: initialised, unsealed, with an AppRole and payd's secrets."""

import contextlib
import os
import signal
import subprocess
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import httpx

from payd.dev.ports import any_free
from support import plain_http
from support.planted_secrets import WATCH
from support.waiting import wait_until

POLICY = """
path "secret/data/payd" { capabilities = ["read"] }
"""


@attrs.define(kw_only=True)
class OpenBao:
    """One server; payd's secrets are in `secret/payd`, and the AppRole `payd` may read them."""

    port: int
    folder: Path
    pid: int = 0
    root_token: str = ""
    unseal_key: str = ""
    role_id: str = ""

    @property
    def addr(self) -> str:
        """The server's URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def secret_id_path(self) -> Path:
        """The file with the secret id that payd reads."""
        return self.folder / "secret_id"

    def environment(self) -> dict[str, str]:
        """Environment for `payd serve`."""
        return {
            "VAULT_ADDR": self.addr,
            "VAULT_ROLE_ID": self.role_id,
            "VAULT_SECRET_ID_PATH": str(self.secret_id_path),
            "VAULT_SECRET_PATH": "secret/payd",
        }

    def ask(self, method: str, path: str, **body: Any) -> Mapping[str, Any]:
        """Send a request as root; return the response."""
        answer = plain_http.request(
            method,
            f"{self.addr}/v1/{path}",
            json=body or None,
            headers={"X-Vault-Token": self.root_token},
            timeout=20,
        )
        assert answer.is_success, answer.text
        return answer.json() if answer.content else {}

    def write(self, **secrets: str) -> None:
        """Replace the secrets in `secret/payd`."""
        WATCH.plant(*secrets.values())
        self.ask("POST", "secret/data/payd", data=secrets)

    def read(self) -> dict[str, str]:
        """Read the secrets in `secret/payd`."""
        return dict(self.ask("GET", "secret/data/payd")["data"]["data"])

    def new_role(self, **settings: Any) -> None:
        """Recreate the AppRole, with a new secret id in its file."""
        defaults = {"token_policies": ["payd"], "token_ttl": "1h", "token_max_ttl": "24h"}
        self.ask("DELETE", "auth/approle/role/payd")
        self.ask("POST", "auth/approle/role/payd", **(defaults | settings))
        self.role_id = self.ask("GET", "auth/approle/role/payd/role-id")["data"]["role_id"]
        self.new_secret_id()

    def new_secret_id(self) -> None:
        """Write a new secret id to the file."""
        made = self.ask("POST", "auth/approle/role/payd/secret-id")["data"]["secret_id"]
        WATCH.plant(made)
        self.secret_id_path.write_text(made)

    def revoke_tokens(self) -> None:
        """Revoke every token that a login has returned."""
        self.ask("POST", "sys/leases/revoke-prefix/auth/approle/login")

    def seal(self) -> None:
        """Seal it: it answers 503 from now on."""
        self.ask("PUT", "sys/seal")

    def unseal(self) -> None:
        """Unseal it."""
        self.ask("PUT", "sys/unseal", key=self.unseal_key)
        _until(lambda: plain_http.get(f"{self.addr}/v1/sys/health").status_code == 200)

    def initialise(self) -> None:
        """Give an empty server a key and a root token."""
        made = self.ask("PUT", "sys/init", secret_shares=1, secret_threshold=1)
        self.unseal_key, self.root_token = made["keys"][0], made["root_token"]
        self.unseal()

    def set_up(self) -> None:
        """Give it payd's secrets, and a role that may read them."""
        self.ask("POST", "sys/mounts/secret", type="kv", options={"version": "2"})
        _until(self._can_write)
        self.ask("POST", "sys/auth/approle", type="approle")
        self.ask("PUT", "sys/policies/acl/payd", policy=POLICY)
        self.new_role()

    def _can_write(self) -> bool:
        """Wait: a KV engine becomes version 2 a moment after it was mounted."""
        try:
            self.write(db_password="none yet")
        except AssertionError:
            return False
        return True


def bao_program() -> Path:
    """The server's program, which is its command line, too."""
    return Path(sysconfig.get_path("scripts")) / "bao"


@contextlib.contextmanager
def running_openbao(folder: Path) -> Iterator[OpenBao]:
    """Run a server with payd's role and secrets until the end of the block."""
    with bare_openbao(folder) as bao:
        bao.set_up()
        yield bao


@contextlib.contextmanager
def bare_openbao(folder: Path) -> Iterator[OpenBao]:
    """Run a server that is unsealed and empty until the end of the block."""
    port = any_free()
    config = folder / "openbao.hcl"
    config.write_text(
        f'storage "inmem" {{}}\ndisable_mlock = true\n'
        f'listener "tcp" {{ address = "127.0.0.1:{port}" tls_disable = true }}\n'
    )
    with (folder / "openbao.log").open("wb") as log:
        process = subprocess.Popen(
            [str(bao_program()), "server", "-config", str(config)],
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        )
    bao = OpenBao(port=port, folder=folder, pid=process.pid)
    try:
        _until(lambda: plain_http.get(f"{bao.addr}/v1/sys/health").status_code == 501)
        bao.initialise()
        yield bao
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def _until(is_so: Callable[[], object]) -> None:
    def look() -> object:
        with contextlib.suppress(httpx.HTTPError):
            return is_so()
        return None

    wait_until(look, "OpenBao is ready")

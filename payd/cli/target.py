"""Where the daemon is: given by options or the environment, else a running `payd dev`."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click

from payd.cli import render

F = TypeVar("F", bound=Callable[..., Any])

_USUAL_STATE = Path(".payd")

_OPTIONS = (
    click.option("--target", envvar="PAYD_TARGET", help="host:port of the daemon's gRPC."),
    click.option("--ca", envvar="PAYD_CLIENT_CA", type=click.Path(path_type=Path), help="PEM."),
    click.option("--cert", envvar="PAYD_CLIENT_CERT", type=click.Path(path_type=Path), help="PEM."),
    click.option("--key", envvar="PAYD_CLIENT_KEY", type=click.Path(path_type=Path), help="PEM."),
)
_STATE_DIR = click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    help=f"State directory of a running `payd dev`.  [default: {_USUAL_STATE}]",
)
#: Each says by itself which daemon is meant, so that a `payd dev` here is not.
_CONFIGURED = ("DB_HOST", "PAYD_CONFIG")


@attrs.frozen(kw_only=True)
class Target:
    """The daemon, and the certificate to show it."""

    address: str
    ca: Path
    cert: Path
    key: Path
    #: Where customers go when they have paid, or not: of a shop that does not exist.
    shop: str = "https://example.com"
    #: What a command must be given to find this daemon again: ` --state-dir …`.
    options: str = ""
    #: The command of a customer's wallet, which wants a payment's id; empty without a local chain.
    wallet: str = ""


def target_options(command: F) -> F:
    """Adds --target, --ca, --cert, --key and --state-dir."""
    for option in reversed((*_OPTIONS, _STATE_DIR)):
        command = option(command)
    return command


def state_dir_option(command: F) -> F:
    """Adds --state-dir."""
    return _STATE_DIR(command)


def find_target(
    target: str | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    state_dir: Path | None,
) -> Target:
    """Raises click.ClickException, which says what to do."""
    if target:
        if not (ca and cert and key):
            raise click.UsageError("--target needs --ca, --cert and --key too")
        host, _, port = target.rpartition(":")
        if not (host and port.isdecimal() and 0 < int(port) < 65536):
            raise click.UsageError(f"{target!r} is not host:port")
        return Target(address=target, ca=ca, cert=cert, key=key)
    document = dev_document(state_dir, "--target")
    state = state_dir or _USUAL_STATE
    pki = state / "pki"
    shop, wallet = document.get("shop"), document.get("wallet_command")
    here = "" if state == _USUAL_STATE else f" --state-dir {state}"
    return Target(
        address=str(document["grpc"]),
        ca=ca or pki / "ca.crt",
        cert=cert or pki / "client.crt",
        key=key or pki / "client.key",
        **({"shop": shop} if shop else {}),
        wallet=f"{render.program()} {wallet}{here}" if wallet else "",
        options=here,
    )


def find_nats(nats: str | None, state_dir: Path | None) -> str:
    """The server's URL: as given, else that of `payd dev`. Raises click.ClickException."""
    return nats or str(dev_document(state_dir, "--nats")["nats"])


def find_dev(state_dir: Path | None) -> Path | None:
    """The state directory whose `payd dev` a command works with.

    The one that --state-dir names; else the usual one, if a `payd dev` runs there and the
    environment does not configure another daemon; else None. Raises click.ClickException when
    nothing runs on the one that was named.
    """
    if state_dir is not None:
        dev_document(state_dir, "the daemon's own settings in the environment")
        return state_dir
    if any(name in os.environ for name in _CONFIGURED) or not dev_announced(None):
        return None
    return _USUAL_STATE


def daemon_environment(state_dir: Path | None) -> dict[str, str]:
    """The environment that the daemon's settings are read from: see `find_dev`."""
    dev = find_dev(state_dir)
    return dict(os.environ) if dev is None else _dev_settings(dev)


def _dev_settings(state: Path) -> dict[str, str]:
    """Every setting of its daemon: this shell's own do not mix in."""
    try:
        settings: dict[str, str] = json.loads((state / "environment.json").read_text())
    except (OSError, ValueError):
        raise click.ClickException(
            f"{state / 'environment.json'} cannot be read: start `payd dev` again"
        ) from None
    return settings


def dev_announced(state_dir: Path | None) -> dict[str, Any]:
    """dev.json of a running `payd dev`; empty where none runs."""
    try:
        return dev_document(state_dir, "")
    except click.ClickException:
        return {}


def dev_document(state_dir: Path | None, otherwise: str) -> dict[str, Any]:
    """dev.json of a running `payd dev`. Raises click.ClickException.

    `otherwise` completes its advice: what to give where no `payd dev` is wanted.
    """
    state = state_dir or _USUAL_STATE
    try:
        document: dict[str, Any] = json.loads((state / "dev.json").read_text())
    except (OSError, ValueError):
        raise click.ClickException(
            f"no `payd dev` runs on {state}: start it first, or give {otherwise}"
        ) from None
    return document

"""Where the daemon is: given by options or the environment, else a running `payd dev`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click

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
    default=_USUAL_STATE,
    show_default=True,
    help="Of a running `payd dev`.",
)


@attrs.frozen(kw_only=True)
class Target:
    """The daemon, and the certificate to show it."""

    address: str
    ca: Path
    cert: Path
    key: Path
    #: Where customers go when they have paid, or not: of a shop that does not exist.
    shop: str = "https://example.com"
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
    target: str | None, ca: Path | None, cert: Path | None, key: Path | None, state_dir: Path
) -> Target:
    """Raises click.ClickException, which says what to do."""
    if target:
        if not (ca and cert and key):
            raise click.UsageError("--target needs --ca, --cert and --key too")
        host, _, port = target.rpartition(":")
        if not (host and port.isdecimal()):
            raise click.UsageError(f"{target!r} is not host:port")
        return Target(address=target, ca=ca, cert=cert, key=key)
    pki, document = state_dir / "pki", dev_document(state_dir)
    stand_in = document.get("stripe_api")
    here = "" if state_dir == _USUAL_STATE else f" --state-dir {state_dir}"
    return Target(
        address=str(document["grpc"]),
        ca=ca or pki / "ca.crt",
        cert=cert or pki / "client.crt",
        key=key or pki / "client.key",
        **({"shop": f"{stand_in}/shop"} if stand_in else {}),
        wallet=f"payd tempo pay{here}" if "tempo_rpc" in document else "",
    )


def dev_environment(state_dir: Path) -> dict[str, str]:
    """The settings of a running `payd dev`; empty where none runs."""
    try:
        settings: dict[str, str] = json.loads((state_dir / "environment.json").read_text())
    except (OSError, ValueError):
        return {}
    return settings


def dev_announced(state_dir: Path) -> dict[str, Any]:
    """dev.json of a running `payd dev`; empty where none runs."""
    try:
        return dev_document(state_dir)
    except click.ClickException:
        return {}


def dev_document(state_dir: Path) -> dict[str, Any]:
    """dev.json of a running `payd dev`; raises click.ClickException."""
    try:
        document: dict[str, Any] = json.loads((state_dir / "dev.json").read_text())
    except (OSError, ValueError):
        raise click.ClickException(
            f"no `payd dev` runs on {state_dir}: start it first, or give --target"
        ) from None
    return document

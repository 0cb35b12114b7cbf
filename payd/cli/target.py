"""Find the daemon: from options or the environment, else a running `payd dev`."""

import fcntl
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click
from click.core import ParameterSource

from payd.cli import render

F = TypeVar("F", bound=Callable[..., Any])

_USUAL_STATE = Path(".payd")


def _pem_option(name: str, variables: Sequence[str], content: str) -> Any:
    return click.option(
        name,
        envvar=variables,
        show_envvar=True,
        type=click.Path(path_type=Path),
        help=f"PEM file with the {content}.",
    )


_OPTIONS = (
    click.option(
        "--target",
        envvar="PAYD_TARGET",
        show_envvar=True,
        help="host:port of the daemon's gRPC server.",
    ),
    _pem_option("--ca", ("PAYD_CLIENT_CA",), "CA of the server's certificate"),
)
_CLIENT = (
    _pem_option("--cert", ("PAYD_CLIENT_CERT",), "client certificate"),
    _pem_option("--key", ("PAYD_CLIENT_KEY",), "client's private key"),
)
_OPERATOR = (
    _pem_option("--cert", ("PAYD_OPERATOR_CERT", "PAYD_CLIENT_CERT"), "operator's certificate"),
    _pem_option("--key", ("PAYD_OPERATOR_KEY", "PAYD_CLIENT_KEY"), "operator's private key"),
)
_STATE_DIR = click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    help=f"State directory of a running `payd dev`.  [default: {_USUAL_STATE}]",
)
#: Variables that configure a daemon. If one is set, a `payd dev` in this folder is ignored.
_CONFIGURED = ("DB_HOST", "PAYD_CONFIG")


@attrs.frozen(kw_only=True)
class Target:
    """The daemon's address, and the certificate files for it."""

    address: str
    ca: Path
    cert: Path
    key: Path
    #: Base of the default return URLs. The shop at example.com does not exist.
    shop: str = "https://example.com"
    #: Options that another command needs to find the same daemon: ` --state-dir …`.
    options: str = ""
    #: The command of a customer's wallet, which wants a payment's id; empty without a local chain.
    wallet: str = ""


def target_options(command: F) -> F:
    """Add --target, --ca, --cert, --key and --state-dir to a command."""
    for option in reversed((*_OPTIONS, *_CLIENT, _STATE_DIR)):
        command = option(command)
    return command


def operator_options(command: F) -> F:
    """Add the same options to a command that only an operator may call: see `find_operator`."""
    for option in reversed((*_OPTIONS, *_OPERATOR, _STATE_DIR)):
        command = option(command)
    return command


def state_dir_option(command: F) -> F:
    """Add --state-dir to a command."""
    return _STATE_DIR(command)


def find_target(
    target: str | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    state_dir: Path | None,
    *,
    role: str = "client",
) -> Target:
    """Resolve the options to a daemon. Raises click.ClickException with advice.

    --state-dir wins over variables of the environment. `role` names the certificate of `payd dev`.
    """
    if state_dir is not None:
        target = None if _is_from_environment("target") else target
        ca, cert, key = (
            None if _is_from_environment(name) else path
            for name, path in (("ca", ca), ("cert", cert), ("key", key))
        )
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
        cert=cert or pki / f"{role}.crt",
        key=key or pki / f"{role}.key",
        **({"shop": shop} if shop else {}),
        wallet=f"{render.program()} {wallet}{here}" if wallet else "",
        options=here,
    )


def find_operator(**options: Any) -> Target:
    """As `find_target`, with the operator's certificate of `payd dev`."""
    return find_target(**options, role="operator")


def find_nats(nats: str | None, state_dir: Path | None) -> str:
    """Return the given NATS URL, else that of `payd dev`. Raises click.ClickException."""
    if nats and not (state_dir is not None and _is_from_environment("nats")):
        return nats
    return str(dev_document(state_dir, "--nats")["nats"])


def _is_from_environment(option: str) -> bool:
    source = click.get_current_context().get_parameter_source(option)
    return source is ParameterSource.ENVIRONMENT


def find_dev(state_dir: Path | None) -> Path | None:
    """Return the state directory of the `payd dev` that the command is for, or None.

    It is --state-dir if given. Otherwise it is the default one, if a `payd dev` runs there and the
    environment configures no other daemon. Raises click.ClickException when no `payd dev` runs on
    the given directory, or the one that does is not ready.
    """
    if state_dir is not None:
        dev_document(state_dir, "the daemon's own settings in the environment")
        return state_dir
    if any(name in os.environ for name in _CONFIGURED):
        return None
    if not dev_announced(None):
        _check_starting(_USUAL_STATE)
        return None
    return _USUAL_STATE


def daemon_environment(state_dir: Path | None) -> dict[str, str]:
    """Return the environment to read the daemon's settings from (see `find_dev`)."""
    dev = find_dev(state_dir)
    return dict(os.environ) if dev is None else _dev_settings(dev)


def _dev_settings(state: Path) -> dict[str, str]:
    """Read all settings of its daemon. This shell's environment does not apply to it."""
    try:
        settings: dict[str, str] = json.loads((state / "environment.json").read_text())
    except (OSError, ValueError):
        raise click.ClickException(
            f"cannot read {state / 'environment.json'}: restart `payd dev`"
        ) from None
    return settings


def dev_announced(state_dir: Path | None) -> dict[str, Any]:
    """Read dev.json of a running `payd dev`; empty when none runs."""
    try:
        return dev_document(state_dir, "")
    except click.ClickException:
        return {}


def dev_document(state_dir: Path | None, otherwise: str) -> dict[str, Any]:
    """Read dev.json of a running `payd dev`. Raises click.ClickException when none runs.

    `otherwise` ends the advice: what to pass when `payd dev` is not wanted.
    """
    state = state_dir or _USUAL_STATE
    try:
        document: dict[str, Any] = json.loads((state / "dev.json").read_text())
        _check_lock(state)
    except (OSError, ValueError):
        _check_starting(state)
        raise click.ClickException(
            f"no `payd dev` is running on {state}: start it, or pass {otherwise}"
        ) from None
    return document


def _check_lock(state: Path) -> None:
    """Raise ProcessLookupError if the `payd dev` that wrote dev.json was killed.

    It holds the lock as long as it runs (payd.dev.state), and removes dev.json only at a clean end.
    """
    if (state / "lock").exists() and not _is_locked(state):
        raise ProcessLookupError


def _check_starting(state: Path) -> None:
    """Raise click.ClickException if a `payd dev` runs there that is not ready."""
    if _is_locked(state):
        raise click.ClickException(
            f"`payd dev` on {state} is not ready: try again when it has started"
        )


def _is_locked(state: Path) -> bool:
    try:
        lock = (state / "lock").open()
    except OSError:
        return False
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False

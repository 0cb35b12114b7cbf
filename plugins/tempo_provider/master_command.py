"""`payd tempo register-master`: what an operator signs once, for an address of each payment."""

import json
from pathlib import Path
from typing import Any

import click

from payd.plugins import CommandContext
from tempo_provider.config import TempoConfig
from tempo_provider.contracts import REGISTRY, register_calldata
from tempo_provider.master_salt import ZERO_BITS, Progress, Search, find_salt, registration_hash

_NO_NUMBA = (
    "the search needs numba, which payd does not need otherwise: "
    "pip install 'numba>=0.66,<1', here or on any machine"
)


@click.command("register-master")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("tempo-master.json"),
    show_default=True,
    help="File in which the search is kept: started again, the command goes on from there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def register_master(context: CommandContext, state: Path, as_json: bool) -> None:
    """Find what registers the receiver account, so that each payment has an address of its own.

    The search takes some billion tries: minutes on a large machine, an hour on a small one. payd
    holds no key: sign the transaction that this prints with the account's own wallet, then set
    TEMPO_MASTER_ID.
    """
    config: TempoConfig = context.config
    account = config.receiver_address
    try:
        salt = find_salt(account, _compiled(), state, _show)
    except KeyboardInterrupt:
        raise click.ClickException(f"stopped: the same command goes on from {state}") from None
    except OSError as error:
        raise click.ClickException(f"cannot write {state}: {error.strerror}") from None
    click.echo(err=True)
    document = described(config, salt)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(f"""\
account    {account}
salt       {document["salt"]}
master id  {document["master_id"]}

Send this from {account} on chain {config.chain_id}, once:

  to     {document["to"]}
  value  0
  data   {document["data"]}

Then, when every daemon runs this version, set TEMPO_MASTER_ID={document["master_id"]} and restart
payd. Before you go back to an older version, unset it and let the open payments end: an older
daemon books money that arrives at their addresses as unmatched.""")


def described(config: TempoConfig, salt: int) -> dict[str, Any]:
    """The transaction that registers the account, and the id that it will have."""
    return {
        "account": config.receiver_address,
        "chain_id": config.chain_id,
        "salt": f"0x{salt:064x}",
        "master_id": "0x" + registration_hash(config.receiver_address, salt)[4:8].hex(),
        "to": REGISTRY,
        "value": "0",
        "data": register_calldata(salt),
    }


def _compiled() -> Search:
    """The search as compiled code. Raises ClickException without numba."""
    click.echo("compiling …", err=True)
    try:
        from tempo_provider import keccak_search
    except ImportError:
        raise click.ClickException(_NO_NUMBA) from None
    return keccak_search.first_salt


def _show(progress: Progress) -> None:
    """One line that is written over the last one."""
    share = 1 - (1 - 2.0**-progress.zero_bits) ** progress.tries
    left = "measuring the rate"
    if progress.rate:
        left = (
            f"{progress.rate / 1e6:.1f} million/s · "
            f"{progress.expected_s / 60:.0f} min left on average"
        )
    click.echo(
        f"\r{progress.tries / 1e9:.2f} billion tries, of {2**ZERO_BITS / 1e9:.1f} on average · "
        f"{left} · {share:.0%} of all searches have ended by now ",
        nl=False,
        err=True,
    )

"""The operator's commands."""

import os
import sys
from functools import partial

import click


@click.command()
def serve() -> None:
    """Run the daemon until SIGTERM."""
    from payd.config import ConfigError, load_config
    from payd.nursery import serve as run

    reload = partial(load_config, os.environ, None)
    try:
        config = reload()
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(78)
    sys.exit(run(config, reload))

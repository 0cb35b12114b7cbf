"""`payd init`: the files that a payd of one's own needs, and what to do with them."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

_PASSWORD_BYTES = 24
_KEY_BYTES = 32

_DATABASE = """\
-- The role and the database of payd. Run it once, as a superuser:
--   psql --host {db_host} --port {db_port} --username postgres --file database.sql
CREATE ROLE payd LOGIN PASSWORD '{password}';
CREATE DATABASE payd OWNER payd;
"""

_ENVIRONMENT = """\
# Settings of payd on this host: docs/configuration.md explains every one. Load them into a shell
# with `set -a; . payd.env; set +a`, and give the file to systemd as EnvironmentFile.
ENVIRONMENT={environment}
PRICING_FILE={folder}/pricing.yaml

DB_HOST={db_host}
DB_PORT={db_port}
DB_USER=payd
DB_NAME=payd
DB_SSL_MODE={ssl_mode}
DB_PASSWORD_FILE={folder}/secrets/db_password

NATS_URL={nats}

PAYD_GRPC_HOST={grpc_host}
GRPC_PORT=50051
GRPC_TLS_CERT_FILE={folder}/pki/server.crt
GRPC_TLS_KEY_FILE={folder}/pki/server.key
GRPC_TLS_CA_FILE={folder}/pki/ca.crt
GRPC_ALLOWED_CNS={apps}
GRPC_OPERATOR_CNS={operators}
HTTP_PORT=8085
METRICS_PORT=9086

PAYD_PAYMENTS_QUOTE_KEY_FILE={folder}/secrets/quote_key
PAYD_AUDIT_SIGNING_KEY_FILE={folder}/secrets/audit_signing_key
PAYD_HTTP_PAGE_KEY_FILE={folder}/secrets/page_key
# Payment pages: the URL under which customers reach HTTP_PORT, through a proxy with TLS.
{pages}

# For `payd pay`, `payd refund` and the other commands that call the daemon.
PAYD_TARGET={host}:50051
PAYD_CLIENT_CA={folder}/pki/ca.crt
PAYD_CLIENT_CERT={folder}/pki/{app}.crt
PAYD_CLIENT_KEY={folder}/pki/{app}.key
PAYD_OPERATOR_CERT={folder}/pki/{operator}.crt
PAYD_OPERATOR_KEY={folder}/pki/{operator}.key
"""

_NO_PAGES = "# PAYD_HTTP_PUBLIC_URL=https://pay.example.com"

_PRICES = """\
# The price of each product, in whole minor units (cents) of its currency:
# chain_profile_id: {node_type: {duration: price}}. `payd pricing check` checks the file.
currency: USD

prices:
  ethereum-mainnet:
    full: {30d: 14900}
"""

_NEXT = """\

Next, as docs/production.md explains:
  psql --username postgres --file {folder}/database.sql   # the role and the database, once
  set -a; . {folder}/payd.env; set +a                     # after a look at what it says
  payd config check
  payd migrate && payd events create-stream
  payd serve
  payd doctor                                             # in another shell
Keep {folder}/pki/ca.key somewhere else: it can sign a certificate for anybody. Run this command
again to replace certificates that expire within 30 days."""


class CommonName(click.ParamType[str]):
    """Parameter type: the common name of a certificate, which is also the name of its file."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name."""
        if not value or not value.replace("-", "").replace("_", "").replace(".", "").isalnum():
            self.fail(f"{value!r}: use letters, digits, '-', '_' and '.'", param, ctx)
        if value in ("ca", "server"):
            self.fail(f"{value!r} is the name of payd's own certificate", param, ctx)
        return value


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@click.option(
    "--environment",
    type=click.Choice(["production", "staging"]),
    default="production",
    show_default=True,
    help="Which rules apply: staging also takes secrets from variables.",
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    help="Name or address by which clients reach payd's gRPC server; repeatable."
    "  [default: this machine only]",
)
@click.option("--db-host", default="127.0.0.1", show_default=True, help="Host of PostgreSQL.")
@click.option("--db-port", default=5432, show_default=True, help="Port of PostgreSQL.")
@click.option(
    "--nats", default="nats://127.0.0.1:4222", show_default=True, help="URL of the NATS server."
)
@click.option(
    "--app",
    "apps",
    multiple=True,
    default=["main-app"],
    show_default=True,
    type=CommonName(),
    help="Common name of an application that may call; repeatable.",
)
@click.option(
    "--operator",
    "operators",
    multiple=True,
    default=["operator"],
    show_default=True,
    type=CommonName(),
    help="Common name of an operator, one for each person; repeatable.",
)
@click.option(
    "--public-url",
    help="URL under which customers reach payd, for payment pages: https://pay.example.com.",
)
def init(
    folder: Path, hosts: Sequence[str], apps: Sequence[str], operators: Sequence[str], **more: Any
) -> None:
    """Write the files for a host of your own: database role, certificates, settings, prices.

    A file that exists stays as it is, so that the command may be repeated. Nothing is sent
    anywhere.
    """
    from payd.dev.pki import LOCAL, ensure_pki

    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    names = [*apps, *operators]
    known = [path for path in _expected(folder) if path.exists()]
    written = [
        *_secrets(folder),
        *_texts(folder, hosts, apps, operators, more),
        *ensure_pki(
            folder / "pki",
            datetime.now(UTC),
            clients=dict(zip(names, names, strict=True)),
            hosts=[*hosts, *LOCAL],
            ca_name=f"payd CA of {(hosts or LOCAL)[0]}",
        ),
    ]
    for path in written:
        click.echo(f"wrote {path}")
    for path in known:
        click.echo(f"kept  {path}")
    click.echo(_NEXT.format(folder=folder))


def _expected(folder: Path) -> Iterator[Path]:
    for name in ("database.sql", "payd.env", "pricing.yaml"):
        yield folder / name
    for name in ("db_password", "quote_key", "audit_signing_key", "page_key"):
        yield folder / "secrets" / name


def _secrets(folder: Path) -> Iterator[Path]:
    (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
    made = {
        "db_password": secrets.token_urlsafe(_PASSWORD_BYTES),
        "quote_key": secrets.token_hex(_KEY_BYTES),
        "audit_signing_key": secrets.token_hex(_KEY_BYTES),
        "page_key": secrets.token_hex(_KEY_BYTES),
    }
    for name, value in made.items():
        yield from _write(folder / "secrets" / name, value, mode=0o600)


def _texts(
    folder: Path,
    hosts: Sequence[str],
    apps: Sequence[str],
    operators: Sequence[str],
    more: Mapping[str, Any],
) -> Iterator[Path]:
    is_local = more["db_host"] in ("127.0.0.1", "::1", "localhost")
    values = {
        **more,
        "folder": folder,
        "password": (folder / "secrets" / "db_password").read_text().strip(),
        "ssl_mode": "prefer" if is_local else "verify-full",
        # Callers on other hosts need more than the loopback interface.
        "grpc_host": "0.0.0.0" if hosts else "127.0.0.1",  # noqa: S104 - mutual TLS only
        "host": (*hosts, "127.0.0.1")[0],
        "apps": ",".join(apps),
        "operators": ",".join(operators),
        "app": apps[0],
        "operator": operators[0],
        "pages": f"PAYD_HTTP_PUBLIC_URL={more['public_url']}" if more["public_url"] else _NO_PAGES,
    }
    yield from _write(folder / "database.sql", _DATABASE.format(**values), mode=0o600)
    yield from _write(folder / "payd.env", _ENVIRONMENT.format(**values), mode=0o644)
    yield from _write(folder / "pricing.yaml", _PRICES, mode=0o644)


def _write(path: Path, text: str, *, mode: int) -> Iterator[Path]:
    """Write a file that does not exist yet."""
    if path.exists():
        return
    path.touch(mode=mode)
    path.write_text(text)
    yield path

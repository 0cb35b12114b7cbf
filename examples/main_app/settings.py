"""Settings of the main app, from its environment."""

import os
from collections.abc import Mapping
from pathlib import Path

import attrs
from payd_client import ConsumerSettings, TlsFiles


class SettingMissing(Exception):
    """A required variable is not set; the message names it."""


@attrs.frozen(kw_only=True)
class Settings:
    """Addresses, files and secrets of the main app."""

    host: str
    port: int
    #: URL of the shop's page, where customers return.
    public_url: str
    #: URL of the main app's own PostgreSQL database, not payd's.
    database_url: str = attrs.field(repr=False)
    #: host:port of payd's gRPC server.
    payd_grpc: str
    #: URL of payd's HTTP server, for the payment methods.
    payd_http: str
    tls: TlsFiles
    events: ConsumerSettings
    #: Users created at the start: id → token. For development and tests.
    users: Mapping[str, str] = attrs.field(repr=False)
    #: Employees, in the same way: they may grant refunds.
    staff: Mapping[str, str] = attrs.field(repr=False)


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises SettingMissing."""

    def need(name: str) -> str:
        if not environ.get(name):
            raise SettingMissing(f"{name} is not set")
        return environ[name]

    host, port = environ.get("MAIN_APP_HOST", "127.0.0.1"), environ.get("MAIN_APP_PORT", "8000")
    return Settings(
        host=host,
        port=int(port),
        public_url=environ.get("MAIN_APP_PUBLIC_URL", f"http://{host}:{port}/"),
        database_url=need("MAIN_APP_DATABASE_URL"),
        payd_grpc=need("PAYD_TARGET"),
        payd_http=need("PAYD_HTTP_URL"),
        tls=TlsFiles(
            ca=Path(need("PAYD_CLIENT_CA")),
            cert=Path(need("PAYD_CLIENT_CERT")),
            key=Path(need("PAYD_CLIENT_KEY")),
        ),
        events=ConsumerSettings(
            nats=need("NATS_URL"),
            redis=environ.get("REDIS_URL", ""),
            ack_wait_s=float(environ.get("MAIN_APP_ACK_WAIT_S", "30")),
        ),
        users=_pairs(environ.get("MAIN_APP_USERS", "")),
        staff=_pairs(environ.get("MAIN_APP_STAFF", "")),
    )


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split(":", 1) for pair in text.split(",") if pair)

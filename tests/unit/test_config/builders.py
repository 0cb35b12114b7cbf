"""Configurations to start from, with what a test changes."""

from pathlib import Path

import pytest

from payd.config import (
    Config,
    ConfigError,
    Problem,
    load_config,
)

SHIPPED = Path(__file__).parents[3] / "config" / "payd.yaml"

TLS = ("GRPC_TLS_CERT_FILE", "GRPC_TLS_KEY_FILE", "GRPC_TLS_CA_FILE")
VAULT = {
    "VAULT_ADDR": "https://vault:8200",
    "VAULT_ROLE_ID": "payd",
    "VAULT_SECRET_ID_PATH": "/run/vault/secret-id",
    "VAULT_TLS_CA_FILE": "/run/vault/ca.crt",
    "VAULT_SECRET_PATH": "secret/payd",
}
#: Enough to load, outside production.
MINIMAL = {"DB_PASSWORD": "hunter2"}


def load(folder: Path, yaml: str = "", **environ: str) -> Config:
    """Load a file with this content under this environment, and MINIMAL."""
    file = folder / "payd.yaml"
    file.write_text(yaml)
    given = {**MINIMAL, **environ}
    return load_config(given, file, installed=("stripe", "tempo", "mock"))


def refusals(folder: Path, yaml: str = "", **environ: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as refused:
        load(folder, yaml, **environ)
    return refused.value.problems


def production(folder: Path, **overrides: str) -> dict[str, str]:
    """An environment that production accepts."""
    password = folder / "db_password"
    password.write_text("hunter2\n")
    files = {name: folder / name.lower() for name in TLS}
    for file in files.values():
        file.write_text("PEM")
    return {
        "ENVIRONMENT": "production",
        "DB_PASSWORD": "",
        "DB_PASSWORD_FILE": str(password),
        **{name: str(file) for name, file in files.items()},
        **overrides,
    }

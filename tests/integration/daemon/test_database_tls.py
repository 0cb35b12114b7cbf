"""TLS to a real PostgreSQL: whose certificate payd believes in each mode of DB_SSL_MODE."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.authority import Authority
from support.tls_postgres import TlsPostgres, running_tls_postgres


@pytest.fixture(scope="module")
def database() -> Iterator[TlsPostgres]:
    with running_tls_postgres() as database:
        yield database


def connected(done: "subprocess.CompletedProcess[str]") -> bool:
    """Whether it read the database; says why not where it did not."""
    return "missing: " in done.stdout


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca"])
def test_without_a_ca_file_the_systems_authorities_are_trusted(
    database: TlsPostgres, mode: str
) -> None:
    """OpenSSL reads SSL_CERT_FILE in the place of the system's own file."""
    done = database.look(DB_SSL_MODE=mode, SSL_CERT_FILE=str(database.ca))
    assert connected(done), done.stderr


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca"])
def test_a_certificate_of_another_authority_is_refused(database: TlsPostgres, mode: str) -> None:
    done = database.look(DB_SSL_MODE=mode)
    assert not connected(done)
    assert "certificate verify failed" in done.stderr


def test_a_ca_file_is_trusted_and_nothing_beside_it(database: TlsPostgres, tmp_path: Path) -> None:
    settings = {"DB_SSL_MODE": "verify-full", "SSL_CERT_FILE": str(database.ca)}
    ours = database.look(**settings, PAYD_DATABASE_SSL_ROOT_CERT_FILE=str(database.ca))
    assert connected(ours), ours.stderr

    other = tmp_path / "other.crt"
    other.write_bytes(Authority.new().pem())
    refused = database.look(**settings, PAYD_DATABASE_SSL_ROOT_CERT_FILE=str(other))
    assert not connected(refused)
    assert "certificate verify failed" in refused.stderr


def test_only_verify_full_compares_the_servers_name(database: TlsPostgres) -> None:
    """`127.1` is an address of the same server that its certificate does not name."""
    settings = {"DB_HOST": "127.1", "SSL_CERT_FILE": str(database.ca)}
    refused = database.look(**settings, DB_SSL_MODE="verify-full")
    assert not connected(refused)
    assert "certificate" in refused.stderr
    assert connected(database.look(**settings, DB_SSL_MODE="verify-ca"))


def test_require_encrypts_and_believes_any_certificate(database: TlsPostgres) -> None:
    assert connected(database.look(DB_SSL_MODE="require"))
    assert not connected(database.look(DB_SSL_MODE="disable"))

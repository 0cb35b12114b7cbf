"""An operator's commands take the secrets from the vault, too."""

import json
import subprocess
from collections.abc import Iterator

import pytest
from support.daemon import Place
from support.forks import run_payd
from support.openbao import OpenBao, running_openbao


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with running_openbao(tmp_path_factory.mktemp("openbao")) as bao:
        yield bao


def run(place: Place, bao: OpenBao, *command: str) -> "subprocess.CompletedProcess[str]":
    environment = place.environment()
    bao.write(db_password=environment["DB_PASSWORD"])
    return run_payd(*command, env=environment | bao.environment() | {"DB_PASSWORD": ""})


def test_migrate_finds_its_password_there(place: Place, bao: OpenBao) -> None:
    done = run(place, bao, "migrate")
    assert (done.returncode, done.stdout) == (0, "schema is up to date\n"), done.stderr


def test_doctor_says_what_the_vault_holds_and_nothing_of_it(place: Place, bao: OpenBao) -> None:
    done = run(place, bao, "doctor", "--json")
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert findings["Vault"]["ok"]
    assert "secret/payd has db_password" in findings["Vault"]["detail"]
    assert findings["PostgreSQL"]["ok"]
    assert place.environment()["DB_PASSWORD"] not in done.stdout + done.stderr


def test_doctor_says_that_the_vault_refuses(place: Place, bao: OpenBao) -> None:
    environment = {**bao.environment(), "VAULT_SECRET_PATH": "secret/elsewhere"}
    env = place.environment() | environment | {"DB_PASSWORD": ""}
    done = run_payd("doctor", "--json", env=env)
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 1
    assert "permission denied" in findings["Vault"]["detail"]
    # Nobody is advised to make a key that Vault may have.
    assert "openssl" not in done.stdout
    assert not findings["PostgreSQL"]["ok"]


def test_a_command_without_its_vault_ends_with_1_and_says_why(place: Place, bao: OpenBao) -> None:
    environment = {**bao.environment(), "VAULT_ADDR": "http://127.0.0.1:1"}
    done = run_payd("migrate", env=place.environment() | environment | {"DB_PASSWORD": ""})
    assert done.returncode == 1
    assert "Error: Vault: login: ConnectionError" in done.stderr

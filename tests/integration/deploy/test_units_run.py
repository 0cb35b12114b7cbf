"""The units under a real systemd: their user, their credentials, their sandbox, and a payment.

Nothing of the shipped units is changed; a drop-in says where their output goes and where the
tests' Python is.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from support import plain_http
from support.absent import NO_OWN_SYSTEMD, do_without
from support.authority import Authority
from support.daemon import Client, Place, a_quote_request
from support.openbao import running_openbao
from support.own_systemd import ROOT, Units, booted, is_possible, prepare
from support.waiting import wait_until

UNITS = ROOT / "deploy" / "systemd"
#: An id that no other group on this machine has.
GROUP = 47_110


@attrs.frozen
class Host:
    """A host with payd installed as docs/operations.md says."""

    units: Units
    place: Place
    grpc: str
    http: str

    @property
    def payd(self) -> Path:
        """/etc/payd"""
        return self.units.etc / "payd"

    def set(self, **variables: str) -> None:
        """Lines of /etc/payd/payd.env."""
        with (self.payd / "payd.env").open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in variables.items())

    def quotes(self) -> bool:
        """Whether its quotes hold their price."""
        with Client(self.grpc, self.place.pki, "client") as client:
            quote = client.call("GetQuote", a_quote_request()).quote
        return bool(quote.quote_token) and not quote.indicative

    def pay(self) -> str:
        """The provider of a payment, once it is COMPLETED."""
        with Client(self.grpc, self.place.pki, "client") as client:
            return str(client.wait_for(client.initiate().id, "COMPLETED").provider)


@pytest.fixture
def host(
    place: Place, free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory
) -> Host:
    if not is_possible():
        do_without(NO_OWN_SYSTEMD)
    units = prepare(tmp_path_factory.mktemp("host"), "payd.service")
    shutil.copy(UNITS / "payd.service", units.system)
    return installed(units, place, free_port)


def installed(units: Units, place: Place, free_port: Callable[[], int]) -> Host:
    ports = {name: str(free_port()) for name in ("GRPC_PORT", "HTTP_PORT", "METRICS_PORT")}
    found = Host(units, place, f"127.0.0.1:{ports['GRPC_PORT']}", f"127.0.0.1:{ports['HTTP_PORT']}")
    secrets, tls = found.payd / "secrets", found.payd / "tls"
    for folder in (secrets, tls):
        folder.mkdir(parents=True)
    given = place.environment()
    (secrets / "db_password").write_text(given["DB_PASSWORD"])
    (secrets / "quote_key").write_text("k" * 64)
    for name in ("server.crt", "server.key", "ca.crt"):
        shutil.copy(place.pki / name, tls / name)
    mock = "  mock:\n    enabled: true\n    allow_in_production: true\n"
    mock += "    state_file: /var/lib/payd/mock\n"
    shipped = (ROOT / "config" / "payd.yaml").read_text()
    (found.payd / "payd.yaml").write_text(shipped.partition("  mock:")[0] + mock)
    shutil.copy(ROOT / "config" / "pricing.yaml", found.payd)
    found.set(
        ENVIRONMENT="production",
        **{name: given[name] for name in ("DB_HOST", "DB_PORT", "DB_USER", "DB_NAME")},
        NATS_URL=given["NATS_URL"],
        PAYD_NATS_CREATE_STREAM="true",
        **ports,
    )
    for file in (*secrets.iterdir(), *tls.iterdir()):
        file.chmod(0o400)
    return found


def is_dynamic(uid: str) -> bool:
    """From the range that systemd takes its users from (systemd.exec, DynamicUser)."""
    return 61184 <= int(uid) <= 65519


def test_the_unit_starts_with_secrets_and_certificates_that_only_root_can_read(host: Host) -> None:
    with booted(host.units):
        assert not (host.units.folder / "result" / "failed").exists(), host.units.log()
        state, status = host.units.properties(), host.units.status()
        assert (state["ActiveState"], state["NRestarts"]) == ("active", "0")
        assert state["StatusText"].startswith("ready")
        assert all(map(is_dynamic, status["Uid"].split()))
        assert plain_http.get(f"http://{host.http}/readyz").status_code == 200
        assert host.quotes()
        assert host.pay() == "mock"


def test_the_unit_runs_without_rights(host: Host) -> None:
    with booted(host.units):
        status = host.units.status()
    assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize("secret", ["db_password", "quote_key"])
def test_a_missing_secret_is_named_and_not_tried_again(host: Host, secret: str) -> None:
    (host.payd / "secrets" / secret).unlink()
    with booted(host.units):
        failed = host.units.properties("failed")
    assert failed["ExecMainStatus"] == "78"
    assert failed["NRestarts"] == "0"
    assert f"secrets_{secret}" in host.units.log()


def test_a_host_may_do_without_a_key_for_quotes(host: Host) -> None:
    (host.payd / "secrets" / "quote_key").unlink()
    host.set(PAYD_PAYMENTS_QUOTE_KEY_FILE="")
    with booted(host.units):
        assert not (host.units.folder / "result" / "failed").exists(), host.units.log()
        assert not host.quotes()


def test_with_a_drop_in_the_keys_of_pages_and_of_the_audit_trail_are_read(host: Host) -> None:
    drop_ins = host.units.system / "payd.service.d"
    shutil.copy(UNITS / "payd.service.d" / "pages-and-audit.conf", drop_ins)
    for name in ("page_key", "audit_signing_key"):
        (host.payd / "secrets" / name).write_text("5e" * 32)
        (host.payd / "secrets" / name).chmod(0o400)
    host.set(PAYD_HTTP_PUBLIC_URL="https://pay.example.com")
    with booted(host.units):
        assert not (host.units.folder / "result" / "failed").exists(), host.units.log()
        with Client(host.grpc, host.place.pki, "client") as client:
            page = client.initiate().page_url
    assert page.startswith("https://pay.example.com/pay/")


def test_with_the_drop_in_the_secrets_come_from_vault(host: Host) -> None:
    drop_ins = host.units.system / "payd.service.d"
    shutil.copy(UNITS / "payd.service.d" / "vault.conf", drop_ins)
    password = host.payd / "secrets" / "db_password"
    with running_openbao(host.units.folder) as bao:
        bao.write(db_password=password.read_text(), quote_key="k" * 64)
        for file in (password, host.payd / "secrets" / "quote_key"):
            file.unlink()
        shutil.copy(bao.secret_id_path, host.payd / "vault-secret-id")
        (host.payd / "vault-secret-id").chmod(0o400)
        host.set(VAULT_ADDR=bao.addr, VAULT_ROLE_ID=bao.role_id, VAULT_SECRET_PATH="secret/payd")
        with booted(host.units):
            assert not (host.units.folder / "result" / "failed").exists(), host.units.log()
            assert host.quotes()
            assert host.pay() == "mock"


def test_with_the_other_drop_in_a_new_certificate_needs_no_restart(host: Host) -> None:
    shutil.copy(
        UNITS / "payd.service.d" / "files-in-place.conf", host.units.system / "payd.service.d"
    )
    with (host.units.etc / "group").open("a") as file:
        file.write(f"payd-files:x:{GROUP}:\n")
    for folder in (host.payd / "tls", host.payd / "secrets"):
        for path in (folder, *folder.iterdir()):
            os.chown(path, 0, GROUP)
            path.chmod(0o750 if path.is_dir() else 0o640)
    with booted(host.units):
        assert not (host.units.folder / "result" / "failed").exists(), host.units.log()
        renewed = Authority.of(host.place.pki).server()
        for name, content in zip(("server.crt", "server.key"), renewed, strict=True):
            # Written into the file: owner, group and mode stay.
            (host.payd / "tls" / name).write_bytes(content)
        wait_until(lambda: '"certificates_rotated"' in host.units.log(), host.units.log)
        assert host.pay() == "mock"


def test_two_of_several_on_a_host_share_their_ports(
    place: Place, free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    if not is_possible():
        do_without(NO_OWN_SYSTEMD)
    units = prepare(tmp_path_factory.mktemp("host"), "payd@a.service")
    shutil.copy(UNITS / "payd@.service", units.system)
    (units.system / "payd@a.service.d").mkdir()
    (units.system / "payd@a.service.d" / "two.conf").write_text("[Unit]\nWants=payd@b.service\n")
    host = installed(units, place, free_port)
    metrics = {name: str(free_port()) for name in ("a", "b")}
    for name, port in metrics.items():
        state = f"MOCK_STATE_FILE=/var/lib/payd-{name}/mock"
        (host.payd / f"{name}.env").write_text(f"METRICS_PORT={port}\n{state}\n")
    with booted(units):
        assert not (units.folder / "result" / "failed").exists(), units.log()
        wait_until(lambda: units.log().count('"daemon_started"') == len(metrics), units.log)
        for port in metrics.values():
            assert plain_http.get(f"http://127.0.0.1:{port}/metrics").status_code == 200
        assert plain_http.get(f"http://{host.http}/readyz").status_code == 200

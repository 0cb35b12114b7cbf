"""`payd init`: what it writes is a valid configuration, and nothing is overwritten."""

import stat
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from unit.cli.conftest import Alone

from payd.cli.doctor import clock_finding
from payd.config import load_config, load_prices
from payd.daemon.builders import audit_key

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def settings_in(folder: Path) -> Mapping[str, str]:
    """The variables of payd.env."""
    lines = (folder / "payd.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_settings_are_valid_for_production(alone: Alone, tmp_path: Path) -> None:
    folder = tmp_path / "payd"

    result = alone("init", str(folder), "--app", "shop", "--operator", "ada", "--operator", "bob")

    assert result.exit_code == 0, result.output
    config = load_config(settings_in(folder), installed=())
    assert config.environment == "production"
    assert config.grpc.allowed_cns == ("shop",)
    assert config.grpc.operator_cns == ("ada", "bob")
    assert config.grpc.tls_files().ca == folder / "pki" / "ca.crt"
    password = (folder / "secrets" / "db_password").read_text()
    assert config.database.password is not None
    assert config.database.password.reveal() == password
    assert audit_key(config) is not None
    assert config.http.page_key is not None
    assert config.http.public_url is None
    assert f"PASSWORD '{password}'" in (folder / "database.sql").read_text()
    assert load_prices(folder / "pricing.yaml").currencies == ("USD",)


def test_secrets_are_for_their_owner_alone(alone: Alone, tmp_path: Path) -> None:
    alone("init", str(tmp_path))

    private = [tmp_path / "database.sql", *(tmp_path / "secrets").iterdir()]
    private += (tmp_path / "pki").glob("*.key")
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert len(private) == 9


def test_payment_pages_need_the_public_url_alone(alone: Alone, tmp_path: Path) -> None:
    alone("init", str(tmp_path), "--public-url", "https://pay.example.com")

    config = load_config(settings_in(tmp_path), installed=())
    assert config.http.public_url == "https://pay.example.com"
    assert config.http.page_key is not None


def test_the_certificate_has_the_names_of_the_host(alone: Alone, tmp_path: Path) -> None:
    alone("init", str(tmp_path), "--host", "payments.internal", "--host", "10.0.0.7")

    certificate = x509.load_pem_x509_certificate((tmp_path / "pki" / "server.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["payments.internal", "localhost"]
    assert "10.0.0.7" in map(str, names.get_values_for_type(x509.IPAddress))
    settings = settings_in(tmp_path)
    assert settings["PAYD_TARGET"] == "payments.internal:50051"
    assert settings["PAYD_GRPC_HOST"] == "0.0.0.0"


def test_a_second_run_changes_nothing_that_exists(alone: Alone, tmp_path: Path) -> None:
    alone("init", str(tmp_path))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    result = alone("init", str(tmp_path), "--operator", "ada")

    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before
    assert {path.name for path in after.keys() - before.keys()} == {"ada.crt", "ada.key"}
    assert f"kept  {tmp_path}/payd.env" in result.stdout


@pytest.mark.parametrize("name", ["ca", "server", "../ada", "a b", ""])
def test_a_name_that_is_no_file_is_refused(alone: Alone, tmp_path: Path, name: str) -> None:
    result = alone("init", str(tmp_path / "new"), "--operator", name)

    assert result.exit_code == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("off_s", "said"),
    [(0, "agrees"), (1.9, "agrees"), (5, "5.0 s behind"), (-5, "5.0 s ahead of")],
)
def test_the_doctor_says_how_far_a_clock_is_off(off_s: float, said: str) -> None:
    finding = clock_finding(NOW, NOW + timedelta(seconds=off_s), NOW)

    assert finding.detail.startswith(said)
    assert finding.ok is (said == "agrees")

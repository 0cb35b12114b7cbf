"""The development certificates: their names, the modes of the keys, when they are renewed."""

import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from payd.dev.pki import ensure_pki

NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
NAMES = {
    "server": "localhost",
    "client": "main-app",
    "client-b": "main-app-b",
    "operator": "operator",
    "stranger": "stranger",
}


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    ensure_pki(tmp_path, NOW)
    return tmp_path


def certificate(pki: Path, stem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((pki / f"{stem}.crt").read_bytes())


def contents(pki: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in pki.iterdir()}


@pytest.mark.parametrize(("stem", "name"), NAMES.items())
def test_a_certificate_names_its_holder_and_is_of_our_ca(pki: Path, stem: str, name: str) -> None:
    held = certificate(pki, stem)
    assert [part.value for part in held.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [
        name
    ]
    held.verify_directly_issued_by(certificate(pki, "ca"))


def test_the_server_is_known_by_every_name_of_this_machine(pki: Path) -> None:
    names = certificate(pki, "server").extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    addresses = [str(address) for address in names.value.get_values_for_type(x509.IPAddress)]
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost"]
    assert addresses == ["127.0.0.1", "::1"]


@pytest.mark.parametrize("stem", ["ca", *NAMES])
def test_a_key_is_read_by_its_owner_alone(pki: Path, stem: str) -> None:
    assert (pki / f"{stem}.key").stat().st_mode & 0o777 == 0o600


def test_a_clock_that_is_a_little_behind_is_forgiven(pki: Path) -> None:
    assert all(
        certificate(pki, stem).not_valid_before_utc == NOW - dt.timedelta(hours=1)
        for stem in ("ca", *NAMES)
    )


@pytest.mark.parametrize("stem", ["client", "client-b", "stranger"])
def test_both_sides_shake_hands_on_tls_13(tmp_path: Path, stem: str) -> None:
    ensure_pki(tmp_path, dt.datetime.now(dt.UTC))
    assert handshake(tmp_path, stem) == (NAMES[stem], "TLSv1.3")


def test_good_certificates_are_kept(pki: Path) -> None:
    before = contents(pki)
    ensure_pki(pki, NOW + dt.timedelta(days=300))
    assert contents(pki) == before


def test_certificates_near_their_end_are_renewed(pki: Path) -> None:
    before = contents(pki)
    later = NOW + dt.timedelta(days=340)
    ensure_pki(pki, later)
    assert not set(before.values()) & set(contents(pki).values())
    assert certificate(pki, "server").not_valid_after_utc > later + dt.timedelta(days=300)


@pytest.mark.parametrize("lost", ["client.crt", "client.key"])
def test_what_is_lost_is_made_anew_and_nothing_else(pki: Path, lost: str) -> None:
    before = contents(pki)
    (pki / lost).unlink()
    ensure_pki(pki, NOW)
    changed = {name for name, content in contents(pki).items() if content != before[name]}
    assert changed == {"client.crt", "client.key"}


def test_what_is_garbage_is_made_anew(pki: Path) -> None:
    (pki / "server.crt").write_text("garbage")
    ensure_pki(pki, NOW)
    certificate(pki, "server").verify_directly_issued_by(certificate(pki, "ca"))


def test_a_new_ca_renews_everything_that_the_old_one_signed(pki: Path) -> None:
    before = contents(pki)
    (pki / "ca.key").unlink()
    ensure_pki(pki, NOW)
    assert not set(before.values()) & set(contents(pki).values())
    for stem in NAMES:
        certificate(pki, stem).verify_directly_issued_by(certificate(pki, "ca"))


def handshake(pki: Path, stem: str) -> tuple[str, str | None]:
    """Whom the server sees, and the version of TLS, from a handshake in memory."""
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.verify_mode = ssl.CERT_REQUIRED
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context, holder in ((ours, "server"), (theirs, stem)):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        # What newer Pythons ask of a certificate by themselves.
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_cert_chain(pki / f"{holder}.crt", pki / f"{holder}.key")
        context.load_verify_locations(pki / "ca.crt")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ours.wrap_bio(to_server, to_client, server_side=True)
    client = theirs.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    waiting = [client, server, client, server]
    for side in waiting:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    peer = server.getpeercert()
    assert peer
    subject = dict(part[0] for part in peer["subject"])  # type: ignore[misc]
    return subject["commonName"], server.version()

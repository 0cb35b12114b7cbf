"""An export of the audit trail proves itself: of any damage the first bad line is named."""

import io
import json
import random
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.audit_exports import (
    COVERS,
    DAMAGES,
    KEY,
    THEN,
    a_chain,
    a_content,
    an_export,
    checkpoints_over,
    dropped,
    first_difference,
    lines_of,
)

from payd.adapters.audit.chain import Head, next_hash, row_of
from payd.adapters.audit.export import ExportedChain, ExportWriter
from payd.adapters.audit.keys import KeyRefused, PublicKeys, SigningKey
from payd.adapters.audit.verify import ExportBroken, verify

KEYS = PublicKeys(KEY.public_pem())
EXPORT = an_export()
Damage = Callable[[bytes, random.Random], bytes]


def check(export: bytes) -> str:
    """What the verification says; empty for an intact export."""
    try:
        verify(io.BytesIO(export), KEYS)
    except ExportBroken as error:
        return str(error)
    return ""


def check_damage(damage: Damage, seed: int) -> None:
    """Damage an export, and see the first bad line named."""
    broken = damage(EXPORT, random.Random(seed))
    if broken != EXPORT:
        found = check(broken)
        assert found.startswith(f"line {first_difference(EXPORT, broken)}: "), (seed, found)


def test_an_intact_export_says_what_it_has() -> None:
    found = verify(io.BytesIO(EXPORT), KEYS)
    rows = [line for line in lines_of(EXPORT) if line.startswith(b'{"actor"')]
    assert (found.payments, found.rows, found.checkpoints) == (12, len(rows), 3)
    assert found.covers == COVERS


@pytest.mark.parametrize("damage", DAMAGES)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=60)
def test_the_first_bad_line_is_named(damage: Damage, seed: int) -> None:
    check_damage(damage, seed)


@pytest.mark.campaign
def test_ten_thousand_damages_are_all_found() -> None:
    for seed in range(10_000):
        check_damage(DAMAGES[seed % len(DAMAGES)], seed)


# -- what is said ----------------------------------------------------------------------------


def test_what_was_done_to_a_row_is_said() -> None:
    lines = lines_of(EXPORT)
    first = next(n for n, line in enumerate(lines) if b'"hashes":["' in line and _rows(line) > 2)
    one, two, three = range(first + 1, first + 4)
    payment = "version 1 of payment " + _payment(lines[first])
    say = {
        "altered": [*lines[:one], lines[one].replace(b"2026", b"2025"), *lines[two:]],
        "dropped before version 2": [*lines[:one], *lines[two:]],
        "swapped with version 2": [*lines[:one], lines[two], lines[one], *lines[three:]],
    }
    for said, damaged in say.items():
        assert f"line {one + 1}: {payment} was {said}" in check(b"".join(damaged))
    again = check(b"".join([*lines[:two], lines[one], *lines[two:]]))
    assert f"line {two + 1}: {payment} was inserted again" in again
    short = check(b"".join(lines[:one]))
    assert f"line {one + 1}: {payment} is missing: the file is truncated before it" in short


def test_rows_that_were_changed_in_the_database_are_found() -> None:
    """The exporting daemon signs what it reads: the hashes and the checkpoints tell."""
    chains = [a_chain(an_id(1), random.Random(seed)) for seed in range(100)]
    chain = next(one for one in chains if one.rows[-1].checkpoint and len(one.rows) > 1)
    *most, last = chain.rows
    cut = ExportedChain(payment_id=chain.payment_id, after=chain.after, rows=most, head=chain.head)
    assert "the database was altered before the export" in check(exported(cut))

    content = last.content.replace("2026", "2025")
    hash_anew = next_hash(most[-1].hash, content.encode())
    head = Head(version=last.version, hash=hash_anew)
    forged = type(last)(
        version=last.version, content=content, hash=hash_anew, checkpoint=last.checkpoint
    )
    whole = ExportedChain(
        payment_id=chain.payment_id, after=chain.after, rows=[*most, forged], head=head
    )
    assert check(exported(whole)) == ""
    assert "was signed over other rows" in check(exported(whole, signed_over=chain))


def test_another_key_is_not_the_key() -> None:
    other = PublicKeys(SigningKey("a1" * 32).public_pem())
    with pytest.raises(ExportBroken, match="with another key than the given ones"):
        verify(io.BytesIO(EXPORT), other)
    both = PublicKeys(SigningKey("a1" * 32).public_pem(), KEY.public_pem())
    assert verify(io.BytesIO(EXPORT), both).payments == 12


def test_an_export_is_verified_from_a_pipe_too() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    assert verify(Pipe(EXPORT), KEYS).payments == 12
    with pytest.raises(ExportBroken):
        verify(Pipe(dropped(EXPORT, random.Random(1))), KEYS)


@pytest.mark.parametrize("seed", ["", "ab" * 31, "xy" * 32, "ab" * 33])
def test_a_signing_key_has_64_digits(seed: str) -> None:
    with pytest.raises(KeyRefused, match="64 hexadecimal digits"):
        SigningKey(seed)


@pytest.mark.parametrize("pem", ["", "ab" * 32, "-----BEGIN PUBLIC KEY-----\n-----END"])
def test_a_public_key_is_a_pem(pem: str) -> None:
    with pytest.raises(KeyRefused, match="PEM"):
        PublicKeys(pem)


def test_a_row_is_read_from_its_bytes() -> None:
    content = a_content(an_id(1), 3, random.Random(1))
    row = row_of(content, "::1", "::2", {"reason": "kept apart"})
    assert (row.version, row.create_time) == (3, THEN + timedelta(minutes=3))
    assert (row.ip, row.peer, row.details["reason"]) == ("::1", "::2", "kept apart")


# -- words for the above ---------------------------------------------------------------------


def an_id(number: int) -> UUID:
    return UUID(int=number)


def exported(chain: ExportedChain, signed_over: ExportedChain | None = None) -> bytes:
    """An export of one payment, with checkpoints that were signed over some state of it."""
    written: list[str] = []
    writer = ExportWriter(written.append, KEY, "export-9", COVERS)
    writer.add(chain)
    writer.finish(checkpoints_over([signed_over or chain]))
    return "".join(written).encode()


def _rows(heading: bytes) -> int:
    return len(json.loads(heading)["hashes"])


def _payment(heading: bytes) -> str:
    return str(json.loads(heading)["payment_id"])

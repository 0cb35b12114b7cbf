"""Statement files: what is read from them, and what is refused."""

# ruff: noqa: S101 - asserts are what tests are made of

from datetime import UTC, datetime

import pytest
from sepa_provider import claims
from sepa_provider.conformance import IBAN
from sepa_provider.fake_bank import Booking, statement
from sepa_provider.references import find_reference, has_iban_check, reference_of
from sepa_provider.statements import Kind, Statements, UnreadableStatement, read_statements

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REFERENCE = reference_of("one")
PLAIN = statement(IBAN, [Booking(reference=REFERENCE, cents=14900, id="E1")], NOW)


# -- references --------------------------------------------------------------------------------


def test_a_reference_is_the_same_every_time_and_valid() -> None:
    assert reference_of("one") == REFERENCE != reference_of("two")
    assert len(REFERENCE) == 20
    assert has_iban_check(REFERENCE)  # ISO 11649 checks as IBANs do


def test_a_reference_is_found_as_people_write_it() -> None:
    spaced = " ".join(REFERENCE[at : at + 4] for at in range(0, 20, 4)).lower()
    assert find_reference(f"order 17, {spaced} thank you") == REFERENCE


def test_a_mistyped_reference_is_ignored() -> None:
    wrong = REFERENCE[:-1] + ("A" if REFERENCE[-1] != "A" else "B")
    assert find_reference(wrong) is None


def test_a_text_with_two_references_is_ambiguous() -> None:
    assert find_reference(f"{REFERENCE} {reference_of('two')}") is None
    assert find_reference(f"{REFERENCE} {REFERENCE}") == REFERENCE


# -- statements --------------------------------------------------------------------------------


def read(document: str) -> Statements:
    return read_statements(document.encode(), IBAN)


def test_a_credit_is_read() -> None:
    statement = read(PLAIN)
    (entry,) = statement.entries
    assert (entry.id, entry.kind, entry.amount) == ("E1", Kind.CREDIT, 14900)
    assert entry.reference == REFERENCE
    assert entry.booking_time == datetime(2026, 1, 2, tzinfo=UTC)
    assert statement.end_time == NOW


def test_an_older_version_of_the_format_is_read() -> None:
    old = PLAIN.replace("001.08", "001.02").replace("<Sts><Cd>BOOK</Cd></Sts>", "<Sts>BOOK</Sts>")
    assert read(old) == read(PLAIN)


def test_a_reference_in_the_free_text_is_found() -> None:
    structured = f"<Strd><CdtrRefInf><Ref>{REFERENCE}</Ref></CdtrRefInf></Strd>"
    text = f"<Ustrd>invoice {REFERENCE[:7]}</Ustrd><Ustrd>{REFERENCE[7:]} thanks</Ustrd>"
    assert read(PLAIN.replace(structured, text)) == read(PLAIN)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<Cd>BOOK</Cd>", "<Cd>PDNG</Cd>"),
        ("<Cd>BOOK</Cd>", "<Cd>INFO</Cd>"),
        (IBAN, "DE02120300000000202051"),
    ],
)
def test_an_entry_that_is_not_booked_to_us_is_skipped(old: str, new: str) -> None:
    assert read(PLAIN.replace(old, new)).entries == ()


def test_one_booking_of_several_transfers_is_several_entries() -> None:
    details = "".join(
        f'<TxDtls><Amt Ccy="EUR">{euros}.00</Amt><RmtInf><Ustrd>{reference_of(name)}</Ustrd>'
        "</RmtInf></TxDtls>"
        for name, euros in (("one", 100), ("two", 49))
    )
    start, end = PLAIN.index("<TxDtls>"), PLAIN.index("</NtryDtls>")
    statement = read(PLAIN[:start] + details + PLAIN[end:])
    assert [(one.id, one.amount) for one in statement.entries] == [("E1/1", 10000), ("E1/2", 4900)]
    assert [one.reference for one in statement.entries] == [
        reference_of("one"),
        reference_of("two"),
    ]


@pytest.mark.parametrize(
    ("text", "cents"), [("149", 14900), ("149.5", 14950), ("0.07", 7), ("149.00000", 14900)]
)
def test_amounts_are_exact(text: str, cents: int) -> None:
    assert read(PLAIN.replace("149.00", text)).entries[0].amount == cents


@pytest.mark.parametrize(
    "document",
    [
        "",
        "not xml",
        "<Document/>",
        PLAIN[:-30],
        PLAIN.replace("149.00", "149.005"),
        PLAIN.replace("149.00", "-149.00"),
        PLAIN.replace("149.00", "1e3"),
        PLAIN.replace('Ccy="EUR"', 'Ccy="USD"'),
        PLAIN.replace("<AcctSvcrRef>E1</AcctSvcrRef>", ""),
        PLAIN.replace("<Dt>2026-01-02</Dt>", ""),
        PLAIN.replace("<Document", '<!DOCTYPE d [<!ENTITY e "x">]><Document'),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused(document: str) -> None:
    with pytest.raises(UnreadableStatement):
        read(document)


def test_a_doctype_is_refused_in_any_encoding() -> None:
    bomb = PLAIN.replace('"UTF-8"', '"UTF-16"').replace("<Document", "<!DOCTYPE d><Document")
    with pytest.raises(UnreadableStatement, match="DOCTYPE"):
        read_statements(bomb.encode("utf-16"), IBAN)


def test_a_transfer_of_ours_is_read_by_its_reference() -> None:
    (entry,) = read(PLAIN.replace(">CRDT<", ">DBIT<")).entries
    assert (entry.kind, entry.reference) == (Kind.TRANSFER, REFERENCE)
    other = PLAIN.replace(">CRDT<", ">DBIT<").replace(REFERENCE, "rent")
    assert read(other).entries == ()


def test_an_event_carries_no_personal_data() -> None:
    named = PLAIN.replace("<RmtInf>", "<RltdPties><Dbtr><Nm>Jo Doe</Nm></Dbtr></RltdPties><RmtInf>")
    (entry,) = read(named).entries
    assert "Doe" not in repr(claims.event(entry))
    assert claims.event(entry) == claims.event(read(PLAIN).entries[0])


def test_money_without_a_reference_becomes_a_receipt_that_matches_no_payment() -> None:
    (entry,) = read(PLAIN.replace(REFERENCE, "thank you")).entries
    (observation,) = claims.observations(claims.event(entry))
    assert observation.reference == "E1"
    assert isinstance(observation.fact, tuple)
    assert [(one.id, one.amount) for one in observation.fact] == [("E1", 14900)]

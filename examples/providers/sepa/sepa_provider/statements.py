"""camt.053, the Bank-to-Customer Statement of ISO 20022: the little of it that matters here. Pure.

Any version of it is read: elements are found by name, whatever their namespace. What cannot be
understood refuses the whole file, so that no money is passed over in silence.
"""

import enum
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime

import attrs

from sepa_provider.references import compact, find_reference

#: A statement of so many bytes has some ten thousand entries; more is no statement.
SIZE_MAX = 32 * 1024 * 1024
_AMOUNT = re.compile(r"([0-9]{1,13})(?:\.([0-9]{1,5}))?")


class Kind(enum.Enum):
    """What an entry says about a customer's money."""

    CREDIT = "credit"
    #: An earlier credit was taken back.
    REVERSAL = "reversal"


class UnreadableStatement(Exception):
    """No statement, or one that says something that we do not understand."""


@attrs.frozen(kw_only=True)
class Entry:
    """One booked movement on our account. Nothing of the customer is in it but his reference."""

    #: The bank's own reference for it: the same in every statement that repeats the entry.
    id: str
    kind: Kind
    #: None where the customer gave none that we know.
    reference: str | None
    #: In cents: SEPA moves euros.
    amount: int
    currency: str
    booking_time: datetime


@attrs.frozen(kw_only=True)
class Statements:
    """What one file says about our account."""

    entries: tuple[Entry, ...]
    #: All bookings before this time are told; None where no statement is about our account.
    end_time: datetime | None


def read_statements(document: bytes, iban: str) -> Statements:
    """The entries of the account. Raises UnreadableStatement."""
    if len(document) > SIZE_MAX:
        raise UnreadableStatement(f"larger than {SIZE_MAX} bytes")
    try:
        parser = ET.XMLParser(target=_NoDoctype())  # noqa: S314 - entities need a DOCTYPE
        root = ET.fromstring(document, parser)  # noqa: S314 - the same
        if root.find(_path("BkToCstmrStmt")) is None:
            raise UnreadableStatement("it is no camt.053 document")
        # One file may hold several accounts; money that came to another one is not ours to count.
        ours = [
            statement
            for statement in root.iterfind(_path("BkToCstmrStmt/Stmt"))
            if compact(_text(statement, "Acct/Id/IBAN")) == iban
        ]
        entries = tuple(
            entry
            for one in ours
            for node in one.iterfind(_path("Ntry"))
            for entry in _entries(node)
        )
        end_time = max((_end_time(root, one) for one in ours), default=None)
    except (ET.ParseError, ValueError, OverflowError, LookupError) as error:
        raise UnreadableStatement(f"{type(error).__name__}: {error}") from error
    return Statements(entries=entries, end_time=end_time)


class _NoDoctype(ET.TreeBuilder):
    """Refuses document types, and with them every entity: a bank sends none, an attacker does."""

    def doctype(self, *_: object) -> None:
        """Called before anything of it is expanded."""
        raise UnreadableStatement("it has a DOCTYPE")


def _end_time(root: ET.Element, statement: ET.Element) -> datetime:
    """The end of its period; where it has none, when it was made."""
    end = _text(statement, "FrToDt/ToDtTm") or _text(statement, "CreDtTm")
    return _time(end or _text(root, "BkToCstmrStmt/GrpHdr/CreDtTm"))


def _entries(entry: ET.Element) -> Iterator[Entry]:
    """What one booking tells: itself, or the transactions that the bank booked in one sum."""
    status = _text(entry, "Sts/Cd") or _text(entry, "Sts")
    # What is only announced (PDNG, INFO) comes again when it is booked.
    kind = _kind(entry)
    if status != "BOOK" or kind is None:
        return
    details = entry.findall(_path("NtryDtls/TxDtls"))
    if len(details) < 2:
        yield from _movement(kind, entry, entry, _text(entry, "AcctSvcrRef"))
        return
    for number, detail in enumerate(details, 1):
        own = _text(detail, "Refs/AcctSvcrRef")
        yield from _movement(kind, entry, detail, own or f"{_text(entry, 'AcctSvcrRef')}/{number}")


def _kind(entry: ET.Element) -> Kind | None:
    """None for our own payments, and for those of them that came back."""
    is_reversal = _text(entry, "RvslInd") in ("true", "1")
    match _text(entry, "CdtDbtInd"), is_reversal:
        case "CRDT", False:
            return Kind.CREDIT
        case "DBIT", True:
            return Kind.REVERSAL
    return None


def _movement(kind: Kind, entry: ET.Element, part: ET.Element, entry_id: str) -> Iterator[Entry]:
    if not entry_id or entry_id.startswith("/"):
        # Without it, the same money in two statements would count twice.
        raise UnreadableStatement("a booked entry has no AcctSvcrRef")
    reference = _reference(part)
    # Money that was taken back and names no payment of ours is none of ours.
    if kind is Kind.CREDIT or reference is not None:
        amount = part.find(_path("Amt"))
        if amount is None:
            amount = part.find(_path("AmtDtls/TxAmt/Amt"))
        if amount is None or amount.get("Ccy") != "EUR":
            raise UnreadableStatement(f"entry {entry_id} has no amount in EUR")
        yield Entry(
            id=entry_id,
            kind=kind,
            reference=reference,
            amount=_cents(amount.text or ""),
            currency="EUR",
            booking_time=_time(_text(entry, "BookgDt/DtTm") or _text(entry, "BookgDt/Dt")),
        )


def _reference(part: ET.Element) -> str | None:
    """Where a reference belongs, then where customers and their banks put it instead."""
    for name in ("CdtrRefInf/{*}Ref", "RmtInf/{*}Ustrd", "EndToEndId"):
        # Long texts are cut into several elements, at any place.
        text = "".join(node.text or "" for node in part.iterfind(f".//{{*}}{name}"))
        if (reference := find_reference(text)) is not None:
            return reference
    return None


def _cents(text: str) -> int:
    """Exactly, or not at all."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or (match[2] or "")[2:].strip("0"):
        raise UnreadableStatement(f"not an amount in cents: {text[:30]!r}")
    return int(match[1]) * 100 + int((match[2] or "")[:2].ljust(2, "0"))


def _time(text: str) -> datetime:
    """A day without a time is its first moment: in doubt the customer was in time."""
    time = datetime.fromisoformat(text if "T" in text else text[:10])
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)


def _text(node: ET.Element, path: str) -> str:
    return (node.findtext(_path(path)) or "").strip()


def _path(path: str) -> str:
    return "/".join(f"{{*}}{name}" for name in path.split("/"))

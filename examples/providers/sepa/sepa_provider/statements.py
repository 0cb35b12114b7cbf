"""Parse bank statements in camt.053 (ISO 20022), as far as they matter here. Pure.

Every version is accepted: elements are found by name, whatever their namespace. A file with an
entry that cannot be understood is refused as a whole, so that no money is skipped silently.
"""

import enum
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime

import attrs

from payd.plugins import currency_exponent, parse_units
from sepa_provider.references import compact, find_reference

#: Room for some ten thousand entries; a larger file is not a statement.
SIZE_MAX = 32 * 1024 * 1024
_DECIMALS = currency_exponent("EUR")


class Kind(enum.Enum):
    """Direction of an entry."""

    CREDIT = "credit"
    #: An earlier credit was taken back.
    REVERSAL = "reversal"
    #: A transfer of ours, such as a refund.
    TRANSFER = "transfer"
    #: A transfer of ours came back: the other bank could not or would not credit it.
    RETURN = "return"


class UnreadableStatement(Exception):
    """The file is not a statement, or has content that we do not understand."""


@attrs.frozen(kw_only=True)
class Entry:
    """One booked movement on our account, without the customer's name and account."""

    #: The bank's reference for the entry: the same in every statement that repeats it.
    id: str
    kind: Kind
    #: None if the customer gave no valid reference.
    reference: str | None
    #: Minor units: cents, as SEPA transfers are in euros.
    amount: int
    currency: str
    booking_time: datetime


@attrs.frozen(kw_only=True)
class Statements:
    """The content of one file for our account."""

    entries: tuple[Entry, ...]
    #: The file covers all bookings before this time; None if no statement is about our account.
    end_time: datetime | None


def read_statements(document: bytes, iban: str) -> Statements:
    """Parse the entries of the account. Raises UnreadableStatement."""
    if len(document) > SIZE_MAX:
        raise UnreadableStatement(f"larger than {SIZE_MAX} bytes")
    try:
        parser = ET.XMLParser(target=_NoDoctype())  # noqa: S314 - entities need a DOCTYPE
        root = ET.fromstring(document, parser)  # noqa: S314 - the same
        if root.find(_path("BkToCstmrStmt")) is None:
            raise UnreadableStatement("not a camt.053 document")
        # A file may cover several accounts; entries of the others are ignored.
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
    """Refuses document types, and with them all entities: only an attacker sends them."""

    def doctype(self, *_: object) -> None:
        """Refuse; the parser calls this before it expands any entity."""
        raise UnreadableStatement("a DOCTYPE is not allowed")


def _end_time(root: ET.Element, statement: ET.Element) -> datetime:
    """Return the end of the statement's period, or else its creation time."""
    end = _text(statement, "FrToDt/ToDtTm") or _text(statement, "CreDtTm")
    return _time(end or _text(root, "BkToCstmrStmt/GrpHdr/CreDtTm"))


def _entries(entry: ET.Element) -> Iterator[Entry]:
    """Yield a booking, or the single transactions if the bank booked them as one sum."""
    status = _text(entry, "Sts/Cd") or _text(entry, "Sts")
    # A pending entry (PDNG, INFO) appears again when it is booked.
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
    """Return the direction; None for an entry that has none.

    A bank marks what came back of a transfer as a reversal, or says why in `RtrInf`.
    """
    is_reversal = _text(entry, "RvslInd") in ("true", "1")
    if not is_reversal and _text(entry, "CdtDbtInd") == "CRDT":
        is_reversal = entry.find(".//{*}RtrInf") is not None
    match _text(entry, "CdtDbtInd"), is_reversal:
        case "CRDT", False:
            return Kind.CREDIT
        case "DBIT", True:
            return Kind.REVERSAL
        case "DBIT", False:
            return Kind.TRANSFER
        case "CRDT", True:
            return Kind.RETURN
    return None


def _movement(kind: Kind, entry: ET.Element, part: ET.Element, entry_id: str) -> Iterator[Entry]:
    if not entry_id or entry_id.startswith("/"):
        # Without this id, an entry in two statements would count twice.
        raise UnreadableStatement("a booked entry has no AcctSvcrRef")
    reference = _reference(part)
    # What left without a known reference concerns no payment.
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
    """Find the reference in its own element, else where customers and banks put it instead."""
    for name in ("CdtrRefInf/{*}Ref", "RmtInf/{*}Ustrd", "EndToEndId"):
        # Long texts are split into several elements, at any position.
        text = "".join(node.text or "" for node in part.iterfind(f".//{{*}}{name}"))
        if (reference := find_reference(text)) is not None:
            return reference
    return None


def _cents(text: str) -> int:
    """Convert to cents without rounding. Raises UnreadableStatement."""
    try:
        return parse_units(text.strip(), _DECIMALS)
    except ValueError:
        raise UnreadableStatement(f"not an amount in cents: {text[:30]!r}") from None


def _time(text: str) -> datetime:
    """Parse a time; a day without a time means its start, in favour of the customer."""
    time = datetime.fromisoformat(text if "T" in text else text[:10])
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)


def _text(node: ET.Element, path: str) -> str:
    return (node.findtext(_path(path)) or "").strip()


def _path(path: str) -> str:
    return "/".join(f"{{*}}{name}" for name in path.split("/"))

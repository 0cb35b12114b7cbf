"""A fake bank: it writes camt.053 statements, for tests and for development.

`python -m sepa_provider.fake_bank --folder DIR --iban IBAN --reference RF… --cents 14900`
"""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

import attrs

from payd.plugins import format_units

_DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">
 <BkToCstmrStmt>
  <GrpHdr><MsgId>{id}</MsgId><CreDtTm>{time}</CreDtTm></GrpHdr>
  <Stmt>
   <Id>{id}</Id><CreDtTm>{time}</CreDtTm><Acct><Id><IBAN>{iban}</IBAN></Id></Acct>
{entries}
  </Stmt>
 </BkToCstmrStmt>
</Document>
"""
_ENTRY = """   <Ntry>
    <Amt Ccy="{currency}">{cents_text}</Amt><CdtDbtInd>{indicator}</CdtDbtInd>{reversal}
    <Sts><Cd>{status}</Cd></Sts><BookgDt><Dt>{day}</Dt></BookgDt><AcctSvcrRef>{id}</AcctSvcrRef>
    <NtryDtls><TxDtls><RmtInf><Strd><CdtrRefInf><Ref>{reference}</Ref></CdtrRefInf></Strd></RmtInf>
    </TxDtls></NtryDtls>
   </Ntry>"""


@attrs.frozen(kw_only=True)
class Booking:
    """A transfer to us or from us, or a returned one, in a statement."""

    reference: str
    cents: int
    is_reversal: bool = False
    #: Whether we transfer it to a customer.
    is_outgoing: bool = False
    #: Whether such a transfer of ours comes back.
    is_returned: bool = False
    #: Whether the bank only expects it.
    is_pending: bool = False
    currency: str = "EUR"
    id: str = attrs.field(factory=lambda: f"E{token_hex(8)}")


def statement(iban: str, bookings: Sequence[Booking], now: datetime) -> str:
    """Build a camt.053 document."""
    entries = [
        _ENTRY.format(
            id=one.id,
            cents_text=format_units(one.cents, 2),
            indicator="DBIT" if one.is_reversal or one.is_outgoing else "CRDT",
            reversal="<RvslInd>true</RvslInd>" if one.is_reversal or one.is_returned else "",
            day=now.date().isoformat(),
            currency=one.currency,
            status="PDNG" if one.is_pending else "BOOK",
            reference=one.reference,
        )
        for one in bookings
    ]
    time = now.isoformat(timespec="seconds")
    return _DOCUMENT.format(id=f"S{token_hex(8)}", time=time, iban=iban, entries="\n".join(entries))


def drop(folder: Path, document: str, name: str = "") -> Path:
    """Write a statement into the folder atomically."""
    path = folder / f"{name or token_hex(8)}.xml"
    part = path.with_suffix(".part")
    part.write_text(document, encoding="utf-8")
    return part.rename(path)


def main() -> None:
    """Write a statement with one transfer."""
    parser = argparse.ArgumentParser(description="Write a bank statement with one transfer.")
    parser.add_argument("--folder", type=Path, required=True, help="statements_dir")
    parser.add_argument("--iban", required=True, help="account that receives the money")
    parser.add_argument("--reference", required=True, help="reference of the payment: RF…")
    parser.add_argument("--cents", type=int, required=True, help="amount in euro cents")
    parser.add_argument("--outgoing", action="store_true", help="a refund that we transfer")
    parser.add_argument("--returned", action="store_true", help="a refund that comes back to us")
    arguments = parser.parse_args()
    booking = Booking(
        reference=arguments.reference,
        cents=arguments.cents,
        is_outgoing=arguments.outgoing,
        is_returned=arguments.returned,
    )
    path = drop(arguments.folder, statement(arguments.iban, [booking], datetime.now(UTC)))
    print(path)  # noqa: T201 - what a command is for


if __name__ == "__main__":
    main()

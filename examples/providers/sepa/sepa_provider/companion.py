"""The fake bank as a companion: `payd dev` starts it while no bank account is configured."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from payd.plugins import Companion, CompanionContext, RunningCompanion
from sepa_provider.fake_bank_server import serving

#: A specimen; no account has it.
IBAN = "DE89370400440532013000"
_USUAL_PORT = 8098


@asynccontextmanager
async def open_companion(context: CompanionContext) -> AsyncIterator[RunningCompanion]:
    """Serve the page on which a customer transfers, until the end of the block."""
    await trio.lowlevel.checkpoint()
    statements = context.folder / "statements"
    statements.mkdir(exist_ok=True)
    with serving(statements, IBAN, context.port("bank", _USUAL_PORT), context.clock) as bank:
        yield RunningCompanion(
            settings={
                "iban": IBAN,
                "ledger_file": str(context.folder / "ledger.sqlite3"),
                "statements_dir": str(statements),
            },
            announced={"bank": bank},
            banner=(f"Customers transfer at {bank}",),
        )


COMPANION = Companion(open=open_companion, replaces=("iban", "statements_dir"))

"""Control the fake bank from payd's conformance kit: it writes statements into a folder."""

import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import trio

from payd.plugins import NextAction, PaymentRef, Show
from payd.plugins.testing import BenchClock, CannotHappen, Fault, Remote
from sepa_provider.companion import IBAN
from sepa_provider.fake_bank import Booking, drop, statement
from sepa_provider.references import reference_of
from sepa_provider.statements import Kind, read_statements

#: A specimen of another account.
_OTHER_IBAN = "DE75512108001245126199"
_NOTHING_IS_SENT = CannotHappen("nothing is sent: the claims are in a file of our own")


@asynccontextmanager
async def open_remote(clock: BenchClock) -> AsyncIterator[Remote]:
    """Create a ledger and a folder for statements."""
    with TemporaryDirectory() as folder:
        yield SepaRemote(clock, Path(folder))


class SepaRemote(Remote):
    """A fake bank that writes statements, controlled by the kit."""

    #: A specimen of another bank.
    refund_destination = "FR1420041010050500013M02606"

    def __init__(self, clock: BenchClock, folder: Path) -> None:
        self._clock = clock
        self._statements = folder / "statements"
        self._statements.mkdir()
        self._away = folder / "away"
        self._ledger = folder / "ledger.sqlite3"
        self.settings = {
            "iban": IBAN,
            "instructions_url": "https://shop.example/transfer?iban={iban}&reference={reference}"
            "&amount={amount}&currency={currency}",
            "ledger_file": str(self._ledger),
            "statements_dir": str(self._statements),
        }

    async def objects(self, payment_id: UUID) -> int:
        """Count the payable objects of a payment."""
        await trio.lowlevel.checkpoint()
        query = "SELECT count(*) FROM claims WHERE payment_id = ?"
        with closing(sqlite3.connect(self._ledger)) as database:
            (number,) = database.execute(query, (str(payment_id),)).fetchone()
        return int(number)

    def metadata(self, fault: Fault | None) -> Mapping[str, str]:
        """Return the metadata that selects the scenario for a fault."""
        if fault is not None:
            raise _NOTHING_IS_SENT
        return {}

    async def fault(self, fault: Fault) -> None:
        """Simulate the only fault that can happen here: move the statements folder away."""
        await trio.lowlevel.checkpoint()
        if fault is not Fault.SERVER_ERROR:
            raise _NOTHING_IS_SENT
        self._statements.rename(self._away)

    async def mend(self) -> None:
        """End the fault."""
        await trio.lowlevel.checkpoint()
        if self._away.exists():
            self._away.rename(self._statements)

    def retry_after_s(self) -> float:
        """Raise CannotHappen: a folder refuses no request."""
        raise _NOTHING_IS_SENT

    async def forbid(self) -> None:
        """Raise CannotHappen: a folder has no key."""
        raise _NOTHING_IS_SENT

    async def expire_token(self) -> None:
        """Raise CannotHappen: a folder has no token."""
        raise _NOTHING_IS_SENT

    async def refuse_tokens(self) -> None:
        """Raise CannotHappen: a folder has no token."""
        raise _NOTHING_IS_SENT

    def changed_settings(self) -> Mapping[str, Any]:
        """Return the settings with another account of ours."""
        return {**self.settings, "iban": _OTHER_IBAN}

    async def pay(self, ref: PaymentRef, amount: int) -> None:
        """Write a statement that shows the transfer."""
        await self._booked(ref, amount, is_reversal=False)

    async def received(self, ref: PaymentRef) -> int:
        """Return the sum of the transfers with the claim's reference in all statements."""
        await trio.lowlevel.checkpoint()
        reference = ref.reference or reference_of(ref.operation_id)
        entries = (
            entry
            for path in self._statements.iterdir()
            for entry in read_statements(path.read_bytes(), IBAN).entries
        )
        return sum(
            entry.amount
            for entry in entries
            if entry.kind is Kind.CREDIT and entry.reference == reference
        )

    async def refund(self, ref: PaymentRef, amount: int) -> None:
        """Write a statement that shows the returned transfer."""
        await self._booked(ref, amount, is_reversal=True)

    async def transfer(self, action: NextAction) -> None:
        """Write a statement that shows our transfer to the customer."""
        assert isinstance(action, Show)  # noqa: S101 - what the provider returns
        said = {field.label: field.value for field in action.fields}
        cents = int(said["Amount"].replace(".", ""))
        await self._drop(Booking(reference=said["Reference"], cents=cents, is_outgoing=True))

    async def _booked(self, ref: PaymentRef, amount: int, *, is_reversal: bool) -> None:
        reference = ref.reference or reference_of(ref.operation_id)
        await self._drop(Booking(reference=reference, cents=amount, is_reversal=is_reversal))

    async def _drop(self, booking: Booking) -> None:
        await trio.lowlevel.checkpoint()
        drop(self._statements, statement(IBAN, [booking], self._clock.now()))

    def key_name(self) -> str:
        """Return the name of the API credential."""
        raise CannotHappen("a folder is opened without a key")

"""Control the fake bank from payd's conformance kit: it writes statements into a folder."""

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import attrs
import trio

from payd.plugins import NextAction, PaymentRef, Show
from payd.plugins.testing import BenchClock, CannotHappen, Fault, Remote
from sepa_provider.companion import IBAN
from sepa_provider.fake_bank import Booking, drop, statement
from sepa_provider.provider import PAGE_MAX
from sepa_provider.references import reference_of
from sepa_provider.statements import Kind, read_statements

#: A specimen of another account.
_OTHER_IBAN = "DE75512108001245126199"
#: Name of a file that is no statement.
_UNREADABLE = "unreadable"
_NOTHING_IS_SENT = CannotHappen("nothing is sent: the claims are in a file of our own")


@asynccontextmanager
async def open_remote(clock: BenchClock) -> AsyncIterator[Remote]:
    """Create a ledger and a folder for statements."""
    with TemporaryDirectory() as folder:
        yield SepaRemote(clock, Path(folder))


class SepaRemote(Remote):
    """A fake bank that writes statements, controlled by the kit."""

    #: Statements have days, without a time.
    time_resolution = timedelta(days=1)
    events_per_page = PAGE_MAX
    #: A specimen of another bank.
    refund_destination = "FR1420041010050500013M02606"

    def __init__(self, clock: BenchClock, folder: Path) -> None:
        self._clock = clock
        self._statements = folder / "statements"
        self._statements.mkdir()
        self._away = folder / "away"
        self._ledger = folder / "ledger.sqlite3"
        self._held: list[PaymentRef] = []
        self._kept: list[str] = []
        self._expected: dict[UUID, Booking] = {}
        self.settings = {
            "iban": IBAN,
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

    async def asks_for(self, ref: PaymentRef) -> int:
        """Return the amount of the claim."""
        await trio.lowlevel.checkpoint()
        query = "SELECT amount FROM claims WHERE payment_id = ?"
        with closing(sqlite3.connect(self._ledger)) as database:
            (amount,) = database.execute(query, (str(ref.payment_id),)).fetchone()
        return int(amount)

    async def pay(self, ref: PaymentRef, amount: int) -> None:
        """Write a statement that shows the transfer."""
        await self._drop(_credit(ref, amount), held=ref in self._held)

    async def pay_together(self, refs: Sequence[PaymentRef], amounts: Sequence[int]) -> None:
        """Write one statement that shows all transfers."""
        await self._drop(*map(_credit, refs, amounts))

    async def pay_unfinal(self, ref: PaymentRef, amount: int) -> None:
        """Write a statement that shows the transfer as expected."""
        booking = self._expected[ref.payment_id] = _credit(ref, amount)
        await self._drop(attrs.evolve(booking, is_pending=True))

    async def finalize(self, ref: PaymentRef) -> None:
        """Write a statement that shows the transfer as booked."""
        await self._drop(self._expected[ref.payment_id])

    async def refuse(self, ref: PaymentRef) -> None:
        """Raise CannotHappen: no payment is refused for good."""
        raise CannotHappen("a transfer that a bank refuses is never seen")

    async def pay_late(self, ref: PaymentRef, amount: int) -> None:
        """Write a statement that shows the transfer: nobody can prevent a late one."""
        await self.pay(ref, amount)

    async def pay_in_another_asset(self, ref: PaymentRef, amount: int) -> None:
        """Write a statement that shows a transfer in another currency."""
        await self._drop(attrs.evolve(_credit(ref, amount), currency="USD"))

    async def hold_reports(self, ref: PaymentRef) -> None:
        """Keep back the statements that show transfers for this claim."""
        await trio.lowlevel.checkpoint()
        self._held.append(ref)

    async def release_reports(self) -> None:
        """Write the statements that were kept back."""
        await trio.lowlevel.checkpoint()
        for document in self._kept:
            drop(self._statements, document)
        self._kept.clear()
        self._held.clear()

    async def add_foreign(self, name: str) -> None:
        """Write a statement that shows a transfer for something else."""
        await self._drop(Booking(reference=name, cents=500))

    async def add_unreadable(self) -> None:
        """Put a file into the folder that is no statement."""
        await trio.lowlevel.checkpoint()
        drop(self._statements, "<Document>", _UNREADABLE)

    async def received(self, ref: PaymentRef) -> int:
        """Return the sum of the transfers with the claim's reference in all statements."""
        await trio.lowlevel.checkpoint()
        reference = ref.reference or reference_of(ref.operation_id)
        paths = [path for path in self._statements.iterdir() if path.stem != _UNREADABLE]
        documents = [path.read_bytes() for path in paths]
        documents += [document.encode() for document in self._kept]
        entries = (
            entry for document in documents for entry in read_statements(document, IBAN).entries
        )
        return sum(
            entry.amount
            for entry in entries
            if entry.kind is Kind.CREDIT and entry.reference == reference
        )

    async def refund(self, ref: PaymentRef, amount: int) -> None:
        """Write a statement that shows the returned transfer."""
        await self._drop(attrs.evolve(_credit(ref, amount), is_reversal=True))

    async def dispute(self, ref: PaymentRef) -> None:
        """Raise CannotHappen: a transfer has no dispute."""
        raise CannotHappen("a bank transfer cannot be disputed")

    async def transfer(self, action: NextAction) -> None:
        """Write a statement that shows our transfer to the customer."""
        assert isinstance(action, Show)  # noqa: S101 - what the provider returns
        said = {field.label: field.value for field in action.fields}
        cents = int(said["Amount"].replace(".", ""))
        await self._drop(Booking(reference=said["Reference"], cents=cents, is_outgoing=True))

    async def _drop(self, *bookings: Booking, held: bool = False) -> None:
        await trio.lowlevel.checkpoint()
        document = statement(IBAN, bookings, self._clock.now())
        if held:
            self._kept.append(document)
        else:
            drop(self._statements, document)

    def key_name(self) -> str:
        """Return the name of the API credential."""
        raise CannotHappen("a folder is opened without a key")


def _credit(ref: PaymentRef, amount: int) -> Booking:
    return Booking(reference=ref.reference or reference_of(ref.operation_id), cents=amount)

"""Control the mock's remote side from the conformance kit: its ledger and its scenarios."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from mock_provider.ledger import Ledger, open_ledger
from mock_provider.provider import reference_of
from mock_provider.scenarios import Happening, Scenario
from payd.plugins import PaymentRef
from payd.plugins.testing import BenchClock, CannotHappen, Fault, Remote

_SCENARIOS = {
    None: Scenario.PENDING,
    Fault.LOST_REQUEST: Scenario.TIMEOUT_BEFORE,
    Fault.LOST_ANSWER: Scenario.TIMEOUT_AFTER,
    Fault.DECLINE: Scenario.DECLINE,
}


@asynccontextmanager
async def open_remote(clock: BenchClock) -> AsyncIterator[Remote]:
    """Open a new ledger, which the provider opens as well."""
    with TemporaryDirectory() as folder:
        state_file = Path(folder) / "mock.sqlite3"
        with open_ledger(state_file) as ledger:
            yield MockRemote(clock, ledger, state_file)


class MockRemote(Remote):
    """The mock's ledger and scenarios, for the kit."""

    def __init__(self, clock: BenchClock, ledger: Ledger, state_file: Path) -> None:
        self._clock = clock
        self._ledger = ledger
        self._paid = 0
        self.settings = {"methods": "mock,crypto", "state_file": str(state_file)}

    async def objects(self, payment_id: UUID) -> int:
        """Count the payable objects of a payment."""
        return self._ledger.count(reference_of(f"payd:{payment_id}:create:v1"), str(payment_id))

    def metadata(self, fault: Fault | None) -> Mapping[str, str]:
        """Return the metadata that selects the scenario for a fault."""
        if fault not in _SCENARIOS:
            raise CannotHappen("nothing is sent over a network: the mock's remote side is a file")
        return {"mock_scenario": _SCENARIOS[fault].value}

    async def fault(self, fault: Fault) -> None:
        """Check that a scenario exists: the operation requests the fault in its metadata."""
        self.metadata(fault)

    async def pay(self, ref: PaymentRef, amount: int) -> None:
        """Let the customer pay an amount."""
        reference = ref.reference or reference_of(ref.operation_id)
        self._paid += 1
        paid = Happening(
            name=f"paid:by the kit {self._paid}", time=self._clock.now(), amount=amount
        )
        self._ledger.happen(reference, paid)

    async def refund(self, ref: PaymentRef, amount: int) -> None:
        """Refund an amount of what was paid."""
        raise CannotHappen("the mock makes no refunds")

    async def expire(self, ref: PaymentRef) -> None:
        """Move the clock to the session's last happening, its expiry."""
        found = self._ledger.find(ref.reference or reference_of(ref.operation_id))
        assert found is not None  # noqa: S101 - it was created before
        self._clock.advance(max(one.time for one in found[1]) - self._clock.now())

    def key_name(self) -> str:
        """Return the name of the API credential."""
        raise CannotHappen("the mock has no credentials")

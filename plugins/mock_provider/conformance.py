"""Control the mock's remote side from the conformance kit: its ledger and its scenarios."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from mock_provider.ledger import Ledger, open_ledger
from mock_provider.provider import reference_of
from mock_provider.refunds import MockRefund, Plan, RefundScenario, Step, refund_reference_of
from mock_provider.scenarios import Happening, Scenario
from payd.plugins import PaymentRef, RefundRef, RefundState
from payd.plugins.testing import BenchClock, CannotHappen, Fault, Remote

_SCENARIOS = {
    None: Scenario.PENDING,
    Fault.LOST_REQUEST: Scenario.TIMEOUT_BEFORE,
    Fault.LOST_ANSWER: Scenario.TIMEOUT_AFTER,
    Fault.DECLINE: Scenario.DECLINE,
}
_REFUND_SCENARIOS = {
    Fault.LOST_REQUEST: RefundScenario.TIMEOUT_BEFORE,
    Fault.LOST_ANSWER: RefundScenario.TIMEOUT_AFTER,
    Fault.DECLINE: RefundScenario.DECLINE,
}
_NOTHING_IS_SENT = CannotHappen("nothing is sent over a network: the mock's remote side is a file")
#: Shorter than a session's life.
_SLOW = timedelta(minutes=5)


@asynccontextmanager
async def open_remote(clock: BenchClock) -> AsyncIterator[Remote]:
    """Open a new ledger, which the provider opens as well."""
    with TemporaryDirectory() as folder:
        state_file = Path(folder) / "mock.sqlite3"
        with open_ledger(state_file) as ledger:
            yield MockRemote(clock, ledger, state_file)


class MockRemote(Remote):
    """The mock's ledger and scenarios, for the kit."""

    #: They read a file. `create` meets the faults that its metadata asks for.
    sends_nothing = frozenset({"fetch", "cancel", "health", "watch"})

    def __init__(self, clock: BenchClock, ledger: Ledger, state_file: Path) -> None:
        self._clock = clock
        self._ledger = ledger
        self._paid = 0
        self._outside = 0
        self.settings = {"methods": "mock,crypto", "state_file": str(state_file)}

    async def objects(self, payment_id: UUID) -> int:
        """Count the payable objects of a payment."""
        return self._ledger.count(reference_of(f"payd:{payment_id}:create:v1"), str(payment_id))

    def metadata(self, fault: Fault | None) -> Mapping[str, str]:
        """Return the metadata that selects the scenario for a fault."""
        if fault not in _SCENARIOS:
            raise _NOTHING_IS_SENT
        return {"mock_scenario": _SCENARIOS[fault].value}

    async def fault(self, fault: Fault) -> None:
        """Check that a scenario exists: the operation requests the fault in its metadata."""
        self.metadata(fault)

    def retry_after_s(self) -> float:
        """Raise CannotHappen: a file refuses no request."""
        raise _NOTHING_IS_SENT

    async def forbid(self) -> None:
        """Raise CannotHappen: a file refuses no request."""
        raise _NOTHING_IS_SENT

    async def expire_token(self) -> None:
        """Raise CannotHappen: a file is opened without a token."""
        raise _NOTHING_IS_SENT

    async def refuse_tokens(self) -> None:
        """Raise CannotHappen: a file is opened without a token."""
        raise _NOTHING_IS_SENT

    def changed_settings(self) -> Mapping[str, Any]:
        """Return the settings with another page, delay and seed."""
        return {**self.settings, "base_url": "https://other.invalid", "delay_ms": 9, "seed": 9}

    async def pay(self, ref: PaymentRef, amount: int) -> None:
        """Let the customer pay an amount."""
        reference = ref.reference or reference_of(ref.operation_id)
        self._paid += 1
        paid = Happening(
            name=f"paid:by the kit {self._paid}", time=self._clock.now(), amount=amount
        )
        self._ledger.happen(reference, paid)

    async def received(self, ref: PaymentRef) -> int:
        """Return the sum of the payments in the session's script until now."""
        found = self._ledger.find(ref.reference or reference_of(ref.operation_id))
        now = self._clock.now()
        return sum(one.amount or 0 for one in found[1] if one.time <= now) if found else 0

    async def asks_for(self, ref: PaymentRef) -> int:
        """Return the amount of the session."""
        found = self._ledger.find(ref.reference or reference_of(ref.operation_id))
        assert found is not None  # noqa: S101 - it was created before
        return found[0].amount

    async def pay_together(self, refs: Sequence[PaymentRef], amounts: Sequence[int]) -> None:
        """Let several sessions be paid before the watch looks again."""
        for ref, amount in zip(refs, amounts, strict=True):
            await self.pay(ref, amount)

    async def pay_unfinal(self, ref: PaymentRef, amount: int) -> None:
        """Raise CannotHappen: there is no money that is not final."""
        raise CannotHappen("the mock's money is final at once")

    async def refuse(self, ref: PaymentRef) -> None:
        """Raise CannotHappen: no payment is refused for good."""
        raise CannotHappen("the mock declines only in `create`")

    async def pay_late(self, ref: PaymentRef, amount: int) -> None:
        """Let the customer pay a session that has expired."""
        await self.pay(ref, amount)

    async def pay_in_another_asset(self, ref: PaymentRef, amount: int) -> None:
        """Raise CannotHappen: a session has one asset."""
        raise CannotHappen("the mock is paid in what is due")

    async def refund(self, ref: PaymentRef, amount: int) -> None:
        """Refund an amount of what was paid, in the mock's dashboard."""
        reference, now = ref.reference or reference_of(ref.operation_id), self._clock.now()
        self._outside += 1
        outside = MockRefund(
            reference=f"mockre_outside_{self._outside}",
            session=reference,
            fingerprint="",
            refund_id=None,
            amount=amount,
            create_time=now,
        )
        found = self._ledger.find(reference)
        assert found is not None  # noqa: S101 - it was created before
        done = Step(time=now, state=RefundState.SUCCEEDED)
        self._ledger.refunds.add(outside, (done,), paid=found[0].amount)

    async def refunds(self, payment_id: UUID) -> int:
        """Count the refunds of a payment."""
        reference = reference_of(f"payd:{payment_id}:create:v1")
        return len(self._ledger.refunds.of_session(reference, self._clock.now()))

    async def refund_fault(self, ref: PaymentRef, fault: Fault) -> None:
        """Plan the scenario of a fault for the refunds of a session."""
        if fault not in _REFUND_SCENARIOS:
            raise _NOTHING_IS_SENT
        self._plan(ref, _REFUND_SCENARIOS[fault])

    async def slow_refunds(self, ref: PaymentRef) -> None:
        """Let the refunds of a session be on their way for long."""
        self._plan(ref, RefundScenario.PENDING)

    async def end_refund(self, ref: RefundRef, *, failed: bool) -> None:
        """Let a refund fail now, or wait until it arrives."""
        reference = ref.reference or refund_reference_of(ref.operation_id)
        if failed:
            self._ledger.refunds.fail(reference, self._clock.now())
        else:
            self._clock.advance(_SLOW)

    def _plan(self, ref: PaymentRef, scenario: RefundScenario) -> None:
        reference = ref.reference or reference_of(ref.operation_id)
        self._ledger.refunds.plan(reference, Plan(scenario=scenario, delay=_SLOW))

    async def dispute(self, ref: PaymentRef) -> None:
        """Let the customer's bank dispute the payment."""
        raise CannotHappen("the mock has no bank")

    async def expire(self, ref: PaymentRef) -> None:
        """Move the clock to the session's last happening, its expiry."""
        found = self._ledger.find(ref.reference or reference_of(ref.operation_id))
        assert found is not None  # noqa: S101 - it was created before
        self._clock.advance(max(one.time for one in found[1]) - self._clock.now())

    def key_name(self) -> str:
        """Return the name of the API credential."""
        raise CannotHappen("the mock has no credentials")

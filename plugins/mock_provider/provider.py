"""The mock provider: create, fetch, cancel, refund, health, and a watch of its ledger."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import trio

from mock_provider.config import MockConfig
from mock_provider.ledger import Ledger, open_ledger
from mock_provider.refunds import (
    MockRefund,
    Plan,
    RefundScenario,
    Step,
    asked_in,
    made,
    named,
    refund_reference_of,
    refund_snapshot,
    steps_of,
)
from mock_provider.scenarios import STEP_MIN, Scenario, delay_of, scenario_of, script
from mock_provider.session import Session, created, snapshot
from payd.plugins import (
    Absent,
    Created,
    CreateOperation,
    CryptoTransfer,
    Declined,
    Found,
    IdempotencyConflict,
    InvalidRequest,
    NextAction,
    OutcomeUnknown,
    PaymentRef,
    Provider,
    ProviderContext,
    ProviderStatus,
    Redirect,
    RefundOperation,
    RefundRef,
    RefundSnapshot,
    RefundState,
    Sink,
    Snapshot,
)

#: Seconds after which a session of another daemon is seen here.
POLL_S = 0.2
#: Maximum number of reports per `sink.put`, which is one transaction.
BATCH_MAX = 100
#: Invented address.
RECEIVER_ADDRESS = "0x" + "ab" * 20


@asynccontextmanager
async def open_provider(context: ProviderContext, config: MockConfig) -> AsyncIterator[Provider]:
    """Open the provider: the manifest's factory."""
    with open_ledger(config.state_file) as ledger:
        yield MockProvider(context, config, ledger)


class MockProvider:
    """Provider, SupportsRefund and SupportsWatch."""

    def __init__(self, context: ProviderContext, config: MockConfig, ledger: Ledger) -> None:
        self._clock = context.clock
        self._config = config
        self._ledger = ledger
        self._soon = trio.Event()

    async def create(self, operation: CreateOperation) -> Created:
        """Create the object, or return the existing one of this operation."""
        config, metadata = self._config, operation.metadata
        delay = delay_of(metadata, config.delay_ms)
        scenario = scenario_of(metadata, operation.operation_id, config.failure_rate, config.seed)
        if scenario is Scenario.DECLINE:
            raise Declined("mock_declined", "The mock declined, as requested.")
        session = self._session(operation, scenario)
        if scenario is Scenario.TIMEOUT_BEFORE and self._ledger.lose(session.reference):
            raise OutcomeUnknown("the mock lost the request, as requested")
        now = self._clock.now()
        planned = script(scenario, session.amount, now, delay, operation.expire_time)
        kept, is_new = self._ledger.add(session, planned, _refund_plan(metadata, delay))
        if kept.fingerprint != session.fingerprint:
            raise IdempotencyConflict("the operation id was used with other parameters")
        if is_new and scenario is Scenario.REFUNDED:
            self._refund_outside(session, planned[-1].time + max(delay, STEP_MIN))
        if is_new and planned[0].time - now < timedelta(seconds=POLL_S):
            self._soon.set()
        if is_new and scenario is Scenario.TIMEOUT_AFTER:
            raise OutcomeUnknown("the mock lost the response, as requested")
        return created(kept)

    async def fetch(self, ref: PaymentRef) -> Found | Absent:
        """Read the current state of the object."""
        found = self._ledger.find(_reference(ref))
        if found is None:
            return Absent()
        (session, planned), now = found, self._clock.now()
        refunds = tuple(
            refund_snapshot(refund, session.asset, steps, now)
            for refund, steps in self._ledger.refunds.of_session(session.reference, now)
        )
        standing = snapshot(session, planned, now, refunds)
        return Found(created=created(session), snapshot=standing)

    async def cancel(self, ref: PaymentRef) -> Snapshot:
        """Close the object if it is still open, and return its state."""
        found = await self.fetch(ref)
        if isinstance(found, Found) and found.snapshot.status is ProviderStatus.OPEN:
            self._ledger.cancel(_reference(ref), found.snapshot.as_of)
            found = await self.fetch(ref)
        if isinstance(found, Absent):
            raise InvalidRequest("payment_id", "the mock has no session for it")
        return found.snapshot

    async def refund(self, operation: RefundOperation) -> RefundSnapshot:
        """Refund, or return the existing refund of this operation."""
        found = self._ledger.find(operation.reference)
        if found is None:
            raise Declined("no_such_session", "The mock has no session of this reference.")
        (session, planned), now = found, self._clock.now()
        refund = made(operation, session, now)
        plan = self._ledger.refunds.plan_of(session.reference, _default_plan(self._config.delay_ms))
        scenario = asked_in(operation.reason, plan.scenario)
        paid = snapshot(session, planned, now).confirmed
        _check_refundable(operation, session, scenario, paid)
        if scenario is RefundScenario.TIMEOUT_BEFORE and self._ledger.lose(refund.reference):
            raise OutcomeUnknown("the mock lost the request, as requested")
        steps = steps_of(scenario, now, plan.delay)
        kept, is_new = self._ledger.refunds.add(refund, steps, paid=paid)
        if kept.fingerprint != refund.fingerprint:
            raise IdempotencyConflict("the operation id was used with other parameters")
        self._soon.set()
        if is_new and scenario is RefundScenario.TIMEOUT_AFTER:
            raise OutcomeUnknown("the mock lost the response, as requested")
        return self._refund_now(refund.reference, session.asset)

    async def fetch_refund(self, ref: RefundRef) -> RefundSnapshot | Absent:
        """Read the current state of the refund."""
        reference = ref.reference or refund_reference_of(ref.operation_id)
        if self._ledger.refunds.find(reference) is None:
            return Absent()
        return self._refund_now(reference, ref.asset)

    def _refund_now(self, reference: str, asset: str) -> RefundSnapshot:
        found = self._ledger.refunds.find(reference)
        if found is None:
            raise OutcomeUnknown("the mock's state file lost a refund")
        return refund_snapshot(found[0], asset, found[1], self._clock.now())

    def _refund_outside(self, session: Session, time: datetime) -> None:
        """Plan a refund of all that was paid, made by hand in the mock's own dashboard."""
        outside = MockRefund(
            reference=refund_reference_of(f"{session.reference}:outside"),
            session=session.reference,
            fingerprint="",
            refund_id=None,
            amount=session.amount,
            create_time=time,
        )
        done = Step(time=time, state=RefundState.SUCCEEDED)
        self._ledger.refunds.add(outside, (done,), paid=session.amount)

    async def health(self) -> None:
        """Check that the remote side responds to our credentials."""
        self._ledger.check()

    async def watch(self, sink: Sink, *, task_status: trio.TaskStatus[None]) -> None:
        """Report happenings in batches, each until `sink` has stored it."""
        task_status.started()
        while True:
            self._soon = trio.Event()
            now = self._clock.now()
            if reports := self._ledger.unreported(now, BATCH_MAX):
                await sink.put([report.observation for report in reports])
                self._ledger.mark_reported(reports)
                await trio.lowlevel.checkpoint()
                continue
            next_time = self._ledger.next_time()
            wait_s = POLL_S if next_time is None else (next_time - now).total_seconds()
            with trio.move_on_after(max(0.0, min(wait_s, POLL_S))):
                await self._soon.wait()

    def _session(self, operation: CreateOperation, scenario: Scenario) -> Session:
        reference = reference_of(operation.operation_id)
        crypto = operation.crypto
        # After a lost response, reports use the session's own reference.
        is_unheard = scenario is Scenario.TIMEOUT_AFTER
        return Session(
            reference=reference,
            fingerprint=_fingerprint(operation),
            reports_as=reference if is_unheard else str(operation.payment_id),
            asset=crypto.token_address if crypto else operation.amount.currency_code,
            amount=crypto.due_base_units if crypto else operation.amount.minor_units,
            action=_action(operation, reference, self._config.base_url),
        )


def _default_plan(delay_ms: int) -> Plan:
    return Plan(scenario=RefundScenario.SUCCEED, delay=timedelta(milliseconds=delay_ms))


def _refund_plan(metadata: Mapping[str, str], delay: timedelta) -> Plan | None:
    """Return what the payment's metadata says about its refunds; None when it says nothing."""
    asked = metadata.get("mock_refund")
    if asked is None and "mock_delay_ms" not in metadata:
        return None
    scenario = named(asked, "metadata.mock_refund") if asked else RefundScenario.SUCCEED
    return Plan(scenario=scenario, delay=delay)


def _check_refundable(
    operation: RefundOperation, session: Session, scenario: RefundScenario, paid: int
) -> None:
    """Raise Declined for what a remote side refuses for good."""
    if scenario is RefundScenario.DECLINE:
        raise Declined("mock_declined", "The mock declined the refund, as requested.")
    if operation.asset.lower() != session.asset.lower():
        raise Declined("wrong_asset", f"The mock was paid in {session.asset}.")
    if not paid:
        raise Declined("not_paid", "The mock's session was not paid.")


def _reference(ref: PaymentRef) -> str:
    return ref.reference or reference_of(ref.operation_id)


def reference_of(operation_id: str) -> str:
    """Reference of an operation's session, the same at every retry."""
    digest = hashlib.blake2b(operation_id.encode(), digest_size=16)
    return f"mock_{digest.hexdigest()}"


def _fingerprint(operation: CreateOperation) -> str:
    meaning = (
        str(operation.payment_id),
        operation.method,
        operation.amount,
        operation.crypto,
        operation.customer_id,
        operation.expire_time.isoformat(),
        operation.return_url,
        operation.cancel_url,
        sorted(operation.metadata.items()),
    )
    return hashlib.blake2b(repr(meaning).encode(), digest_size=16).hexdigest()


def _action(operation: CreateOperation, reference: str, base_url: str) -> NextAction:
    terms = operation.crypto
    if terms is None:
        return Redirect(url=f"{base_url.rstrip('/')}/pay/{reference}")
    amount, receiver = terms.due_base_units, RECEIVER_ADDRESS
    return CryptoTransfer(
        currency=terms.currency,
        chain_id=terms.chain_id,
        token_address=terms.token_address,
        receiver_address=receiver,
        amount_base_units=amount,
        decimals=terms.decimals,
        memo="0x" + reference.removeprefix("mock_").rjust(64, "0"),
        # transfer(address,uint256) of ERC-20
        calldata=f"0xa9059cbb{receiver[2:]:0>64}{amount:064x}",
        payment_uri=(
            f"ethereum:{terms.token_address}@{terms.chain_id}"
            f"/transfer?address={receiver}&uint256={amount}"
        ),
    )

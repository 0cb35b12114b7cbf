"""All of payd without its servers, in memory: every use case over one store and one provider.

The store and the remote side live on when a daemon dies: a `FakeCrashPoints` raises Died in
the middle of a use case, and whatever the test calls next is the daemon that came after it.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import trio
from support.memory import (
    MemoryAccounts,
    MemoryDeadLetters,
    MemoryHistories,
    MemoryPaymentLists,
    MemoryPersonalData,
    MemoryPublisher,
    MemoryReconciliations,
    MemoryStoredRows,
    MemorySums,
    WellDaemon,
)
from support.prices import one_currency
from unit.service.fakes import (
    DECLINED,
    OUTCOME_UNKNOWN,
    UNANSWERED,
    CountingIds,
    FakeClock,
    FakeCrashPoints,
    FakeProvider,
    FakeProviders,
    FixedPrices,
    InterleavedStore,
    RemoteObject,
    ScriptedChanges,
    TrioTurns,
    not_attempted,
)

from payd.adapters.personal import bare_letter
from payd.domain.decide import Rules
from payd.domain.errors import ProviderUnavailable
from payd.domain.evidence import Observation, OutcomeUnknown
from payd.domain.money import Money
from payd.domain.payment import Customer, Origin, Payment, Status
from payd.domain.refund import Refund, RefundSnapshot, RefundState, RefundStatus
from payd.domain.request import InitiateRequest, Item, RefundRequest
from payd.plugins.capabilities import Cancel as Closing
from payd.plugins.capabilities import Capabilities, Lookup, RefundCapabilities, Sends
from payd.plugins.interface import CryptoCurrency, Method
from payd.ports import ProviderPort, RefundReply, Registered
from payd.service.approve_refund import ApproveRefund
from payd.service.ask import Ask
from payd.service.attach import Attach
from payd.service.audit import Audit
from payd.service.cancel import Cancel
from payd.service.cancel_refund import CancelRefund
from payd.service.dead_letters import ReadDeadLetters
from payd.service.explain import ExplainPayment
from payd.service.export_payments import ExportPayments
from payd.service.forget_customer import ForgetCustomer
from payd.service.initiate import Initiate
from payd.service.intake import Intake
from payd.service.list_payments import ListPayments
from payd.service.overview import GetOverview
from payd.service.publish import Publish
from payd.service.query import Query
from payd.service.reconcile import Reconcile
from payd.service.recover import Recover
from payd.service.recover_refunds import RecoverRefunds
from payd.service.refund import RefundPayment
from payd.service.replay import ReplayDeadLetters
from payd.service.reports import Reports
from payd.service.republish import Republish
from payd.service.resolve_attention import ResolveAttention
from payd.service.scan import Scan
from payd.service.send_refund import SendRefund
from payd.service.settle import Settle
from payd.service.settle_refund import SettleRefund
from payd.service.show_receipts import ShowReceipts
from payd.service.status_check import StatusCheck
from payd.service.sync import SyncPayment
from payd.service.watch import Watch
from payd.transport.grpc.handlers import Services
from payd.transport.grpc.operator_handlers import OperatorServices

CALLER = Origin(actor="main-app", request_id="req-1", ip="10.0.0.7")
WAIT_S = 5.0
#: Leases of status checks, inbox and outbox rows all end within it.
LEASES_S = 61
FULL_30D = Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")
PRICES = one_currency(
    "USD",
    {("ethereum-mainnet", "full", "30d"): 14900, ("base-mainnet", "full", "1d"): 640},
    version="prices-1",
)
USD_1 = Money(currency_code="USD", minor_units=100)
USDC = CryptoCurrency(code="USDC", chain_id=42431, token_address="0x" + "ab" * 20, decimals=6)


def a_request(**overrides: Any) -> InitiateRequest:
    """149.00 USD by card."""
    fields: dict[str, Any] = {
        "idempotency_key": "key-1",
        "customer": Customer(id="user-1", email="user@example.org"),
        "items": (FULL_30D,),
        "method": "card",
    }
    return InitiateRequest(**(fields | overrides))


def refunding(**overrides: Any) -> RefundCapabilities:
    """A rail that sends refunds, remembers them for a day, and knows what it never saw."""
    fields: dict[str, Any] = {
        "sends": Sends.PROVIDER,
        "idempotency_window": timedelta(hours=24),
        "lookup": Lookup.INCLUDING_ABSENCE,
    }
    return RefundCapabilities(**(fields | overrides))


def capable(**overrides: Any) -> Capabilities:
    """A rail that closes, remembers operations for a day, and knows what it never saw."""
    fields: dict[str, Any] = {
        "idempotency_window": timedelta(hours=24),
        "lookup": Lookup.INCLUDING_ABSENCE,
        "cancel": Closing.CLOSES,
        "refunds": refunding(),
    }
    return Capabilities(**(fields | overrides))


class World:
    """Everything, and the verbs of a test."""

    def __init__(
        self,
        capabilities: Capabilities | None = None,
        *,
        rules: Rules | None = None,
        expiry: timedelta = timedelta(minutes=30),
        late_payments_complete: bool = True,
        approval_from: int | None = None,
        port: ProviderPort | None = None,
        map_of: Callable[..., Any] = FakeProviders,
    ) -> None:
        self.clock = FakeClock()
        #: Keys of quote tokens, newest first.
        self.quote_keys: list[str] = ["k" * 32]
        self.crash = FakeCrashPoints()
        self.provider = FakeProvider(self.clock, capabilities or capable())
        #: What the use cases ask: the fake, unless a test brings a provider of its own.
        self.port: ProviderPort = port or self.provider
        card = Method(
            key="card",
            display_name="Card",
            currencies=("USD",),
            default_expiry=expiry,
            late_payments_complete=late_payments_complete,
        )
        crypto = Method(
            key="crypto", display_name="Crypto", currencies=("USD",), crypto_currencies=(USDC,)
        )
        self.providers = map_of(
            Registered(method=card, provider=self.port),
            Registered(method=crypto, provider=self.port),
        )
        self.prices = FixedPrices(PRICES)
        rules = rules or Rules()
        self.store = InterleavedStore(self.clock, late_window=rules.late_window)
        self.inbox = self.store.inbox
        self.outbox = self.store.outbox
        self.publisher = MemoryPublisher()
        self.turns = TrioTurns()
        self._wire(rules)
        self._wire_refunds(approval_from)

    def _wire(self, rules: Rules) -> None:
        shared: dict[str, Any] = {
            "providers": self.providers,
            "clock": self.clock,
            "crash": self.crash,
        }
        self.settle = Settle(store=self.store, turns=self.turns, rules=rules, **shared)
        self.ask = Ask(settle=self.settle, **shared)
        self.query = Query(
            store=self.store,
            providers=self.providers,
            prices=self.prices,
            clock=self.clock,
            quote_ttl=timedelta(minutes=15),
            quote_keys=lambda: self.quote_keys,
        )
        self.lists = ListPayments(lists=MemoryPaymentLists(self.store), clock=self.clock)
        self.initiates = Initiate(
            store=self.store,
            query=self.query,
            ask=self.ask,
            clock=self.clock,
            ids=CountingIds(),
            tags=self.store.tags,
            crash=self.crash,
        )
        status_check = StatusCheck(settle=self.settle, inbox=self.inbox)
        self.cancels = Cancel(
            settle=self.settle,
            status_check=status_check,
            providers=self.providers,
            crash=self.crash,
        )
        self.intake = Intake(inbox=self.inbox, **shared)
        self.reports = Reports(
            inbox=self.inbox,
            store=self.store,
            providers=self.providers,
            settle=self.settle,
            clock=self.clock,
        )
        self.publish = Publish(outbox=self.outbox, publisher=self.publisher, crash=self.crash)
        self.recover = Recover(
            store=self.store,
            settle=self.settle,
            ask=self.ask,
            cancel=self.cancels,
            status_check=status_check,
            providers=self.providers,
            clock=self.clock,
        )
        self.scan = Scan(inbox=self.inbox, cursors=self.inbox, providers=self.providers)
        self.results = MemoryReconciliations(self.store)
        self.attach = Attach(receipts=self.store.ledger, settle=self.settle)
        self.dead_letters = MemoryDeadLetters()
        self.overview = GetOverview(
            sums=MemorySums(self.store), daemon=WellDaemon(), clock=self.clock
        )
        self.republishes = Republish(
            events=self.outbox, publisher=self.publisher, settle=self.settle
        )
        self.letters = ReadDeadLetters(letters=self.dead_letters, events=self.outbox)
        self.replays = ReplayDeadLetters(
            letters=self.dead_letters, events=self.outbox, settle=self.settle, bare=bare_letter
        )
        self.audit = Audit(
            receipts=self.store.ledger,
            results=self.results,
            inbox=self.inbox,
            cursors=self.inbox,
            providers=self.providers,
            clock=self.clock,
        )
        self.reconcile = Reconcile(
            store=self.store,
            settle=self.settle,
            inbox=self.inbox,
            cursors=self.inbox,
            results=self.results,
            providers=self.providers,
            clock=self.clock,
        )

    def _wire_refunds(self, approval_from: int | None) -> None:
        shared: dict[str, Any] = {"store": self.store, "settle": self.settle}
        self.sender = SendRefund(
            settle=self.settle, providers=self.providers, clock=self.clock, crash=self.crash
        )
        self.refunds = RefundPayment(
            sender=self.sender,
            clock=self.clock,
            ids=CountingIds(1000),
            crash=self.crash,
            approval_from=approval_from,
            **shared,
        )
        self.approves = ApproveRefund(sender=self.sender, **shared)
        self.cancels_refund = CancelRefund(**shared)
        self.settles_refund = SettleRefund(providers=self.providers, **shared)
        self.resolves = ResolveAttention(settle=self.settle)
        self.forgets = ForgetCustomer(settle=self.settle, personal=MemoryPersonalData(self.store))
        self.recover_refunds = RecoverRefunds(
            sender=self.sender, providers=self.providers, clock=self.clock, **shared
        )
        self.explains = ExplainPayment(
            histories=MemoryHistories(self.store), approval_from=approval_from, **shared
        )
        self.syncs = SyncPayment(recover=self.recover, recover_refunds=self.recover_refunds)

    @property
    def services(self) -> Services:
        """What the gRPC server calls."""
        return Services(
            initiate=self.initiates,
            cancel=self.cancels,
            query=self.query,
            watch=Watch(store=self.store, changes=ScriptedChanges(self.clock), clock=self.clock),
            refund=self.refunds,
            cancel_refund=self.cancels_refund,
            approve_refund=self.approves,
            settle_refund=self.settles_refund,
            resolve_attention=self.resolves,
            forget_customer=self.forgets,
            list_payments=self.lists,
            explain=self.explains,
            sync=self.syncs,
            export_payments=ExportPayments(accounts=MemoryAccounts(self.store)),
            operators=OperatorServices(
                receipts=self.store.ledger,
                attach=self.attach,
                republish=self.republishes,
                dead_letters=self.letters,
                replay=self.replays,
                reconciliations=self.results,
                overview=self.overview,
                daemon=WellDaemon(),
                stored_rows=MemoryStoredRows(self.store),
                providers=self.providers,
            ),
            show_receipts=ShowReceipts(receipts=self.store.ledger, providers=self.providers),
        )

    # -- what callers do ---------------------------------------------------------------------

    async def initiate(self, wait_s: float = WAIT_S, **overrides: Any) -> Payment:
        """InitiatePayment, as the main app calls it."""
        return await self.initiates.initiate(a_request(**overrides), CALLER, wait_s)

    async def never_sent(self) -> Payment:
        """A payment whose provider was away when it was initiated."""
        self.provider.replies["create"].append(not_attempted())
        with pytest.raises(ProviderUnavailable):
            await self.initiate()
        return await self.query.get_by_key("key-1")

    async def payment_in(self, status: Status) -> Payment:
        """A payment that came to this status by the way that payments do."""
        match status:
            case Status.CREATING:
                self.provider.replies["create"].append(OUTCOME_UNKNOWN)
            case Status.FAILED:
                self.provider.replies["create"].append(DECLINED)
        payment = await self.initiate()
        match status:
            case Status.PROCESSING:
                self.provider.object.pay_pending()
                await self.report(self.provider.object)
                await self.intake_pass()
            case Status.COMPLETED:
                await self.pay()
                await self.intake_pass()
            case Status.CANCELING:
                self.provider.replies["close"].append(UNANSWERED)
                await self.cancel(payment)
            case Status.CANCELED:
                await self.cancel(payment)
            case Status.EXPIRED:
                await self.work_until_done(payment)
        payment = await self.newest(payment)
        assert payment.status is status
        self.provider.calls.clear()
        return payment

    async def cancel(self, payment: Payment, reason: str = "") -> Payment:
        """CancelPayment."""
        return await self.cancels.cancel(payment.id, reason, CALLER)

    async def refund(self, payment: Payment, wait_s: float = WAIT_S, **overrides: Any) -> Refund:
        """RefundPayment: 1.00 USD, unless told."""
        origin = overrides.pop("origin", CALLER)
        fields: dict[str, Any] = {"idempotency_key": "refund-1", "amount": USD_1}
        request = RefundRequest(payment_id=payment.id, **(fields | overrides))
        _, refund = await self.refunds.refund(request, origin, wait_s)
        return refund

    async def initiate_at_once(self, calls: int, **overrides: Any) -> list[Payment | Exception]:
        """The answers to this many equal calls at the same time."""
        answers: list[Payment | Exception] = []

        async def call() -> None:
            try:
                answers.append(await self.initiate(**overrides))
            except Exception as error:  # noqa: BLE001 - the error is the answer
                answers.append(error)

        async with trio.open_nursery() as nursery:
            for _ in range(calls):
                nursery.start_soon(call)
        return answers

    async def refund_in(self, status: RefundStatus) -> Refund:
        """A refund that came to this status by the way that refunds do."""
        payment = await self.payment_in(Status.COMPLETED)
        if status is RefundStatus.CREATING:
            self.provider.refund_replies.append(RefundReply(answer=OutcomeUnknown()))
        refund = await self.refund(payment, destination="0xabc")
        if status in (RefundStatus.SUCCEEDED, RefundStatus.FAILED):
            await self.report_refund(self.provider.finish_refund(RefundState(status.value)))
        refund = await self.stored(refund)
        assert refund.status is status
        return refund

    # -- what happens at the remote side -----------------------------------------------------

    async def report(self, known: RemoteObject, reference: str | None = None) -> int:
        """Its watch tells payd how the object stands."""
        return await self.intake.accept("mock", [self.provider.observe(known, reference)])

    async def report_refund(self, report: RefundSnapshot, event: str = "") -> None:
        """Its watch reports a refund, and payd settles the report."""
        reference = self.provider.object.reference
        name = event or f"{report.reference} {report.state.value}"
        await self.intake.accept("mock", [Observation(id=name, reference=reference, fact=report)])
        await self.intake_pass()

    async def pay(self, amount: int | None = None) -> None:
        """The customer pays the only object, and its watch reports it."""
        self.provider.object.pay(amount)
        await self.report(self.provider.object)

    # -- one pass of each loop ---------------------------------------------------------------

    async def recovery_pass(self) -> int:
        """How many payments were looked at."""
        claimed = await self.recover.claim_batch()
        for payment in claimed:
            await self.recover.recover(payment)
        return len(claimed)

    async def refund_pass(self) -> int:
        """How many refunds were looked at."""
        claimed = await self.recover_refunds.claim_batch()
        for payment, refund_id in claimed:
            await self.recover_refunds.recover(payment, refund_id)
        return len(claimed)

    async def check_refund(self, refund: Refund) -> Refund:
        """Time passes up to the refund's next look; then recovery runs."""
        due = (await self.stored(refund)).next_check_time
        assert due is not None, "no status check of this refund is scheduled"
        self.clock.time = max(self.clock.time, due)
        assert await self.refund_pass()
        return await self.stored(refund)

    async def intake_pass(self) -> int:
        """How many observations were worked on."""
        claimed = await self.reports.claim_batch()
        if claimed:
            await self.reports.work(claimed)
        return len(claimed)

    async def publish_pass(self) -> int:
        """How many events were tried."""
        claimed = await self.publish.claim_batch()
        if claimed:
            await self.publish.publish(claimed)
        return len(claimed)

    async def settle_and_publish(self) -> None:
        """Everything that waits in the inbox and the outbox."""
        while await self.intake_pass() or await self.publish_pass():
            pass

    async def check_again(self, payment: Payment) -> Payment:
        """Time passes up to the payment's next look; then recovery runs."""
        due = (await self.newest(payment)).next_check_time
        assert due is not None, "no status check of this payment is scheduled"
        self.clock.time = max(self.clock.time, due)
        assert await self.recovery_pass()
        return await self.newest(payment)

    # -- what became of it -------------------------------------------------------------------

    async def newest(self, payment: Payment) -> Payment:
        """As it is stored."""
        stored, _receipts = await self.query.get(payment.id)
        return stored

    async def stored(self, refund: Refund) -> Refund:
        """A refund as it is stored."""
        _, found = await self.query.get_refund(refund.id)
        return found

    async def trail(self, payment: Payment) -> list[str]:
        """What the audit rows say."""
        return [row.event_type for row in await self.store.audit_trail(payment.id)]

    async def events(self) -> list[str]:
        """The subjects that consumers got, after everything was published; repeats dropped."""
        await self.settle_and_publish()
        return [
            row.subject for row in {row.event_id: row for row in self.publisher.published}.values()
        ]

    async def work_until_done(self, payment: Payment) -> Payment:
        """Let a daemon run until the payment is closed and nothing waits; at most for days."""
        for _ in range(200):
            await self.settle_and_publish()
            payment = await self.newest(payment)
            depth, _ = await self.outbox.depth()
            if not payment.status.is_open and depth == 0:
                return payment
            self.clock.move(seconds=LEASES_S)
            if payment.next_check_time is not None:
                self.clock.time = max(self.clock.time, payment.next_check_time)
            await self.recovery_pass()
        raise AssertionError(f"payd never finished {payment}")

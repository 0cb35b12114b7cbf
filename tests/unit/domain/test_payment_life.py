"""Whole lives: a truthful provider behind a channel that loses, repeats and reorders.

What the provider knows is the truth; what payd hears of it comes late, twice, in any order or
not at all. Whatever happens, recovery ends the payment, and no money is lost or counted twice.
"""

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from unit.domain.builders import DUE, EXPIRY, a_payment, a_receipt, a_snapshot, at, created, reread

from payd.domain.attention import Attention
from payd.domain.decide import Decision, EventType, decide
from payd.domain.evidence import (
    Absent,
    AskAgain,
    CancelRequested,
    Declined,
    Evidence,
    NotAttempted,
    NotClosable,
    OutcomeUnknown,
    ProviderStatus,
    Receipt,
    ReceiptState,
    Snapshot,
    Unanswered,
)
from payd.domain.outcome import Asking
from payd.domain.payment import Payment, Status

CLAIM_MINUTES = 1
IDENTITY = ("id", "idempotency_key", "request_hash", "amount", "crypto", "items", "customer")


class PaymentLife(RuleBasedStateMachine):
    """The rules are what the world may do; the invariants are the payment model's."""

    @initialize(closes=st.booleans())
    def begin(self, closes: bool) -> None:
        """A rail that closes (a card) reports totals, another one (a chain) receipts."""
        self.closes = closes
        self.minutes = 0
        self.payment = a_payment(ask_deadline=at(CLAIM_MINUTES))
        self.first, self.may_send = self.payment, True
        self.object: ProviderStatus | None = None
        self.arrivals: dict[str, Receipt] = {}
        self.reports: list[Evidence] = []
        self.received: list[tuple[Evidence, int]] = []
        self.decisions: list[Decision] = []

    # -- the truth -----------------------------------------------------------------------------

    def total(self, *states: ReceiptState) -> int:
        return sum(r.amount for r in self.arrivals.values() if r.state in states)

    def stands(self) -> Snapshot:
        assert self.object is not None
        confirmed = self.total(ReceiptState.CONFIRMED)
        return a_snapshot(
            self.object,
            minutes=self.minutes,
            received=confirmed + self.total(ReceiptState.SEEN),
            confirmed=confirmed,
        )

    def report(self, receipt: Receipt) -> None:
        self.arrivals[receipt.id] = receipt
        if self.closes and self.total(ReceiptState.CONFIRMED) >= DUE:
            self.object = ProviderStatus.PAID
        self.reports.append(self.stands() if self.closes else (receipt,))

    def receive(self, evidence: Evidence) -> Decision | None:
        self.received.append((evidence, self.minutes))
        decision = decide(reread(self.payment), evidence, at(self.minutes))
        if decision is not None:
            check_step(self.payment, decision)
            self.decisions.append(decision)
            self.payment = decision.payment
            assert decide(reread(self.payment), evidence, at(self.minutes)) is None
        return decision

    # -- what may happen -----------------------------------------------------------------------

    @rule(minutes=st.sampled_from([1, 5, 31, 26 * 60]))
    def time_passes(self, minutes: int) -> None:
        self.minutes += minutes

    @precondition(lambda self: self.may_send and self.is_claimed())
    @rule(answer=st.sampled_from(["answer", "late answer", "silence", "refusal", "never sent"]))
    def the_provider_is_asked(self, answer: str) -> None:
        self.may_send = False
        if answer == "never sent":
            self.receive(NotAttempted())
        elif answer == "refusal" and self.object is None:
            self.receive(Declined(code="no", message="no"))
        else:
            self.object = self.object or ProviderStatus.OPEN
            if answer == "answer":
                self.receive(created())
            elif answer == "silence":
                self.receive(OutcomeUnknown())
            else:
                self.reports.append(created())

    @precondition(lambda self: self.object and (self.object.value == "OPEN" or not self.closes))
    @rule(amount=st.sampled_from([100, DUE - 100, DUE]))
    def money_is_sent(self, amount: int) -> None:
        name = f"r{len(self.arrivals)}"
        seen = a_receipt(name, amount, state=ReceiptState.SEEN, time=at(self.minutes))
        self.report(seen)

    @precondition(lambda self: self.total(ReceiptState.SEEN))
    @rule(state=st.sampled_from([ReceiptState.DROPPED, ReceiptState.CONFIRMED]))
    def money_is_settled(self, state: ReceiptState) -> None:
        seen = next(r for r in self.arrivals.values() if r.state is ReceiptState.SEEN)
        self.report(attrs.evolve(seen, state=state))

    @precondition(lambda self: self.reports)
    @rule(data=st.data())
    def a_report_arrives(self, data: st.DataObject) -> None:
        self.receive(data.draw(st.sampled_from(self.reports)))

    @rule()
    def the_caller_cancels(self) -> None:
        self.receive(CancelRequested())

    @rule()
    def the_provider_is_silent(self) -> None:
        self.receive(Unanswered())

    # -- what payd does by itself --------------------------------------------------------------

    @rule()
    def recovery_looks(self) -> None:
        if not self.payment.status.is_open or self.is_claimed():
            return
        if self.payment.provider_reference is None:
            self.look_for_the_object()
        elif self.closes and self.is_to_be_closed():
            self.close()
        else:
            look = self.stands()
            canceling = self.payment.status is Status.CANCELING
            self.receive(NotClosable(snapshot=look) if canceling else look)

    def is_claimed(self) -> bool:
        deadline = self.payment.ask_deadline
        return deadline is not None and at(self.minutes) < deadline

    def is_to_be_closed(self) -> bool:
        return self.payment.status is Status.CANCELING or at(self.minutes) >= EXPIRY

    def close(self) -> None:
        if self.object is ProviderStatus.OPEN and not self.total(ReceiptState.SEEN):
            self.object = ProviderStatus.CANCELED
        self.receive(self.stands())

    def look_for_the_object(self) -> None:
        if self.object is not None:
            self.receive(created())
            self.receive(self.stands())
        elif self.payment.asking is not Asking.NOT_ATTEMPTED:
            self.receive(Absent())
        elif at(self.minutes) >= EXPIRY or self.payment.status is Status.CANCELING:
            self.receive(NotAttempted())
        else:
            claim = AskAgain(deadline=at(self.minutes + CLAIM_MINUTES))
            self.may_send = self.receive(claim) is not None

    # -- what must hold ------------------------------------------------------------------------

    @invariant()
    def i3_it_is_completed_once_at_most(self) -> None:
        types = [event.type for decision in self.decisions for event in decision.events]
        for kind in set(EventType) - {EventType.ATTENTION}:
            assert types.count(kind) <= 1

    @invariant()
    def payd_never_believes_in_more_than_there_is(self) -> None:
        assert self.payment.confirmed <= self.total(ReceiptState.CONFIRMED)

    @invariant()
    def i11_canceled_leaves_nothing_payable_where_the_rail_can_close(self) -> None:
        if self.closes and self.payment.status is Status.CANCELED:
            assert self.object is not ProviderStatus.OPEN

    def teardown(self) -> None:
        """Everything settles and arrives, and recovery has its time."""
        for receipt in list(self.arrivals.values()):
            if receipt.state is ReceiptState.SEEN:
                self.report(attrs.evolve(receipt, state=ReceiptState.CONFIRMED))
        for piece in self.reports:
            self.receive(piece)
        for _ in range(6):
            self.minutes += 60
            self.recovery_looks()
        assert not self.payment.status.is_open
        self.i1_money_ends_in_completed_or_in_attention()
        self.i12_the_same_evidence_again_makes_the_same_payment()

    def i1_money_ends_in_completed_or_in_attention(self) -> None:
        final = self.total(ReceiptState.CONFIRMED)
        assert self.payment.confirmed == final
        if not self.closes:
            assert {r.id: r for r in self.payment.receipts} == self.arrivals
        if final and self.payment.status is not Status.COMPLETED:
            lost = {Attention.PAID_AFTER_CLOSE, Attention.UNDERPAID}
            assert self.payment.attention & lost
            assert final < DUE or Attention.PAID_AFTER_CLOSE in self.payment.attention

    def i12_the_same_evidence_again_makes_the_same_payment(self) -> None:
        again = self.first
        for evidence, minutes in self.received:
            decision = decide(reread(again), evidence, at(minutes))
            again = decision.payment if decision else again
        assert reread(again) == reread(self.payment)


def check_step(before: Payment, decision: Decision) -> None:
    """I4, I6 and I8, for one decision."""
    payment = decision.payment
    assert payment.version == before.version + 1
    assert all(getattr(payment, name) == getattr(before, name) for name in IDENTITY)
    assert payment.confirmed >= before.confirmed
    assert payment.status is not Status.COMPLETED or payment.confirmed >= payment.due
    assert before.status is not Status.COMPLETED or payment.status is Status.COMPLETED
    if payment.status is not before.status:
        assert decision.audit_event == f"payment_{payment.status.value.lower()}"
    raised = [event for event in decision.events if event.type is EventType.ATTENTION]
    assert len(raised) <= 1


PaymentLife.TestCase.settings = settings(stateful_step_count=25)
test_a_payment_lives_and_ends = PaymentLife.TestCase

"""Defects that are planted into payd one at a time: the simulation must find each of them."""

import itertools
import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest
from support.memory import MemoryOutbox, MemoryStore, store
from support.memory.ledger import MemoryLedger
from support.memory.queue import Queue

from payd.adapters.columns import changed_refunds
from payd.adapters.wakeup import WakeUp
from payd.daemon.leases import Watches
from payd.domain import decide, disputes, facts, refund_reports, refunds
from payd.domain.decide import Decision, EventType, Rules
from payd.domain.errors import StoreUnavailable
from payd.domain.evidence import Declined, NotAttempted, ProviderStatus, Snapshot
from payd.domain.payment import Origin, Payment
from payd.domain.refund import Refund, RefundSnapshot, RefundStatus
from payd.plugins.errors import OutcomeUnknown, ProviderError
from payd.plugins.interface import CreateOperation, WebhookRequest
from payd.ports import Answer, Cursor
from payd.providers import answers
from payd.providers.answers import answer_to_close, answer_to_create
from payd.providers.breaker import Breaker
from payd.providers.lifecycle import End, Lifecycle
from payd.service import ask, attach, initiate, operation, recover
from payd.service.intake import Accepted, Intake
from payd.service.publish import Publish
from payd.service.recover import Recover
from payd.service.recover_refunds import RecoverRefunds
from payd.service.reports import Reports
from payd.service.scan import EVENTS, Scan, ScanStep
from payd.service.settle import Settle
from payd.service.status_check import StatusCheck

Patch = pytest.MonkeyPatch


def commit_without_version_guard(patch: Patch) -> None:
    """The last writer wins."""
    commit = MemoryStore.commit

    async def unguarded(
        self: MemoryStore, before: Payment, decision: Decision, origin: Origin, ids: Any = ()
    ) -> bool:
        current = next(one for one in self.all() if one.id == before.id)
        return await commit(
            self, attrs.evolve(before, version=current.version), decision, origin, ids
        )

    patch.setattr(MemoryStore, "commit", unguarded)


def mark_before_publish(patch: Patch) -> None:
    """An event is marked as published before the stream has it."""
    publish = Publish.publish

    async def marked(self: Publish, rows: Any) -> Any:
        await self.outbox.mark_published([row.id for row in rows])
        return await publish(self, rows)

    patch.setattr(Publish, "publish", marked)


def expire_and_leave_the_object_open(patch: Patch) -> None:
    """A payment expires without closing its object."""
    patch.setattr(recover, "_closes", lambda provider: False)
    rules_of = Settle.rules_of

    def careless(self: Settle, payment: Payment) -> Rules:
        return attrs.evolve(rules_of(self, payment), closes=False)

    patch.setattr(Settle, "rules_of", careless)


def refund_sum_unchecked(patch: Patch) -> None:
    """A refund is granted whatever is left."""
    patch.setattr(refunds, "left", lambda payment: payment.confirmed)


def another_operation_id_each_time(patch: Patch) -> None:
    """A create that is sent again has another idempotency key."""
    numbers = itertools.count()
    patch.setattr(operation, "operation_id", lambda payment: f"payd:{payment.id}:{next(numbers)}")


def recovery_sleeps(patch: Patch) -> None:
    """No payment is ever looked up."""
    patch.setattr(Recover, "claim_batch", _nothing)


def refund_recovery_sleeps(patch: Patch) -> None:
    """No refund is ever looked up."""
    patch.setattr(RecoverRefunds, "claim_batch", _nothing)


def idempotency_key_ignored(patch: Patch) -> None:
    """Each call makes a payment of its own."""
    insert = MemoryStore.insert

    async def always(self: MemoryStore, payment: Payment, origin: Origin) -> Payment:
        self._ids_by_key.clear()
        return await insert(self, payment, origin)

    patch.setattr(MemoryStore, "insert", always)


def expire_without_a_look(patch: Patch) -> None:
    """Recovery believes that the object has expired unpaid, and does not ask."""
    look = Recover.look

    async def blind(self: Recover, payment: Payment, origin: Origin) -> Any:
        now = self.clock.now()
        if payment.provider_reference is None or now < payment.expire_time:
            return await look(self, payment, origin)
        unpaid = Snapshot(
            status=ProviderStatus.EXPIRED,
            asset=payment.asset,
            received=0,
            confirmed=0,
            as_of=now,
            reference=payment.provider_reference,
        )
        return await self.settle.settle(payment, unpaid, origin), None

    patch.setattr(Recover, "look", blind)


def wait_does_not_wait(patch: Patch) -> None:
    """The wait for new rows returns at once."""

    async def at_once(self: object, timeout_s: float) -> None:
        return None

    patch.setattr(WakeUp, "wait", at_once)


def inbox_mark_before_decision(patch: Patch) -> None:
    """A report counts as settled before anything was decided on it."""
    work = Reports.work

    async def marked(self: Reports, rows: Any) -> Any:
        await self.inbox.finish({row.id: "applied" for row in rows})
        return await work(self, rows)

    patch.setattr(Reports, "work", marked)


def wrong_exponent(patch: Patch) -> None:
    """The provider is asked for a hundredth of the price."""
    create_operation = operation.create_operation

    def cheap(payment: Payment) -> CreateOperation:
        priced = create_operation(payment)
        units = priced.amount.minor_units // 100
        return attrs.evolve(priced, amount=attrs.evolve(priced.amount, minor_units=units))

    patch.setattr(ask, "create_operation", cheap)


def report_of_another_payment_accepted(patch: Patch) -> None:
    """A report counts for the oldest payment, whatever it names."""
    find = MemoryStore.find

    async def oldest(self: MemoryStore, provider: str, reference: str) -> Payment | None:
        return await find(self, provider, str(self.all()[0].id)) if self.all() else None

    patch.setattr(MemoryStore, "find", oldest)


def webhook_accepted_unstored(patch: Patch) -> None:
    """A webhook is acknowledged although the database did not answer."""
    accept = Intake.accept_webhook

    async def careless(self: Intake, provider: str, request: WebhookRequest) -> Accepted:
        try:
            return await accept(self, provider, request)
        except StoreUnavailable:
            return Accepted(events=1, new=0)

    patch.setattr(Intake, "accept_webhook", careless)


def unknown_taken_for_never_sent(patch: Patch) -> None:
    """An operation without an answer counts as one that never left payd."""
    patch.setattr(recover, "_was_never_sent", lambda payment: True)
    patch.setattr(
        answers,
        "answer_to_create",
        lambda provider, said: (
            Answer(evidence=(NotAttempted(),))
            if isinstance(said, OutcomeUnknown)
            else answer_to_create(provider, said)
        ),
    )


def another_refund_id_each_time(patch: Patch) -> None:
    """A refund that is sent again has another idempotency key."""
    numbers = itertools.count()
    patch.setattr(
        operation, "refund_operation_id", lambda refund: f"payd:{refund.id}:{next(numbers)}"
    )


def late_money_ignored(patch: Patch) -> None:
    """Nothing that is reported after a payment has ended changes it."""
    patch.setattr(decide, "_after_close", lambda before, after, *rest: before)


def events_out_of_order(patch: Patch) -> None:
    """An event may overtake an earlier one of its payment."""
    patch.setattr(MemoryOutbox, "claimable", Queue.claimable)


def failed_publication_marked(patch: Patch) -> None:
    """An event counts as published although the stream refused it."""
    publish = Publish.publish

    async def hopeful(self: Publish, rows: Any) -> Any:
        errors = await publish(self, rows)
        if errors:
            await self.outbox.mark_published([*errors])
        return errors

    patch.setattr(Publish, "publish", hopeful)


def scan_cursor_runs_ahead(patch: Patch) -> None:
    """The scan goes on behind a page that it has not read."""
    work = Scan.work

    async def ahead(self: Scan, step: ScanStep) -> int:
        skipped = attrs.evolve(step, cursor=str(int(step.cursor or 0) + 1))
        return await work(self, skipped)

    patch.setattr(Scan, "work", ahead)


def close_taken_for_granted(patch: Patch) -> None:
    """A request to close an object that has no answer counts as done."""

    def closed(closing: object, said: object) -> Answer:
        if not isinstance(said, ProviderError):
            return answer_to_close(closing, said)  # type: ignore[arg-type]
        return Answer(evidence=(Declined(code="closed", message="closed"),))

    patch.setattr(answers, "answer_to_close", closed)


def late_money_completes_where_it_is_held(patch: Patch) -> None:
    """Money on the chain completes a payment that has ended, whatever the operator has set."""
    rules_of = Settle.rules_of

    def generous(self: Settle, payment: Payment) -> Rules:
        return attrs.evolve(rules_of(self, payment), late_payments_complete=True)

    patch.setattr(Settle, "rules_of", generous)


def expire_while_a_report_waits(patch: Patch) -> None:
    """A payment on the chain expires although a report of its money waits in the inbox."""

    async def never(self: object, names: object, provider: object) -> bool:
        return False

    patch.setattr(StatusCheck, "_is_named_in_inbox", never)


def expire_by_our_clock(patch: Patch) -> None:
    """An object is closed when our clock says so, although the provider's does not."""
    early = recover._early

    def never_early(answer: Answer, payment: Payment) -> timedelta | None:
        return None if early(answer, payment) is None else timedelta(0)

    patch.setattr(recover, "_early", never_early)


def key_without_contents(patch: Patch) -> None:
    """Whatever is asked for under a known key, its payment is the answer."""
    patch.setattr(initiate, "is_repeated", lambda payment, request: True)


def refund_during_a_dispute(patch: Patch) -> None:
    """A refund is granted although the bank may take the money back, too."""
    patch.setattr(refunds, "is_disputed", lambda payment: False)


def refund_by_hand_counted_twice(patch: Patch) -> None:
    """Each report of a refund that was made at the provider adds its amount."""
    count = refund_reports._count

    def added(
        payment: Payment, report: RefundSnapshot, reference: str, amount: int, now: datetime
    ) -> Payment:
        known = refund_reports._external(payment, reference)
        return count(payment, report, reference, amount + (known.amount if known else 0), now)

    patch.setattr(refund_reports, "_count", added)


def refund_sent_again_at_any_age(patch: Patch) -> None:
    """A refund is sent again when the provider no longer knows its operation id."""
    patch.setattr(RecoverRefunds, "_may_send", lambda self, refund, capabilities: True)


def failed_refund_not_announced(patch: Patch) -> None:
    """The main app does not learn that a customer has not got their money back."""
    end_of = decide._end_of

    def good_news(refund: Refund) -> EventType | None:
        return None if refund.has_failed else end_of(refund)

    patch.setattr(decide, "_end_of", good_news)


def event_with_the_time_of_its_publication(patch: Patch) -> None:
    """An event that is published again has other contents."""
    publish, numbers = Publish.publish, itertools.count()

    async def dated(self: Publish, rows: Any) -> Any:
        number = next(numbers)
        headers = {"ce-time": f"2026-11-23T12:{number // 60 % 60:02}:{number % 60:02}Z"}
        return await publish(
            self, [attrs.evolve(row, headers={**row.headers, **headers}) for row in rows]
        )

    patch.setattr(Publish, "publish", dated)


def trail_without_moves_of_refunds(patch: Patch) -> None:
    """The audit trail has each refund as it was granted, and not what became of it."""

    def granted(before: Payment, after: Payment) -> list[Any]:
        known = {refund.id for refund in before.refunds}
        new = [refund for refund in after.refunds if refund.id not in known]
        return changed_refunds(before, attrs.evolve(after, refunds=tuple(new)))

    patch.setattr(store, "changed_refunds", granted)


def wake_up_lost(patch: Patch) -> None:
    """A report that comes while the worker is busy does not wake it."""
    wait = WakeUp.wait

    async def deaf(self: WakeUp, timeout_s: float) -> None:
        self.clear()
        await wait(self, timeout_s)

    patch.setattr(WakeUp, "wait", deaf)


def first_start_is_the_last(patch: Patch) -> None:
    """A provider whose first start fails is not built again."""
    live = Lifecycle._live

    async def final(self: Lifecycle, serve: Callable[[], None]) -> End:
        return attrs.evolve(await live(self, serve), may_pass=False)

    patch.setattr(Lifecycle, "_live", final)


def scan_cursor_before_its_events(patch: Patch) -> None:
    """The scan stores how far it has read, and then what it has read."""

    async def early(self: Scan, step: ScanStep) -> int:
        page = await step.provider.scan(step.cursor)
        if page is None:
            return 0
        cursor = Cursor(name=EVENTS, value=page.cursor, rest=self.interval())
        await self.inbox.put(step.provider.name, (), cursor)
        return await self.inbox.put(step.provider.name, page.events)

    patch.setattr(Scan, "work", early)


def watch_cursor_before_its_reports(patch: Patch) -> None:
    """A watch stores how far it has read, and then what it has read."""
    accept = Intake.accept

    async def early(
        self: Intake, provider: str, reports: Any, cursor: Any = None, *, lease: Any, outflows: Any
    ) -> int:
        if cursor is not None:
            await self.inbox.put(provider, (), cursor, lease=lease)
        return await accept(self, provider, reports, outflows=outflows, lease=lease)

    patch.setattr(Intake, "accept", early)


def first_commit_of_a_batch_stored(patch: Patch) -> None:
    """Of decisions that are written together, only the first is; the reports of all are marked."""
    commit_all = MemoryStore.commit_all

    async def first(self: MemoryStore, commits: Any) -> Any:
        won = await commit_all(self, commits[:1])
        for one in commits[1:]:
            self.inbox.settle(one.inbox_ids, "applied")
        return [*won, *(True for _ in commits[1:])]

    patch.setattr(MemoryStore, "commit_all", first)


def early_report_dropped(patch: Patch) -> None:
    """A report that overtakes the commit of its object's name does not wait for it."""

    async def drop(self: Reports, report: Any, batch: Any) -> None:
        batch.finish(report.row.id, "not_ours")

    patch.setattr(Reports, "_wait_for_payment", drop)


def reports_settled_by_an_error(patch: Patch) -> None:
    """Reports count as settled when the database does not answer."""
    work = Reports.work

    async def final(self: Reports, rows: Any) -> Any:
        try:
            return await work(self, rows)
        except StoreUnavailable:
            await self.inbox.finish({row.id: "failed" for row in rows})
            raise

    patch.setattr(Reports, "work", final)


def unanswered_commit_taken_for_done(patch: Patch) -> None:
    """A decision counts as stored although the database did not answer."""
    commit = Settle._commit

    async def hopeful(self: Settle, *args: Any) -> bool:
        try:
            return await commit(self, *args)
        except StoreUnavailable:
            return True

    patch.setattr(Settle, "_commit", hopeful)


def outflow_forgotten(patch: Patch) -> None:
    """The ledger does not learn what has left the account."""
    accept = Intake.accept

    async def careless(self: Intake, *args: Any, lease: Any = None, outflows: object = ()) -> int:
        return await accept(self, *args, lease=lease)

    patch.setattr(Intake, "accept", careless)


def older_state_wins(patch: Patch) -> None:
    """The last report of an object counts, however old it is."""
    patch.setattr(facts, "_is_newer", lambda payment, snapshot: True)


def older_dispute_wins(patch: Patch) -> None:
    """Of two reports of a dispute the older one counts."""
    patch.setattr(disputes, "_weight", lambda dispute: -dispute.as_of.timestamp())


def watch_without_its_lease(patch: Patch) -> None:
    """A watch goes on, and stores what it reads, when another daemon has taken its lease."""
    accept = Intake.accept

    async def free(self: Intake, *args: Any, lease: object = None, **more: Any) -> int:
        return await accept(self, *args, **more)

    async def unchecked(self: Watches, held: object, body: object) -> None:
        return None

    patch.setattr(Intake, "accept", free)
    patch.setattr(Watches, "_check_lease", unchecked)


def breaker_never_closes(patch: Patch) -> None:
    """A provider that has failed several times is never called again."""
    patch.setattr(Breaker, "_open", lambda self, now: setattr(self, "_open_until", math.inf))


def probe_never_ends(patch: Patch) -> None:
    """After a probe that shows nothing no other call may try."""
    leave = Breaker.leave

    def endless(self: Breaker, now: float, *, failed: bool | None, is_probe: bool) -> None:
        leave(self, now, failed=failed, is_probe=is_probe and failed is not None)

    patch.setattr(Breaker, "leave", endless)


def expire_before_the_chain_was_read(patch: Patch) -> None:
    """A payment expires by our clock, although the chain was not read up to then."""
    is_overdue = decide._is_overdue

    def hasty(after: Payment, evidence: Any, now: datetime, rules: Rules) -> bool:
        if isinstance(evidence, Snapshot):
            evidence = attrs.evolve(evidence, as_of=max(evidence.as_of, after.expire_time))
        return is_overdue(after, evidence, now, rules)

    patch.setattr(decide, "_is_overdue", hasty)


def no_late_window(patch: Patch) -> None:
    """Money counts up to the expiry, whatever the operator has set."""
    patch.setattr(Payment, "late_end", lambda self, late_window: self.expire_time)


def receipt_attached_to_two_payments(patch: Patch) -> None:
    """An operator attaches money that another payment has."""

    def give(self: MemoryLedger, payment: Payment) -> bool:
        for receipt in payment.receipts:
            known = self._receipts.get((payment.provider, receipt.id))
            if known is not None:
                moved = attrs.evolve(known, receipt=receipt, payment_id=payment.id)
                self._receipts[payment.provider, receipt.id] = moved
        return True

    patch.setattr(attach, "_refuse_unfit", lambda stored, payment: None)
    patch.setattr(MemoryLedger, "give", give)


def refund_taken_back_after_it_was_sent(patch: Patch) -> None:
    """An operator takes a refund back whose money has left."""
    patch.setattr(refunds, "_WAITING", tuple(RefundStatus))


async def _nothing(self: object) -> tuple[()]:
    return ()


#: Each defect with a seed that finds it, and the checker that reports it.
DEFECTS: dict[Callable[[Patch], None], tuple[int, str]] = {
    commit_without_version_guard: (1, "i8_each_version_has_its_audit_row"),
    mark_before_publish: (0, "the_consumer_sees_what_is_stored"),
    expire_and_leave_the_object_open: (0, "i11_closed_is_not_payable"),
    refund_sum_unchecked: (2, "i17_no_refund_beyond_what_was_left"),
    another_operation_id_each_time: (2, "i2_one_object_a_payment"),
    recovery_sleeps: (0, "liveness_nothing_stays_open"),
    refund_recovery_sleeps: (1, "liveness_nothing_stays_open"),
    idempotency_key_ignored: (0, "i15_one_key_one_payment"),
    expire_without_a_look: (0, "i11_closed_is_not_payable"),
    wait_does_not_wait: (0, "error"),
    inbox_mark_before_decision: (1, "i9_the_ledger_has_what_the_chain_has"),
    wrong_exponent: (0, "i20_the_price_is_charged"),
    report_of_another_payment_accepted: (1, "i4_no_money_is_invented"),
    webhook_accepted_unstored: (34, "i13_an_accepted_report_is_stored"),
    unknown_taken_for_never_sent: (2, "i1_money_is_never_lost"),
    another_refund_id_each_time: (2, "i18_one_refund_a_key"),
    late_money_ignored: (1, "i1_chain_money_is_never_lost"),
    events_out_of_order: (22, "the_consumer_sees_what_is_stored"),
    failed_publication_marked: (9, "the_consumer_sees_what_is_stored"),
    scan_cursor_runs_ahead: (46, "every_dispute_is_known"),
    close_taken_for_granted: (5, "i11_closed_is_not_payable"),
    late_money_completes_where_it_is_held: (121, "i4_late_money_completes_in_its_window"),
    expire_while_a_report_waits: (164, "what_is_paid_was_never_announced_as_ended"),
    expire_by_our_clock: (6, "nothing_is_closed_before_its_time"),
    key_without_contents: (2, "i15_one_key_one_payment"),
    refund_during_a_dispute: (29, "no_refund_is_granted_during_a_dispute"),
    refund_by_hand_counted_twice: (19, "i19_refunded_is_what_the_provider_refunded"),
    refund_sent_again_at_any_age: (155, "i18_one_refund_a_key"),
    failed_refund_not_announced: (16, "i8_each_change_has_its_event"),
    event_with_the_time_of_its_publication: (0, "an_event_keeps_its_bytes"),
    trail_without_moves_of_refunds: (1, "i12_the_trail_gives_what_is_stored"),
    wake_up_lost: (300, "a_report_is_settled_soon"),
    first_start_is_the_last: (68, "liveness_every_daemon_serves"),
    scan_cursor_before_its_events: (19, "every_dispute_is_known"),
    watch_cursor_before_its_reports: (1, "i9_the_ledger_has_what_the_chain_has"),
    first_commit_of_a_batch_stored: (3, "i9_the_ledger_has_what_the_chain_has"),
    early_report_dropped: (874, "i19_refunded_is_what_the_provider_refunded"),
    reports_settled_by_an_error: (14, "i9_the_ledger_has_what_the_chain_has"),
    unanswered_commit_taken_for_done: (5, "i7_failed_is_not_payable"),
    outflow_forgotten: (1, "i9_the_ledger_has_what_the_chain_has"),
    older_state_wins: (0, "a_newer_state_is_not_replaced_by_an_older_one"),
    older_dispute_wins: (7, "every_dispute_is_known"),
    watch_without_its_lease: (18, "only_the_leader_stores_what_its_watch_reports"),
    breaker_never_closes: (46, "liveness_every_daemon_serves"),
    probe_never_ends: (239, "liveness_nothing_stays_open"),
    expire_before_the_chain_was_read: (8, "what_is_paid_was_never_announced_as_ended"),
    no_late_window: (1, "i4_late_money_completes_in_its_window"),
    receipt_attached_to_two_payments: (39, "i9_the_ledger_has_what_the_chain_has"),
    refund_taken_back_after_it_was_sent: (160, "i19_refunded_is_what_the_provider_refunded"),
}

"""Random histories of port calls, from a seed: with few names and values, calls often collide."""

from datetime import timedelta
from random import Random
from typing import Any

import attrs
from contract import port_calls as calls
from contract.port_calls import LEASES_S, NOW, PAYMENTS, PROVIDERS, RECEIPTS, REFUNDS, Call

from payd.domain.attention import Attention
from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.evidence import (
    Absent,
    AskAgain,
    AttentionResolved,
    CancelRequested,
    Conflict,
    Created,
    Declined,
    NotAttempted,
    Observation,
    OutcomeUnknown,
    Outflow,
    ProviderStatus,
    Receipt,
    ReceiptState,
    RefundAnswered,
    RefundRequested,
    Snapshot,
    Unanswered,
)
from payd.domain.next_action import Redirect
from payd.domain.payment import Customer
from payd.domain.refund import Refund, RefundSnapshot, RefundState, RefundStatus, RefundTerms
from payd.plugins.interface import ProviderEvent
from payd.ports import Cursor

FAULTS = ("lost before", "lost after", "again")


@attrs.frozen
class Together:
    """Calls of several daemons at the same time."""

    calls: tuple[Call, ...]

    def __str__(self) -> str:
        return "at once: " + "; ".join(map(str, self.calls))


Step = Call | Together


def history(seed: int, length: int = 12) -> list[Step]:
    """The steps of one history. It begins with two payments, as nothing happens without one."""
    maker = _Maker(Random(seed))
    first = [maker.insert(payment=0, key=0), maker.insert(payment=1, key=1)]
    steps = [*first, *(maker.step() for _ in range(length))]
    # Random numbers of their own: what is added here leaves the other steps as they are.
    more = Random(f"{seed} more")
    if more.random() < 0.5:
        place = more.randrange(len(first), len(steps) + 1)
        steps[place:place] = _Maker(more).matter()
    return steps


@attrs.frozen
class _Maker:
    random: Random

    def step(self) -> Step:
        if self.random.random() < 0.1:
            number = self.random.choice((2, 2, 3))
            return Together(tuple(self._concurrent(daemon % 2) for daemon in range(number)))
        call = self._any()
        # A batch that a unique index refuses is sent again in parts, which a fault would not meet.
        may_fail = call.run in calls.WRITES and call.run is not calls.decide_all
        if may_fail and self.random.random() < 0.1:
            return attrs.evolve(call, fault=self.random.choice(FAULTS))
        return call

    def matter(self) -> list[Step]:
        """Calls that belong together: one alone would meet nothing that it can change."""
        return self.random.choice((self._settled_batch, self._two_leases))()

    def _settled_batch(self) -> list[Step]:
        """Reports that one commit settles."""
        reports = [self._report() for _ in range(3)]
        by_id = {report.id: report for report in reports}
        stored = {"reports": [*by_id.values()], "cursor": None, "outflows": ()}
        marks = [f"mock {name} first" for name in by_id]
        receipt = attrs.evolve(self._receipt(), asset="USD", state=ReceiptState.CONFIRMED)
        payment = self._one(2)
        what = (self.random.choice(((receipt,), Conflict(detail="two"))), self._one(90), marks)
        return [
            Call(calls.put, {"provider": PROVIDERS[0], **stored}),
            Call(calls.claim_reports, {"limit": 10, "lease_s": LEASES_S[1]}),
            Call(calls.read, {"payment": payment}),
            Call(calls.decide_one, {"payment": payment, "what": what, "daemon": self._one(2)}),
        ]

    def _two_leases(self) -> list[Step]:
        """What two daemons write under the same lease, which the second one has taken over."""
        put, take = self.put().arguments, Call(calls.take_lease, {})
        writes = [Call(calls.put, {**put, "lease": lease}) for lease in (0, -1)]
        return [take, writes[0], take, *self.random.sample(writes, 2)]

    def _concurrent(self, daemon: int) -> Call:
        make = self.random.choice((self.insert, self.decide_one, self.decide_one, self.put))
        call = make()
        if "daemon" in call.arguments:
            return attrs.evolve(call, arguments={**call.arguments, "daemon": daemon})
        return call

    def _any(self) -> Call:
        makers = {
            self.insert: 2, self.decide_one: 10, self.decide_all: 2, self.read: 4, self.look_up: 1,
            self.checks: 2, self.put: 3, self.webhook: 1, self.rows: 4, self.cursor: 1,
            self.events: 3, self.ask_refunds: 1, self.lists: 1, self.recount: 0.2,
        }  # fmt: skip
        [make] = self.random.choices([*makers], [*makers.values()])
        call: Call = make()
        return call

    def insert(self, **known: int) -> Call:
        # Ids never come twice: the last one is that of a call whose key another payment may have.
        key = self._one(3)
        fields: dict[str, Any] = {"payment": self.random.choice((key, 3)), "key": key} | known
        email = self.random.choice(("", "a@example.org", "b@example.org"))
        customer = Customer(id=f"user-{self._one(2)}", email=email)
        return Call(calls.insert, {**fields, "customer": customer, "daemon": self._one(2)})

    def read(self) -> Call:
        return Call(calls.read, {"payment": self._one(3)})

    def decide_one(self) -> Call:
        what = self._what()
        return Call(
            calls.decide_one, {"payment": self._one(3), "what": what, "daemon": self._one(2)}
        )

    def decide_all(self) -> Call:
        some = self.random.sample(range(3), 2)
        what = {payment: self._what() for payment in some}
        return Call(calls.decide_all, {"what": what, "daemon": self._one(2)})

    def look_up(self) -> Call:
        names = [f"cs-{self._one(3)}", f"pi-{self._one(3)}", str(PAYMENTS[0]), str(REFUNDS[0])]
        asked = [(self._provider(), name) for name in names]
        return Call(calls.look_up, {"names": asked, "key": self._one(3)})

    def checks(self) -> Call:
        minutes, lease_s = self._one(60), self.random.choice(LEASES_S)
        payment = self._one(3)
        return self.random.choice(
            (
                Call(calls.claim_checks, {"minutes": minutes, "lease_s": lease_s}),
                Call(calls.claim_refund_checks, {"minutes": minutes, "lease_s": lease_s}),
                Call(calls.schedule_check, {"payment": payment, "minutes": minutes}),
                Call(calls.schedule_refund_check, {"payment": payment, "minutes": minutes}),
            )
        )

    def ask_refunds(self) -> Call:
        return Call(
            calls.refunds,
            {"refund": self._one(4), "key": self._one(3), "limit": 1 + self._one(3),
             "page": self._one(3)},
        )  # fmt: skip

    def lists(self) -> Call:
        reference = self.random.choice(("cs-0", "receipt-0", "refund-0", "re-0", "dp-0", "key-0"))
        return Call(calls.list_all, {"reference": reference, "limit": 1 + self._one(3)})

    def put(self) -> Call:
        cursor = Cursor(
            name="events",
            value=f"at {self._one(3)}",
            rest=timedelta(seconds=self.random.choice(LEASES_S)),
        )
        outflow = Outflow(id=f"out-{self._one(2)}", asset="USD", amount=7, time=NOW)
        reports = {report.id: report for report in self._some(self._report)}
        return Call(
            calls.put,
            {
                "provider": self._provider(),
                "reports": [*reports.values()],
                "cursor": self.random.choice((None, cursor)),
                "outflows": self.random.choice(((), (outflow,))),
            },
        )

    def webhook(self) -> Call:
        events = [self._event(), *self.random.choice(((), (self._event(),)))]
        by_id = {event.id: event for event in events}
        return Call(calls.put_webhook, {"provider": self._provider(), "events": [*by_id.values()]})

    def rows(self) -> Call:
        names = self.random.sample([*_row_names()], 4)
        seconds = {name: self.random.choice(LEASES_S) for name in names}
        references = [f"cs-{self._one(2)}"]
        return self.random.choice(
            (
                Call(calls.claim_reports, {"limit": 10, "lease_s": self.random.choice(LEASES_S)}),
                Call(calls.finish, {"rows": names}),
                Call(calls.park, {"rows": seconds}),
                Call(calls.waiting, {"provider": self._provider(), "references": references}),
            )
        )

    def cursor(self) -> Call:
        lease_s = self.random.choice(LEASES_S)
        claim = {"provider": self._provider(), "name": "events", "lease_s": lease_s}
        return self.random.choice(
            (Call(calls.claim_cursor, claim), Call(calls.shorten_rest, {"name": "events"}))
        )

    def recount(self) -> Call:
        return Call(calls.recount, {"provider": self._provider()})

    def events(self) -> Call:
        return self.random.choice(
            (
                Call(calls.claim_events, {"lease_s": self.random.choice(LEASES_S)}),
                Call(calls.mark_published, {"every": 1 + self._one(2)}),
                Call(calls.release, {"every": 1 + self._one(2)}),
            )
        )

    # -- what they carry ---------------------------------------------------------------------------

    def _what(self) -> tuple[Any, int, list[str]]:
        """Evidence, the minute at which it comes, and the reports that its commit settles."""
        marks = self.random.sample([*_row_names()], self.random.choice((0, 0, 2)))
        return self._evidence(), self._one(90), marks

    def _evidence(self) -> Any:
        make = self.random.choice(
            (
                self._created,
                self._created,
                self._snapshot,
                self._snapshot,
                lambda: tuple(self._some(self._receipt)) or (self._receipt(),),
                lambda: tuple(self._some(self._receipt)) or (self._receipt(),),
                self._refund_request,
                self._refund_request,
                self._refund_answer,
                lambda: self._refund_snapshot(None),
                self._dispute,
                self._plain,
            )
        )
        return make()

    def _plain(self) -> Any:
        return self.random.choice(
            (
                CancelRequested(reason="no longer"),
                OutcomeUnknown(),
                Unanswered(),
                NotAttempted(),
                Absent(),
                AskAgain(deadline=NOW - timedelta(minutes=5)),
                Declined(code="no", message="no"),
                Conflict(detail=f"conflict {self._one(2)}"),
                AttentionResolved(reasons=frozenset(Attention), by="op", note="seen"),
            )
        )

    def _created(self) -> Created:
        number = self._one(4)
        return Created(
            reference=f"cs-{number}",
            next_action=Redirect(url="https://pay.example"),
            aliases=self.random.choice(((), (f"pi-{self._one(3)}",))),
        )

    def _snapshot(self) -> Snapshot:
        amount = self.random.choice((0, 5000, 14900, 14900, 20000))
        return Snapshot(
            status=self.random.choice([*ProviderStatus]),
            asset=self.random.choice(("USD", "USD", "usd", "EUR")),
            received=amount,
            confirmed=self.random.choice((0, amount)),
            as_of=NOW + timedelta(minutes=self._one(60)),
            refunds=self.random.choice(((), (), (self._refund_snapshot(None),))),
            disputes=self.random.choice(((), (), (self._dispute(),))),
            fee=self.random.choice((None, 30)),
        )

    def _receipt(self) -> Receipt:
        return Receipt(
            id=self.random.choice(RECEIPTS),
            asset=self.random.choice(("USD", "USD", "usd", "EUR")),
            amount=self.random.choice((5000, 9900, 14900)),
            state=self.random.choice([*ReceiptState]),
            time=NOW + timedelta(minutes=self._one(60)),
            details={"from": f"payer {self._one(2)}"},
        )

    def _refund_request(self) -> RefundRequested:
        refund = Refund(
            id=self.random.choice(REFUNDS),
            status=RefundStatus.CREATING,
            amount=self.random.choice((100, 5000)),
            idempotency_key=f"refund-{self._one(3)}",
            request_hash=b"h" * 32,
            create_time=NOW + timedelta(minutes=self._one(3)),
            update_time=NOW,
            ask_deadline=NOW,
        )
        terms = RefundTerms(needs_destination=False)
        return RefundRequested(refund=refund, terms=terms, is_all_left=self._one(4) == 0)

    def _refund_answer(self) -> RefundAnswered:
        refund_id = self.random.choice(REFUNDS)
        answer = self.random.choice(
            (
                self._refund_snapshot(refund_id),
                OutcomeUnknown(),
                NotAttempted(),
                Unanswered(),
                Declined(code="no", message="no"),
            )
        )
        return RefundAnswered(refund_id=refund_id, answer=answer)

    def _refund_snapshot(self, refund_id: Any) -> RefundSnapshot:
        return RefundSnapshot(
            reference=f"re-{self._one(3)}",
            state=self.random.choice([*RefundState]),
            asset="USD",
            amount=self.random.choice((100, 5000)),
            time=NOW + timedelta(minutes=self._one(3)),
            refund_id=refund_id,
        )

    def _dispute(self) -> Dispute:
        return Dispute(
            id=f"dp-{self._one(2)}",
            status=self.random.choice([*DisputeStatus]),
            asset="USD",
            amount=14900,
            open_time=NOW + timedelta(minutes=self._one(2)),
            as_of=NOW + timedelta(minutes=self._one(5)),
        )

    def _report(self) -> Observation | ProviderEvent:
        if self._one(4) == 0:
            return self._event()
        facts = (
            lambda: tuple(self._some(self._receipt)),
            lambda: (self._receipt(),),
            self._snapshot,
        )
        fact = self.random.choice(facts)()
        reference = self.random.choice(("cs-0", "cs-1", str(PAYMENTS[0])))
        return Observation(id=f"report-{self._one(4)}", reference=reference, fact=fact)

    def _event(self) -> ProviderEvent:
        return ProviderEvent(id=f"event-{self._one(3)}", type="paid", content={"n": self._one(2)})

    def _some(self, make: Any) -> list[Any]:
        return [make() for _ in range(self._one(3))]

    def _provider(self) -> str:
        return self.random.choice((PROVIDERS[0], PROVIDERS[0], PROVIDERS[1]))

    def _one(self, number: int) -> int:
        return self.random.randrange(number)


def _row_names() -> list[str]:
    ids = [*(f"report-{n}" for n in range(4)), *(f"event-{n}" for n in range(3))]
    return [f"mock {one} {kind}" for one in ids for kind in ("first", "conflict")]

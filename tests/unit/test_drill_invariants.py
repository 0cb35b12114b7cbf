"""A drill's checks of the invariants: silent on what is right, and each sees its own defect."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import attrs
import pytest
from payd_client.events import StreamEvent
from payd_client.messages import payment_of
from unit.domain.builders import DUE, NOW, TERMS, a_payment

from payd.codec.messages import payment_message
from payd.domain.attention import Attention
from payd.domain.evidence import Created, ProviderStatus, Snapshot
from payd.domain.payment import Payment, Status, flag
from payd.domain.refund import RefundSnapshot, RefundState
from payd.drills.invariants import check_invariants
from payd.drills.observed import LedgerReceipt, Observed, OutboxEvent, Stored
from payd.drills.traffic import KINDS, Made
from payd.plugins import Found, RemoteObject

PAID = a_payment(Status.COMPLETED, version=2, provider_reference="cs_1")
EVENT = uuid4()
CARD = next(kind for kind in KINDS if kind.name == "card, paid")
TOKEN = next(kind for kind in KINDS if kind.name == "token, paid")


def an_event(payment: Payment = PAID, event_id: UUID = EVENT) -> StreamEvent:
    body = {
        "id": str(payment.id),
        "event_id": str(event_id),
        "received": {"currency_code": "USD", "minor_units": str(payment.received)},
    }
    return StreamEvent(subject="payment.completed", sequence=1, time=NOW, headers={}, body=body)


def an_object(payment: Payment = PAID, **overrides: Any) -> RemoteObject:
    fields: dict[str, Any] = {
        "status": ProviderStatus.PAID,
        "asset": "USD",
        "received": payment.due,
        "confirmed": payment.due,
        "as_of": NOW,
        "due": payment.due,
        **overrides,
    }
    created = Created(reference=payment.provider_reference or "cs_2", next_action=None)
    found = Found(created=created, snapshot=Snapshot(**fields))
    return RemoteObject(payment_id=payment.id, found=found)


def made_of(payment: Payment, **overrides: Any) -> Made:
    seen = payment_of(payment_message(payment))
    fields = {"kind": CARD, "payment_id": payment.id, "seen": seen, "was_paid": True}
    return Made(key=payment.idempotency_key, **{**fields, **overrides})


def stored(*payments: Payment, **overrides: Any) -> Stored:
    row = OutboxEvent(
        payment_id=PAID.id,
        event_id=EVENT,
        subject="payment.completed",
        about="",
        is_published=True,
    )
    fields: dict[str, Any] = {
        "payments": {one.id: one for one in payments},
        "replayed": {one.id: one for one in payments},
        "versions": {one.id: [*range(1, one.version + 1)] for one in payments},
        "outbox": [row],
        "inbox": {("stripe", "evt_1"): True},
        "receipts": (),
        "audit": object(),
        "audit_problem": "",
        **overrides,
    }
    return Stored(**fields)


def observed(**overrides: Any) -> Observed:
    fields: dict[str, Any] = {
        "stored": stored(PAID),
        "events": [an_event()],
        "objects": [("stripe", an_object())],
        "made": [made_of(PAID)],
        "leaks": (),
        **overrides,
    }
    return Observed(**fields)


def broken(seen: Observed) -> set[str]:
    return {one.invariant for one in check_invariants(seen) if one.findings}


def with_status(status: Status) -> Observed:
    closed = attrs.evolve(PAID, status=status, complete_time=None)
    open_object = an_object(status=ProviderStatus.OPEN, received=0, confirmed=0)
    return observed(stored=stored(closed), objects=[("stripe", open_object)], events=[], made=[])


def with_refund(**overrides: Any) -> Observed:
    fields: dict[str, Any] = {
        "reference": "re_1",
        "state": RefundState.SUCCEEDED,
        "asset": "USD",
        "amount": 100,
        "time": NOW,
        **overrides,
    }
    back = RefundSnapshot(**fields)
    return observed(objects=[("stripe", an_object(refunds=(back,)))])


def of_a_token() -> Observed:
    elsewhere = LedgerReceipt(
        provider="tempo", id="7", payment_id=None, amount=1, state="CONFIRMED", reference="0x"
    )
    due = TERMS.due_base_units
    paid = attrs.evolve(PAID, crypto=TERMS, snapshot_received=due, snapshot_confirmed=due)
    return observed(
        stored=stored(paid, receipts=[elsewhere]), made=[made_of(paid, kind=TOKEN)], objects=[]
    )


NEW = attrs.evolve(PAID, id=uuid4(), provider_reference="cs_2")
DEFECTS: dict[str, tuple[str, Callable[[], Observed]]] = {
    "a paid payment is forgotten": ("I1", lambda: observed(stored=stored())),
    "two objects can be paid": (
        "I2",
        lambda: observed(objects=[("stripe", an_object(status=ProviderStatus.OPEN))] * 2),
    ),
    "a completion has two ids": (
        "I3",
        lambda: observed(events=[an_event(), an_event(event_id=uuid4())]),
    ),
    "a completion was never announced": ("I3", lambda: observed(events=[])),
    "the sum is not there": (
        "I4",
        lambda: observed(stored=stored(attrs.evolve(PAID, snapshot_confirmed=1))),
    ),
    "the database has less than was announced": (
        "I6",
        lambda: observed(
            stored=stored(attrs.evolve(PAID, snapshot_received=0, snapshot_confirmed=0))
        ),
    ),
    "a failed payment can be paid": ("I7", lambda: with_status(Status.FAILED)),
    "a version has no audit row": (
        "I8",
        lambda: observed(stored=stored(PAID, versions={PAID.id: [1]})),
    ),
    "an event is in the stream only": ("I8", lambda: observed(stored=stored(PAID, outbox=[]))),
    "the chain's money is with nobody": ("I9", of_a_token),
    "a canceled payment can be paid": ("I11", lambda: with_status(Status.CANCELED)),
    "the trail tells another story": (
        "I12",
        lambda: observed(
            stored=stored(PAID, replayed={PAID.id: attrs.evolve(PAID, status=Status.EXPIRED)})
        ),
    ),
    "a report waits": ("I13", lambda: observed(stored=stored(PAID, inbox={("s", "e"): False}))),
    "a key gives another payment": ("I15", lambda: observed(stored=stored(NEW))),
    "a secret is in a log": ("I16", lambda: observed(leaks=("postgres in payd-1.log",))),
    "more goes back than came": ("I17", lambda: with_refund(amount=DUE + 1)),
    "a refund key is unknown": (
        "I18",
        lambda: observed(made=[made_of(PAID, refunds={"key": uuid4()})]),
    ),
    "the provider refunded more": ("I19", with_refund),
    "another price is charged": ("I20", lambda: observed(objects=[("stripe", an_object(due=1))])),
    "the chain is broken": (
        "I21",
        lambda: observed(stored=stored(PAID, audit=None, audit_problem="line 2: altered")),
    ),
}


def test_what_is_right_breaks_nothing() -> None:
    assert broken(observed()) == set()
    assert all(one.holds or one.elsewhere for one in check_invariants(observed()))


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_check_sees_its_defect(defect: str) -> None:
    invariant, seen = DEFECTS[defect]
    assert invariant in broken(seen())


def test_all_invariants_are_listed_once() -> None:
    listed = [one.invariant for one in check_invariants(observed())]
    assert listed == [f"I{number}" for number in range(1, 23)]


def test_a_finding_names_the_payment() -> None:
    [first, *_] = [
        finding
        for one in check_invariants(observed(stored=stored()))
        for finding in one.findings
        if one.invariant == "I1"
    ]
    assert first.payment_id == PAID.id
    assert "the database has no such payment" in first.text


def test_money_that_a_person_was_shown_is_not_lost() -> None:
    canceled = attrs.evolve(PAID, status=Status.CANCELED, complete_time=None)
    shown = flag(canceled, Attention.PAID_AFTER_CLOSE, "", NOW + timedelta(hours=1))
    assert "I1" in broken(observed(stored=stored(canceled)))
    assert "I1" not in broken(observed(stored=stored(shown)))

"""One decision on several pieces of evidence changes what they would change one after another."""

from collections.abc import Iterable, Sequence

import attrs
from hypothesis import given
from hypothesis import strategies as st
from unit.domain.builders import DUE, a_payment, a_receipt, at, created, reread
from unit.domain.test_decide_properties import ANY

from payd.domain.attention import Attention
from payd.domain.decide import Event, EventType, decide, decide_set
from payd.domain.evidence import Created, Evidence, ReceiptState
from payd.domain.payment import Payment, Status

#: An answer to `create` is settled by itself: it may move the border between early and late money.
REPORTED = ANY.filter(lambda piece: not isinstance(piece, Created))


def in_sets(payment: Payment, pieces: Sequence[Evidence]) -> tuple[Payment, list[Event], int]:
    """The payment after all pieces, its events, and how many decisions it took."""
    events: list[Event] = []
    decisions = 0
    while pieces:
        made = decide_set(reread(payment), pieces, at(5))
        pieces = pieces[len(made.news) :]
        if made.decision is not None:
            decisions += 1
            payment, events = made.decision.payment, [*events, *made.decision.events]
    return payment, events, decisions


def one_by_one(payment: Payment, pieces: Sequence[Evidence]) -> tuple[Payment, list[EventType]]:
    events: list[EventType] = []
    for piece in pieces:
        if decision := decide(reread(payment), piece, at(5)):
            payment = decision.payment
            events += [event.type for event in decision.events]
    return payment, events


def without_attention(types: Iterable[EventType]) -> list[EventType]:
    return [one for one in types if one is not EventType.ATTENTION]


def bare(payment: Payment) -> Payment:
    """Without what counts decisions and checks."""
    still = reread(payment)
    return attrs.evolve(still, version=0, update_time=at(0), checks=0, next_check_time=None)


@given(st.lists(REPORTED, max_size=12))
def test_a_set_gives_the_same_payment_and_events_as_its_pieces_in_turn(
    pieces: list[Evidence],
) -> None:
    together, events, decisions = in_sets(a_payment(), pieces)
    alone, alone_events = one_by_one(a_payment(), pieces)

    assert bare(together) == bare(alone)
    assert without_attention(event.type for event in events) == without_attention(alone_events)
    assert len(events) <= len(alone_events)
    assert {event.type for event in events} == set(alone_events)
    assert together.version == a_payment().version + decisions


@given(st.lists(REPORTED, max_size=12))
def test_each_change_of_status_in_a_set_is_one_audit_event(pieces: list[Evidence]) -> None:
    payment = a_payment()
    made = decide_set(payment, pieces, at(5))

    assert len(made.news) <= len(pieces)
    if made.decision is not None and made.decision.payment.status is not payment.status:
        status = made.decision.payment.status.value.lower()
        assert made.decision.audit_event == f"payment_{status}"


def test_reports_until_the_first_event_are_one_decision() -> None:
    seen = a_receipt("a", DUE, state=ReceiptState.SEEN, time=at(1))
    final = attrs.evolve(seen, state=ReceiptState.CONFIRMED)
    too_much = a_receipt("b", 1, state=ReceiptState.CONFIRMED, time=at(1))
    pieces: list[Evidence] = [created(), (seen,), (seen,), (final,), (too_much,)]

    made = decide_set(a_payment(), pieces, at(5))

    assert made.news == (True, True, False, True)
    assert made.decision is not None
    assert made.decision.payment.status is Status.COMPLETED
    assert made.decision.events == (
        Event(type=EventType.COMPLETED, previous_status=Status.CREATING),
    )
    rest = decide_set(made.decision.payment, pieces[4:], at(5))
    assert rest.decision is not None
    assert rest.decision.payment.attention == {Attention.OVERPAID}


def test_a_flood_of_dust_on_an_overpaid_payment_is_one_event_a_decision() -> None:
    """Each receipt is a new fact behind OVERPAID; a consumer needs the newest of them."""
    payment, _ = one_by_one(a_payment(Status.COMPLETED), [(a_receipt(amount=DUE + 1),)])
    assert payment.attention == {Attention.OVERPAID}
    dust = [(a_receipt(f"dust{number}", 1),) for number in range(50)]
    together, events, decisions = in_sets(payment, dust)
    assert together.confirmed == DUE + 51
    assert (decisions, [event.type for event in events]) == (1, [EventType.ATTENTION])


def test_what_opens_another_reason_is_an_event_of_its_own() -> None:
    payment, _ = one_by_one(a_payment(Status.COMPLETED), [(a_receipt(amount=DUE + 1),)])
    pieces = [(a_receipt("r2", 1),), (a_receipt("r3", DUE),), (a_receipt("r4", 1),)]
    _, events, decisions = in_sets(payment, pieces)
    assert decisions == 2
    assert [event.reason for event in events] == ["DUPLICATE_PAYMENT,OVERPAID", "OVERPAID"]

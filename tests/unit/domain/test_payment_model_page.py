"""docs/payment-model.md: its transition table is what `decide` does, and its lists are complete."""

from collections.abc import Iterator
from pathlib import Path

from unit.domain.builders import a_payment, a_receipt, a_snapshot, at, created

from payd.domain.attention import Attention
from payd.domain.decide import EventType, decide
from payd.domain.evidence import (
    Absent,
    CancelRequested,
    Declined,
    Evidence,
    NotAttempted,
    NotClosable,
    OutcomeUnknown,
    ProviderStatus,
    ReceiptState,
)
from payd.domain.payment import Payment, Status

PAGE = (Path(__file__).parents[3] / "docs/payment-model.md").read_text()
#: Before the expiry and after it, in minutes.
TIMES = (15.0, 60.0)
UNDECIDED = (
    ProviderStatus.OPEN,
    ProviderStatus.PROCESSING,
    ProviderStatus.CANCELED,
    ProviderStatus.EXPIRED,
    ProviderStatus.DECLINED,
)
#: More pieces of evidence bring no further transition.
PIECES_MAX = 3


def evidence_at(minutes: float) -> Iterator[Evidence]:
    """One piece of each kind that can move a payment: nothing, a part and all of the money."""
    yield created()
    yield Declined(code="declined", message="no")
    yield from (NotAttempted(), OutcomeUnknown(), Absent(), CancelRequested())
    for status in UNDECIDED:
        for money in (0, 1):
            yield a_snapshot(status, minutes=minutes, received=money, confirmed=money)
    yield NotClosable(snapshot=a_snapshot(minutes=minutes))
    yield a_snapshot(ProviderStatus.PAID, minutes=minutes)
    for state in (ReceiptState.SEEN, ReceiptState.DROPPED):
        yield (a_receipt(state=state, time=at(minutes)),)


def moment(payment: Payment) -> tuple[object, ...]:
    """What the next transition depends on; stories that meet here go on alike."""
    return (
        payment.status,
        payment.asking,
        payment.provider_reference,
        payment.provider_status,
        payment.received,
        payment.confirmed,
        payment.update_time,
    )


def transitions() -> set[tuple[str, str]]:
    """Each change of status that some story of evidence brings about."""
    found: set[tuple[str, str]] = set()
    by_time = [(minutes, [*evidence_at(minutes)]) for minutes in TIMES]
    begun = a_payment()
    reached, frontier = {moment(begun)}, [begun]
    for _ in range(PIECES_MAX):
        stories = [
            (payment, decision.payment)
            for payment in frontier
            for minutes, pieces in by_time
            if at(minutes) >= payment.update_time
            for piece in pieces
            if (decision := decide(payment, piece, at(minutes))) is not None
        ]
        found |= {(before.status.value, after.status.value) for before, after in stories}
        frontier = []
        for _, after in stories:
            if moment(after) not in reached:
                reached.add(moment(after))
                frontier.append(after)
    return {(before, after) for before, after in found if before != after}


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, code marks removed."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [
        [cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines
    ]


def test_the_transition_table_is_what_decide_does() -> None:
    written = {
        (before, after)
        for row in rows("Transitions")
        for before in row[0].split(", ")
        for after in row[1].split(", ")
        if before not in ("nothing", after)
    }
    assert written == transitions()


def test_the_page_lists_each_status_reason_and_event() -> None:
    assert [row[0] for row in rows("Statuses")] == [status.value for status in Status]
    assert [row[0] for row in rows("Attention")] == [reason.value for reason in Attention]
    assert [row[0] for row in rows("Events")] == [event.value for event in EventType]


def test_the_page_lists_each_kind_of_evidence() -> None:
    kinds = {kind.__name__ for kind in Evidence.__args__[:-1]} | {"Receipt"}
    listed = {name for row in rows("Evidence") for name in row[0].split(", ")}
    assert listed == kinds

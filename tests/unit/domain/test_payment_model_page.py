"""docs/payment-model.md: its transition table is what `decide` does, and its lists are complete."""

from collections.abc import Iterator
from pathlib import Path

from unit.domain.builders import (
    DUE,
    a_payment,
    a_receipt,
    a_refund,
    a_report,
    a_snapshot,
    at,
    created,
    refunded,
)

from payd.domain.attention import Attention
from payd.domain.decide import EventType, decide
from payd.domain.errors import PaydError
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
    RefundAnswered,
    RefundApproved,
    RefundCanceled,
    RefundSettled,
)
from payd.domain.next_action import Redirect
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundInstructions, RefundState, RefundStatus

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


def refund_evidence() -> Iterator[Evidence]:
    """One piece of each kind that can move a refund."""
    refund_id = a_refund().id
    yield from (a_report(state) for state in RefundState)
    yield RefundApproved(refund_id=refund_id, by="eve", note="good")
    yield RefundCanceled(refund_id=refund_id, note="not needed")
    for succeeded in (True, False):
        yield RefundSettled(
            refund_id=refund_id, has_succeeded=succeeded, reference="", not_before=at(1), note="n"
        )
    instructions = RefundInstructions(next_action=Redirect(url="https://send.example"))
    for answer in (instructions, Declined(code="no", message="no"), NotAttempted()):
        yield RefundAnswered(refund_id=refund_id, answer=answer)
    # All of the money is gone, whatever becomes of our refund.
    yield a_report(reference="re_x", refund_id=None, amount=DUE)


def refund_transitions() -> set[tuple[str, str]]:
    """Each change of a refund's status that some story of evidence brings about."""
    found: set[tuple[str, str]] = set()
    waiting = (RefundStatus.AWAITING_APPROVAL, RefundStatus.CREATING)
    stories = [refunded(a_refund(status)) for status in waiting]
    for _ in range(PIECES_MAX):
        reached = []
        for payment in stories:
            for piece in refund_evidence():
                try:
                    decision = decide(payment, piece, at(2))
                except PaydError:
                    continue
                if decision is not None:
                    reached.append(decision.payment)
                    found.add((status_of_ours(payment), status_of_ours(decision.payment)))
        stories = reached
    return {(before, after) for before, after in found if before != after}


def status_of_ours(payment: Payment) -> str:
    """The status of the one refund that was not made at the provider."""
    [refund] = [refund for refund in payment.refunds if not refund.external]
    return refund.status.value


def rows(heading: str, table: int = 0) -> list[list[str]]:
    """The cells of a table under a heading, code marks removed."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    tables = [part for part in section.split("\n\n") if part.lstrip().startswith("|")]
    lines = tables[table].strip().splitlines()[2:]
    return [
        [cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines
    ]


def test_the_transition_table_is_what_decide_does() -> None:
    assert moves(rows("Transitions")) == transitions()


def moves(table: list[list[str]]) -> set[tuple[str, str]]:
    """Each pair of statuses that a transition table lists."""
    return {
        (before, after)
        for row in table
        for before in row[0].split(", ")
        for after in row[1].split(", ")
        if before not in ("nothing", after)
    }


def test_the_transition_table_of_refunds_is_what_decide_does() -> None:
    assert moves(rows("Refunds", 1)) == refund_transitions()


def test_the_page_lists_each_status_reason_and_event() -> None:
    assert [row[0] for row in rows("Statuses")] == [status.value for status in Status]
    assert [row[0] for row in rows("Refunds")] == [status.value for status in RefundStatus]
    assert [row[0] for row in rows("Attention")] == [reason.value for reason in Attention]
    assert [row[0] for row in rows("Events")] == [event.value for event in EventType]


def test_the_page_lists_each_kind_of_evidence() -> None:
    kinds = {kind.__name__ for kind in Evidence.__args__[:-1]} | {"Receipt"}
    listed = {name for row in rows("Evidence") for name in row[0].split(", ")}
    assert listed == kinds

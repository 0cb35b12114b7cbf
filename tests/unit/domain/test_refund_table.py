"""The transition table of a refund: every status, every piece of evidence."""

import pytest
from unit.domain.builders import a_refund, a_report, after, at, refunded

from payd.domain.attention import Attention
from payd.domain.decide import EventType, decide
from payd.domain.errors import NotRefundable, PaydError
from payd.domain.evidence import (
    Absent,
    AskAgain,
    Declined,
    Evidence,
    NotAttempted,
    OutcomeUnknown,
    RefundAnswered,
    RefundApproved,
    RefundCanceled,
    RefundSettled,
    Unanswered,
)
from payd.domain.next_action import Redirect
from payd.domain.outcome import Failure
from payd.domain.payment import Payment
from payd.domain.refund import Refund, RefundInstructions, RefundState, RefundStatus

ID = a_refund().id
WITHDRAWN = a_refund(RefundStatus.AWAITING_TRANSFER)
REFUNDS = {
    "AWAITING_APPROVAL": a_refund(RefundStatus.AWAITING_APPROVAL),
    "CREATING": a_refund(RefundStatus.CREATING),
    "PENDING": a_refund(RefundStatus.PENDING),
    "AWAITING_TRANSFER": a_refund(RefundStatus.AWAITING_TRANSFER),
    "SUCCEEDED": a_refund(RefundStatus.SUCCEEDED),
    "FAILED": a_refund(RefundStatus.FAILED),
    "declined": a_refund(RefundStatus.FAILED, provider_reference=None),
    "CANCELED": a_refund(
        RefundStatus.CANCELED,
        provider_reference="re_1",
        failure=Failure(code="canceled", message="m"),
    ),
    "withdrawn": a_refund(RefundStatus.CANCELED, next_action=WITHDRAWN.next_action),
    "not approved": a_refund(RefundStatus.CANCELED),
}


def an_answer(answer: object) -> RefundAnswered:
    return RefundAnswered(refund_id=ID, answer=answer)  # type: ignore[arg-type]


def a_settlement(*, succeeded: bool) -> RefundSettled:
    return RefundSettled(
        refund_id=ID, has_succeeded=succeeded, reference="", not_before=at(1), note="seen"
    )


EVIDENCE: dict[str, Evidence] = {
    "report PENDING": a_report(RefundState.PENDING),
    "report SUCCEEDED": a_report(RefundState.SUCCEEDED),
    "report CANCELED": a_report(RefundState.CANCELED),
    "report FAILED": a_report(RefundState.FAILED),
    "instructions": an_answer(RefundInstructions(next_action=Redirect(url="https://send.example"))),
    "declined": an_answer(Declined(code="no", message="no")),
    "silence": an_answer(Unanswered()),
    "not attempted": an_answer(NotAttempted()),
    "unknown": an_answer(OutcomeUnknown()),
    "absent": an_answer(Absent()),
    "not found": an_answer(Absent(proven=False)),
    "claim": an_answer(AskAgain(deadline=at(5))),
    "approve": RefundApproved(refund_id=ID, by="eve", note="good"),
    "withdraw": RefundCanceled(refund_id=ID, note="not needed"),
    "settle SUCCEEDED": a_settlement(succeeded=True),
    "settle FAILED": a_settlement(succeeded=False),
}

#: The status after each piece of evidence, in the order of REFUNDS. A dot is no change of status, a
#: cross an error; with an exclamation mark a person has to look at a contradiction.
TABLE = """
                 | appr | crea | pend | tran | succ | fail | decl | canc | with | unap
report PENDING   | .!   | pend | .    | pend | .    | .    | .!   | .    | pend!| .!
report SUCCEEDED | .!   | succ | succ | succ | .    | .    | .!   | fail | succ!| .!
report CANCELED  | .    | canc | canc | canc | fail | .    | .    | .    | canc | .
report FAILED    | .    | fail | fail | fail | fail | .    | .    | fail | fail | .
instructions     | .    | tran | .    | .    | .    | .    | .    | .    | .    | .
declined         | .    | fail | .    | .    | .    | .    | .    | .    | .    | .
silence          | .    | .    | .    | .    | .    | .    | .    | .    | .    | .
not attempted    | .    | .    | .    | .    | .    | .    | .    | .    | .    | .
unknown          | .    | .    | .    | .    | .    | .    | .    | .    | .    | .
absent           | .    | .    | .    | .    | .    | .    | .    | .    | .    | .
not found        | .    | .    | .    | .    | .    | .    | .    | .    | .    | .
claim            | .    | .    | .    | .    | .    | .    | .    | .    | .    | .
approve          | crea | .    | .    | .    | .    | x    | x    | x    | x    | x
withdraw         | canc | x    | x    | canc | x    | x    | x    | x    | .    | .
settle SUCCEEDED | x    | succ | x    | succ | .    | x    | x    | x    | x    | x
settle FAILED    | x    | fail | x    | x    | x    | .    | .    | x    | x    | x
"""
SHORT = {
    "crea": RefundStatus.CREATING,
    "tran": RefundStatus.AWAITING_TRANSFER,
    "pend": RefundStatus.PENDING,
    "succ": RefundStatus.SUCCEEDED,
    "canc": RefundStatus.CANCELED,
    "fail": RefundStatus.FAILED,
}
ROWS = {
    cells[0].strip(): [cell.strip() for cell in cells[1:]]
    for cells in (line.split("|") for line in TABLE.strip("\n").splitlines()[1:])
}


def the_refund(payment: Payment) -> Refund:
    return next(refund for refund in payment.refunds if refund.id == ID)


def the_end(refund: Refund) -> list[EventType]:
    """The event that says how it ended; none if it is open, or if a person took it back."""
    if refund.status is RefundStatus.SUCCEEDED:
        return [EventType.REFUNDED]
    is_canceled = refund.status is RefundStatus.CANCELED and refund.failure is not None
    return [EventType.REFUND_FAILED] if refund.status is RefundStatus.FAILED or is_canceled else []


def test_the_table_is_complete() -> None:
    assert list(ROWS) == list(EVIDENCE)
    assert all(len(row) == len(REFUNDS) for row in ROWS.values())
    assert {refund.status for refund in REFUNDS.values()} == set(RefundStatus)


@pytest.mark.parametrize("name", REFUNDS)
@pytest.mark.parametrize("kind", EVIDENCE)
def test_every_piece_of_evidence_moves_every_refund_as_the_table_says(kind: str, name: str) -> None:
    refund, evidence = REFUNDS[name], EVIDENCE[kind]
    wanted = ROWS[kind][list(REFUNDS).index(name)]
    if wanted == "x":
        with pytest.raises(PaydError) as caught:
            after(refunded(refund), evidence)
        assert isinstance(caught.value, NotRefundable)
        return
    decision = decide(refunded(refund), evidence, at(2))
    payment = decision.payment if decision else refunded(refund)
    status = wanted.rstrip("!")
    expected = refund.status if status == "." else SHORT[status]
    assert the_refund(payment).status is expected
    is_conflict = Attention.CONFLICTING_EVIDENCE in payment.attention
    assert is_conflict == wanted.endswith("!")
    if decision is not None:
        assert decide(payment, evidence, at(2)) is None
        ends = {EventType.REFUNDED, EventType.REFUND_FAILED}
        about = [e.type for e in decision.events if e.type in ends and e.refund_id == ID]
        moved, end = expected is not refund.status, the_end(the_refund(payment))
        assert about == (end if end != the_end(refund) else [])
        assert not moved or decision.audit_event == f"refund_{expected.value.lower()}"

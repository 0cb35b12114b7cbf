"""A sentence for each change of a refund: the transition table of docs/payment-model.md."""

from collections.abc import Callable, Iterable, Iterator

import attrs

from payd.domain.explain.facts_changed import WHERE_ERRORS_ARE
from payd.domain.explain.money_back import code_of, taken_back
from payd.domain.explain.said import Move, Said
from payd.domain.explain.words import money, sentence, when
from payd.domain.outcome import Asking
from payd.domain.payment import Payment
from payd.domain.refund import Refund, RefundStatus
from payd.domain.refund_reports import SAME_REFUND, SETTLED
from payd.domain.refunds import NOTHING_LEFT


@attrs.frozen(kw_only=True)
class RefundMove:
    """A refund before and after a change of its payment."""

    payment: Payment
    #: None when the refund is new.
    before: Refund | None
    after: Refund
    note: str

    @property
    def amount(self) -> str:
        """Its amount, in words."""
        return money(self.payment, self.after.amount)

    @property
    def name(self) -> str:
        """The refund as the subject of a sentence."""
        if self.after.external:
            return f"A refund made at {self.payment.provider} ({self.after.id})"
        return f"Refund {self.after.id}"


Tell = Callable[[RefundMove], Said]
_Status = RefundStatus


def refund_changes(move: Move) -> Iterator[Said]:
    """A sentence for each refund that is new or has changed."""
    known = {refund.id: refund for refund in move.before.refunds}
    for refund in move.after.refunds:
        before = known.get(refund.id)
        if before is not None and _bare(before) == _bare(refund):
            continue
        yield refund_change(
            RefundMove(payment=move.after, before=before, after=refund, note=move.change.note)
        )


def _bare(refund: Refund) -> Refund:
    """Without the bookkeeping of status checks, which changes with every look."""
    return attrs.evolve(refund, checks=0, next_check_time=None, update_time=refund.create_time)


def refund_change(move: RefundMove) -> Said:
    """What the change of one refund means."""
    before = move.before.status if move.before else None
    if before is move.after.status:
        return _same_status(move)
    if move.after.external:
        tell = EXTERNAL_MOVES.get(move.after.status)
    else:
        tell = REFUND_MOVES.get((before, move.after.status))
    if tell is None:
        old = before.value if before else "nothing"
        return Said(f"{move.name} went from {old} to {move.after.status.value}.")
    return tell(move)


def _asked(move: RefundMove) -> Said:
    reason = f': "{move.after.reason}"' if move.after.reason else ""
    return Said(
        f"{move.name} of {move.amount} was requested{reason}. payd reserved the money and asks"
        f" {move.payment.provider}.",
        "That much was left to refund.",
    )


def _asked_for_approval(move: RefundMove) -> Said:
    reason = f': "{move.after.reason}"' if move.after.reason else ""
    return Said(
        f"{move.name} of {move.amount} was requested by {move.after.requester}{reason}. It waits"
        f" for approval.",
        "A refund of this size needs a second person (setting refunds.approval_from).",
    )


def _approved(move: RefundMove) -> Said:
    return Said(f"{move.name} was approved{_quoted(move.note)}; payd sends it.")


def _withdrawn_or_canceled(move: RefundMove) -> Said:
    if move.after.is_withdrawn:
        return Said(
            f"{move.name} of {move.amount} was withdrawn{_quoted(move.note)}.",
            "An operator withdrew it before it was sent.",
        )
    return Said(
        f"{move.name} of {move.amount} was canceled: {_failure(move.after)}.",
        f"{move.payment.provider} reports it so. The customer did not get the money.",
    )


def _to_send(move: RefundMove) -> Said:
    return Said(
        f"{move.name} of {move.amount} has to be sent by a person.",
        f"payd cannot send money at {move.payment.provider}; the refund has the instructions.",
    )


def _on_its_way(move: RefundMove) -> Said:
    return Said(
        f"{move.name} of {move.amount} is on its way as {move.after.provider_reference}.",
        f"{move.payment.provider} has it{_although_withdrawn(move)}.",
    )


def _succeeded(move: RefundMove) -> Said:
    if move.after.is_settled:
        reference = move.after.provider_reference
        named = f" as {reference}" if reference else ""
        return Said(
            f"{move.name} of {move.amount} counts as paid back{named}{_quoted(move.note)}.",
            "An operator found out what became of it.",
        )
    return Said(
        f"{move.name} of {move.amount} has gone back to the customer.",
        f"{move.payment.provider} reports {move.after.provider_reference} as"
        f" succeeded{_although_withdrawn(move)}.",
    )


def _failed(move: RefundMove) -> Said:
    code = code_of(move.after)
    if code == SETTLED:
        return Said(
            f"{move.name} of {move.amount} counts as never sent{_quoted(move.note)}. The money"
            f" can be refunded again.",
            "An operator found out what became of it.",
        )
    if code == NOTHING_LEFT.code:
        return Said(
            f"{move.name} of {move.amount} was stopped before it was sent{_waited(move)}:"
            f" nothing is left.",
            f"The money is gone already: {taken_back(move.payment)}.",
        )
    came_back = move.before is not None and move.before.status is _Status.SUCCEEDED
    how = "failed after it had succeeded: the money came back" if came_back else "failed"
    named = f" ({code})" if code else ""
    return Said(
        f"{move.name} of {move.amount} {how}{named}. The money can be refunded again.",
        f"{_failure(move.after)}.",
    )


def _waited(move: RefundMove) -> str:
    is_waiting = move.before is not None and move.before.status is _Status.AWAITING_APPROVAL
    return " (it waited for approval)" if is_waiting else ""


def _external(move: RefundMove) -> Said:
    state = _EXTERNAL_STATES[move.after.status]
    return Said(
        f"{move.name}, {move.after.provider_reference} of {move.amount}, {state}.",
        "It was not requested from payd.",
    )


def _external_failed(move: RefundMove) -> Said:
    if move.after.failure is not None and move.after.failure.code == SAME_REFUND:
        return Said(
            f"{move.name} is one of payd's own, and is not counted twice.",
            f"{sentence(move.after.failure.message)}.",
        )
    return Said(
        f"{move.name}, {move.after.provider_reference} of {move.amount}, failed: the money is"
        f" ours again.",
        f"{_failure(move.after)}.",
    )


_EXTERNAL_STATES = {
    _Status.PENDING: "is on its way",
    _Status.SUCCEEDED: "has gone back to the customer",
    _Status.CANCELED: "was canceled",
}


def _same_status(move: RefundMove) -> Said:
    before, after = move.before, move.after
    if before is not None and before.amount != after.amount:
        return Said(
            f"{move.name} is reported with another amount: {move.amount}.",
            "Of two amounts the larger one counts.",
        )
    if after.status is _Status.CREATING:
        return Said(ASKING_OF_REFUND[after.asking](move))
    if before is not None and before.provider_reference != after.provider_reference:
        return Said(
            f"{move.name} is known at {move.payment.provider} as {after.provider_reference}."
        )
    return Said(f"{move.name} was reported again, with more detail.")


def _being_sent(move: RefundMove) -> str:
    until = move.after.ask_deadline
    wait = f" and expects the answer by {when(until)}" if until else ""
    return f"payd sends refund {move.after.id} to {move.payment.provider}{wait}."


def _not_sent(move: RefundMove) -> str:
    return f"Refund {move.after.id} did not reach {move.payment.provider}; payd sends it again."


def _unknown(move: RefundMove) -> str:
    if move.after.ask_deadline is not None:
        return (
            f"payd sends refund {move.after.id} to {move.payment.provider} again, under the same"
            f" key, so it cannot be paid twice."
        )
    return (
        f"{move.payment.provider} gave no readable answer: whether it sends refund {move.after.id}"
        f" is not known; {WHERE_ERRORS_ARE}."
    )


def _answered(move: RefundMove) -> str:
    return f"{move.payment.provider} has answered about refund {move.after.id}."


#: What is known of the request → its sentence.
ASKING_OF_REFUND: dict[Asking, Callable[[RefundMove], str]] = {
    Asking.ASKING: _being_sent,
    Asking.NOT_ATTEMPTED: _not_sent,
    Asking.UNKNOWN: _unknown,
    Asking.ANSWERED: _answered,
}


def _although_withdrawn(move: RefundMove) -> str:
    was_withdrawn = move.before is not None and move.before.is_withdrawn
    return ", although an operator had withdrawn it" if was_withdrawn else ""


def _failure(refund: Refund) -> str:
    return sentence(refund.failure.message) if refund.failure else "No reason is known"


def _quoted(note: str) -> str:
    return f' ("{note}")' if note else ""


def _from(
    sources: Iterable[_Status], to: _Status, tell: Tell
) -> dict[tuple[_Status | None, _Status], Tell]:
    return {(source, to): tell for source in sources}


_SENT = (_Status.CREATING, _Status.AWAITING_TRANSFER, _Status.CANCELED)

#: From, to → its sentence, for refunds that payd was asked for. A test compares it with `decide`.
REFUND_MOVES: dict[tuple[_Status | None, _Status], Tell] = {
    (None, _Status.CREATING): _asked,
    (None, _Status.AWAITING_APPROVAL): _asked_for_approval,
    (_Status.AWAITING_APPROVAL, _Status.CREATING): _approved,
    (_Status.CREATING, _Status.AWAITING_TRANSFER): _to_send,
    **_from(_SENT, _Status.PENDING, _on_its_way),
    **_from((*_SENT, _Status.PENDING), _Status.SUCCEEDED, _succeeded),
    **_from(
        (
            *(_Status.AWAITING_APPROVAL, _Status.AWAITING_TRANSFER),
            *(_Status.CREATING, _Status.PENDING),
        ),
        _Status.CANCELED,
        _withdrawn_or_canceled,
    ),
    **_from(
        (*_SENT, _Status.PENDING, _Status.SUCCEEDED, _Status.AWAITING_APPROVAL),
        _Status.FAILED,
        _failed,
    ),
}
#: To → its sentence, for refunds that were made at the provider.
EXTERNAL_MOVES: dict[_Status, Tell] = {
    **dict.fromkeys(_EXTERNAL_STATES, _external),
    _Status.FAILED: _external_failed,
}

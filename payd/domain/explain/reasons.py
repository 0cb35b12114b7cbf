"""Sentences for the reasons for attention: when one begins, and when it ends."""

from collections.abc import Callable, Iterator

from payd.domain.actors import PAYD
from payd.domain.attention import MORE, Attention, AttentionRecord
from payd.domain.explain.money_back import code_of, not_refunded, taken_back
from payd.domain.explain.said import Move, Said
from payd.domain.explain.words import fact, in_asset, listing, money, of_due
from payd.domain.facts import BROUGHT
from payd.domain.payment import Payment
from payd.domain.refund import RefundStatus
from payd.domain.refund_reports import SAME_REFUND, SETTLED
from payd.domain.refunds import NOTHING_LEFT

#: Most facts that a sentence lists.
_FACTS_SHOWN = 5


def attention_changes(move: Move) -> Iterator[Said]:
    """A sentence for each reason that begins, ends or has a new fact."""
    known = {record.reason: record for record in move.before.attention_records}
    for record in move.after.attention_records:
        old = known.get(record.reason)
        was_open = old is not None and old.is_open
        if record.is_open and not was_open:
            yield _begun(move, record, record.facts - (old.facts if old else frozenset()))
        elif record.is_open and old is not None and not old.facts >= record.facts:
            yield _begun(move, record, record.facts - old.facts)
        elif was_open and not record.is_open:
            yield _ended(move, record)


def _begun(move: Move, record: AttentionRecord, news: frozenset[str]) -> Said:
    what = BEGINS[record.reason](move.after, _shown(move.after, news))
    return Said(f"{record.reason.value}: {what}")


def _ended(move: Move, record: AttentionRecord) -> Said:
    name = record.reason.value
    if record.resolved_by == PAYD:
        is_external = record.reason is Attention.REFUNDED_EXTERNALLY
        why = _external_over(move) if is_external else ENDS[record.reason]
        return Said(f"{name} is over: {why}.")
    return Said(f'{record.resolved_by} resolved {name}: "{record.note}".')


def _external_over(move: Move) -> str:
    """Whether the refund at the provider failed, or was one of payd's own all along."""
    live = {refund.id for refund in move.before.refunds if refund.status.is_live}
    gone = [one for one in move.after.refunds if one.external and one.id in live]
    if any(code_of(refund) == SAME_REFUND for refund in gone):
        return f"the refund that {move.provider} reported is one of payd's own"
    if any(refund.status is RefundStatus.FAILED for refund in gone):
        return f"the refund at {move.provider} failed"
    return ENDS[Attention.REFUNDED_EXTERNALLY]


def _shown(payment: Payment, facts: frozenset[str]) -> str:
    first = sorted(facts - {MORE})[:_FACTS_SHOWN]
    rest = len(facts) - len(first)
    words = [_fact(payment, text) for text in first] + ([f"{rest} more"] if rest else [])
    return listing(words) if words else "an older version of payd did not store why"


def _fact(payment: Payment, text: str) -> str:
    """Two facts that no text of `decide` names together: why it was stopped, what was lost."""
    if text.endswith(" was not sent"):
        name = text.removesuffix(" was not sent")
        return f"{name} was still to be sent and was stopped, since {taken_back(payment)}"
    if text.endswith(" taken back"):
        return taken_back(payment)
    for dispute in payment.disputes:
        if text == dispute.id:
            return f"dispute {text} of {in_asset(payment, dispute.asset, dispute.amount)}"
    return fact(payment, text)


def open_reason(payment: Payment, record: AttentionRecord) -> str:
    """What an open reason says, with all of its facts."""
    return BEGINS[record.reason](payment, _shown(payment, record.facts))


def was_paid_wrongly(payment: Payment) -> bool:
    """Whether the payment's object brought another amount than is due, which does not count."""
    return any(
        fact.startswith(BROUGHT)
        for record in payment.attention_records
        if record.reason is Attention.AMOUNT_MISMATCH
        for fact in record.facts
    )


def _outcome_unknown(payment: Payment, facts: str) -> str:
    return (
        f"payd's request got no readable answer, and the time to pay is over: {payment.provider}"
        f" may have an object that the customer can pay, and payd does not know."
    )


def _underpaid(payment: Payment, facts: str) -> str:
    return f"the payment closed with a part of the money: {of_due(payment, payment.confirmed)}."


def _overpaid(payment: Payment, facts: str) -> str:
    more = money(payment, payment.confirmed - payment.due)
    return (
        f"{more} too much is confirmed: {money(payment, payment.confirmed)} for a payment of"
        f" {money(payment, payment.due)}."
    )


def _paid_after_close(payment: Payment, facts: str) -> str:
    state = payment.status.value
    pending = payment.received - payment.confirmed
    if pending > 0:
        seen = f"{money(payment, pending)} was seen, and is not final yet"
        return f"{seen}, for a payment that is {state} ({facts})."
    if payment.received == 0:
        return f"money was seen for a payment that is {state}, and was undone again ({facts})."
    came = f"{money(payment, payment.confirmed)} is final"
    return f"{came}, but does not complete the payment, which is {state} ({facts})."


def _duplicate(payment: Payment, facts: str) -> str:
    times = payment.confirmed // payment.due
    return f"the customer paid {times} times: {money(payment, payment.confirmed)} is confirmed."


def _mismatch(payment: Payment, facts: str) -> str:
    due = money(payment, payment.due)
    return f"{facts} at {payment.provider}, but {due} is due: what is paid there does not count."


def _wrong_token(payment: Payment, facts: str) -> str:
    unit = payment.crypto.currency if payment.crypto else payment.amount.currency_code
    return f"money came, or went back, in another asset than {unit}, and does not count ({facts})."


def _conflict(payment: Payment, facts: str) -> str:
    return f"what payd knows does not agree: {facts}."


def _refunded_externally(payment: Payment, facts: str) -> str:
    return f"money was refunded at {payment.provider}, and not by a request of payd ({facts})."


def _refund_failed(payment: Payment, facts: str) -> str:
    codes = {
        code_of(refund) for refund in payment.refunds if refund.status is RefundStatus.FAILED
    } - {SAME_REFUND, SETTLED}
    if codes == {NOTHING_LEFT.code}:
        return f"a refund was stopped before it was sent ({facts})."
    if codes and not not_refunded(payment):
        return f"a refund failed, and was made again ({facts})."
    return f"the customer does not have the money of a refund ({facts})."


def _disputed(payment: Payment, facts: str) -> str:
    return f"the customer's bank disputes the payment ({facts}); it cannot be refunded meanwhile."


def _lost_dispute(payment: Payment, facts: str) -> str:
    return f"a dispute is lost, and its money is gone ({facts})."


def _stuck(payment: Payment, facts: str) -> str:
    return f"{payment.provider} has not said in time what became of it ({facts})."


#: Reason → what it says, of the payment and of the facts behind it.
BEGINS: dict[Attention, Callable[[Payment, str], str]] = {
    Attention.OUTCOME_UNKNOWN: _outcome_unknown,
    Attention.UNDERPAID: _underpaid,
    Attention.OVERPAID: _overpaid,
    Attention.PAID_AFTER_CLOSE: _paid_after_close,
    Attention.DUPLICATE_PAYMENT: _duplicate,
    Attention.AMOUNT_MISMATCH: _mismatch,
    Attention.WRONG_TOKEN: _wrong_token,
    Attention.CONFLICTING_EVIDENCE: _conflict,
    Attention.REFUNDED_EXTERNALLY: _refunded_externally,
    Attention.REFUND_FAILED: _refund_failed,
    Attention.DISPUTED: _disputed,
    Attention.LOST_DISPUTE: _lost_dispute,
    Attention.STUCK: _stuck,
}
#: Reason → why it ended without a person.
ENDS: dict[Attention, str] = {
    Attention.OUTCOME_UNKNOWN: "the outcome is known, or the payment is closed",
    Attention.UNDERPAID: "the payment is no longer closed with a part of the money",
    Attention.OVERPAID: "what is confirmed is no longer more than what is due",
    Attention.PAID_AFTER_CLOSE: "the payment is no longer closed",
    Attention.DUPLICATE_PAYMENT: "it no longer counts as paid twice",
    Attention.AMOUNT_MISMATCH: "the amounts agree",
    Attention.WRONG_TOKEN: "no money is in another token",
    Attention.CONFLICTING_EVIDENCE: "nothing contradicts any more",
    Attention.REFUNDED_EXTERNALLY: "no refund made at the provider counts any more",
    Attention.REFUND_FAILED: "the failed refund no longer counts",
    Attention.DISPUTED: "no dispute is open any more",
    Attention.LOST_DISPUTE: "no dispute is lost any more",
    Attention.STUCK: "the outcome is known",
}

"""Sentences for the reasons for attention: when one begins, and when it ends."""

from collections.abc import Callable, Iterator

from payd.domain.actors import PAYD
from payd.domain.attention import MORE, Attention, AttentionRecord
from payd.domain.explain.said import Move, Said
from payd.domain.explain.words import fact, listing, money, of_due
from payd.domain.payment import Payment, Status

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
            yield _ended(record)


def _begun(move: Move, record: AttentionRecord, news: frozenset[str]) -> Said:
    what = BEGINS[record.reason](move.after, _shown(move.after, news))
    return Said(f"{record.reason.value}: {what}")


def _ended(record: AttentionRecord) -> Said:
    name = record.reason.value
    if record.resolved_by == PAYD:
        return Said(f"{name} is over: {ENDS[record.reason]}.")
    return Said(f'{record.resolved_by} resolved {name}: "{record.note}".')


def _shown(payment: Payment, facts: frozenset[str]) -> str:
    first = sorted(facts - {MORE})[:_FACTS_SHOWN]
    rest = len(facts) - len(first)
    words = [fact(payment, text) for text in first] + ([f"{rest} more"] if rest else [])
    return listing(words) if words else "an older version of payd did not store why"


def open_reason(payment: Payment, record: AttentionRecord) -> str:
    """What an open reason says, with all of its facts."""
    return BEGINS[record.reason](payment, _shown(payment, record.facts))


def _outcome_unknown(payment: Payment, facts: str) -> str:
    return f"whether {payment.provider} has the payment is not known, and the time to pay is over."


def _underpaid(payment: Payment, facts: str) -> str:
    return f"the payment closed with a part of the money: {of_due(payment, payment.confirmed)}."


def _overpaid(payment: Payment, facts: str) -> str:
    more = money(payment, payment.confirmed - payment.due)
    return (
        f"{more} too much is confirmed: {money(payment, payment.confirmed)} for a payment of"
        f" {money(payment, payment.due)}."
    )


def _paid_after_close(payment: Payment, facts: str) -> str:
    if payment.status is Status.CANCELED:
        return f"money came although the payment is canceled ({facts})."
    return (
        f"money came that does not complete the payment, which is {payment.status.value} ({facts})."
    )


def _duplicate(payment: Payment, facts: str) -> str:
    times = payment.confirmed // payment.due
    return f"the customer paid {times} times: {money(payment, payment.confirmed)} is confirmed."


def _mismatch(payment: Payment, facts: str) -> str:
    due = money(payment, payment.due)
    return f"{facts} at {payment.provider}, but {due} is due; such money does not count."


def _wrong_token(payment: Payment, facts: str) -> str:
    unit = payment.crypto.currency if payment.crypto else payment.amount.currency_code
    return f"money came in another token than {unit} and does not count ({facts})."


def _conflict(payment: Payment, facts: str) -> str:
    return f"two things that payd knows cannot both be true ({facts})."


def _refunded_externally(payment: Payment, facts: str) -> str:
    return f"money was refunded at {payment.provider}, and not through payd ({facts})."


def _refund_failed(payment: Payment, facts: str) -> str:
    return f"a refund failed, so the customer does not have the money ({facts})."


def _disputed(payment: Payment, facts: str) -> str:
    return f"the customer's bank disputes the payment ({facts}); it cannot be refunded meanwhile."


def _lost_dispute(payment: Payment, facts: str) -> str:
    return f"a dispute is lost and its money gone ({facts})."


def _stuck(payment: Payment, facts: str) -> str:
    return f"status checks have brought nothing for an hour ({facts})."


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
    Attention.REFUNDED_EXTERNALLY: "the refund at the provider failed, or is one of payd's own",
    Attention.REFUND_FAILED: "the failed refund no longer counts",
    Attention.DISPUTED: "no dispute is open any more",
    Attention.LOST_DISPUTE: "no dispute is lost any more",
    Attention.STUCK: "there is news",
}

"""Attention: why a person should look at a payment, since when, and because of what.

A reason is open until a person resolves it, or until what it says is no longer true. Behind a
reason are facts. A new fact opens a resolved reason again, and is published; a fact that is known
already, however often it is reported, changes nothing.
"""

import enum
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

import attrs
from attrs.validators import deep_iterable, instance_of, optional

from payd.domain.actors import PAYD
from payd.domain.text import is_aware, is_storable


class Attention(enum.Enum):
    """Why a person should look."""

    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    UNDERPAID = "UNDERPAID"
    OVERPAID = "OVERPAID"
    PAID_AFTER_CLOSE = "PAID_AFTER_CLOSE"
    DUPLICATE_PAYMENT = "DUPLICATE_PAYMENT"
    AMOUNT_MISMATCH = "AMOUNT_MISMATCH"
    WRONG_TOKEN = "WRONG_TOKEN"  # noqa: S105 - a reason, not a password
    CONFLICTING_EVIDENCE = "CONFLICTING_EVIDENCE"
    REFUNDED_EXTERNALLY = "REFUNDED_EXTERNALLY"
    REFUND_FAILED = "REFUND_FAILED"
    DISPUTED = "DISPUTED"
    LOST_DISPUTE = "LOST_DISPUTE"
    STUCK = "STUCK"


#: Reasons that waiting may end. The others concern money, and are published at once.
WAITING = frozenset({Attention.OUTCOME_UNKNOWN, Attention.STUCK})
#: Reasons of WAITING are published when they have been open for so long.
PUBLISH_AFTER = timedelta(hours=1)
#: Most facts that are kept behind one reason. The next one is counted as MORE, and those after it
#: are not counted: a flood of receipts must not make a payment's row grow for ever.
FACTS_MAX = 100
MORE = "and more"


@attrs.frozen(kw_only=True)
class AttentionRecord:
    """One reason of a payment, open or resolved."""

    reason: Attention = attrs.field(validator=instance_of(Attention))
    #: Since when it is open; for a resolved reason, when it was last opened.
    since: datetime = attrs.field(validator=is_aware)
    #: What is behind it, as short texts for people. Empty for a reason that an older version of
    #: payd stored: the next fact counts as the one that was known.
    facts: frozenset[str] = attrs.field(
        default=frozenset(), validator=deep_iterable(is_storable, instance_of(frozenset))
    )
    #: Whether all of the facts are published.
    published: bool = attrs.field(default=False, validator=instance_of(bool))
    resolved_time: datetime | None = attrs.field(default=None, validator=optional(is_aware))
    #: The person that resolved it; `actors.PAYD` if it ended by itself.
    resolved_by: str = attrs.field(default="", validator=is_storable)
    note: str = attrs.field(default="", validator=is_storable)

    @property
    def is_open(self) -> bool:
        """Whether a person still has to look."""
        return self.resolved_time is None


Records = tuple[AttentionRecord, ...]


def open_reasons(records: Records) -> frozenset[Attention]:
    """The reasons that a person still has to look at."""
    return frozenset(record.reason for record in records if record.is_open)


def add_fact(records: Records, reason: Attention, fact: str, now: datetime) -> Records:
    """Put one more fact behind a reason; a known one changes nothing."""
    known = _find(records, reason)
    if known is None:
        return _put(records, _opened(reason, frozenset({fact}), now))
    if fact in known.facts or MORE in known.facts:
        return records
    if known.is_open and not known.facts:
        return _put(records, attrs.evolve(known, facts=frozenset({fact})))
    more = fact if len(known.facts) < FACTS_MAX else MORE
    since = known.since if known.is_open else now
    return _put(records, _opened(reason, known.facts | {more}, since))


def derive(
    records: Records,
    reasons: Iterable[Attention],
    true: Mapping[Attention, frozenset[str]],
    now: datetime,
) -> Records:
    """Open those of `reasons` that are true, with the facts behind them; end the others."""
    for reason in reasons:
        facts = true.get(reason)
        records = _hold(records, reason, facts, now) if facts else end(records, (reason,), now)
    return records


def _hold(records: Records, reason: Attention, facts: frozenset[str], now: datetime) -> Records:
    known = _find(records, reason)
    if known is None:
        return _put(records, _opened(reason, facts, now))
    if known.is_open and (not known.facts or known.facts >= facts):
        return _put(records, attrs.evolve(known, facts=facts))
    if not known.is_open and known.resolved_by != PAYD and known.facts >= facts:
        return records
    return _put(records, _opened(reason, facts, known.since if known.is_open else now))


def end(records: Records, reasons: Collection[Attention], now: datetime) -> Records:
    """End those of the reasons that are open, since they are no longer true."""
    return resolve(records, reasons, PAYD, "", now)


def resolve(
    records: Records, reasons: Collection[Attention], by: str, note: str, now: datetime
) -> Records:
    """Resolve those of the reasons that are open; a new fact opens them again."""
    return tuple(
        attrs.evolve(
            record,
            # More facts than are kept: the next one that is not among them opens it again.
            facts=record.facts - {MORE},
            resolved_time=now,
            resolved_by=by,
            note=note,
        )
        if record.is_open and record.reason in reasons
        else record
        for record in records
    )


def publish_old(records: Records, now: datetime) -> Records:
    """Mark reasons of WAITING as published when they have been open long enough."""
    return tuple(
        attrs.evolve(record, published=True)
        if record.is_open and not record.published and now >= record.since + PUBLISH_AFTER
        else record
        for record in records
    )


def next_publish_time(records: Records) -> datetime | None:
    """When `publish_old` has something to do next; None if no open reason waits for it."""
    waiting = (one.since for one in records if one.is_open and not one.published)
    return min((since + PUBLISH_AFTER for since in waiting), default=None)


def to_publish(before: Records, after: Records) -> AbstractSet[Attention]:
    """Open reasons with facts that were not published before."""
    return {
        record.reason
        for record in after
        if record.is_open and record.published and _is_news(_find(before, record.reason), record)
    }


def _is_news(old: AttentionRecord | None, new: AttentionRecord) -> bool:
    if old is None or not old.is_open or not old.published:
        return True
    return bool(old.facts) and not old.facts >= new.facts


def _opened(reason: Attention, facts: frozenset[str], since: datetime) -> AttentionRecord:
    return AttentionRecord(reason=reason, since=since, facts=facts, published=reason not in WAITING)


def _find(records: Records, reason: Attention) -> AttentionRecord | None:
    return next((record for record in records if record.reason is reason), None)


def _put(records: Records, record: AttentionRecord) -> Records:
    """The records with one of them new or replaced, oldest first."""
    others = (one for one in records if one.reason is not record.reason)
    order = list(Attention)
    return tuple(sorted((*others, record), key=lambda one: (one.since, order.index(one.reason))))

"""What a provider's word means as evidence: one table a question, pure.

Nothing here guesses: an answer that cannot be read proves nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, assert_never

import attrs

from payd.domain import evidence
from payd.domain.errors import InvalidField, PaydError, ProviderUnavailable
from payd.plugins import interface
from payd.plugins.escape import judged
from payd.plugins.interface import Cancel, Found, Lookup, ProviderError
from payd.plugins.port import Answer

#: Told to a caller when nothing better is known.
RETRY_AFTER_S = 1.0
#: What is read and written recursively, here and in the database, must not exhaust a stack.
JSON_DEPTH_MAX = 100

UNANSWERED = Answer(evidence=(evidence.Unanswered(),))


class Unavailable(interface.NotAttempted):
    """The fence did not ask: the provider is down, or its breaker is open."""

    def __init__(self, message: str, retry_after_s: float = RETRY_AFTER_S) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def unavailable(wait_s: float) -> Unavailable:
    """Why the fence does not ask; `wait_s` is for how long its breaker stays open."""
    if wait_s > 0:
        return Unavailable("left alone after failures in a row", wait_s)
    return Unavailable("the provider is not running")


def answer_to_create(provider: str, said: evidence.Created | ProviderError) -> Answer:
    """Created, Declined, NotAttempted or OutcomeUnknown."""
    match said:
        case evidence.Created():
            return Answer(evidence=(said,))
        case interface.Declined(code=code, message=message):
            return Answer(evidence=(evidence.Declined(code=code, message=message),))
        case interface.InvalidRequest(field=field, message=message):
            refused = evidence.Declined(code="invalid_request", message=f"{field}: {message}")
            return Answer(evidence=(refused,), error=InvalidField(field, message))
        case Unavailable(retry_after_s=wait_s) | interface.RateLimited(retry_after_s=wait_s):
            return _not_attempted(provider, wait_s)
        case interface.NotAttempted() | interface.Misconfigured():
            return _not_attempted(provider, RETRY_AFTER_S)
        case interface.IdempotencyConflict():
            return Answer(evidence=(evidence.OutcomeUnknown(), evidence.Conflict()))
        case _:
            return Answer(evidence=(evidence.OutcomeUnknown(),))


def _not_attempted(provider: str, retry_after_s: float) -> Answer:
    error: PaydError = ProviderUnavailable(
        f"the provider {provider} cannot be asked now; nothing was sent",
        retry_after_s=retry_after_s,
        provider=provider,
    )
    return Answer(evidence=(evidence.NotAttempted(),), error=error)


def answer_to_look(
    lookup: Lookup, reference: str | None, said: Found | evidence.Absent | ProviderError
) -> Answer:
    """What was found, or how much finding nothing proves."""
    match said:
        case Found(created=created, snapshot=snapshot):
            return Answer(evidence=(created, snapshot))
        case evidence.Absent() if reference is None:
            proven = lookup is Lookup.INCLUDING_ABSENCE
            return Answer(evidence=(evidence.Absent(proven=proven),))
        case evidence.Absent():
            return attrs.evolve(UNANSWERED, is_missing=True)
        case ProviderError():
            return UNANSWERED
        case _:
            assert_never(said)


def answer_to_close(closing: Cancel, said: evidence.Snapshot | ProviderError) -> Answer:
    """How it stands after a rail that closes was told to; or now, where none can close."""
    if not isinstance(said, evidence.Snapshot):
        return UNANSWERED
    closes = closing is Cancel.CLOSES
    return Answer(evidence=(said if closes else evidence.NotClosable(look=said),))


def is_failure(said: object) -> bool | None:
    """For the breaker: True for no readable answer, None where nothing was learnt."""
    match said:
        case None | Unavailable() | interface.RateLimited():
            return None
        case interface.Declined() | interface.InvalidRequest() | interface.IdempotencyConflict():
            return False
        case _:
            return isinstance(said, ProviderError)


_LABELS: tuple[tuple[type[ProviderError], str], ...] = (
    (interface.Declined, "declined"),
    (interface.InvalidRequest, "invalid_request"),
    (Unavailable, "unavailable"),
    (interface.NotAttempted, "not_attempted"),
    (interface.RateLimited, "rate_limited"),
    (interface.Misconfigured, "misconfigured"),
    (interface.IdempotencyConflict, "idempotency_conflict"),
)


def label(said: object) -> str:
    """The outcome's name in metrics and logs."""
    if said is None:
        return "cancelled"
    if not isinstance(said, ProviderError):
        return "ok"
    return next((name for kind, name in _LABELS if isinstance(said, kind)), "outcome_unknown")


# -- is it what it should be? A provider may return anything ----------------------------------


def _judging(check: Callable[[Any], bool]) -> Callable[[object], bool]:
    """The check, of which nothing escapes: what breaks while it is looked at is not sound."""

    @wraps(check)
    def is_sound(said: object) -> bool:
        return judged(check, said)

    return is_sound


@_judging
def is_created(said: object) -> bool:
    """A Created whose fields can be stored."""
    if not (isinstance(said, evidence.Created) and said.reference):
        return False
    return _is_text(said.reference, *said.aliases) and _is_action(said.next_action)


@_judging
def is_look(said: object) -> bool:
    """Absent, or a Found whose parts can be stored."""
    if isinstance(said, Found):
        return is_created(said.created) and is_snapshot(said.snapshot)
    return isinstance(said, evidence.Absent)


@_judging
def is_snapshot(said: object) -> bool:
    """A Snapshot whose status and asset can be stored; its amounts check themselves."""
    if not isinstance(said, evidence.Snapshot):
        return False
    told = (said.reference, said.failure_code, said.failure_message)
    texts = [text for text in told if text is not None]
    return isinstance(said.status, evidence.ProviderStatus) and _is_text(
        said.asset, *said.aliases, *texts
    )


@_judging
def is_page(said: object) -> bool:
    """A Page whose events and cursor can be stored."""
    if not isinstance(said, interface.Page):
        return False
    return _is_text(said.cursor) and all(is_event(event) for event in said.events)


@_judging
def is_event(said: object) -> bool:
    """A ProviderEvent that can be stored."""
    if not isinstance(said, interface.ProviderEvent) or not isinstance(said.content, Mapping):
        return False
    return _is_text(said.id, said.type) and bool(said.id) and is_json(said.content)


@_judging
def is_json(said: object) -> bool:
    """What PostgreSQL can keep as JSON."""
    return _is_json(said, JSON_DEPTH_MAX)


def _is_json(said: object, depth: int) -> bool:
    match said:
        case None | bool() | int():
            return True
        case str():
            return _is_storable(said)
        case Mapping() if depth:
            return all(map(_is_text, said)) and all(_is_json(v, depth - 1) for v in said.values())
        case list() | tuple() if depth:
            return all(_is_json(v, depth - 1) for v in said)
        case _:
            return False


@_judging
def is_observations(said: object) -> bool:
    """A sequence of observations that can be settled."""
    if not isinstance(said, Sequence):
        return False
    return all(isinstance(one, evidence.Observation) and _is_observation(one) for one in said)


def _is_observation(said: evidence.Observation) -> bool:
    fact: object = said.fact
    # Only receipts may name no payment: they wait for a person.
    named = bool(said.reference) or isinstance(fact, tuple)
    if not (_is_text(said.id, said.reference) and named):
        return False
    match fact:
        case tuple():
            return all(map(_is_receipt, fact))
        case evidence.Reversal():
            return _is_text(fact.asset, *fact.aliases)
        case _:
            return isinstance(fact, evidence.Conflict) or is_snapshot(fact)


def _is_receipt(said: object) -> bool:
    if not isinstance(said, evidence.Receipt):
        return False
    return isinstance(said.state, evidence.ReceiptState) and _is_text(said.id, said.asset)


@_judging
def is_object_page(said: object) -> bool:
    """An ObjectPage whose objects can be compared."""
    return isinstance(said, interface.ObjectPage) and all(
        isinstance(one, interface.RemoteObject)
        and isinstance(one.found, Found)
        and is_look(one.found)
        for one in said.objects
    )


@_judging
def is_holdings(said: object) -> bool:
    """Holdings whose amounts can be compared."""
    return isinstance(said, Sequence) and all(
        isinstance(one, interface.Holding)
        and _is_text(one.asset, one.at)
        and all(type(units) is int for units in (one.opening, one.balance))
        for one in said
    )


def is_none(said: object) -> bool:
    """What `health` returns."""
    return said is None


def _is_action(action: object) -> bool:
    match action:
        case None:
            return True
        case evidence.Redirect(url=url):
            return _is_text(url)
        case evidence.CryptoTransfer():
            texts = (action.currency, action.token_address, action.receiver_address)
            return _is_text(*texts, action.memo, action.calldata, action.payment_uri)
        case _:
            return False


def _is_text(*values: object) -> bool:
    return all(isinstance(value, str) and _is_storable(value) for value in values)


def _is_storable(text: str) -> bool:
    """PostgreSQL takes no NUL, and UTF-8 no lone surrogate."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False

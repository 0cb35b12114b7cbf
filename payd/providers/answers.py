"""Answers as evidence: what the result of each call of a provider proves. Pure.

Nothing here guesses: an answer that cannot be read proves nothing.
"""

from types import NoneType
from typing import assert_never

import attrs

from payd.domain import evidence
from payd.domain.errors import InvalidField, PaydError, ProviderUnavailable
from payd.domain.refund import RefundInstructions, RefundSnapshot
from payd.domain.text import CODE_MAX, MESSAGE_MAX
from payd.plugins import errors
from payd.plugins.capabilities import Cancel, Lookup
from payd.plugins.errors import ProviderError
from payd.plugins.interface import Found
from payd.ports.provider import Answer, RefundReply

#: The retry delay for a caller when nothing better is known.
RETRY_AFTER_S = 1.0

UNANSWERED = Answer(evidence=(evidence.Unanswered(),))
REFUND_UNANSWERED = RefundReply(answer=evidence.Unanswered())


class Unavailable(errors.NotAttempted):
    """The fence made no call: the provider is down, or its breaker is open."""

    def __init__(self, message: str, retry_after_s: float = RETRY_AFTER_S) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def unavailable(wait_s: float) -> Unavailable:
    """Return why the fence makes no call; `wait_s`: how long the breaker stays open."""
    if wait_s > 0:
        return Unavailable("not called after failures in a row", wait_s)
    return Unavailable("the provider is not running")


def answer_to_create(provider: str, said: evidence.Created | ProviderError) -> Answer:
    """Return Created, Declined, NotAttempted or OutcomeUnknown, and the caller's error."""
    match said:
        case evidence.Created():
            return Answer(evidence=(said,))
        case errors.Declined(code=code, message=message):
            return Answer(evidence=(evidence.Declined(code=code, message=message),))
        case errors.InvalidRequest(field=field, message=message):
            error = invalid_field(field, message)
            refused = evidence.Declined(code="invalid_request", message=str(error))
            return Answer(evidence=(refused,), error=error)
        case Unavailable(retry_after_s=wait_s) | errors.RateLimited(retry_after_s=wait_s):
            return _not_attempted(provider, wait_s)
        case errors.NotAttempted() | errors.Misconfigured():
            return _not_attempted(provider, RETRY_AFTER_S)
        case errors.IdempotencyConflict():
            conflict = evidence.Conflict(detail="create was sent before with other parameters")
            return Answer(evidence=(evidence.OutcomeUnknown(), conflict))
        case _:
            return Answer(evidence=(evidence.OutcomeUnknown(),))


def invalid_field(field: str, message: str) -> InvalidField:
    """Return the caller's error for an InvalidRequest; cut, because it is sent in a header."""
    return InvalidField(field[:CODE_MAX], message[:MESSAGE_MAX])


def _not_attempted(provider: str, retry_after_s: float) -> Answer:
    return Answer(evidence=(evidence.NotAttempted(),), error=_not_asked(provider, retry_after_s))


def _not_asked(provider: str, retry_after_s: float) -> PaydError:
    return ProviderUnavailable(
        f"the provider {provider} cannot be asked now; nothing was sent",
        retry_after_s=retry_after_s,
        provider=provider,
    )


def answer_to_fetch(
    lookup: Lookup, reference: str | None, said: Found | evidence.Absent | ProviderError
) -> Answer:
    """Return the found object, or what finding nothing proves."""
    match said:
        case Found(created=created, snapshot=snapshot):
            return Answer(evidence=(created, snapshot))
        case evidence.Absent() if reference is None:
            proven = said.proven and lookup is Lookup.INCLUDING_ABSENCE
            return Answer(evidence=(evidence.Absent(proven=proven),))
        case evidence.Absent():
            return attrs.evolve(UNANSWERED, is_missing=True)
        case ProviderError():
            return UNANSWERED
        case _:
            assert_never(said)


def answer_to_close(closing: Cancel, said: evidence.Snapshot | ProviderError) -> Answer:
    """Return the state after closing; on a rail that cannot close, the state now."""
    if not isinstance(said, evidence.Snapshot):
        return UNANSWERED
    closes = closing is Cancel.CLOSES
    return Answer(evidence=(said if closes else evidence.NotClosable(snapshot=said),))


def answer_to_refund(
    provider: str, said: RefundSnapshot | RefundInstructions | ProviderError
) -> RefundReply:
    """Return what it said, Declined, NotAttempted or OutcomeUnknown, and the caller's error."""
    match said:
        case RefundSnapshot() | RefundInstructions():
            return RefundReply(answer=said)
        case errors.Declined(code=code, message=message):
            return RefundReply(answer=evidence.Declined(code=code, message=message))
        case errors.InvalidRequest(field=field, message=message):
            error = invalid_field(field, message)
            refused = evidence.Declined(code="invalid_request", message=str(error))
            return RefundReply(answer=refused, error=error)
        case Unavailable(retry_after_s=wait_s) | errors.RateLimited(retry_after_s=wait_s):
            return _refund_not_attempted(provider, wait_s)
        case errors.NotAttempted() | errors.Misconfigured():
            return _refund_not_attempted(provider, RETRY_AFTER_S)
        case errors.IdempotencyConflict():
            return RefundReply(answer=evidence.OutcomeUnknown(), is_conflict=True)
        case _:
            return RefundReply(answer=evidence.OutcomeUnknown())


def _refund_not_attempted(provider: str, wait_s: float) -> RefundReply:
    return RefundReply(answer=evidence.NotAttempted(), error=_not_asked(provider, wait_s))


def answer_to_fetch_refund(
    lookup: Lookup, reference: str | None, said: RefundSnapshot | evidence.Absent | ProviderError
) -> RefundReply:
    """Return the found refund, or what finding nothing proves.

    A refund that was there and is not found any more proves nothing.
    """
    match said:
        case RefundSnapshot():
            return RefundReply(answer=said)
        case evidence.Absent() if reference is None:
            proven = said.proven and lookup is Lookup.INCLUDING_ABSENCE
            return RefundReply(answer=evidence.Absent(proven=proven))
        case _:
            return REFUND_UNANSWERED


#: Result → its name in metrics and logs, and whether the breaker counts it as a failure; None for
#: what shows nothing about the remote side. The first that matches counts.
_OUTCOMES: tuple[tuple[type, str, bool | None], ...] = (
    (NoneType, "cancelled", None),
    (errors.Declined, "declined", False),
    (errors.InvalidRequest, "invalid_request", False),
    (Unavailable, "unavailable", None),
    (errors.NotAttempted, "not_attempted", True),
    (errors.RateLimited, "rate_limited", None),
    (errors.Misconfigured, "misconfigured", True),
    (errors.IdempotencyConflict, "idempotency_conflict", False),
    (ProviderError, "outcome_unknown", True),
)


def outcome_of(result: object) -> tuple[str, bool | None]:
    """Return the name of a call's outcome, and whether it failed; None is a cancelled call."""
    for kind, name, failed in _OUTCOMES:
        if isinstance(result, kind):
            return name, failed
    return "ok", False

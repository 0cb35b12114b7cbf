"""Whether what a provider gives can be used and stored. It may give anything; nothing escapes here."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import trio

from payd.domain import evidence
from payd.plugins.interface import (
    ALIASES_MAX,
    NAME_MAX,
    PUT_MAX,
    TEXT_MAX,
    Declined,
    Found,
    Holding,
    InvalidRequest,
    ObjectPage,
    Page,
    ProviderError,
    ProviderEvent,
    RateLimited,
    RemoteObject,
)

#: What is read and written recursively, here and in the database, must not exhaust a stack.
JSON_DEPTH_MAX = 100
#: An integer of more digits is no number to a database, nor to Python's own JSON.
DIGITS_MAX = 1000
_INTEGER_MAX = 10**DIGITS_MAX


def passing(error: BaseException) -> BaseException | None:
    """The part of it that is not the plugin's own: a cancellation, or Ctrl-C."""
    if isinstance(error, BaseExceptionGroup):
        return error.split((trio.Cancelled, KeyboardInterrupt))[0]
    return error if isinstance(error, trio.Cancelled | KeyboardInterrupt) else None


def _judging(check: Callable[[Any], bool]) -> Callable[[object], bool]:
    """The check, of which nothing escapes: what breaks while it is looked at is not sound."""

    @wraps(check)
    def is_sound(said: object) -> bool:
        try:
            return check(said)
        except BaseException as error:
            if passing(error) is not None:
                raise
            return False

    return is_sound


@_judging
def is_created(said: object) -> bool:
    """A Created whose fields can be stored."""
    if not (isinstance(said, evidence.Created) and said.reference):
        return False
    return _is_named(said.aliases, said.reference) and _is_action(said.next_action)


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
    names = [said.asset] if said.reference is None else [said.asset, said.reference]
    told = (said.failure_code, said.failure_message)
    return (
        isinstance(said.status, evidence.ProviderStatus)
        and (said.due is None or type(said.due) is int)
        and _is_named(said.aliases, *names)
        and _is_text(*(text for text in told if text is not None))
    )


@_judging
def is_page(said: object) -> bool:
    """A Page whose events and cursor can be stored."""
    if not isinstance(said, Page):
        return False
    return _is_text(said.cursor) and all(is_event(event) for event in said.events)


@_judging
def is_event(said: object) -> bool:
    """A ProviderEvent that can be stored."""
    if not isinstance(said, ProviderEvent) or not isinstance(said.content, Mapping):
        return False
    return _is_name(said.id, said.type) and bool(said.id) and is_json(said.content)


@_judging
def is_json(said: object) -> bool:
    """What PostgreSQL can keep as JSON."""
    return _is_json(said, JSON_DEPTH_MAX)


def _is_json(said: object, depth: int) -> bool:
    match said:
        case None | bool():
            return True
        case int():
            return bool(-_INTEGER_MAX < said < _INTEGER_MAX)
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
    if not (_is_name(said.id, said.reference) and named):
        return False
    match fact:
        case tuple():
            return all(map(_is_receipt, fact))
        case evidence.Reversal():
            return _is_named(fact.aliases, fact.asset)
        case _:
            return isinstance(fact, evidence.Conflict) or is_snapshot(fact)


def _is_receipt(said: object) -> bool:
    if not isinstance(said, evidence.Receipt):
        return False
    named = bool(said.id) and _is_name(said.id, said.asset)
    return isinstance(said.state, evidence.ReceiptState) and named and _is_details(said.details)


def _is_details(said: object) -> bool:
    return isinstance(said, Mapping) and _is_text(*said.keys(), *said.values())


@_judging
def is_object_page(said: object) -> bool:
    """An ObjectPage whose objects can be compared."""
    return isinstance(said, ObjectPage) and all(
        isinstance(one, RemoteObject) and isinstance(one.found, Found) and is_look(one.found)
        for one in said.objects
    )


@_judging
def is_holdings(said: object) -> bool:
    """Holdings whose amounts can be compared."""
    return isinstance(said, Sequence) and all(
        isinstance(one, Holding)
        and _is_name(one.asset)
        and _is_text(one.at)
        and all(type(units) is int for units in (one.opening, one.balance))
        for one in said
    )


@_judging
def is_outflows(said: object) -> bool:
    """A sequence of outflows that can be booked."""
    return isinstance(said, Sequence) and all(
        isinstance(one, evidence.Outflow)
        and bool(one.id)
        and _is_name(one.id, one.asset)
        and _is_details(one.details)
        for one in said
    )


@_judging
def is_error(said: object) -> bool:
    """A ProviderError whose parts can be acted upon, and told."""
    str(said)
    match said:
        case Declined():
            return all(map(_is_storable, (said.code, said.message)))
        case InvalidRequest():
            return all(map(_is_storable, (said.field, said.message)))
        case RateLimited():
            return math.isfinite(said.retry_after_s) and said.retry_after_s >= 0
        case _:
            return isinstance(said, ProviderError)


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
            numbers = (action.chain_id, action.decimals)
            return all(type(number) is int for number in numbers) and _is_text(
                *texts, action.memo, action.calldata, action.payment_uri
            )
        case _:
            return False


def _is_named(aliases: tuple[str, ...], *names: object) -> bool:
    return len(aliases) <= ALIASES_MAX and _is_name(*names, *aliases)


def _is_name(*values: object) -> bool:
    return all(isinstance(value, str) and len(value) <= NAME_MAX for value in values) and _is_text(
        *values
    )


def _is_text(*values: object) -> bool:
    return all(_is_storable(value) and len(str(value)) <= TEXT_MAX for value in values)


def _is_storable(text: object) -> bool:
    """Text, without NUL, which PostgreSQL does not take, or a lone surrogate, which UTF-8 lacks."""
    if not isinstance(text, str):
        return False
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def check_put(observations: Any, outflows: Any, cursor: object) -> None:
    """What a watch puts; raises ValueError for too much, TypeError for what cannot be stored."""
    if len(observations) + len(outflows) > PUT_MAX:
        raise ValueError(f"more than {PUT_MAX} at once: put them in parts")
    if not (is_observations(observations) and is_outflows(outflows)):
        raise TypeError("an observation or an outflow that cannot be stored")
    if cursor is not None and not _is_text(cursor):
        raise TypeError("a cursor that cannot be stored")

"""What an operator can do from a payment's page: one table, the same calls as `payd` makes."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
from payd_client import Caller, Payment, PaymentClient, RefundStatus, Status

from payd.transport.console.refund_lines import is_any_left

#: Values of a form by name.
Form = Mapping[str, str]
#: (client, id of the payment or refund, form, caller) → whatever payd answered.
Perform = Callable[[PaymentClient, str, Form, Caller], Awaitable[Any]]

#: payd cancels no payment of which it has seen money.
_CANCELABLE = frozenset({Status.CREATING, Status.PENDING})
_NOTE_LENGTH_MAX = 500
_REFERENCE_LENGTH_MAX = 512


@attrs.frozen(kw_only=True)
class Field:
    """One field of a form; the texts `field.NAME` and `field.NAME.hint` describe it."""

    name: str
    is_required: bool = False
    length_max: int = _NOTE_LENGTH_MAX
    is_long: bool = False
    #: A choice between these; their texts are `choice.VALUE`.
    choices: tuple[str, ...] = ()
    #: Any of what the page offers, all of it chosen at first.
    is_many: bool = False
    #: Sent as the page got it, and not for people.
    is_hidden: bool = False


@attrs.frozen(kw_only=True)
class Action:
    """One action; the texts `action.NAME` and `action.NAME.means` describe it."""

    name: str
    perform: Perform
    fields: tuple[Field, ...] = ()


_NOTE = Field(name="note", is_long=True)
_NEEDED_NOTE = Field(name="note", is_required=True, is_long=True)


async def _sync(calls: PaymentClient, payment_id: str, form: Form, by: Caller) -> Any:
    return await calls.sync(payment_id, caller=by)


async def _cancel(calls: PaymentClient, payment_id: str, form: Form, by: Caller) -> Any:
    return await calls.cancel(payment_id, form["reason"], caller=by)


async def _resolve(calls: PaymentClient, payment_id: str, form: Form, by: Caller) -> Any:
    version = form["version"]
    return await calls.resolve_attention(
        payment_id,
        form["note"],
        reasons=form["reasons"].split(),
        # What the operator looked at; a newer payment has to be looked at again.
        expected_version=int(version) if version.isdecimal() and len(version) <= 9 else 1,
        caller=by,
    )


async def _attach(calls: PaymentClient, payment_id: str, form: Form, by: Caller) -> Any:
    return await calls.attach_receipt(form["receipt"], payment_id, form["note"], caller=by)


async def _republish(calls: PaymentClient, payment_id: str, form: Form, by: Caller) -> Any:
    return await calls.republish_events(payment_id=payment_id, caller=by)


async def _approve(calls: PaymentClient, refund_id: str, form: Form, by: Caller) -> Any:
    return await calls.approve_refund(refund_id, form["note"], caller=by)


async def _withdraw(calls: PaymentClient, refund_id: str, form: Form, by: Caller) -> Any:
    return await calls.cancel_refund(refund_id, form["note"], caller=by)


async def _settle(calls: PaymentClient, refund_id: str, form: Form, by: Caller) -> Any:
    outcome = RefundStatus.FAILED if form["outcome"] == "FAILED" else RefundStatus.SUCCEEDED
    return await calls.settle_refund(
        refund_id, outcome, form["note"], reference=form["reference"], caller=by
    )


#: Actions on a payment by name. A refund has pages of its own, with a second look.
PAYMENT_ACTIONS: Mapping[str, Action] = {
    one.name: one
    for one in (
        Action(name="sync", perform=_sync),
        Action(name="cancel", perform=_cancel, fields=(Field(name="reason", is_long=True),)),
        Action(
            name="resolve",
            perform=_resolve,
            fields=(
                Field(name="reasons", is_required=True, is_many=True),
                Field(name="version", length_max=9, is_hidden=True),
                _NEEDED_NOTE,
            ),
        ),
        Action(
            name="attach",
            perform=_attach,
            fields=(
                Field(name="receipt", is_required=True, length_max=_REFERENCE_LENGTH_MAX),
                _NOTE,
            ),
        ),
        Action(name="republish", perform=_republish),
    )
}
#: Actions on a refund by name.
REFUND_ACTIONS: Mapping[str, Action] = {
    one.name: one
    for one in (
        Action(name="approve", perform=_approve, fields=(_NOTE,)),
        Action(name="withdraw", perform=_withdraw, fields=(_NEEDED_NOTE,)),
        Action(
            name="settle",
            perform=_settle,
            fields=(
                Field(name="outcome", is_required=True, choices=("SUCCEEDED", "FAILED")),
                Field(name="reference", length_max=_REFERENCE_LENGTH_MAX),
                _NEEDED_NOTE,
            ),
        ),
    )
}


def offered(payment: Payment) -> tuple[str, ...]:
    """Name what the page of a payment offers. payd decides; this only leaves out the hopeless."""
    names = ["sync"]
    if payment.status in _CANCELABLE:
        names.append("cancel")
    if is_any_left(payment):
        names.append("refund")
    if payment.attention:
        names.append("resolve")
    return (*names, "attach", "republish")

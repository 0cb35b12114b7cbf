"""Pages that confirm an action, perform it, and say what payd refused."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial

import attrs
from payd_client import PaydClientError, Payment, ReceiptFilter
from quart import Response, request
from quart_trio import QuartTrio

from payd.transport.console.actions import PAYMENT_ACTIONS, REFUND_ACTIONS, Action
from payd.transport.console.reason_lines import reason_lines
from payd.transport.console.texts import texts
from payd.transport.console.visits import Visits, caller, see_other, status_of
from payd.transport.console.written import due, receipt_amount, received, refund_amount, when

#: Receipts to choose from; the list of receipts leads here with any other.
_RECEIPTS_MAX = 100

#: Label and value of what a person looks at before confirming.
Facts = list[tuple[str, str]]


@attrs.frozen(kw_only=True)
class Choice:
    """One value of a field, as a person reads it."""

    value: str
    label: str
    means: str = ""


@attrs.frozen(kw_only=True)
class Look:
    """What a person looks at before an action."""

    payment_id: str
    facts: Facts
    #: Why this operator cannot do it; empty when nothing is known to hinder.
    hindrance: str = ""
    #: Name of a field → its value unless the address has one.
    values: Mapping[str, str] = attrs.field(factory=dict)
    #: Name of a field → what the page offers.
    choices: Mapping[str, Sequence[Choice]] = attrs.field(factory=dict)


def add_to(app: QuartTrio, visits: Visits) -> None:
    """Register the routes. GET asks, POST performs."""

    @app.route("/payments/<payment_id>/<name>", methods=["GET", "POST"])
    async def payment_action(payment_id: str, name: str) -> Response:
        action = PAYMENT_ACTIONS.get(name)
        if action is None:
            return visits.page("notice.html", 404, name="missing")
        look = partial(_look_at_payment, visits, payment_id, name)
        return await visits.answered(partial(_act, visits, action, payment_id, look))

    @app.route("/refunds/<refund_id>/<name>", methods=["GET", "POST"])
    async def refund_action(refund_id: str, name: str) -> Response:
        action = REFUND_ACTIONS.get(name)
        if action is None:
            return visits.page("notice.html", 404, name="missing")
        look = partial(_look_at_refund, visits, refund_id, name)
        return await visits.answered(partial(_act, visits, action, refund_id, look))


async def _act(
    visits: Visits, action: Action, subject: str, look_at: Callable[[], Awaitable[Look]]
) -> Response:
    look = await look_at()
    if request.method == "GET":
        return _ask(visits, action, look, {**look.values, **request.args}, None)
    sent = await request.form
    form = {one.name: " ".join(sent.getlist(one.name)).strip() for one in action.fields}
    # Asked again, a person looks at the payment as it is now: the next form is about that.
    again = form | {name: look.values[name] for name in _hidden(action) if name in look.values}
    if any(
        one.is_many and look.choices.get(one.name) and not form[one.name] for one in action.fields
    ):
        return _ask(visits, action, look, again, None, texts()["choose"])
    try:
        await action.perform(visits.calls, subject, form, caller())
    except PaydClientError as error:
        return _ask(visits, action, look, again, error)
    return see_other(f"/payments/{look.payment_id}?done={action.name}")


def _hidden(action: Action) -> Sequence[str]:
    return [one.name for one in action.fields if one.is_hidden]


def _ask(
    visits: Visits,
    action: Action,
    look: Look,
    values: Mapping[str, str],
    error: PaydClientError | None,
    problem: str = "",
) -> Response:
    status = 400 if problem else 200
    return visits.page(
        "action.html",
        status if error is None else status_of(error),
        problem=problem,
        choices=look.choices,
        action=action,
        facts=look.facts,
        hindrance=look.hindrance,
        values={field.name: values.get(field.name, "") for field in action.fields},
        error=error,
        back=f"/payments/{look.payment_id}",
    )


async def _look_at_payment(visits: Visits, payment_id: str, action: str) -> Look:
    payment = await visits.calls.get(payment_id, caller=caller())
    look = Look(payment_id=str(payment.id), facts=facts_of(payment))
    if action == "resolve":
        reasons = reason_lines(payment)
        return attrs.evolve(
            look,
            hindrance="" if reasons else texts()["attention.nothing"],
            values={
                "reasons": " ".join(one.reason for one in reasons),
                "version": str(payment.version),
            },
            choices={
                "reasons": [
                    Choice(
                        value=one.reason,
                        label=f"{one.reason}: {one.difference}" if one.difference else one.reason,
                        means=one.means,
                    )
                    for one in reasons
                ]
            },
        )
    if action == "attach":
        return attrs.evolve(look, choices={"receipt": await _unmatched(visits, payment)})
    return look


async def _unmatched(visits: Visits, payment: Payment) -> list[Choice]:
    """Offer the newest receipts of the payment's provider that no payment has."""
    wanted = ReceiptFilter(unmatched=True, provider=payment.provider)
    listed = visits.calls.list_receipts(wanted, page_size=_RECEIPTS_MAX, caller=caller())
    found: list[Choice] = []
    async with aclosing(listed) as receipts:
        async for one in receipts:
            label = f"{receipt_amount(one)} · {when(one.time)} · {one.id}"
            found.append(Choice(value=one.id, label=label))
            if len(found) == _RECEIPTS_MAX:
                break
    return found


async def _look_at_refund(visits: Visits, refund_id: str, action: str) -> Look:
    refund = await visits.calls.get_refund(refund_id, caller=caller())
    t, [line] = texts(), visits.refund_lines([refund])
    facts = [
        (t["refund"], str(refund.id)),
        (t["amount"], refund_amount(refund)),
        (t["destination"], refund.destination or t["destination.provider"]),
        (t["status"], refund.status.value),
        (t["requester"], refund.requester),
        (t["reason"], refund.reason),
        (t["payment"], str(refund.payment_id)),
    ]
    is_hindered = action == "approve" and line.approval and action not in line.actions
    return Look(
        payment_id=str(refund.payment_id),
        facts=facts,
        hindrance=line.approval if is_hindered else "",
    )


def facts_of(payment: Payment) -> Facts:
    """Return what a person checks before acting on a payment."""
    t = texts()
    return [
        (t["payment"], str(payment.id)),
        (t["status"], payment.status.value),
        (t["due"], due(payment)),
        (t["received"], received(payment)),
        (t["method"], f"{payment.method} ({payment.provider})"),
        (t["customer"], payment.customer_id),
        (t["attention"], ", ".join(payment.attention)),
    ]

"""Pages that confirm an action, perform it, and say what payd refused."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import attrs
from payd_client import PaydClientError, Payment
from quart import Response, request
from quart_trio import QuartTrio

from payd.transport.console.actions import PAYMENT_ACTIONS, REFUND_ACTIONS, Action
from payd.transport.console.texts import texts
from payd.transport.console.visits import Visits, caller, see_other, status_of
from payd.transport.console.written import due, received, refund_amount

#: Label and value of what a person looks at before confirming.
Facts = list[tuple[str, str]]


@attrs.frozen(kw_only=True)
class Look:
    """What a person looks at before an action."""

    payment_id: str
    facts: Facts
    #: Why this operator cannot do it; empty when nothing is known to hinder.
    hindrance: str = ""


def add_to(app: QuartTrio, visits: Visits) -> None:
    """Register the routes. GET asks, POST performs."""

    @app.route("/payments/<payment_id>/<name>", methods=["GET", "POST"])
    async def payment_action(payment_id: str, name: str) -> Response:
        action = PAYMENT_ACTIONS.get(name)
        if action is None:
            return visits.page("notice.html", 404, name="missing")
        look = partial(_look_at_payment, visits, payment_id)
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
        return _ask(visits, action, look, request.args, None)
    sent = await request.form
    form = {field.name: sent.get(field.name, "").strip() for field in action.fields}
    try:
        await action.perform(visits.calls, subject, form, caller())
    except PaydClientError as error:
        return _ask(visits, action, look, form, error)
    return see_other(f"/payments/{look.payment_id}?done={action.name}")


def _ask(
    visits: Visits,
    action: Action,
    look: Look,
    values: Mapping[str, str],
    error: PaydClientError | None,
) -> Response:
    return visits.page(
        "action.html",
        200 if error is None else status_of(error),
        action=action,
        facts=look.facts,
        hindrance=look.hindrance,
        values={field.name: values.get(field.name, "") for field in action.fields},
        error=error,
        back=f"/payments/{look.payment_id}",
    )


async def _look_at_payment(visits: Visits, payment_id: str) -> Look:
    payment = await visits.calls.get(payment_id, caller=caller())
    return Look(payment_id=str(payment.id), facts=facts_of(payment))


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

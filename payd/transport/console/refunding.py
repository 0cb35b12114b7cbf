"""The pages of a refund: what to send back, a second look at amount and destination, then the call.

The key is made with the form, so that sending it twice refunds once. The second look fixes the
amount of "all that is left": a refund that fails meanwhile does not make it more.
"""

from collections.abc import Mapping
from functools import partial
from uuid import uuid4

from payd_client import Money, PaydClientError, Payment, RefundRequest
from quart import Response, request
from quart_trio import QuartTrio

from payd.domain.decimals import format_units, parse_units
from payd.domain.money import currency_exponent
from payd.transport.console.operations import Facts, facts_of
from payd.transport.console.refund_lines import base_units_left, left, returned, written_left
from payd.transport.console.texts import texts
from payd.transport.console.visits import Visits, caller, see_other, status_of
from payd.transport.console.written import money

#: `left`: all that was left of tokens at the second look, in base units.
_FIELDS = ("amount", "destination", "reason", "key", "left")


def add_to(app: QuartTrio, visits: Visits) -> None:
    """Register the routes."""

    @app.get("/payments/<payment_id>/refund")
    async def refund_form(payment_id: str) -> Response:
        return await visits.answered(partial(_form, visits, payment_id))

    @app.post("/payments/<payment_id>/refund/review")
    async def refund_review(payment_id: str) -> Response:
        return await visits.answered(partial(_review, visits, payment_id))

    @app.post("/payments/<payment_id>/refund")
    async def refund(payment_id: str) -> Response:
        return await visits.answered(partial(_refund, visits, payment_id))


async def _form(visits: Visits, payment_id: str) -> Response:
    payment = await visits.calls.get(payment_id, caller=caller())
    values = {**dict.fromkeys(_FIELDS, ""), "key": f"console-{uuid4()}"}
    return _ask(visits, payment, values, "", 200)


async def _review(visits: Visits, payment_id: str) -> Response:
    payment = await visits.calls.get(payment_id, caller=caller())
    values = await _values()
    try:
        amount = _amount(payment, values["amount"])
        fixed = _fixed(payment, values)
    except ValueError as error:
        return _ask(visits, payment, values, str(error), 400)
    return _second_look(visits, payment, fixed, amount, None)


async def _refund(visits: Visits, payment_id: str) -> Response:
    payment = await visits.calls.get(payment_id, caller=caller())
    values = await _values()
    try:
        amount = _amount(payment, values["amount"])
    except ValueError as error:
        return _ask(visits, payment, values, str(error), 400)
    if amount is None and not _is_as_reviewed(payment, values):
        return _ask(visits, payment, values, texts()["refund.changed"], 409)
    wanted = RefundRequest(
        payment_id=payment.id,
        idempotency_key=values["key"],
        amount=amount,
        reason=values["reason"],
        destination=values["destination"],
    )
    try:
        await visits.calls.refund(wanted, caller=caller())
    except PaydClientError as error:
        return _second_look(visits, payment, values, amount, error)
    return see_other(f"/payments/{payment.id}?done=refund")


async def _values() -> Mapping[str, str]:
    form = await request.form
    return {name: form.get(name, "").strip() for name in _FIELDS}


def _ask(
    visits: Visits, payment: Payment, values: Mapping[str, str], problem: str, status: int
) -> Response:
    return visits.page(
        "refund.html",
        status,
        payment=payment,
        facts=_others(payment),
        returned=returned(payment),
        lines=visits.refund_lines(one for one in payment.refunds if one.status.is_open),
        left=written_left(payment),
        values=values,
        problem=problem,
    )


def _second_look(
    visits: Visits,
    payment: Payment,
    values: Mapping[str, str],
    amount: Money | None,
    error: PaydClientError | None,
) -> Response:
    t = texts()
    everything = t["refund.all"].format(amount=written_left(payment))
    return visits.page(
        "refund_review.html",
        200 if error is None else status_of(error),
        payment=payment,
        sum=everything if amount is None else money(amount),
        facts=[
            (t["destination"], values["destination"] or t["destination.provider"]),
            (t["reason"], values["reason"]),
            *_others(payment),
        ],
        returned=returned(payment),
        lines=visits.refund_lines(one for one in payment.refunds if one.status.is_open),
        values=values,
        error=error,
    )


def _others(payment: Payment) -> Facts:
    """What a person checks of a payment, beside the sums of its money."""
    return [row for row in facts_of(payment) if row[0] != texts()["received"]]


def _amount(payment: Payment, text: str) -> Money | None:
    """Return the amount; None for all that is left. Raises ValueError."""
    if not text:
        return None
    currency = payment.amount.currency_code
    units = parse_units(text, currency_exponent(currency))
    if units == 0:
        raise ValueError(texts()["refund.nothing"])
    return Money(currency_code=currency, minor_units=units)


def _fixed(payment: Payment, values: Mapping[str, str]) -> Mapping[str, str]:
    """Return the form that sends what the second look shows. Raises ValueError."""
    if values["amount"]:
        return values
    if payment.crypto is not None:
        # No amount in minor units is exactly all that is left.
        return {**values, "left": str(base_units_left(payment))}
    rest = left(payment)
    text = format_units(rest.minor_units, currency_exponent(rest.currency_code))
    _amount(payment, text)
    return {**values, "amount": text}


def _is_as_reviewed(payment: Payment, values: Mapping[str, str]) -> bool:
    """Whether all that is left is what the second look showed, or this refund took it already."""
    is_made = any(one.idempotency_key == values["key"] for one in payment.refunds)
    return is_made or values["left"] == str(base_units_left(payment))

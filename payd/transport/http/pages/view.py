"""What stands on a payment's page: plain values, ready for the template, which decides nothing."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs

from payd.domain.evidence import Receipt, ReceiptState
from payd.domain.money import written
from payd.domain.next_action import Redirect
from payd.domain.payment import LineItem, Payment
from payd.domain.refund import Refund, RefundStatus
from payd.plugins.interface import Method
from payd.ports import Registered
from payd.service.show_payment import Shown
from payd.service.show_receipts import token_of, transaction_page, web_address
from payd.transport.http.pages.amounts import written_units
from payd.transport.http.pages.instructions import Instructions, instructions_of
from payd.transport.http.pages.situations import (
    PAYABLE,
    SETTLED,
    UNDER_WAY,
    Situation,
    situation_of,
)
from payd.transport.http.pages.texts import texts

_TONES = {
    **dict.fromkeys((Situation.PAID, Situation.LATE), "good"),
    **dict.fromkeys((Situation.EXPIRED, Situation.FAILED, Situation.OVERDUE), "bad"),
    **dict.fromkeys((Situation.INCOMPLETE, Situation.CANCELED), "bad"),
    **dict.fromkeys((Situation.PARTLY, Situation.SEEN), "news"),
}
#: The amount that a page is about; else it is what was due.
_SUMS = {
    Situation.PARTLY: "left",
    Situation.REFUNDING: "returning",
    Situation.REFUNDED: "refunded",
    Situation.PARTLY_REFUNDED: "refunded",
    Situation.INCOMPLETE: "received",
}


@attrs.frozen(kw_only=True)
class Transfer:
    """One arrival of money, with its page in a block explorer."""

    amount: str
    state: str
    time: datetime
    transaction: str = ""
    link: str = ""


@attrs.frozen(kw_only=True)
class View:
    """A payment's page."""

    situation: Situation
    tone: str
    title: str
    body: str
    version: int
    #: The time at which the payment stood so.
    as_of: datetime
    number: str
    total: str
    #: The amount that it is about: to be sent, due, or going back.
    sum: str
    method: str
    items: Sequence[tuple[str, str]]
    create_time: datetime
    complete_time: datetime | None
    #: When it was closed without having been paid in full.
    close_time: datetime | None
    is_live: bool
    is_settled: bool
    #: Whether it can be printed as a proof of payment.
    has_receipt: bool
    #: Seconds until it expires; None when nothing is waited for.
    left_s: int | None
    expire_time: datetime
    instructions: Instructions | None
    redirect_url: str
    received: str
    #: Of refunds that were sent; empty without one.
    refunded: str
    #: Of refunds under way; empty without one.
    returning: str
    #: Why it was declined, in payd's words; the provider's may be about the customer.
    cause: str
    notes: Sequence[str]
    transfers: Sequence[Transfer]
    refunds: Sequence[Transfer]
    #: Where its button leads, empty without an address, and the words on it.
    back_url: str
    back: str


def view_of(shown: Shown, now: datetime, methods: Sequence[Registered], page_url: str = "") -> View:
    """The page of a payment as it stands now, whose own address is `page_url`."""
    payment, situation = shown.payment, situation_of(shown.payment, now)
    method = next((one.method for one in methods if one.method.key == payment.method), None)
    amounts = _amounts(payment)
    is_payable = situation in PAYABLE
    is_settled = situation in SETTLED or situation is Situation.REFUNDING
    return View(
        situation=situation,
        tone=_TONES.get(situation, "plain"),
        title=texts()[f"{situation.value}.title"].format_map(amounts),
        body=texts()[f"{situation.value}.body"].format_map(amounts),
        version=payment.version,
        as_of=now,
        number=str(payment.id),
        total=written(payment.amount),
        sum=amounts[_SUMS.get(situation, "due")],
        method=method.display_name if method else payment.method,
        items=[(_name(item), written(item.unit_price)) for item in payment.items],
        create_time=payment.create_time,
        complete_time=payment.complete_time,
        close_time=None if payment.complete_time else payment.close_time,
        is_live=situation not in SETTLED,
        is_settled=is_settled,
        has_receipt=is_settled and payment.complete_time is not None,
        left_s=max(0, round((payment.expire_time - now).total_seconds())) if is_payable else None,
        expire_time=payment.expire_time,
        instructions=instructions_of(payment, method, page_url) if is_payable else None,
        redirect_url=_redirect(payment) if situation is Situation.ELSEWHERE else "",
        received=amounts["received"] if payment.received else "",
        refunded=amounts["refunded"] if payment.refunded else "",
        returning=amounts["returning"] if _returning(payment) else "",
        cause=_cause(payment) if situation is Situation.FAILED else "",
        notes=_notes(payment),
        transfers=[_transfer(payment, receipt, method) for receipt in shown.receipts],
        refunds=[_refund(payment, one) for one in payment.refunds if one.status in _GOES_BACK],
        back_url=_back_url(payment, is_payable=is_payable),
        back=texts()[_BACKS.get(situation, "back")],
    )


#: What leaving the page means while it waits for money. It cancels nothing.
_BACKS = {
    **dict.fromkeys(PAYABLE, "leave"),
    Situation.PARTLY: "leave_partly",
}


def _back_url(payment: Payment, *, is_payable: bool) -> str:
    turned = web_address(payment.cancel_url) if is_payable else ""
    return turned or web_address(payment.return_url)


def _amounts(payment: Payment) -> Mapping[str, str]:
    units = {
        "due": payment.due,
        "received": payment.received,
        "left": max(0, payment.due - payment.received),
        "refunded": payment.refunded,
        "returning": _returning(payment),
    }
    return {name: written_units(payment, amount) for name, amount in units.items()}


def _returning(payment: Payment) -> int:
    return sum(refund.amount for refund in payment.refunds if refund.status in UNDER_WAY)


def _name(item: LineItem) -> str:
    return f"{item.chain_profile_id} {item.node_type}, {item.duration}"


def _cause(payment: Payment) -> str:
    code = payment.failure.code if payment.failure else ""
    return texts().get(f"failure.{code}", "")


def _notes(payment: Payment) -> list[str]:
    extra = payment.received - payment.due
    if extra <= 0 or payment.refunded:
        return []
    return [texts()["overpaid"].format(extra=written_units(payment, extra))]


def _transfer(payment: Payment, receipt: Receipt, method: Method | None) -> Transfer:
    return Transfer(
        amount=written_units(payment, receipt.amount) if payment.is_asset(receipt.asset) else "",
        state=texts()[f"transfer_{_STATE[receipt.state]}"],
        time=receipt.time,
        transaction=receipt.details.get("transaction", ""),
        link=transaction_page(token_of(payment, method), receipt),
    )


_STATE = {state: state.value.lower() for state in ReceiptState}


_GOES_BACK = UNDER_WAY | {RefundStatus.SUCCEEDED}


def _refund(payment: Payment, refund: Refund) -> Transfer:
    is_sent = refund.status is RefundStatus.SUCCEEDED
    return Transfer(
        amount=written_units(payment, refund.amount),
        state=texts()["refund_sent" if is_sent else "refund_under_way"],
        time=refund.complete_time or refund.create_time,
    )


def _redirect(payment: Payment) -> str:
    return web_address(payment.next_action.url) if isinstance(payment.next_action, Redirect) else ""

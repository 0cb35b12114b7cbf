"""What stands on a payment's page: plain values, ready for the template, which decides nothing."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs

from payd.domain.evidence import Receipt, ReceiptState
from payd.domain.money import written
from payd.domain.next_action import CryptoTransfer, Redirect, Show, ShowKind
from payd.domain.payment import LineItem, Payment
from payd.domain.refund import Refund, RefundStatus
from payd.plugins.interface import Method
from payd.ports import Registered
from payd.service.show_payment import Shown
from payd.service.show_receipts import token_of, transaction_page, web_address
from payd.transport.http.pages.amounts import plain, written_units
from payd.transport.http.pages.qr import qr_svg, transfer_payload
from payd.transport.http.pages.situations import (
    PAYABLE,
    SETTLED,
    UNDER_WAY,
    Situation,
    situation_of,
)
from payd.transport.http.pages.texts import texts

#: Characters of one word from which on it is shown in groups.
_LONG = 24
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
class Row:
    """One value to send or to type; with `copied`, a button copies it."""

    key: str
    label: str
    value: str
    copied: str = ""
    note: str = ""

    @property
    def is_long(self) -> bool:
        """Whether it is an address or a memo, which people compare in groups of four."""
        return len(self.value) >= _LONG and self.value.isalnum()


@attrs.frozen(kw_only=True)
class Instructions:
    """What the customer has to send, by hand or by a code."""

    rows: Sequence[Row]
    #: An SVG element that payd made, and its description.
    qr: str = ""
    qr_label: str = ""
    wallet_url: str = ""
    text: str = ""
    warning: str = ""


@attrs.frozen(kw_only=True)
class Transfer:
    """One arrival of money, with its page in a block explorer."""

    amount: str
    state: str
    time: datetime
    link: str = ""
    short: str = ""


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
    notes: Sequence[str]
    transfers: Sequence[Transfer]
    refunds: Sequence[Transfer]
    back_url: str
    cancel_url: str


def view_of(shown: Shown, now: datetime, methods: Sequence[Registered]) -> View:
    """The page of a payment as it stands now."""
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
        instructions=_instructions(payment, method) if is_payable else None,
        redirect_url=_redirect(payment) if situation is Situation.ELSEWHERE else "",
        received=amounts["received"] if payment.received else "",
        refunded=amounts["refunded"] if payment.refunded else "",
        returning=amounts["returning"] if _returning(payment) else "",
        notes=_notes(payment),
        transfers=[_transfer(payment, receipt, method) for receipt in shown.receipts],
        refunds=[_refund(payment, one) for one in payment.refunds if one.status in _GOES_BACK],
        back_url=web_address(payment.return_url),
        cancel_url=web_address(payment.cancel_url) or web_address(payment.return_url),
    )


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


def _notes(payment: Payment) -> list[str]:
    extra = payment.received - payment.due
    if extra <= 0 or payment.refunded:
        return []
    return [texts()["overpaid"].format(extra=written_units(payment, extra))]


def _instructions(payment: Payment, method: Method | None) -> Instructions | None:
    match payment.next_action:
        case CryptoTransfer() as action:
            return _crypto(payment, action, method)
        case Show() as show:
            return _shown(show)
        case _:
            return None


def _crypto(payment: Payment, action: CryptoTransfer, method: Method | None) -> Instructions:
    words, left = texts(), max(0, action.amount_base_units - payment.received)
    amount = plain(left, action.decimals)
    token = token_of(payment, method)
    number = words["network_number"].format(number=action.chain_id)
    network = f"{token.network} ({number})" if token and token.network else number
    receiver, contract = action.receiver_address, action.token_address
    # At an address of its own the payment is recognised without a memo.
    memo = "" if receiver in payment.aliases else action.memo
    rows = [
        _copied("amount", f"{amount} {action.currency}", amount),
        _copied("address", receiver, receiver),
        *_memo(memo),
        Row(key="network", label=words["network"], value=network),
        _copied("token", contract, contract),
    ]
    payload = transfer_payload(action, left)
    name = token.network if token and token.network else number
    return Instructions(
        rows=rows,
        qr=qr_svg(payload) if payload else "",
        qr_label=words["qr"].format(
            amount=f"{amount} {action.currency}", address=action.receiver_address
        ),
        wallet_url=payload if payload.startswith("ethereum:") else "",
        warning=words["only_network"].format(currency=action.currency, network=name),
    )


def _memo(memo: str) -> list[Row]:
    """The memo as a person types it: as text where it is text, else as hex."""
    if not memo:
        return []
    text = _as_text(memo)
    note = texts()["memo_needed"]
    return [attrs.evolve(_copied("memo", text, text), note=note)]


def _copied(key: str, value: str, copied: str) -> Row:
    return Row(key=key, label=texts()[key], value=value, copied=copied)


def _as_text(memo: str) -> str:
    try:
        text = bytes.fromhex(memo.removeprefix("0x")).strip(b"\0").decode("ascii")
    except ValueError:
        return memo
    return text if text.isprintable() and text else memo


def _shown(show: Show) -> Instructions:
    is_code = show.kind is ShowKind.QR
    return Instructions(
        rows=[
            Row(
                key=f"line-{number}",
                label=line.label,
                value=line.value,
                copied=line.value if line.copyable else "",
            )
            for number, line in enumerate(show.fields)
        ],
        qr=qr_svg(show.payload) if is_code else "",
        qr_label=texts()["qr_text"],
        text="" if is_code else show.payload,
    )


def _transfer(payment: Payment, receipt: Receipt, method: Method | None) -> Transfer:
    transaction = receipt.details.get("transaction", "")
    return Transfer(
        amount=written_units(payment, receipt.amount) if payment.is_asset(receipt.asset) else "",
        state=texts()[f"transfer_{_STATE[receipt.state]}"],
        time=receipt.time,
        link=transaction_page(token_of(payment, method), receipt),
        short=f"{transaction[:10]}…" if len(transaction) > 11 else transaction,
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

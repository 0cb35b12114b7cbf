"""Refunds as an operator reads them: what has gone back, what is on its way, who may approve."""

from collections.abc import Iterable, Iterator, Sequence

import attrs
from payd_client import (
    CryptoTransfer,
    DisputeStatus,
    Money,
    Payment,
    Redirect,
    Refund,
    RefundStatus,
    Show,
)

from payd.domain.actors import CONSOLE
from payd.transport.console.texts import texts
from payd.transport.console.written import money, received, tokens, when, written_units

#: They wait for a person.
WAITING = (RefundStatus.AWAITING_APPROVAL, RefundStatus.AWAITING_TRANSFER)


@attrs.frozen(kw_only=True)
class RefundLine:
    """One refund, what the operator of the page can do about it, and why not more."""

    refund: Refund
    actions: tuple[str, ...]
    #: Who may approve it; empty for a refund that waits for no approval.
    approval: str
    #: What a person has to send: label and value, whole, since people copy them.
    to_send: tuple[tuple[str, str], ...]


def lines(refunds: Iterable[Refund], user: str, operators: Sequence[str]) -> tuple[RefundLine, ...]:
    """Return a line for each refund. `operators` can log in to the console."""
    return tuple(
        RefundLine(
            refund=refund,
            actions=tuple(
                name for name in _offered(refund) if name != "approve" or may_approve(refund, user)
            ),
            approval=approval(refund, user, operators),
            to_send=tuple(to_send(refund)),
        )
        for refund in refunds
    )


def may_approve(refund: Refund, user: str) -> bool:
    """Whether this operator of the console is another one than the requester."""
    return refund.requester != f"{CONSOLE}/{user}"


def approval(refund: Refund, user: str, operators: Sequence[str]) -> str:
    """Say who may approve a refund, and why its requester may not; empty if none is needed."""
    if refund.status is not RefundStatus.AWAITING_APPROVAL:
        return ""
    t = texts()
    others = ", ".join(name for name in sorted(operators) if may_approve(refund, name))
    if may_approve(refund, user):
        return t["approval.other"].format(requester=refund.requester or t["unknown"])
    who = t["approval.console" if others else "approval.command"]
    return t["approval.own"].format(who=who.format(names=others, id=refund.id))


def to_send(refund: Refund) -> Iterator[tuple[str, str]]:
    """Say what a person has to send for a refund that waits for a transfer."""
    t = texts()
    match refund.next_action:
        case CryptoTransfer() as transfer:
            amount = tokens(transfer.amount_base_units, transfer.decimals, transfer.currency)
            yield t["amount"], amount
            yield t["send.receiver"], transfer.receiver_address
            yield t["send.memo"], transfer.memo
            yield t["send.memo_text"], transfer.memo_text
            yield t["send.token"], transfer.token_address
            yield t["send.chain"], str(transfer.chain_id)
        case Show() as show:
            yield from ((one.label, one.value) for one in show.fields)
            yield t["send.text"], show.payload
            yield t["send.until"], when(show.expire_time)
        case Redirect(url=url):
            yield t["send.page"], url
        case None:
            return


def returned(payment: Payment) -> list[tuple[str, str]]:
    """Say what came in, what went back, what is on its way back, and what is left."""
    t = texts()
    rows = [(t["received"], received(payment)), (t["refunded"], money(payment.refunded))]
    for status in RefundStatus:
        found = [one for one in payment.refunds if one.status is status]
        if found and status.is_open:
            rows.append((t[f"refund.sum.{status.value}"], _sum(payment, found)))
    currency = payment.amount.currency_code
    lost = [one.amount for one in payment.disputes if one.status is DisputeStatus.LOST]
    # A dispute about another asset has no amount in this currency.
    taken = sum(one.minor_units for one in lost if one and one.currency_code == currency)
    if taken:
        rows.append((t["refund.lost"], money(Money(currency_code=currency, minor_units=taken))))
    return [*rows, (t["refund.rest"], written_left(payment))]


def written_left(payment: Payment) -> str:
    """All that can be refunded, exact for tokens."""
    units = base_units_left(payment)
    return money(left(payment)) if units is None else written_units(payment, units)


def base_units_left(payment: Payment) -> int | None:
    """All that is left of tokens; None for other money."""
    return None if payment.crypto is None else payment.crypto.left_to_refund_base_units or 0


def left(payment: Payment) -> Money:
    """All that is left, as payd says; rounded down for tokens."""
    nothing = Money(currency_code=payment.amount.currency_code, minor_units=0)
    return payment.left_to_refund or nothing


def is_any_left(payment: Payment) -> bool:
    """Whether anything can be refunded."""
    return bool(base_units_left(payment) or left(payment).minor_units)


def _offered(refund: Refund) -> tuple[str, ...]:
    match refund.status:
        case RefundStatus.AWAITING_APPROVAL:
            return "approve", "withdraw"
        case RefundStatus.AWAITING_TRANSFER:
            return "withdraw", "settle"
        case RefundStatus.CREATING:
            return ("settle",)
        case _:
            return ()


def _sum(payment: Payment, refunds: Sequence[Refund]) -> str:
    """The sum of refunds of one payment, exact for tokens."""
    return written_units(
        payment,
        sum(
            one.crypto.amount_base_units if one.crypto is not None else one.amount.minor_units
            for one in refunds
        ),
    )

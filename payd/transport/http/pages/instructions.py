"""What a customer has to send: the values to type or to copy, and a code that has them."""

import re
from collections.abc import Sequence

import attrs

from payd.domain.next_action import CryptoTransfer, Show, ShowKind
from payd.domain.payment import Payment
from payd.plugins.interface import Method
from payd.service.show_receipts import token_of
from payd.transport.http.pages.amounts import plain, says_units, typed_units, unit_of
from payd.transport.http.pages.qr import qr_svg, transfer_payload
from payd.transport.http.pages.texts import texts
from payd.transport.http.pages.wallet import wallet_requests

#: Characters of one word from which on it is shown in groups.
_LONG = 24
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_GROUP = 4


@attrs.frozen(kw_only=True)
class Row:
    """One value to send or to type; with `copied`, a button copies it."""

    key: str
    label: str
    value: str
    copied: str = ""
    note: str = ""

    @property
    def groups(self) -> Sequence[str]:
        """An address, a memo or an account in groups of four, as people compare it; else nothing.

        `0x` is a group of its own.
        """
        is_long = len(self.value) >= _LONG and self.value.isalnum()
        if not is_long and not _IBAN.fullmatch(self.value):
            return ()
        start = "0x" if self.value.startswith("0x") else ""
        digits = self.value.removeprefix(start)
        groups = [digits[at : at + _GROUP] for at in range(0, len(digits), _GROUP)]
        return [start, *groups] if start else groups


@attrs.frozen(kw_only=True)
class Instructions:
    """What the customer has to send, by hand or by a code."""

    rows: Sequence[Row]
    #: An SVG element that payd made, and its description.
    qr: str = ""
    qr_label: str = ""
    #: What to do with the code.
    caption: str = ""
    wallet_url: str = ""
    #: Requests to a wallet in the browser, as JSON.
    wallet_requests: str = ""
    text: str = ""
    warning: str = ""


def instructions_of(payment: Payment, method: Method | None, page_url: str) -> Instructions | None:
    """What has to be sent; None where another page says it."""
    match payment.next_action:
        case CryptoTransfer() as action:
            return _crypto(payment, action, method, page_url)
        case Show() as show:
            return _shown(payment, show)
        case _:
            return None


def _crypto(
    payment: Payment, action: CryptoTransfer, method: Method | None, page_url: str
) -> Instructions:
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
        # Few wallets know the transfer with a memo.
        caption=words["scan_memo" if memo else "scan"],
        wallet_url=payload if payload.startswith("ethereum:") else "",
        wallet_requests=wallet_requests(payment, action, method, page_url),
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


def _shown(payment: Payment, show: Show) -> Instructions:
    is_code = show.kind is ShowKind.QR
    # The provider made its code and its line for all that is due, and a part of it has arrived.
    is_partly_paid = payment.received != 0
    rows = [
        Row(
            key=f"line-{number}",
            label=line.label,
            value=line.value,
            copied=line.value if line.copyable else "",
        )
        for number, line in enumerate(show.fields)
        if not (is_partly_paid and says_units(line.value, payment, payment.due))
    ]
    left = max(0, payment.due - payment.received)
    amount = typed_units(payment, left)
    if not any(says_units(row.value, payment, left) for row in rows):
        rows.insert(0, _copied("amount", f"{amount} {unit_of(payment)}", amount))
    return Instructions(
        rows=rows,
        qr=qr_svg(show.payload) if is_code and not is_partly_paid else "",
        qr_label=texts()["qr_text"],
        caption=texts()["scan_bank"],
        text="" if is_code else show.payload,
    )

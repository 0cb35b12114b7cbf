"""A payment in each situation that its page has words for, as its customer may see it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import attrs

from payd.domain.evidence import Receipt, ReceiptState
from payd.domain.money import Money, TokenTerms
from payd.domain.next_action import CryptoTransfer, Redirect, Show, ShowField, ShowKind
from payd.domain.outcome import Failure
from payd.domain.payment import Customer, LineItem, Payment, Status
from payd.domain.refund import Refund, RefundStatus
from payd.domain.sums import ReceiptSums
from payd.plugins.interface import CryptoCurrency, Method
from payd.ports.provider import ProviderPort, Registered
from payd.service.show_payment import Shown
from support.tempo import transfer_data

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
CHAIN_ID = 42431
TOKEN = "0x20c0000000000000000000000000000000000001"
RECEIVER = "0x4e5b2e1dc63f6b91cb6cd759936495434c7e972f"
MEMO = "0x" + b"01JDZQ8XW5T3M7K9A2B4C6D8E0".ljust(32, b"\0").hex()
#: A memo as payd makes it: 32 characters that a person can type.
TEXT_MEMO = "0x" + b"81H455VB4PEX5VSKNK084SN02Q3RAVHX".hex()
HASH = "0x" + "5c50" * 16
DUE = 149_000_000
EXPLORER = "https://explore.example/tx/{transaction}"
METHODS = [
    Registered(method=method, provider=cast(ProviderPort, None))
    for method in (
        Method(key="card", display_name="Card", currencies=("USD",)),
        Method(key="transfer", display_name="Bank transfer", currencies=("USD",)),
        Method(
            key="crypto",
            display_name="Stablecoins on Tempo",
            currencies=("USD",),
            crypto_currencies=(
                CryptoCurrency(
                    code="USDC",
                    chain_id=CHAIN_ID,
                    token_address=TOKEN,
                    decimals=6,
                    network="Tempo testnet",
                    wallet_method="wallet_transfer",
                    transaction_url=EXPLORER,
                ),
            ),
        ),
    )
]


def a_transfer(memo: str = MEMO) -> CryptoTransfer:
    """149.00 USDC, with a memo or without."""
    call = f"transferWithMemo?address={RECEIVER}&uint256={DUE}&bytes32={memo}"
    plain = f"transfer?address={RECEIVER}&uint256={DUE}"
    return CryptoTransfer(
        currency="USDC",
        chain_id=CHAIN_ID,
        token_address=TOKEN,
        receiver_address=RECEIVER,
        amount_base_units=DUE,
        decimals=6,
        memo=memo,
        calldata=transfer_data(RECEIVER, DUE, memo or None),
        payment_uri=f"ethereum:{TOKEN}@{CHAIN_ID}/{call if memo else plain}",
    )


def a_payment(number: int, **overrides: Any) -> Payment:
    """Open, 149.00 USD in USDC, 20 minutes left."""
    price = Money(currency_code="USD", minor_units=14_900)
    item = LineItem(
        chain_profile_id="ethereum-mainnet", node_type="full", duration="30d", unit_price=price
    )
    fields: dict[str, Any] = {
        "id": UUID(int=0x0197_0000_0000_7000_8000_0000_0000_0000 + number),
        "status": Status.PENDING,
        "idempotency_key": f"key-{number}",
        "request_hash": b"",
        "customer": Customer(id="user-1", email="user@example.org"),
        "method": "crypto",
        "provider": "tempo",
        "amount": price,
        "crypto": TokenTerms(
            currency="USDC",
            chain_id=CHAIN_ID,
            token_address=TOKEN,
            decimals=6,
            due_base_units=DUE,
        ),
        "items": (item,),
        "pricing_version": "prices-1",
        "create_time": NOW - timedelta(minutes=10),
        "update_time": NOW,
        "expire_time": NOW + timedelta(minutes=20),
        "next_action": a_transfer(),
        "return_url": "https://shop.example/?back=paid",
        "cancel_url": "https://shop.example/?back=turned",
    }
    return Payment(**(fields | overrides))


def _card(number: int, **overrides: Any) -> Payment:
    page = Redirect(url="https://pay.invalid/cs_1")
    card = {"method": "card", "provider": "stripe", "crypto": None, "next_action": page}
    return a_payment(number, **(card | overrides))


def _receipts(amount: int, state: ReceiptState = ReceiptState.CONFIRMED) -> tuple[Receipt, ...]:
    return (
        Receipt(
            id="r-1",
            asset=TOKEN,
            amount=amount,
            state=state,
            time=NOW - timedelta(minutes=1),
            details={"transaction": HASH, "sender": RECEIVER},
        ),
    )


def a_refund(status: RefundStatus, amount: int, minutes_ago: int = 1) -> Refund:
    """A refund of a part or of all."""
    time = NOW - timedelta(minutes=minutes_ago)
    return Refund(
        id=UUID(int=minutes_ago),
        idempotency_key=f"refund-{minutes_ago}",
        status=status,
        amount=amount,
        create_time=time,
        update_time=time,
        complete_time=time if status is RefundStatus.SUCCEEDED else None,
    )


def _of(payment: Payment, received: int = 0, state: ReceiptState = ReceiptState.CONFIRMED) -> Shown:
    if not received:
        return Shown(payment=payment, receipts=())
    final = state is ReceiptState.CONFIRMED
    by_time = (received, 0, 0)
    sums = ReceiptSums(
        late_end=NOW + timedelta(days=1),
        **{"confirmed" if final else "seen": by_time},
    )
    return Shown(payment=attrs.evolve(payment, sums=sums), receipts=_receipts(received, state))


_DONE: dict[str, Any] = {"status": Status.COMPLETED, "complete_time": NOW - timedelta(seconds=30)}
_BANK = Show(
    kind=ShowKind.BANK_TRANSFER,
    payload="Use your bank. Type each value as it stands.",
    fields=(
        ShowField(label="IBAN", value="DE89370400440532013000", copyable=True),
        ShowField(label="Reference", value="RF18 5390 0754", copyable=True),
        ShowField(label="Currency", value="USD"),
    ),
)

#: Name of the picture → the payment. A name begins with the situation's.
GALLERY: Mapping[str, Shown] = {
    "starting": _of(a_payment(1, status=Status.CREATING, next_action=None)),
    "elsewhere": _of(_card(2)),
    "waiting": _of(a_payment(3)),
    "waiting-without-memo": _of(a_payment(4, next_action=a_transfer(memo=""))),
    "waiting-for-the-bank": _of(_card(5, method="transfer", next_action=_BANK)),
    "partly": _of(a_payment(6, status=Status.PROCESSING), 74_500_000),
    "seen": _of(a_payment(7, status=Status.PROCESSING), DUE, ReceiptState.SEEN),
    "seen-by-card": _of(_card(8, status=Status.PROCESSING)),
    "overdue": _of(a_payment(9, expire_time=NOW - timedelta(seconds=5))),
    "paid": _of(a_payment(10, **_DONE), DUE),
    "paid-by-card": _of(_card(11, snapshot_confirmed=14_900, **_DONE)),
    "paid-too-much": _of(a_payment(12, **_DONE), DUE + 1_000_000),
    "late": _of(a_payment(13, late=True, close_time=NOW - timedelta(minutes=2), **_DONE), DUE),
    "refunding": _of(a_payment(14, refunds=(a_refund(RefundStatus.PENDING, DUE),), **_DONE), DUE),
    "refunding-a-part": _of(
        a_payment(
            22,
            refunds=(
                a_refund(RefundStatus.SUCCEEDED, 48_850_000, minutes_ago=2),
                a_refund(RefundStatus.PENDING, 29_000_000),
            ),
            **_DONE,
        ),
        DUE,
    ),
    "refunded": _of(a_payment(15, refunds=(a_refund(RefundStatus.SUCCEEDED, DUE),), **_DONE), DUE),
    "partly_refunded": _of(
        a_payment(16, refunds=(a_refund(RefundStatus.SUCCEEDED, 48_850_000),), **_DONE), DUE
    ),
    "canceling": _of(a_payment(17, status=Status.CANCELING)),
    "canceled": _of(a_payment(18, status=Status.CANCELED, close_time=NOW)),
    "expired": _of(a_payment(19, status=Status.EXPIRED, close_time=NOW)),
    "failed": _of(
        _card(
            20,
            status=Status.FAILED,
            close_time=NOW,
            failure=Failure(code="expired_card", message="Your card has expired: 4242, Ms. Meier"),
        )
    ),
    "incomplete": _of(a_payment(21, status=Status.EXPIRED, close_time=NOW), 74_500_000),
}

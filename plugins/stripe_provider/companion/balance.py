"""The account's balance, and its transactions: what each movement of money did to it."""

from stripe_provider.companion.currencies import decimals
from stripe_provider.companion.objects import BALANCE_TRANSACTION, Json, new_id

#: What the stand-in keeps of a charge, in tenths of a percent, and per charge in cents.
_FEE_PERMILLE = 29
_FEE_CENTS = 30
#: What a dispute costs, in cents.
_DISPUTE_FEE_CENTS = 1500
#: How the account's reports file each type of transaction.
_CATEGORIES = {
    "charge": "charge",
    "refund": "refund",
    "refund_failure": "refund_failure",
    "dispute": "dispute",
    "dispute_reversal": "dispute_reversal",
}


def charge_fee(amount: int, currency: str) -> int:
    """Return what is kept of a charge."""
    share = (amount * _FEE_PERMILLE + 500) // 1000
    return share + (_FEE_CENTS if decimals(currency) == 2 else 0)


def dispute_fee(currency: str) -> int:
    """Return what a dispute costs."""
    return _DISPUTE_FEE_CENTS if decimals(currency) == 2 else 0


def transaction(source: Json, kind: str, amount: int, *, fee: int = 0, now: int) -> Json:
    """Build the transaction of a charge, refund or dispute; `amount` is negative for money out."""
    details = {
        "amount": fee,
        "application": None,
        "currency": source["currency"],
        "description": "Stripe processing fees",
        "type": "stripe_fee",
    }
    return {
        "id": new_id("txn_3", 23),
        "object": BALANCE_TRANSACTION,
        "amount": amount,
        "available_on": now,
        "balance_type": "payments",
        "created": now,
        "currency": source["currency"],
        "description": None,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [details] if fee else [],
        "net": amount - fee,
        "reporting_category": _CATEGORIES[kind],
        "source": source["id"],
        "status": "available",
        # A dispute moves money by adjustments.
        "type": "adjustment" if kind.startswith("dispute") else kind,
    }


def balance(*, livemode: bool) -> Json:
    """Build the balance, which is always zero."""
    amounts = [{"amount": 0, "currency": "usd", "source_types": {"card": 0}}]
    return {
        "object": "balance",
        "available": amounts,
        "livemode": livemode,
        "pending": amounts,
        "refund_and_dispute_prefunding": {"available": [], "pending": []},
    }

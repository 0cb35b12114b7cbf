"""The operations of a check: the ways to pay, and a create operation as payd builds it."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import attrs

from payd.domain.money import base_units, currency_exponent
from payd.plugins import (
    AmountRule,
    Created,
    CreateOperation,
    CryptoCurrency,
    LineItem,
    Method,
    Money,
    Provider,
    SupportsPrepare,
    TokenTerms,
)

__all__ = ["Way", "asset", "create_operation", "due", "names", "prepared", "ways"]


@attrs.frozen(kw_only=True)
class Way:
    """One way to pay: a method, a currency and, for a method that takes tokens, a token."""

    method: Method
    currency: str
    token: CryptoCurrency | None

    @property
    def decimals(self) -> int:
        """Number of decimals of the asset that the customer pays."""
        return self.token.decimals if self.token else currency_exponent(self.currency)

    def takes(self, minor_units: int) -> bool:
        """Whether the method's amount rule allows this amount."""
        rule = self.method.amounts.get(self.currency, AmountRule())
        money = Money(currency_code=self.currency, minor_units=minor_units)
        return rule.wrong_with((money,), money) is None


def ways(methods: Sequence[Method], kind: Callable[[Way], object]) -> Sequence[Way]:
    """One way to pay for each method and kind."""
    found: dict[tuple[str, object], Way] = {}
    for method in methods:
        for currency in method.currencies:
            tokens = [one for one in method.crypto_currencies if one.pays(currency)]
            for token in tokens if method.crypto_currencies else (None,):
                way = Way(method=method, currency=currency, token=token)
                found.setdefault((method.key, kind(way)), way)
    return list(found.values())


def create_operation(
    way: Way, minor_units: int, metadata: Mapping[str, str], now: datetime, **other: Any
) -> CreateOperation:
    """Build a create operation for a new payment; `other` replaces its usual fields."""
    method, token = way.method, way.token
    amount = Money(currency_code=way.currency, minor_units=minor_units)
    payment_id = uuid4()
    fields: dict[str, Any] = {
        "operation_id": f"payd:{payment_id}:create:v1",
        "payment_id": payment_id,
        "method": method.key,
        "amount": amount,
        "crypto": _terms(token, amount) if token else None,
        "items": (
            LineItem(
                chain_profile_id="ethereum-mainnet",
                node_type="full",
                duration="30d",
                unit_price=amount,
            ),
        ),
        "customer_id": "customer-1",
        "create_time": now,
        "expire_time": now + method.default_expiry,
        "return_url": "https://shop.example/paid",
        "cancel_url": "https://shop.example/back",
        "metadata": metadata,
    }
    return CreateOperation(**{**fields, **other})


def prepared(provider: Provider, operation: CreateOperation) -> CreateOperation:
    """Add what the provider prepares, as payd stores it: by way of JSON, and without the tag."""
    if not isinstance(provider, SupportsPrepare):
        return operation
    parameters = json.loads(json.dumps(dict(provider.prepare(operation))))
    return attrs.evolve(operation, parameters=parameters, tag=None)


def names(operation: CreateOperation, created: Created) -> set[str]:
    """The references by which an observation may name the object."""
    return {str(operation.payment_id), created.reference, *created.aliases}


def asset(operation: CreateOperation) -> str:
    """The asset that is due: a token address or a currency code."""
    if operation.crypto:
        return operation.crypto.token_address
    return operation.amount.currency_code


def due(operation: CreateOperation) -> int:
    """The amount due in units of the asset."""
    if operation.crypto:
        return operation.crypto.due_base_units
    return operation.amount.minor_units


def _terms(token: CryptoCurrency, amount: Money) -> TokenTerms:
    """The amount due in a token, at par with the price list's currency."""
    return TokenTerms(
        currency=token.code,
        chain_id=token.chain_id,
        token_address=token.token_address,
        decimals=token.decimals,
        due_base_units=base_units(amount, token.decimals),
    )

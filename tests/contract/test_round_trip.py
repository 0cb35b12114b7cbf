"""Whatever a payment goes through, a store gives it back as `decide` made it, field by field."""

import string
from datetime import datetime, timedelta
from uuid import uuid4

from contract.stores import CALLER, NOW, OpenStores, a_new_payment
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.domain.builders import reread

from payd.domain.decide import decide
from payd.domain.evidence import (
    Absent,
    AskAgain,
    CancelRequested,
    Conflict,
    Created,
    Declined,
    Evidence,
    NotAttempted,
    NotClosable,
    OutcomeUnknown,
    ProviderStatus,
    Receipt,
    ReceiptState,
    Snapshot,
    Unanswered,
)
from payd.domain.money import MINOR_UNITS_MAX, Money, TokenTerms
from payd.domain.next_action import CryptoTransfer, NextAction, Redirect, Show, ShowField, ShowKind
from payd.domain.outcome import Asking
from payd.domain.payment import Customer, LineItem, Payment
from payd.domain.text import BASE_UNITS_MAX

USDC = "0x" + "aB" * 20

#: Any text but NUL and half characters, which no caller can send and PostgreSQL cannot keep.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
hexes = st.text(string.hexdigits, max_size=16).map(lambda digits: "0x" + digits)
times = st.timedeltas(timedelta(days=-2), timedelta(days=2)).map(lambda delta: NOW + delta)
moneys = st.integers(1, MINOR_UNITS_MAX).map(
    lambda minor_units: Money(currency_code="USD", minor_units=minor_units)
)
amounts = st.one_of(st.integers(0, 5000), st.integers(0, BASE_UNITS_MAX))
assets = st.sampled_from(["USD", "EUR", USDC, USDC.lower(), "0x" + "00" * 20])

items = st.builds(
    LineItem, chain_profile_id=texts, node_type=texts, duration=texts, unit_price=moneys
)
customers = st.builds(
    Customer, id=st.uuids().map(str), wallet_address=st.just("") | hexes, email=texts
)
tokens = st.builds(
    TokenTerms,
    currency=st.sampled_from(["USDC", "ETH"]),
    chain_id=st.integers(1, 2**64 - 1),
    token_address=st.just(USDC),
    decimals=st.integers(0, 36),
    due_base_units=amounts,
)
shows = st.builds(
    Show,
    kind=st.sampled_from(ShowKind),
    payload=texts.filter(bool),
    fields=st.lists(
        st.builds(ShowField, label=texts, value=texts, copyable=st.booleans()), max_size=3
    ).map(tuple),
    expire_time=st.none() | times,
)
transfers = st.builds(
    CryptoTransfer,
    currency=texts,
    chain_id=st.integers(1, 2**64 - 1),
    token_address=hexes,
    receiver_address=hexes,
    amount_base_units=amounts,
    decimals=st.integers(0, 36),
    memo=hexes,
    calldata=hexes,
    payment_uri=texts,
)
next_actions: st.SearchStrategy[NextAction] = st.one_of(
    st.builds(Redirect, url=texts), transfers, shows
)
snapshots = st.builds(
    Snapshot,
    status=st.sampled_from(ProviderStatus),
    asset=assets,
    received=amounts,
    confirmed=amounts,
    as_of=times,
    failure_code=st.none() | st.sampled_from(["card_declined", "expired"]),
    failure_message=st.none() | texts,
)
receipts = st.builds(
    Receipt,
    id=st.sampled_from(["b:1", "B:1", "a:1", "a:10", "ä:2"]),
    asset=assets,
    amount=amounts,
    state=st.sampled_from(ReceiptState),
    time=times,
)
evidences: st.SearchStrategy[Evidence] = st.one_of(
    snapshots,
    st.lists(receipts, min_size=1, max_size=3).map(tuple),
    st.builds(
        Created,
        reference=st.sampled_from(["cs_1", "cs_2"]),
        next_action=next_actions,
        aliases=st.lists(texts, max_size=3).map(tuple),
        expire_time=st.none() | times,
    ),
    st.builds(Declined, code=st.sampled_from(["no_funds", "fraud"]), message=texts),
    st.builds(NotClosable, snapshot=snapshots),
    st.builds(AskAgain, deadline=times),
    st.builds(CancelRequested, reason=texts),
    st.sampled_from([NotAttempted(), OutcomeUnknown(), Absent(), Unanswered(), Conflict()]),
)


@st.composite
def new_payments(draw: st.DrawFn) -> Payment:
    """A payment with something in every field that a new one may have."""
    create_time: datetime = draw(times)
    crypto = draw(st.none() | tokens)
    return a_new_payment(
        request_hash=draw(st.binary(min_size=32, max_size=32)),
        customer=draw(customers),
        method=draw(texts),
        amount=draw(moneys),
        crypto=crypto,
        items=tuple(draw(st.lists(items, min_size=1, max_size=4))),
        subscription_ids=tuple(draw(st.lists(texts, max_size=3))),
        return_url=draw(texts),
        cancel_url=draw(texts),
        metadata=draw(st.dictionaries(texts, texts, max_size=4)),
        pricing_version=draw(texts),
        request_id=draw(texts),
        traceparent=draw(st.sampled_from(["", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b71-01"])),
        create_time=create_time,
        update_time=create_time,
        expire_time=draw(times),
        asking=draw(st.sampled_from(Asking)),
        ask_deadline=draw(st.none() | times),
        next_check_time=draw(st.none() | times),
        provider=f"mock-{uuid4()}",
    )


@settings(
    max_examples=40,
    deadline=None,
    # Each example opens its stores anew, and has a payment of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(new_payments(), st.lists(st.tuples(evidences, times), max_size=12))
async def test_a_payment_comes_back_as_it_was_decided(
    open_stores: OpenStores, payment: Payment, history: list[tuple[Evidence, datetime]]
) -> None:
    async with open_stores() as stores:
        assert await stores.payments.insert(payment, CALLER) == payment
        assert await stores.payments.get(payment.id) == payment
        for evidence, now in history:
            decision = decide(payment, evidence, now)
            if decision is None:
                continue
            assert await stores.payments.commit(payment, decision, CALLER)
            payment = await stores.newest(decision.payment)
            assert payment == reread(decision.payment)

"""The payment as callers and consumers see it, and every request that is refused, by its field."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import attrs
import pytest
from google.protobuf.message import DecodeError
from payd_client.proto import payment_pb2 as pb

from payd.codec import requests
from payd.codec.messages import event_body, payment_message, quote_message
from payd.domain.attention import Attention, AttentionRecord
from payd.domain.errors import InvalidField
from payd.domain.money import Money, TokenTerms
from payd.domain.next_action import CryptoTransfer, Redirect, Show, ShowField, ShowKind
from payd.domain.outcome import Failure
from payd.domain.payment import Customer, LineItem, Payment, Status
from payd.domain.request import InitiateRequest, Item, QuoteAnswer

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
TOKEN = "0x" + "ab" * 20
PRICE = Money(currency_code="USD", minor_units=14900)
USDC = TokenTerms(
    currency="USDC", chain_id=42431, token_address=TOKEN, decimals=6, due_base_units=149_000_000
)


def a_payment(**overrides: Any) -> Payment:
    """Open, by card, 149.00 USD."""
    fields: dict[str, Any] = {
        "id": UUID(int=7),
        "status": Status.PENDING,
        "idempotency_key": "key-1",
        "request_hash": b"",
        "customer": Customer(id="user-1", email="user@example.org"),
        "method": "card",
        "provider": "mock",
        "amount": PRICE,
        "items": (
            LineItem(
                chain_profile_id="ethereum-mainnet",
                node_type="full",
                duration="30d",
                unit_price=PRICE,
            ),
        ),
        "pricing_version": "prices-1",
        "create_time": NOW,
        "update_time": NOW,
        "expire_time": NOW,
        "next_action": Redirect(url="https://pay.example.org/1"),
    }
    return Payment(**(fields | overrides))


def an_initiate(**overrides: Any) -> pb.InitiatePaymentRequest:
    """A request in which everything is right."""
    fields: dict[str, Any] = {
        "idempotency_key": "key-1",
        "customer": pb.Customer(id="user-1", email="user@example.org"),
        "items": [an_item()],
        "method": "card",
        "return_url": "https://app.example.org/back?session={CHECKOUT_SESSION_ID}",
        "metadata": {"order": "1"},
    }
    return pb.InitiatePaymentRequest(**(fields | overrides))


def an_item(**overrides: str) -> pb.Item:
    fields = {"chain_profile_id": "ethereum-mainnet", "node_type": "full", "duration": "30d"}
    return pb.Item(**(fields | overrides))


def refused_field(message: pb.InitiatePaymentRequest) -> str:
    with pytest.raises(InvalidField) as refused:
        requests.initiate_request(message)
    return refused.value.field


@pytest.mark.parametrize("code", ["usd", "US", "USDC", "U1D", " USD", "€"])
def test_a_currency_is_an_iso_code_in_capitals(code: str) -> None:
    assert refused_field(an_initiate(currency_code=code)) == "currency_code"


def test_a_currency_may_be_left_out() -> None:
    assert requests.initiate_request(an_initiate()).currency_code == ""
    asked = pb.GetQuoteRequest(items=[an_item()], method="card", currency_code="JPY")
    assert requests.quote_request(asked).currency_code == "JPY"


# -- the payment, outwards ---------------------------------------------------------------------


def test_an_open_payment_says_what_the_customer_has_to_do() -> None:
    message = payment_message(a_payment(provider_reference="cs_1", metadata={"order": "1"}))
    assert message.id == "00000000-0000-0000-0000-000000000007"
    assert message.status == pb.PAYMENT_STATUS_PENDING
    assert message.next_action.redirect.url == "https://pay.example.org/1"
    assert message.items[0].unit_price == message.amount
    assert (message.provider_reference, dict(message.metadata)) == ("cs_1", {"order": "1"})
    assert message.create_time.ToDatetime(tzinfo=UTC) == NOW
    assert not message.HasField("crypto")
    assert not message.HasField("complete_time")


@pytest.mark.parametrize("status", list(Status))
def test_every_status_has_its_name_and_only_an_open_one_a_next_action(status: Status) -> None:
    message = payment_message(a_payment(status=status))
    assert pb.PaymentStatus.Name(message.status) == f"PAYMENT_STATUS_{status.value}"
    assert message.HasField("next_action") == status.is_open


def test_tokens_are_exact_and_their_money_is_rounded_down() -> None:
    payment = a_payment(
        method="crypto", crypto=USDC, snapshot_received=149_009_999, snapshot_confirmed=1
    )
    message = payment_message(payment)
    assert message.received.minor_units == 14900
    assert message.crypto.due_base_units == "149000000"
    assert message.crypto.received_base_units == "149009999"
    assert message.crypto.confirmed_base_units == "1"
    assert message.crypto.receiver_address == ""


def test_a_transfer_is_exact_and_its_memo_is_shown_as_text() -> None:
    action = CryptoTransfer(
        currency="USDC",
        chain_id=2**64 - 1,
        token_address=TOKEN,
        receiver_address=TOKEN,
        amount_base_units=2**200,
        decimals=18,
        memo="0x" + b"81H455VB4PEX5VSKNK084SN02Q3RAVHX".hex(),
        calldata="0x02",
        payment_uri="ethereum:0x",
    )
    transfer = payment_message(a_payment(next_action=action)).next_action.crypto_transfer
    assert transfer.amount_base_units == str(2**200)
    assert transfer.chain_id == 2**64 - 1
    assert transfer.memo_text == "81H455VB4PEX5VSKNK084SN02Q3RAVHX"

    closed = payment_message(
        a_payment(method="crypto", crypto=USDC, next_action=action, status=Status.EXPIRED)
    )
    assert not closed.HasField("next_action")
    assert closed.crypto.receiver_address == TOKEN, "late money goes there"


def test_instructions_keep_every_line_and_say_how_to_present_them() -> None:
    action = Show(
        kind=ShowKind.BANK_TRANSFER,
        payload="BCD",
        fields=(ShowField(label="IBAN", value="DE02", copyable=True),),
        expire_time=NOW,
    )
    shown = payment_message(a_payment(next_action=action)).next_action.show
    assert (shown.kind, shown.payload) == (pb.SHOW_KIND_BANK_TRANSFER, "BCD")
    assert list(shown.fields) == [pb.ShowField(label="IBAN", value="DE02", copyable=True)]
    assert shown.expire_time.ToDatetime(UTC) == NOW
    for_ever = payment_message(
        a_payment(next_action=Show(kind=ShowKind.TEXT, payload="Pay."))
    ).next_action.show
    assert not for_ever.HasField("expire_time")


def test_a_failed_payment_says_why_and_what_an_operator_should_see() -> None:
    message = payment_message(
        a_payment(
            status=Status.FAILED,
            failure=Failure(code="card_declined", message="declined"),
            attention_records=tuple(
                AttentionRecord(reason=reason, since=NOW)
                for reason in (Attention.UNDERPAID, Attention.DISPUTED)
            ),
        )
    )
    assert message.failure == pb.Failure(code="card_declined", message="declined")
    assert list(message.attention) == ["DISPUTED", "UNDERPAID"]


def test_a_quote_in_tokens_has_its_price_and_its_base_units() -> None:
    quote = quote_message(
        QuoteAnswer(
            items=a_payment().items,
            total=PRICE,
            method="crypto",
            crypto=USDC,
            pricing_version="prices-1",
            expire_time=NOW,
        )
    )
    assert (quote.total.minor_units, quote.crypto.amount_base_units) == (14900, "149000000")


@pytest.mark.parametrize("token", ["", "token"])
def test_a_quote_without_a_token_is_indicative(token: str) -> None:
    quote = quote_message(
        QuoteAnswer(
            items=a_payment().items,
            total=PRICE,
            method="card",
            crypto=None,
            pricing_version="prices-1",
            expire_time=NOW,
            quote_token=token,
        )
    )
    assert (quote.quote_token, quote.indicative) == (token, not token)


def test_an_event_is_the_whole_payment_and_what_the_event_adds() -> None:
    body = event_body(
        a_payment(status=Status.COMPLETED, complete_time=NOW),
        event_id=UUID(int=9),
        event_type="payment.completed",
        previous_status=Status.PENDING,
        reason="",
        request_id="req-1",
    )
    event = json.loads(body)
    assert event["status"] == "PAYMENT_STATUS_COMPLETED"
    assert event["amount"] == {"currency_code": "USD", "minor_units": "14900"}
    assert event["complete_time"] == "2026-01-02T03:04:05.678901Z"
    # Without presence, and empty: printed all the same.
    assert (event["late"], event["attention"], event["provider_reference"]) == (False, [], "")
    added = ("event_id", "event_type", "previous_status", "reason", "request_id")
    assert [event[name] for name in added] == [
        "00000000-0000-0000-0000-000000000009",
        "payment.completed",
        "PAYMENT_STATUS_PENDING",
        "",
        "req-1",
    ]


# -- a request, inwards ------------------------------------------------------------------------


def test_a_good_request_arrives_as_it_was_sent() -> None:
    request = requests.initiate_request(an_initiate(subscription_ids=["sub-1"]))
    assert attrs.asdict(request, recurse=False) == attrs.asdict(
        InitiateRequest(
            idempotency_key="key-1",
            customer=Customer(id="user-1", email="user@example.org"),
            items=(Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d"),),
            method="card",
            subscription_ids=("sub-1",),
            return_url="https://app.example.org/back?session={CHECKOUT_SESSION_ID}",
            metadata={"order": "1"},
        ),
        recurse=False,
    )


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "k" * 256}, "idempotency_key"),
        ({"idempotency_key": "two words"}, "idempotency_key"),
        ({"idempotency_key": "clé"}, "idempotency_key"),
        ({"idempotency_key": "nul\0"}, "idempotency_key"),
        ({"customer": pb.Customer()}, "customer.id"),
        ({"customer": pb.Customer(id="u" * 129)}, "customer.id"),
        ({"customer": pb.Customer(id="u", email="nobody")}, "customer.email"),
        ({"customer": pb.Customer(id="u", email="a@" + "b" * 253)}, "customer.email"),
        ({"customer": pb.Customer(id="u", wallet_address="0x é")}, "customer.wallet_address"),
        ({"items": []}, "items"),
        ({"items": [an_item()] * 101}, "items"),
        ({"items": [an_item(), an_item(node_type="")]}, "items[1].node_type"),
        ({"items": [an_item(duration="d" * 65)]}, "items[0].duration"),
        ({"items": [an_item(chain_profile_id="a\0b")]}, "items[0].chain_profile_id"),
        ({"method": ""}, "method"),
        ({"method": "Card"}, "method"),
        ({"crypto_currency": "usdc"}, "crypto_currency"),
        ({"subscription_ids": ["s"] * 101}, "subscription_ids"),
        ({"subscription_ids": ["ok", ""]}, "subscription_ids[1]"),
        ({"return_url": "http://app.example.org/"}, "return_url"),
        ({"return_url": "javascript:alert(1)"}, "return_url"),
        ({"cancel_url": "https://user:pw@app.example.org/"}, "cancel_url"),
        ({"cancel_url": "https://a.example/" + "x" * 2048}, "cancel_url"),
        ({"cancel_url": "https://app.example.org:99999/"}, "cancel_url"),
        ({"metadata": {str(n): "" for n in range(21)}}, "metadata"),
        ({"metadata": {"order": "x" * 513}}, "metadata.order"),
        ({"metadata": {"order": "a\0b"}}, "metadata.order"),
        ({"expected_total": pb.Money()}, "expected_total.currency_code"),
        ({"expected_total": pb.Money(currency_code="usd")}, "expected_total.currency_code"),
        (
            {"expected_total": pb.Money(currency_code="USD", minor_units=-1)},
            "expected_total.minor_units",
        ),
    ],
)
def test_a_wrong_field_is_refused_by_its_path(overrides: dict[str, Any], field: str) -> None:
    assert refused_field(an_initiate(**overrides)) == field


def test_the_agreed_price_arrives_as_it_was_sent() -> None:
    total = pb.Money(currency_code="USD", minor_units=14900)
    request = requests.initiate_request(an_initiate(quote_token="token", expected_total=total))
    assert (request.quote_token, request.expected_total) == ("token", PRICE)
    unsaid = requests.initiate_request(an_initiate())
    assert (unsaid.quote_token, unsaid.expected_total) == ("", None)


@pytest.mark.parametrize("key", ["", "k" * 65, "a\0b"])
def test_a_metadata_key_must_be_short_text(key: str) -> None:
    assert refused_field(an_initiate(metadata={key: "v"})).startswith("metadata")


def test_at_each_limit_a_request_is_still_taken() -> None:
    request = requests.initiate_request(
        an_initiate(
            idempotency_key="k" * 255,
            customer=pb.Customer(id="u" * 128, wallet_address="w" * 128),
            items=[an_item(duration="d" * 64)] * 100,
            subscription_ids=["s" * 128] * 100,
            metadata={f"{n:064}": "é" * 512 for n in range(20)},
        )
    )
    assert (len(request.items), len(request.subscription_ids), len(request.metadata)) == (
        100,
        100,
        20,
    )


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1", "[::1]:8080"])
def test_plain_http_may_return_to_this_machine(host: str) -> None:
    request = requests.initiate_request(an_initiate(return_url=f"http://{host}/back"))
    assert request.return_url == f"http://{host}/back"


@pytest.mark.parametrize(
    "value",
    ["", "7", "not-a-payment", "0" * 31 + "g", "0" * 32, f"{{{UUID(int=7)}}}", UUID(int=7).urn],
)
def test_a_payment_id_must_be_a_uuid(value: str) -> None:
    with pytest.raises(InvalidField) as refused:
        requests.payment_id(value)
    assert refused.value.field == "payment_id"


def test_a_lone_surrogate_cannot_even_be_decoded() -> None:
    # Field 1, three bytes: U+D800 as UTF-8 never has it.
    with pytest.raises(DecodeError):
        pb.InitiatePaymentRequest.FromString(b"\x0a\x03\xed\xa0\x80")

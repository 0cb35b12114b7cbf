"""A payment as people see it, and the one document that programs get."""

import json
from typing import Any

import pytest
from click.testing import CliRunner
from payd_client.proto import payment_pb2 as pb
from unit.cli.scripted_daemon import PAYMENT_ID, a_payment

from payd.cli import render


@pytest.mark.parametrize(
    ("currency", "minor_units", "shown"),
    [
        ("JPY", 0, "0 JPY"),
        ("JPY", 1500, "1500 JPY"),
        ("USD", 0, "0.00 USD"),
        ("USD", 5, "0.05 USD"),
        ("USD", 14900, "149.00 USD"),
        ("KWD", 7, "0.007 KWD"),
        ("KWD", 12345, "12.345 KWD"),
        ("USD", 2**63 - 1, "92233720368547758.07 USD"),
    ],
)
def test_an_amount_has_its_currencys_digits(currency: str, minor_units: int, shown: str) -> None:
    # The proto's JSON has 64-bit integers as text.
    money = {"currency_code": currency, "minor_units": str(minor_units)}
    assert render.amount(money) == shown


def shown(**overrides: Any) -> list[tuple[str, str]]:
    """The lines of a payment: name and value."""
    document = render.message_json(a_payment(**overrides))
    with CliRunner().isolation() as (out, _, _):
        render.payment(document)
        text = out.getvalue().decode()
    assert "\x1b" not in text
    lines = [line.partition("  ") for line in text.splitlines()]
    return [(name.strip(), value.strip()) for name, _, value in lines]


def test_a_payment_shows_what_it_is_and_leaves_out_what_it_has_not() -> None:
    assert shown() == [
        ("payment", PAYMENT_ID),
        ("status", "COMPLETED"),
        ("amount", "149.00 USD"),
        ("item", "ethereum-mainnet/full/30d 149.00 USD"),
        ("method", "mock (mock)"),
        ("customer", "cli"),
        ("idempotency key", "key-1"),
        ("created", "2026-01-02T03:04:05Z"),
        ("expires", "2026-01-02T03:04:05Z"),
    ]


def test_a_payment_that_waits_shows_where_to_pay() -> None:
    action = pb.NextAction(redirect=pb.Redirect(url="https://pay.example.org/1"))
    assert ("pay at", "https://pay.example.org/1") in shown(status="PENDING", next_action=action)


def test_a_transfer_shows_all_that_the_customer_needs() -> None:
    transfer = pb.CryptoTransfer(
        currency="USDC",
        chain_id=42431,
        token_address="0xaa",
        receiver_address="0xbb",
        amount_base_units="149000000",
        decimals=6,
        memo="0x01",
        payment_uri="ethereum:0xaa",
    )
    lines = dict(shown(status="PENDING", next_action=pb.NextAction(crypto_transfer=transfer)))
    assert lines["due"] == "149.000000 USDC"
    fields = {name.removeprefix("transfer "): v for name, v in lines.items() if "transfer" in name}
    assert fields == {
        "currency": "USDC",
        "chain_id": "42431",
        "token_address": "0xaa",
        "receiver_address": "0xbb",
        "amount_base_units": "149000000",
        "decimals": "6",
        "memo": "0x01",
        "payment_uri": "ethereum:0xaa",
    }


def test_a_failure_says_why() -> None:
    failure = pb.Failure(code="card_declined", message="insufficient funds")
    lines = shown(status="FAILED", failure=failure)
    assert ("status", "FAILED") in lines
    assert ("failure", "card_declined: insufficient funds") in lines


def test_what_a_person_should_look_at_is_shown_reason_by_reason() -> None:
    lines = shown(attention=["DISPUTED", "UNDERPAID"])
    assert [value for name, value in lines if name == "attention"] == ["DISPUTED", "UNDERPAID"]


def test_late_and_refunded_money_is_shown() -> None:
    usd = pb.Money(currency_code="USD", minor_units=14900)
    lines = shown(late=True, received=usd, refunded=usd)
    for line in (("late", "yes"), ("received", "149.00 USD"), ("refunded", "149.00 USD")):
        assert line in lines


def test_programs_get_every_field_even_those_without_a_value() -> None:
    document = render.message_json(a_payment())
    assert json.loads(json.dumps(document)) == document
    assert document["amount"] == {"currency_code": "USD", "minor_units": "14900"}
    assert (document["late"], document["attention"], document["metadata"]) == (False, [], {})
    assert "next_action" not in document

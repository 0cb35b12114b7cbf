"""A payment as people see it, and the one document that programs get."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from payd_client.proto import payment_pb2 as pb
from unit.cli.scripted_daemon import PAYMENT_ID, REFUND_ID, a_payment, a_refund

from payd.cli import payment_view, refund_view, render
from payd.cli.events import show_event


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
    return lines_of(lambda: payment_view.payment(render.message_json(a_payment(**overrides))))


def lines_of(print_: Callable[[], None]) -> list[tuple[str, str]]:
    """Each line that it prints: name and value."""
    with CliRunner().isolation() as (out, _, _):
        print_()
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
        ("to be paid by", "2026-01-02T03:04:05Z"),
    ]


@pytest.mark.parametrize("status", ["CREATING", "PENDING", "PROCESSING", "CANCELING"])
def test_only_an_open_payment_expires(status: str) -> None:
    assert ("expires", "2026-01-02T03:04:05Z") in shown(status=status)


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
        memo_text="81H455VB4PEX5VSKNK084SN02Q3RAVHX",
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
        "memo_text": "81H455VB4PEX5VSKNK084SN02Q3RAVHX",
    }
    assert lines["memo in groups"] == "81H4 55VB 4PEX 5VSK NK08 4SN0 2Q3R AVHX"


def test_a_memo_that_is_no_text_is_shown_as_it_is() -> None:
    transfer = pb.CryptoTransfer(amount_base_units="1", currency="USDC", memo="0x01")
    lines = dict(shown(next_action=pb.NextAction(crypto_transfer=transfer)))
    assert "transfer memo_text" not in lines
    assert "memo in groups" not in lines


def test_a_failure_says_why() -> None:
    failure = pb.Failure(code="card_declined", message="insufficient funds")
    lines = shown(status="FAILED", failure=failure)
    assert ("status", "FAILED") in lines
    assert ("failure", "card_declined: insufficient funds") in lines


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


# -- money back --------------------------------------------------------------------------------

TIME = a_payment().create_time
SHOWN_TIME = "2026-01-02T03:04:05Z"


def shown_refund(**overrides: Any) -> list[tuple[str, str]]:
    return lines_of(lambda: refund_view.refund(render.message_json(a_refund(**overrides))))


def test_a_payment_shows_its_refunds_disputes_and_attention() -> None:
    dispute = pb.Dispute(
        id="dp_1",
        status=pb.DISPUTE_STATUS_NEEDS_RESPONSE,
        amount=pb.Money(currency_code="USD", minor_units=1000),
        reason="fraudulent",
        open_time=TIME,
        evidence_due_time=TIME,
    )
    other = pb.Dispute(
        id="dp_2", status=pb.DISPUTE_STATUS_UNDER_REVIEW, reason="other token", open_time=TIME
    )
    open_ = pb.AttentionRecord(reason="DISPUTED", since=TIME)
    resolved = pb.AttentionRecord(
        reason="UNDERPAID",
        since=TIME,
        resolved_time=TIME,
        resolved_by="operator:alice/ada",
        note="paid in cash",
    )
    gone = pb.AttentionRecord(reason="STUCK", since=TIME, resolved_time=TIME)
    lines = shown(
        refunds=[a_refund(external=True), a_refund("FAILED")],
        disputes=[dispute, other],
        attention_records=[open_, resolved, gone],
    )
    assert [line for line in lines if line[0] in ("refund", "dispute", "attention")] == [
        ("refund", f"{REFUND_ID} SUCCEEDED 10.00 USD, made at the provider"),
        ("refund", f"{REFUND_ID} FAILED 10.00 USD"),
        ("dispute", f"dp_1 NEEDS_RESPONSE 10.00 USD fraudulent, answer until {SHOWN_TIME}"),
        ("dispute", "dp_2 UNDER_REVIEW other token"),
        ("attention", f"DISPUTED since {SHOWN_TIME}"),
        ("attention", f"UNDERPAID resolved {SHOWN_TIME} by operator:alice/ada: paid in cash"),
        ("attention", f"STUCK resolved {SHOWN_TIME}"),
    ]


def test_a_refund_shows_what_it_is_and_leaves_out_what_it_has_not() -> None:
    assert shown_refund() == [
        ("refund", REFUND_ID),
        ("payment", PAYMENT_ID),
        ("status", "SUCCEEDED"),
        ("amount", "10.00 USD"),
        ("idempotency key", "refund-1"),
        ("created", SHOWN_TIME),
        ("updated", SHOWN_TIME),
    ]
    failure = pb.Failure(code="lost", message="refused by the bank")
    failed = shown_refund(status="FAILED", failure=failure, external=True)
    assert ("failure", "lost: refused by the bank") in failed
    assert ("made", "at the provider") in failed


def test_a_refund_that_a_person_has_to_send_shows_exactly_what() -> None:
    transfer = pb.CryptoTransfer(
        currency="USDC",
        chain_id=42431,
        token_address="0x" + "ab" * 20,
        receiver_address="0x" + "cd" * 20,
        amount_base_units="10009999",
        decimals=6,
        memo="0x01",
    )
    crypto = pb.RefundCrypto(currency="USDC", decimals=6, amount_base_units="10009999")
    lines = shown_refund(
        status="AWAITING_TRANSFER",
        crypto=crypto,
        destination="0x" + "cd" * 20,
        next_action=pb.NextAction(crypto_transfer=transfer),
    )
    for line in (
        ("amount", "10.009999 USDC"),
        ("to", "0x" + "cd" * 20),
        ("send", "10.009999 USDC"),
        ("transfer amount_base_units", "10009999"),
        ("transfer receiver_address", "0x" + "cd" * 20),
        ("transfer memo", "0x01"),
    ):
        assert line in lines


def test_instructions_for_a_bank_are_shown_line_by_line() -> None:
    show = pb.Show(
        kind=pb.SHOW_KIND_BANK_TRANSFER,
        payload="BCD",
        fields=[pb.ShowField(label="IBAN", value="DE02", copyable=True)],
    )
    action = pb.NextAction(show=show)
    for lines in (
        shown_refund(status="AWAITING_TRANSFER", next_action=action),
        shown(status="PENDING", next_action=action),
    ):
        assert ("IBAN", "DE02") in lines
        assert ("text", "BCD") in lines
        assert ("bank transfer", "") in lines


@pytest.mark.parametrize(("about", "amount"), [({}, "149.00 USD"), ({"refund": 1}, "10.00 USD")])
def test_an_event_about_a_refund_shows_the_amount_of_the_refund(
    about: dict[str, int], amount: str
) -> None:
    body = render.message_json(a_payment()) | {"reason": ""}
    body |= {name: render.message_json(a_refund()) for name in about}
    event = SimpleNamespace(subject="payment.refunded", time=datetime.now(UTC), body=body)
    [(_, text)] = lines_of(lambda: show_event(event, as_json=False))
    assert text.startswith("payment.refunded")
    assert text.endswith(amount)


def test_a_table_of_refunds_shortens_nothing() -> None:
    [row] = [
        line
        for line in lines_of(lambda: refund_view.table([render.message_json(a_refund())]))
        if REFUND_ID in str(line)
    ]
    text = " ".join(row)
    assert all(part in text for part in (REFUND_ID, PAYMENT_ID, "SUCCEEDED", "10.00 USD"))

"""The payment page says in words where a payment stands, and what its customer has to do."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest
from support.page_gallery import (
    DUE,
    GALLERY,
    HASH,
    MEMO,
    METHODS,
    NOW,
    RECEIVER,
    TOKEN,
    a_payment,
    a_refund,
)

from payd.domain.money import Money, TokenTerms
from payd.domain.next_action import CryptoTransfer, Redirect, Show, ShowField, ShowKind
from payd.domain.outcome import Failure
from payd.domain.payment import Status
from payd.domain.refund import RefundStatus
from payd.domain.sums import ReceiptSums
from payd.service.show_payment import Shown
from payd.transport.http import pages
from payd.transport.http.pages.amounts import plain
from payd.transport.http.pages.qr import transfer_payload
from payd.transport.http.pages.situations import Situation
from payd.transport.http.pages.texts import texts
from payd.transport.http.pages.view import View, view_of

SITUATIONS = {one.value: one for one in Situation}


def view(name: str) -> View:
    """The page of one of the gallery's payments."""
    return view_of(GALLERY[name], NOW, METHODS)


def a_view(**overrides: Any) -> View:
    """The page of an open payment with other fields."""
    return view_of(Shown(payment=a_payment(1, **overrides), receipts=()), NOW, METHODS)


@pytest.mark.parametrize("name", GALLERY)
def test_each_state_is_the_situation_that_its_picture_is_named_after(name: str) -> None:
    assert view(name).situation is SITUATIONS[name.partition("-")[0]]


def test_an_address_of_its_own_needs_no_memo() -> None:
    shared, own = a_view(), a_view(aliases=(RECEIVER,))

    assert shared.instructions is not None
    assert own.instructions is not None
    keys = [row.key for row in shared.instructions.rows]
    assert "memo" in keys
    assert [row.key for row in own.instructions.rows] == [key for key in keys if key != "memo"]


def test_every_situation_is_in_the_gallery_and_has_words() -> None:
    assert {view(name).situation for name in GALLERY} == set(Situation)
    for one in Situation:
        assert texts()[f"{one.value}.title"]
        assert texts()[f"{one.value}.body"]


@pytest.mark.parametrize(
    ("name", "title", "body"),
    [
        ("waiting", "Waiting for your payment", "shows by itself when your payment arrives"),
        ("partly", "Partly paid: 74.50 USDC to go", "74.50 USDC of 149.00 USDC received"),
        ("seen", "Your payment was seen", "need not send anything again"),
        ("overdue", "The time is over", "Do not send any more"),
        ("paid", "Paid", "149.00 USDC has arrived"),
        ("paid-by-card", "Paid", "149.00 USD has arrived"),
        ("late", "Paid", "after the time was over, and was accepted"),
        ("refunding", "On its way back to you", "A refund of 149.00 USDC was started"),
        ("refunding-a-part", "On its way back to you", "A refund of 29.00 USDC was started"),
        ("refunded", "Refunded", "149.00 USDC was sent back to you"),
        ("partly_refunded", "Partly refunded", "48.85 USDC of 149.00 USDC was sent back"),
        ("canceled", "Canceled", "Do not send any money"),
        ("expired", "This payment has expired", "Do not send any more"),
        ("failed", "The payment did not go through", "Nothing was taken"),
        ("incomplete", "Not paid in full", "74.50 USDC of 149.00 USDC arrived"),
    ],
)
def test_a_customer_reads_what_happened_and_what_to_do(name: str, title: str, body: str) -> None:
    page = view(name)
    assert page.title == title
    assert body in page.body


@pytest.mark.parametrize("name", sorted(GALLERY))
def test_instructions_are_shown_only_while_money_may_be_sent(name: str) -> None:
    page = view(name)
    may_send = page.situation in (Situation.WAITING, Situation.PARTLY)
    assert (page.instructions is not None) == may_send
    assert (page.left_s is not None) == (may_send or page.situation is Situation.ELSEWHERE)


def test_what_is_left_is_asked_for_not_the_whole_amount_again() -> None:
    how = view("partly").instructions
    assert how is not None
    assert [(row.value, row.copied) for row in how.rows if row.key == "amount"] == [
        ("74.50 USDC", "74.50")
    ]
    assert "uint256=74500000" in how.wallet_url


def test_a_memo_that_is_text_is_shown_as_text_and_another_as_hex() -> None:
    def memo(value: str) -> list[str]:
        action = GALLERY["waiting"].payment.next_action
        assert isinstance(action, CryptoTransfer)
        how = a_view(next_action=attrs.evolve(action, memo=value)).instructions
        return [row.copied for row in how.rows if row.key == "memo"] if how else []

    assert memo(MEMO) == ["01JDZQ8XW5T3M7K9A2B4C6D8E0"]
    assert memo("0x" + "9f" * 32) == ["0x" + "9f" * 32]
    assert memo("") == []


def test_addresses_and_memos_are_shown_in_groups_and_copied_without_gaps() -> None:
    how = view("waiting").instructions
    assert how is not None
    assert {row.key for row in how.rows if row.groups} == {"address", "memo", "token"}
    address = next(row for row in how.rows if row.key == "address")
    assert address.groups[:3] == ["0x", "4e5b", "2e1d"]
    assert "".join(address.groups) == address.value == address.copied
    assert not [row for row in how.rows if " " in row.copied]


def test_the_network_has_its_name_and_a_warning() -> None:
    how = view("waiting").instructions
    assert how is not None
    assert "Tempo testnet (Chain 42431)" in [row.value for row in how.rows]
    assert how.warning == "Send USDC on Tempo testnet only. Money on another network is lost."


def test_a_receipt_has_number_date_items_and_the_transaction_in_an_explorer() -> None:
    page = view("paid")
    assert page.number == str(GALLERY["paid"].payment.id)
    assert page.complete_time == NOW - timedelta(seconds=30)
    assert page.items == [("ethereum-mainnet full, 30d", "149.00 USD")]
    [transfer] = page.transfers
    assert transfer.transaction == HASH
    assert transfer.link == f"https://explore.example/tx/{HASH}"
    assert (transfer.amount, transfer.state) == ("149.00 USDC", "final")


@pytest.mark.parametrize(
    ("name", "sum_", "refunded", "returning"),
    [
        ("paid", "149.00 USDC", "", ""),
        ("refunding", "149.00 USDC", "", "149.00 USDC"),
        ("refunding-a-part", "29.00 USDC", "48.85 USDC", "29.00 USDC"),
        ("refunded", "149.00 USDC", "149.00 USDC", ""),
        ("partly_refunded", "48.85 USDC", "48.85 USDC", ""),
        ("incomplete", "74.50 USDC", "", ""),
    ],
)
def test_the_page_says_how_much_goes_back_and_how_much_went(
    name: str, sum_: str, refunded: str, returning: str
) -> None:
    page = view(name)
    assert (page.sum, page.refunded, page.returning) == (sum_, refunded, returning)


def test_each_refund_under_way_or_done_has_its_amount_state_and_time() -> None:
    page = view("refunding-a-part")
    assert [(one.amount, one.state, one.time) for one in page.refunds] == [
        ("48.85 USDC", "sent back", NOW - timedelta(minutes=2)),
        ("29.00 USDC", "on its way", NOW - timedelta(minutes=1)),
    ]


def test_a_refund_that_nobody_started_yet_or_that_failed_is_not_shown() -> None:
    refunds = tuple(
        attrs.evolve(a_refund(status, 1_000_000), id=UUID(int=number))
        for number, status in enumerate(
            (RefundStatus.AWAITING_APPROVAL, RefundStatus.FAILED, RefundStatus.CANCELED)
        )
    )
    page = a_view(status=Status.COMPLETED, complete_time=NOW, refunds=refunds)
    assert page.situation is Situation.PAID
    assert (page.refunds, page.returning, page.refunded) == ([], "", "")


def test_a_payment_that_was_never_completed_has_no_receipt() -> None:
    assert view("partly_refunded").has_receipt
    never = a_view(
        status=Status.EXPIRED,
        sums=GALLERY["incomplete"].payment.sums,
        refunds=(a_refund(RefundStatus.SUCCEEDED, 74_500_000),),
    )
    assert never.situation is Situation.REFUNDED
    assert not never.has_receipt


def test_an_expired_payment_says_when_it_ended_though_its_time_was_not_over() -> None:
    """A provider may close its object early."""
    early = a_view(status=Status.EXPIRED, close_time=NOW)
    assert (early.close_time, early.left_s) == (NOW, None)
    assert view("late").close_time is None


def test_a_transaction_is_shown_whole_where_no_explorer_has_it() -> None:
    [transfer] = view_of(GALLERY["paid"], NOW, []).transfers
    assert (transfer.transaction, transfer.link) == (HASH, "")


@pytest.mark.parametrize(
    ("name", "url", "words"),
    [
        ("waiting", "https://shop.example/?back=turned", "Go back without paying"),
        ("elsewhere", "https://shop.example/?back=turned", "Go back without paying"),
        ("partly", "https://shop.example/?back=turned", "Go back without paying the rest"),
        ("overdue", "https://shop.example/?back=paid", "Back to the shop"),
        ("paid", "https://shop.example/?back=paid", "Back to the shop"),
    ],
)
def test_leaving_before_the_payment_has_other_words_than_afterwards(
    name: str, url: str, words: str
) -> None:
    assert (view(name).back_url, view(name).back) == (url, words)


def test_a_bank_transfer_has_its_amount_and_an_account_in_groups() -> None:
    how = view("waiting-for-the-bank").instructions
    assert how is not None
    assert (how.rows[0].value, how.rows[0].copied) == ("149.00 USD", "149.00")
    account = next(row for row in how.rows if row.label == "IBAN")
    assert account.groups == ["DE89", "3704", "0044", "0532", "0130", "00"]
    assert account.copied == "DE89370400440532013000"


def bank_rows(shown: str, received: int = 0, **overrides: Any) -> list[str]:
    """The values of a bank transfer in which the provider shows this amount."""
    lines = (ShowField(label="Amount", value=shown), ShowField(label="Reference", value="14900"))
    show = Show(kind=ShowKind.BANK_TRANSFER, payload="", fields=lines)
    fields = {"method": "transfer", "crypto": None, "next_action": show} | overrides
    how = a_view(sums=ReceiptSums(confirmed=(received, 0, 0)), **fields).instructions
    assert how is not None
    return [row.value for row in how.rows]


@pytest.mark.parametrize("amount", ["149.00", "149,00", "149.00 USD", "USD 149.00"])
def test_an_amount_that_the_provider_shows_is_not_shown_twice(amount: str) -> None:
    assert bank_rows(amount) == [amount, "14900"]


@pytest.mark.parametrize("amount", ["1,490.00", "1.490,00", "1490.00", "1490,00", "1.490,00 USD"])
def test_of_a_partly_paid_bank_transfer_only_the_rest_is_shown(amount: str) -> None:
    whole = Money(currency_code="USD", minor_units=149_000)
    assert bank_rows(amount, 49_000, amount=whole) == ["1000.00 USD", "14900"]


def test_an_amount_that_the_provider_keeps_up_to_date_stays() -> None:
    assert bank_rows("100.00", 4_900) == ["100.00", "14900"]


@pytest.mark.parametrize("received", [0, 1])
def test_a_provider_s_code_is_shown_until_a_part_has_arrived(received: int) -> None:
    """The code has the whole amount, and payd cannot lower it."""
    line = ShowField(label="IBAN", value="DE89370400440532013000")
    show = Show(kind=ShowKind.QR, payload="BCD\n002\n1\nSCT\nUSD149.00", fields=(line,))
    sums = ReceiptSums(confirmed=(received, 0, 0))
    how = a_view(method="transfer", crypto=None, next_action=show, sums=sums).instructions
    assert how is not None
    assert bool(how.qr) is not bool(received)
    assert how.text == ""
    assert [row.value for row in how.rows] == [f"{149 - received / 100:.2f} USD", line.value]


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("expired_card", "The card has expired."),
        ("insufficient_funds", "There was not enough money in the account."),
        ("not_attempted", "The payment provider could not be reached."),
        ("something_new", ""),
        ("title", ""),
    ],
)
def test_a_decline_has_its_cause_in_the_words_of_payd(code: str, cause: str) -> None:
    failure = Failure(code=code, message="Card of Ms. Meier, risk score 93")
    page = a_view(status=Status.FAILED, failure=failure)
    assert page.cause == cause
    assert "Meier" not in repr(page)


def test_every_text_is_on_a_page() -> None:
    """A text that nothing shows would be translated for nobody."""
    package = Path(pages.__file__).parent
    files = [*package.glob("*.py"), *package.glob("templates/*.html")]
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    names = {name for name in texts() if "." not in name and not name.startswith("transfer_")}
    assert {name for name in names if f"'{name}'" not in source and f'"{name}"' not in source} == (
        set()
    )


def test_too_much_money_is_mentioned() -> None:
    assert view("paid-too-much").notes == [
        "You sent 1.00 USDC more than was asked for. The shop has been told."
    ]


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "ftp://x.example/", "https://", "//x", "http://["],
)
def test_only_web_pages_are_linked(url: str) -> None:
    page = a_view(
        method="card", crypto=None, next_action=Redirect(url=url), return_url=url, cancel_url=url
    )
    assert (page.redirect_url, page.back_url) == ("", "")


def test_only_a_wallets_address_opens_a_wallet() -> None:
    action = GALLERY["waiting"].payment.next_action
    assert isinstance(action, CryptoTransfer)
    how = a_view(next_action=attrs.evolve(action, payment_uri="javascript:alert(1)")).instructions
    assert how is not None
    assert how.wallet_url == ""


def test_a_code_whose_amount_cannot_be_lowered_is_left_out() -> None:
    action = GALLERY["waiting"].payment.next_action
    assert isinstance(action, CryptoTransfer)
    opaque = attrs.evolve(action, payment_uri="ethereum:0xaa")
    assert transfer_payload(opaque, DUE) == "ethereum:0xaa"
    assert transfer_payload(opaque, 1) == ""


def test_a_code_of_a_bank_has_no_wallet() -> None:
    show = Show(kind=ShowKind.QR, payload="BCD\n002\n1\nSCT")
    how = a_view(method="transfer", crypto=None, next_action=show).instructions
    assert how is not None
    assert how.qr.startswith("<svg ")
    assert (how.wallet_url, how.text) == ("", "")


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [(74_500_000, 6, "74.50"), (1, 6, "0.000001"), (5, 0, "5"), (15, 1, "1.5"), (0, 6, "0.00")],
)
def test_amounts_are_exact_and_have_two_decimals_at_least(
    units: int, decimals: int, text: str
) -> None:
    assert plain(units, decimals) == text


def test_currencies_without_decimals_and_large_amounts_are_written_as_usual() -> None:
    yen = a_view(crypto=None, amount=Money(currency_code="JPY", minor_units=1_234_567))
    assert yen.sum == "1,234,567 JPY"
    terms = TokenTerms(
        currency="USDC", chain_id=1, token_address=TOKEN, decimals=6, due_base_units=10**12
    )
    assert a_view(crypto=terms).sum == "1,000,000.00 USDC"


def test_every_name_in_a_text_is_one_that_the_page_knows() -> None:
    known = {"due", "received", "left", "refunded", "returning"}
    for name, text in texts().items():
        if "." in name:
            assert set(re.findall(r"{(\w+)}", text)) <= known, name


def test_an_open_payment_whose_method_has_gone_is_shown_by_its_key() -> None:
    page = view_of(Shown(payment=a_payment(1, status=Status.CANCELED), receipts=()), NOW, [])
    assert page.method == "crypto"

"""The example from outside the tree in a real daemon: transfers in parts, late, and of nobody."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest
from payd_client.proto import payment_pb2 as pb
from sepa_provider.fake_bank import Booking, drop, statement
from support.bank import IBAN, bank_environment
from support.daemon import Client, Place, rows, running_daemon, wait_until_published
from support.waiting import wait_until

CUSTOMER = "FR1420041010050500013M02606"
PRICES = """
currency: EUR
prices:
  ethereum-mainnet:
    full:
      30d: 14900
"""


@attrs.frozen
class Shop:
    """A daemon that takes bank transfers, and its bank."""

    client: Client
    place: Place
    statements: Path

    def start(self) -> tuple[str, str]:
        """Start a payment; return its id, and the reference for the customer."""
        payment = self.client.initiate(method="sepa", metadata={})
        action = payment.next_action.show
        shown = {one.label: one.value for one in action.fields}
        assert (shown["IBAN"], shown["Amount"], shown["Currency"]) == (IBAN, "149.00", "EUR")
        assert action.kind == pb.SHOW_KIND_BANK_TRANSFER
        assert action.expire_time == payment.expire_time
        return payment.id, shown["Reference"]

    def book(self, *bookings: Booking) -> None:
        """The bank's next statement."""
        drop(self.statements, statement(IBAN, bookings, datetime.now(UTC)))

    def refund_status(self, refund_id: str) -> str:
        """The refund's status now."""
        found = self.client.call("GetRefund", pb.GetRefundRequest(refund_id=refund_id)).refund
        return pb.RefundStatus.Name(found.status).removeprefix("REFUND_STATUS_")

    def wait_for_received(self, payment_id: str, cents: int) -> None:
        sql = "SELECT sum(amount::bigint) AS cents FROM receipts WHERE payment_id = $1"
        wait_until(
            lambda: rows(self.place, sql, payment_id)[0]["cents"] == cents, f"{cents} cents arrived"
        )


@pytest.fixture
def shop(place: Place, tmp_path: Path) -> Iterator[Shop]:
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES)
    settings = {
        **bank_environment(tmp_path),
        "PRICING_FILE": str(prices),
        "PAYD_RECOVERY_SCAN_INTERVAL_S": "1",
    }
    with running_daemon(place, **settings) as daemon, daemon.client() as client:
        yield Shop(client, place, Path(settings["SEPA_STATEMENTS_DIR"]))


def test_a_transfer_in_two_parts_completes_with_the_second(shop: Shop) -> None:
    payment_id, reference = shop.start()
    shop.book(Booking(reference=reference, cents=10000))
    shop.wait_for_received(payment_id, 10000)
    shop.client.wait_for(payment_id, "PROCESSING")
    shop.book(Booking(reference=reference, cents=4900))
    shop.client.wait_for(payment_id, "COMPLETED")
    assert [one.subject for one in wait_until_published(shop.place)] == ["payment.completed"]


def test_money_after_a_cancel_is_the_payments_and_calls_a_person(shop: Shop) -> None:
    payment_id, reference = shop.start()
    shop.client.call("CancelPayment", pb.CancelPaymentRequest(payment_id=payment_id))
    shop.client.wait_for(payment_id, "CANCELED")
    shop.book(Booking(reference=reference, cents=14900))
    shop.wait_for_received(payment_id, 14900)
    [row] = rows(shop.place, "SELECT status, attention FROM payments WHERE id = $1", payment_id)
    assert (row["status"], row["attention"]) == ("CANCELED", ["PAID_AFTER_CLOSE"])


def test_a_refund_shows_what_to_transfer_and_ends_with_the_statement(shop: Shop) -> None:
    payment_id, reference = shop.start()
    shop.book(Booking(reference=reference, cents=14900))
    shop.client.wait_for(payment_id, "COMPLETED")
    request = pb.RefundPaymentRequest(
        payment_id=payment_id,
        amount=pb.Money(currency_code="EUR", minor_units=4900),
        idempotency_key="refund-1",
        destination=CUSTOMER,
    )
    refund = shop.client.call("RefundPayment", request).refund
    assert refund.status == pb.REFUND_STATUS_AWAITING_TRANSFER
    shown = {one.label: one.value for one in refund.next_action.show.fields}
    assert (shown["IBAN"], shown["Amount"]) == (CUSTOMER, "49.00")

    shop.book(Booking(reference=shown["Reference"], cents=4900, is_outgoing=True))

    wait_until(lambda: shop.refund_status(refund.id) == "SUCCEEDED", "the transfer is read")
    assert shop.client.get(payment_id).refunded.minor_units == 4900
    subjects = [one.subject for one in wait_until_published(shop.place)]
    assert subjects == ["payment.completed", "payment.refunded"]


def test_money_of_nobody_waits_for_a_person(shop: Shop) -> None:
    shop.book(Booking(reference="invoice 7", cents=700, id="E-1"))
    sql = "SELECT id, amount, payment_id FROM receipts WHERE provider = 'sepa'"
    [receipt] = wait_until(lambda: rows(shop.place, sql), "a receipt is stored")
    assert (int(receipt["amount"]), receipt["payment_id"]) == (700, None)

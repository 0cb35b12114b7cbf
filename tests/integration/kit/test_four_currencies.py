"""One daemon, a price list with USD, EUR, BRL and JPY, and card, bank transfer and mock."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import grpc
import pytest
from payd_client.proto import payment_pb2 as pb
from sepa_provider.fake_bank import Booking, drop, statement
from support.bank import IBAN, bank_environment
from support.cards import RETURN_URL, StandIn, running_with_cards, stand_in
from support.daemon import Client, Daemon, Place, a_request, details_of

PRICES = """
currencies: [USD, EUR, BRL, JPY]
prices:
  ethereum-mainnet:
    full:
      1d: {USD: 740, EUR: 690}
      30d: {USD: 14900, EUR: 13900, BRL: 79900, JPY: 22000}
"""
UNITS = {"USD": 14900, "EUR": 13900, "BRL": 79900, "JPY": 22000}
TAKEN = {"card": "USD, EUR, BRL, JPY", "sepa": "EUR", "mock": "USD, EUR, BRL, JPY"}
#: Method and currency of all that can be charged.
PAIRS = [(method, code) for method, codes in TAKEN.items() for code in codes.split(", ")]
#: A method, a currency, and a product that together have no price.
WRONG = [
    *(("sepa", code, "30d") for code in ("", "USD", "BRL", "JPY", "CHF")),
    *((method, "CHF", "30d") for method in ("card", "mock")),
    *((method, code, "1d") for method in ("card", "mock") for code in ("BRL", "JPY")),
]
DAY = pb.Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="1d")
MONTH = pb.Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")


@attrs.frozen
class Shop:
    """A daemon with three methods, Stripe's stand-in, and a bank."""

    daemon: Daemon
    client: Client
    place: Place
    stripe: StandIn
    statements: Path
    prices: Path

    def quote(self, method: str, currency: str, *items: pb.Item) -> Any:
        request = pb.GetQuoteRequest(items=items or [MONTH], method=method, currency_code=currency)
        return self.client.call("GetQuote", request).quote

    def pay(self, payment: Any) -> None:
        """Let the customer pay what the payment asks for."""
        if payment.method == "card":
            [session] = self.stripe.sessions(payment.id)
            self.stripe.act(session["id"], "pay")
        elif payment.method == "sepa":
            booking = Booking(
                reference=payment.provider_reference, cents=payment.amount.minor_units
            )
            drop(self.statements, statement(IBAN, [booking], datetime.now(UTC)))


@pytest.fixture(scope="module")
def shop(module_place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    prices = folder / "prices.yaml"
    prices.write_text(PRICES)
    environment = {
        **bank_environment(folder),
        "PRICING_FILE": str(prices),
        "STRIPE_CURRENCIES": "USD,EUR,BRL,JPY",
        "PAYD_PAYMENTS_QUOTE_KEY": "k" * 32,
        "PAYD_RECOVERY_SCAN_INTERVAL_S": "1",
    }
    with (
        stand_in(folder) as stripe,
        running_with_cards(module_place, stripe, **environment) as (daemon, client),
    ):
        statements = Path(environment["SEPA_STATEMENTS_DIR"])
        yield Shop(daemon, client, module_place, stripe, statements, prices)


def refusal(shop: Shop, method: str, currency: str, item: pb.Item) -> Any:
    """The ErrorInfo of a quote that is refused; the payment must be refused alike."""
    with pytest.raises(grpc.RpcError) as quoted:
        shop.quote(method, currency, item)
    with pytest.raises(grpc.RpcError) as started:
        shop.client.call(
            "InitiatePayment", a_request(method=method, currency_code=currency, items=[item])
        )
    assert quoted.value.details() == started.value.details()
    assert quoted.value.code() is started.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    return details_of(quoted.value)


@pytest.mark.parametrize(("method", "currency"), PAIRS)
def test_what_is_quoted_in_a_currency_is_charged_and_paid_in_it(
    shop: Shop, method: str, currency: str
) -> None:
    quote = shop.quote(method, currency)
    assert quote.total == pb.Money(currency_code=currency, minor_units=UNITS[currency])

    request = a_request(
        method=method,
        currency_code=currency,
        quote_token=quote.quote_token,
        return_url=RETURN_URL,
        cancel_url=RETURN_URL,
    )
    payment = shop.client.call("InitiatePayment", request).payment
    shop.pay(payment)
    done = shop.client.wait_for(payment.id, "COMPLETED")

    assert done.amount == done.received == quote.total
    assert [item.unit_price for item in done.items] == [quote.total]
    assert list(done.attention) == []


def test_a_card_is_charged_in_stripes_own_units(shop: Shop) -> None:
    """The yen has no smaller unit, and the real a hundredth."""
    for currency, amount in (("JPY", 22000), ("BRL", 79900)):
        request = a_request(
            method="card", currency_code=currency, return_url=RETURN_URL, cancel_url=RETURN_URL
        )
        payment = shop.client.call("InitiatePayment", request).payment
        [session] = shop.stripe.sessions(payment.id)
        assert (session["currency"], session["amount_total"]) == (currency.lower(), amount)


@pytest.mark.parametrize(("method", "currency", "duration"), WRONG)
def test_a_wrong_pair_is_refused_and_the_right_ones_are_named(
    shop: Shop, method: str, currency: str, duration: str
) -> None:
    known = TAKEN[method] if duration == "30d" else "USD, EUR"

    info = refusal(shop, method, currency, MONTH if duration == "30d" else DAY)

    assert info.reason == "CURRENCY_NOT_SUPPORTED"
    assert dict(info.metadata) == {
        "method": method,
        "currency": currency or "USD",
        "known": known,
    }


def test_without_a_currency_the_first_of_the_list_is_charged(shop: Shop) -> None:
    assert shop.quote("card", "").total == pb.Money(currency_code="USD", minor_units=14900)


def test_a_quote_token_is_good_for_its_own_currency_only(shop: Shop) -> None:
    token = shop.quote("mock", "JPY").quote_token
    for currency, reason in (("EUR", "QUOTE_MISMATCH"), ("USD", "QUOTE_MISMATCH")):
        with pytest.raises(grpc.RpcError) as refused:
            shop.client.initiate(method="mock", quote_token=token, currency_code=currency)
        assert details_of(refused.value).reason == reason
    assert shop.client.initiate(method="mock", quote_token=token).amount.currency_code == "JPY"


def test_the_same_key_in_another_currency_is_refused(shop: Shop) -> None:
    shop.client.call("InitiatePayment", a_request(key="one", method="mock", currency_code="EUR"))
    again = a_request(key="one", method="mock", currency_code="JPY")
    with pytest.raises(grpc.RpcError) as refused:
        shop.client.call("InitiatePayment", again)
    assert details_of(refused.value).reason == "IDEMPOTENCY_KEY_REUSED"


def test_a_reload_adds_a_price_in_a_currency(shop: Shop) -> None:
    refusal(shop, "mock", "JPY", DAY)
    shop.prices.write_text(PRICES.replace("EUR: 690", "EUR: 690, JPY: 1100"))
    after = len(shop.daemon.lines)
    shop.daemon.process.send_signal(signal.SIGHUP)
    shop.daemon.wait_for_line("configuration_reloaded", after)
    assert shop.quote("mock", "JPY", DAY).total.minor_units == 1100

"""Prices that Stripe cannot charge: refused at the start, or at the quote, with the reason."""

import signal
import subprocess
from pathlib import Path

import grpc
import pytest
from support.cards import StandIn, a_card_request, pay_by_card, running_with_cards
from support.daemon import Place
from support.forks import run_payd
from support.waiting import wait_until

STRIPE = {
    "STRIPE_ENABLED": "true",
    "STRIPE_SECRET_KEY": "sk_test_x",
    "STRIPE_WEBHOOK_SECRET": "whsec_x",
    "MOCK_METHODS": "mock",
    "MOCK_ENABLED": "false",
}


def prices_of(folder: Path, currency: str, minor_units: int) -> dict[str, str]:
    file = folder / "prices.yaml"
    file.write_text(
        f"currency: {currency}\nprices:\n  ethereum-mainnet:\n    full:\n      30d: {minor_units}\n"
    )
    return {"PRICING_FILE": str(file), "STRIPE_CURRENCIES": currency}


def served(place: Place, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_payd("serve", env=place.environment(**STRIPE, **environment))


@pytest.mark.parametrize(
    ("currency", "minor_units", "reason"),
    [
        ("MGA", 150, "1.50 MGA is not a multiple of 1.00 MGA"),
        ("KWD", 1_235, "1.235 KWD is not a multiple of 0.010 KWD"),
        ("USD", 10**12, "is above the maximum of 9,999,999,999.99 USD"),
    ],
)
def test_a_price_that_can_never_be_charged_stops_the_start(
    place: Place, tmp_path: Path, currency: str, minor_units: int, reason: str
) -> None:
    ended = served(place, **prices_of(tmp_path, currency, minor_units))

    assert ended.returncode == 78, ended.stderr
    assert "prices.ethereum-mainnet.full.30d" in ended.stderr
    assert reason in ended.stderr


def test_a_currency_that_is_not_certain_stops_the_start(place: Place) -> None:
    ended = served(place, STRIPE_CURRENCIES="UGX", PAYD_PROVIDERS_FAILURE_MODE="strict")

    assert ended.returncode == 78, ended.stderr
    assert "providers.stripe.currencies" in ended.stderr
    assert "UGX: sources disagree" in ended.stderr


def test_a_total_that_is_too_small_is_refused_at_the_quote_and_at_the_payment(
    place: Place, stripe: StandIn, tmp_path: Path
) -> None:
    with (
        running_with_cards(place, stripe, **prices_of(tmp_path, "USD", 30)) as (_, client),
        pytest.raises(grpc.RpcError) as refused,
    ):
        client.call("InitiatePayment", a_card_request())

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (
        "cannot charge this: the total 0.30 USD is below the minimum of 0.50 USD"
        in refused.value.details()
    )
    assert stripe.sessions() == []


def test_a_reload_with_a_price_that_can_never_be_charged_keeps_the_old_prices(
    place: Place, stripe: StandIn, tmp_path: Path
) -> None:
    good = prices_of(tmp_path, "ISK", 19_900)
    with running_with_cards(place, stripe, **good) as (daemon, client):
        prices_of(tmp_path, "ISK", 10**10)
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(
            lambda: any(line.get("event") == "reload_refused" for line in daemon.lines),
            "the reload is refused",
        )
        payment = pay_by_card(client)

    assert payment.amount.minor_units == 19_900
    [refused] = [line for line in daemon.lines if line.get("event") == "reload_refused"]
    assert "is above the maximum of 9,999,999,999 ISK" in str(refused)


def test_a_price_in_kronur_is_charged_in_stripes_units_and_completes(
    place: Place, stripe: StandIn, tmp_path: Path
) -> None:
    with running_with_cards(place, stripe, **prices_of(tmp_path, "ISK", 19_900)) as (_, client):
        payment = client.call("InitiatePayment", a_card_request()).payment
        [session] = stripe.sessions(payment.id)
        stripe.act(session["id"], "pay")
        done = client.wait_for(payment.id, "COMPLETED")

    assert (session["currency"], session["amount_total"]) == ("isk", 1_990_000)
    assert (done.amount.currency_code, done.amount.minor_units) == ("ISK", 19_900)
    assert (done.received.minor_units, list(done.attention)) == (19_900, [])

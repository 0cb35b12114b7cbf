"""A customer pays what the quote said, through reloads of prices and keys, at any daemon."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import grpc
import pytest
from payd_client.proto import payment_pb2 as pb
from support.daemon import Client, Daemon, Place, a_request, reason_of, rows, running_daemon

from payd.domain.money import Money
from payd.domain.payment import LineItem
from payd.domain.quote_token import sign_quote
from payd.domain.request import Item, QuoteAnswer, QuoteRequest

PRICES = """
currency: USD
prices:
  ethereum-mainnet:
    full:
      30d: {price}
"""
OLD, NEW = "o" * 32, "n" * 32
ITEM = pb.Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")


@attrs.frozen
class Files:
    """What an operator edits."""

    prices: Path
    key: Path

    def environment(self) -> dict[str, str]:
        return {
            "PRICING_FILE": str(self.prices),
            "PAYD_PAYMENTS_QUOTE_KEY_FILE": str(self.key),
        }


@pytest.fixture
def files(tmp_path: Path) -> Files:
    found = Files(tmp_path / "pricing.yaml", tmp_path / "quote_key")
    found.prices.write_text(PRICES.format(price=14900))
    found.key.write_text(f"{OLD}\n")
    return found


@pytest.fixture
def daemon(place: Place, files: Files) -> Iterator[Daemon]:
    with running_daemon(place, **files.environment()) as daemon:
        yield daemon


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as client:
        yield client


def a_quote(client: Client) -> Any:
    return client.call("GetQuote", pb.GetQuoteRequest(items=[ITEM], method="mock")).quote


def reload(daemon: Daemon) -> None:
    after = len(daemon.lines)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for_line("configuration_reloaded", after)


def refusal(client: Client, **fields: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        client.initiate(**fields)
    return refused.value.code(), reason_of(refused.value)


def test_a_price_that_changes_between_quote_and_payment_is_not_charged(
    daemon: Daemon, client: Client, files: Files
) -> None:
    quote = a_quote(client)
    assert (quote.total.minor_units, quote.indicative) == (14900, False)
    files.prices.write_text(PRICES.format(price=19900))
    reload(daemon)

    agreed = client.initiate(quote_token=quote.quote_token)
    assert (agreed.amount, agreed.pricing_version) == (quote.total, quote.pricing_version)
    assert client.wait_for(agreed.id, "COMPLETED").received == quote.total
    assert client.initiate().amount.minor_units == 19900


def test_the_caller_who_expects_the_old_total_is_asked_first(
    daemon: Daemon, client: Client, files: Files, place: Place
) -> None:
    shown = a_quote(client).total
    files.prices.write_text(PRICES.format(price=19900))
    reload(daemon)

    status = grpc.StatusCode.FAILED_PRECONDITION
    assert refusal(client, expected_total=shown) == (status, "PRICE_CHANGED")
    assert rows(place, "SELECT 1 FROM payments") == []
    assert client.initiate(expected_total=a_quote(client).total).amount.minor_units == 19900


def test_a_token_is_good_at_any_daemon_while_its_key_is_rotated(
    daemon: Daemon, client: Client, files: Files, place: Place
) -> None:
    before = a_quote(client).quote_token
    files.key.write_text(f"{NEW}\n{OLD}\n")
    with running_daemon(place, **files.environment()) as second, second.client() as other:
        during = a_quote(other).quote_token
        assert other.initiate(quote_token=before).amount.minor_units == 14900
        # The first daemon has not read the new key yet.
        invalid = (grpc.StatusCode.INVALID_ARGUMENT, "QUOTE_INVALID")
        assert refusal(client, quote_token=during) == invalid
    reload(daemon)
    assert client.initiate(quote_token=during).amount.minor_units == 14900
    assert client.initiate(quote_token=before).amount.minor_units == 14900

    files.key.write_text(f"{NEW}\n")
    reload(daemon)
    assert refusal(client, quote_token=before) == invalid
    assert client.initiate(quote_token=during).amount.minor_units == 14900


def test_a_payment_begun_in_time_is_replayed_after_its_quote_has_expired(client: Client) -> None:
    quote = a_quote(client)
    wish = a_request(quote_token=quote.quote_token)
    first = client.call("InitiatePayment", wish).payment

    wish.quote_token = expired(quote)
    assert client.call("InitiatePayment", wish).payment.id == first.id
    status = grpc.StatusCode.FAILED_PRECONDITION
    assert refusal(client, quote_token=wish.quote_token) == (status, "QUOTE_EXPIRED")


def expired(quote: Any) -> str:
    """The token that the daemon would have given for this quote an hour ago."""
    price = Money(currency_code="USD", minor_units=quote.total.minor_units)
    item = Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")
    answer = QuoteAnswer(
        items=(LineItem(**attrs.asdict(item), unit_price=price),),
        total=price,
        method="mock",
        crypto=None,
        pricing_version=quote.pricing_version,
        expire_time=datetime.now(UTC) - timedelta(hours=1),
    )
    return sign_quote(QuoteRequest(items=(item,), method="mock"), answer, OLD)


def test_a_quote_for_other_things_is_refused(client: Client) -> None:
    token = a_quote(client).quote_token
    mismatch = (grpc.StatusCode.INVALID_ARGUMENT, "QUOTE_MISMATCH")
    assert refusal(client, quote_token=token, method="card") == mismatch
    assert refusal(client, quote_token=token, items=[ITEM, ITEM]) == mismatch


def test_without_a_key_quotes_are_indicative(place: Place) -> None:
    with running_daemon(place) as daemon, daemon.client() as client:
        quote = a_quote(client)
    assert (quote.quote_token, quote.indicative) == ("", True)

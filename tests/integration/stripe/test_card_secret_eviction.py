"""The webhook secrets in the file are the good ones, at once and no longer."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.stripe.shop import paid_event, post
from payd_client.proto import payment_pb2 as pb
from support.cards import WEBHOOK_SECRET, StandIn, pay_by_card, running_with_cards
from support.daemon import Client, Daemon, Place, rows
from support.waiting import wait_until

LEAKED = WEBHOOK_SECRET
FRESH = "whsec_fresh"
Parts = tuple[Daemon, Client, StandIn, Path]


@pytest.fixture
def parts(place: Place, stripe: StandIn, tmp_path: Path) -> Iterator[Parts]:
    file = tmp_path / "webhook_secret"
    file.write_text(f"{LEAKED}\n")
    settings = {"STRIPE_WEBHOOK_SECRET": "", "STRIPE_WEBHOOK_SECRET_FILE": str(file)}
    with running_with_cards(place, stripe, **settings) as (daemon, client):
        yield daemon, client, stripe, file


def put(daemon: Daemon, file: Path, *secrets: str) -> None:
    """What the runbook says: the values into the file, then SIGHUP."""
    before = reloads(daemon)
    file.write_text("".join(f"{secret}\n" for secret in secrets))
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: reloads(daemon) > before, "the configuration is reloaded")


def reloads(daemon: Daemon) -> int:
    return sum(line.get("event") == "configuration_reloaded" for line in daemon.lines)


def test_a_leaked_secret_completes_no_payment_once_it_is_replaced(parts: Parts) -> None:
    daemon, client, stripe, file = parts
    payment = pay_by_card(client)
    [session] = stripe.sessions(payment.id)
    put(daemon, file, FRESH)

    forged = post(daemon, paid_event(session), LEAKED)

    assert forged.status_code == 400, forged.text
    assert rows(daemon.place, "SELECT id FROM inbox") == []
    assert post(daemon, paid_event(session), FRESH).status_code == 200
    client.wait_for(payment.id, "COMPLETED")


def test_two_lines_are_an_overlap_that_ends_with_the_second_line(parts: Parts) -> None:
    daemon, client, stripe, file = parts
    [session] = stripe.sessions(pay_by_card(client).id)

    def answers() -> list[int]:
        events = [paid_event(session, status="open", payment_status="unpaid") for _ in range(2)]
        pairs = zip(events, (LEAKED, FRESH), strict=True)
        return [post(daemon, event, secret).status_code for event, secret in pairs]

    assert answers() == [200, 400]
    put(daemon, file, FRESH, LEAKED)
    assert answers() == [200, 200]
    put(daemon, file, FRESH)
    assert answers() == [400, 200]
    put(daemon, file, LEAKED)
    assert answers() == [200, 400]


def test_a_secret_that_comes_back_is_good_again_and_the_other_is_not(parts: Parts) -> None:
    daemon, client, stripe, file = parts
    [session] = stripe.sessions(pay_by_card(client).id)
    for secret in (FRESH, LEAKED, FRESH):
        put(daemon, file, secret)
    assert post(daemon, paid_event(session), LEAKED).status_code == 400
    assert client.call(
        "GetPayment", pb.GetPaymentRequest(payment_id=session["client_reference_id"])
    )

"""Several daemons, one watch: who leads reads the chain, and another takes over when he is gone."""

import time

from integration.tempo.till import status, wait_until_read
from support.daemon import Daemon, Place, rows
from support.tempo import ALPHA, Chain, a_token_request, due, running_with_tokens, units

PATIENCE_S = 60.0


def test_one_leads_and_another_takes_over(place: Place, chain: Chain) -> None:
    chain.mine(5)
    with (
        running_with_tokens(place, chain.url) as (first, client),
        running_with_tokens(place, chain.url) as (second, _),
    ):
        leader, other = _leader(first, second)
        wait_until_read(place, chain)
        payment = client.call("InitiatePayment", a_token_request()).payment
        leader.process.kill()
        chain.transfer(ALPHA, units(payment), due(payment).memo)
        chain.finalize()

        wait_until_read(place, chain)
        with other.client() as survivor:
            assert status(survivor.wait_for(payment.id, "COMPLETED")) == "COMPLETED"
    assert _fence(place) == 2


def test_who_lost_the_lead_unawares_stores_nothing(place: Place, chain: Chain) -> None:
    """Its session is cut by the server: another may lead before it knows."""
    chain.mine(5)
    with running_with_tokens(place, chain.url) as (_, client):
        wait_until_read(place, chain)
        rows(
            place,
            """
            SELECT pg_terminate_backend(pid) FROM pg_locks
            WHERE locktype = 'advisory' AND database = (
                SELECT oid FROM pg_database WHERE datname = current_database()
            )
            """,
        )
        payment = client.call("InitiatePayment", a_token_request()).payment
        chain.transfer(ALPHA, units(payment), due(payment).memo)
        chain.finalize()

        assert status(client.wait_for(payment.id, "COMPLETED")) == "COMPLETED"
        until = time.monotonic() + PATIENCE_S
        while _fence(place) < 2:
            assert time.monotonic() < until, "nobody leads anew"
            time.sleep(0.05)
    [ledger] = rows(place, "SELECT sum(amount) AS units FROM receipts")
    assert ledger["units"] == units(payment)


def _leader(*daemons: Daemon) -> tuple[Daemon, Daemon]:
    until = time.monotonic() + PATIENCE_S
    while True:
        leading = [d for d in daemons if any(x.get("event") == "watch_leads" for x in d.lines)]
        if leading:
            assert len(leading) == 1
            [other] = [d for d in daemons if d is not leading[0]]
            return leading[0], other
        assert time.monotonic() < until, "nobody leads"
        time.sleep(0.02)


def _fence(place: Place) -> int:
    [lease] = rows(place, "SELECT fence FROM leases WHERE name = 'watch:tempo'")
    return int(lease["fence"])

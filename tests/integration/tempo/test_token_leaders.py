"""Several daemons, one watch: the leader reads the chain, another takes over when it stops."""

from integration.tempo.till import status, wait_until_read
from support.daemon import Daemon, Place, rows
from support.tempo import ALPHA, Chain, a_token_request, due, running_with_tokens, units
from support.waiting import wait_until


def test_one_leads_and_another_takes_over(place: Place, chain: Chain) -> None:
    chain.mine(5)
    with (
        running_with_tokens(place, chain.url) as (first, client),
        running_with_tokens(place, chain.url) as (second, _),
    ):
        wait_until_read(place, chain)
        payment = client.call("InitiatePayment", a_token_request()).payment
        wait_until(lambda: _fence(place) in _fences(first) + _fences(second), "the lead is logged")
        (leader, led), (survivor, _) = _by_lead(first, second)
        leader.process.kill()
        chain.transfer(ALPHA, units(payment), due(payment).memo)
        chain.finalize()

        wait_until_read(place, chain)
        with survivor.client() as heir:
            assert status(heir.wait_for(payment.id, "COMPLETED")) == "COMPLETED"
        # On a loaded machine the leader may also change on its own; each change takes a new fence.
        assert _fence(place) > led
        fences = [fence for daemon in (first, second) for fence in _fences(daemon)]
        assert len(set(fences)) == len(fences), "two led at the same time"


def test_a_daemon_that_lost_the_lease_unnoticed_stores_nothing(place: Place, chain: Chain) -> None:
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
        wait_until(lambda: _fence(place) >= 2, "somebody leads again")
    [ledger] = rows(place, "SELECT sum(amount) AS units FROM receipts")
    assert ledger["units"] == units(payment)


def _by_lead(*daemons: Daemon) -> list[tuple[Daemon, int]]:
    """The daemons with the last fence that each led under, the newest first."""
    last = [(daemon, max(_fences(daemon), default=0)) for daemon in daemons]
    return sorted(last, key=lambda one: one[1], reverse=True)


def _fences(daemon: Daemon) -> list[int]:
    """Every fence that it took the lead under. PostgreSQL gives each only once."""
    return [line["fence"] for line in daemon.lines if line.get("event") == "watch_leads"]


def _fence(place: Place) -> int:
    [lease] = rows(place, "SELECT fence FROM leases WHERE name = 'watch:tempo'")
    return int(lease["fence"])

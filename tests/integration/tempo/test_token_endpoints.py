"""Endpoints that lag, lie, garble or refuse: nothing credited wrongly, nothing missed."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from integration.tempo.till import (
    RECEIVER,
    cursor_block,
    own_addresses,
    standing,
    status,
    wait_until_read,
)
from support import lying_rpc as lies
from support import plain_http
from support.daemon import Client, Daemon, Place, events, rows
from support.lying_rpc import LyingRpc, lying_rpc
from support.tempo import (
    ALPHA,
    Chain,
    a_token_request,
    due,
    running_chain,
    running_with_tokens,
    tempo_environment,
    units,
)
from support.waiting import wait_until
from tempo_provider.companion.anvil import MASTER_ID

#: Account 1 pays: account 0 may be ours.
PAYER = 1
PATIENCE_S = 180.0
#: Short ones: a fault must not cost the tests its time-out.
QUICK = {"TEMPO_REQUEST_TIMEOUT_S": "1"}


class House:
    """A daemon behind several endpoints, each of which may turn."""

    def __init__(
        self, place: Place, chain: Chain, endpoints: list[LyingRpc], daemon: Daemon, client: Client
    ) -> None:
        self.place, self.chain, self.endpoints = place, chain, endpoints
        self.daemon, self.client = daemon, client
        self.read = 0
        #: Our account, and what it had at the start.
        self.account, self.opening = RECEIVER, 0

    def forget_lines(self) -> None:
        """What was logged before is not waited for."""
        self.read = len(self.daemon.lines)

    def start_and_send(self) -> Any:
        """A payment whose money is final on the chain."""
        payment = self.client.call("InitiatePayment", a_token_request()).payment
        asked = due(payment)
        own = asked.receiver_address.startswith(MASTER_ID)
        memo = None if own else asked.memo
        to = asked.receiver_address
        self.chain.transfer(asked.token_address, units(payment), memo, to, sender=PAYER)
        self.chain.finalize()
        return payment

    def holds_its_books(self) -> None:
        """Everything was read, nothing twice, and the ledger holds what the chain holds."""
        for endpoint in self.endpoints:
            endpoint.is_honest()
        self.chain.mine()
        wait_until_read(self.place, self.chain)
        [ledger] = rows(self.place, "SELECT coalesce(sum(amount), 0) AS units FROM receipts")
        assert ledger["units"] == self.chain.balance(ALPHA, self.account) - self.opening

    def wait_for_line(self, event: str) -> dict[str, Any]:
        """The first log line of this event."""
        return self.daemon.wait_for_line(event, after=self.read)


@contextmanager
def a_house(
    place: Place, anvil: Path, endpoints: int, *, over_addresses: bool = False, **settings: str
) -> Iterator[House]:
    """With so many endpoints, all of them honest."""
    with ExitStack() as stack:
        chain = stack.enter_context(running_chain(anvil))
        if over_addresses:
            assert chain.succeeded(chain.register_master())
            settings = {**settings, **own_addresses(chain)}
        chain.mine(5)
        proxies = [stack.enter_context(lying_rpc(chain)) for _ in range(endpoints)]
        urls = [proxy.url for proxy in proxies]
        daemon, client = stack.enter_context(running_with_tokens(place, *urls, **QUICK, **settings))
        wait_until_read(place, chain)
        house = House(place, chain, proxies, daemon, client)
        if over_addresses:
            house.account = chain.accounts[0]
            house.opening = chain.balance(ALPHA, house.account)
        yield house


@pytest.fixture(scope="module")
def shared_house(
    request: pytest.FixtureRequest, new_place: Callable[[], Place], anvil: Path
) -> Iterator[House]:
    """With as many endpoints as the test's parameter says, and whether payments have addresses."""
    endpoints, over_addresses = request.param
    with a_house(new_place(), anvil, endpoints, over_addresses=over_addresses) as house:
        yield house


@pytest.fixture
def house(shared_house: House) -> Iterator[House]:
    """All is well at its start and at its end."""
    shared_house.forget_lines()
    yield shared_house
    for endpoint in shared_house.endpoints:
        endpoint.is_honest()


def of(endpoints: int, *over_addresses: bool) -> pytest.MarkDecorator:
    """Houses with so many endpoints, which give addresses to their payments or do not."""
    names = {False: "to the account", True: "over addresses"}
    houses = [
        pytest.param((endpoints, one), id=f"{endpoints} {names[one]}") for one in over_addresses
    ]
    return pytest.mark.parametrize("shared_house", houses, indirect=True)


one, two, three = of(1, False), of(2, False), of(3, False)
two_of_each_kind, three_of_each_kind = of(2, False, True), of(3, False, True)

LOG_LIES: dict[str, Callable[[list[lies.Json]], list[lies.Json]]] = {
    "drops all": lies.dropped,
    "drops one": lies.without_the_last,
    "alters": lies.altered,
    "adds": lies.added,
    "of another block": lies.of_another_block,
    "garbles": lies.garbled,
}


@three_of_each_kind
@pytest.mark.parametrize("lie", LOG_LIES.values(), ids=LOG_LIES)
def test_a_liar_among_three_is_overruled(
    house: House, lie: Callable[[list[lies.Json]], list[lies.Json]]
) -> None:
    house.endpoints[0].lies(lies.about_logs(lie))
    payment = house.start_and_send()

    after = house.client.wait_for(payment.id, "COMPLETED")
    assert standing(after) == ("COMPLETED", units(payment), units(payment), [])
    house.holds_its_books()


@two_of_each_kind
@pytest.mark.parametrize("lie", [lies.dropped, lies.altered, lies.added])
def test_two_that_do_not_agree_credit_nothing_until_they_do(
    house: House, lie: Callable[[list[lies.Json]], list[lies.Json]]
) -> None:
    before_the_transfer = house.chain.head()
    house.endpoints[1].lies(lies.about_logs(lie))
    payment = house.start_and_send()

    house.wait_for_line("chain_unread")
    assert status(house.client.get(payment.id)) == "PENDING"
    assert int(house.client.get(payment.id).crypto.received_base_units) == 0
    assert cursor_block(house.place) <= before_the_transfer

    house.endpoints[1].is_honest()
    assert status(house.client.wait_for(payment.id, "COMPLETED")) == "COMPLETED"
    house.holds_its_books()


@one
@pytest.mark.parametrize("lie", ["drops all", "of another block"])
def test_even_a_single_endpoint_cannot_hide_what_its_own_headers_show(
    house: House, lie: str
) -> None:
    house.endpoints[0].lies(lies.about_ranges(LOG_LIES[lie]))
    payment = house.start_and_send()

    house.wait_for_line("chain_unread")
    assert status(house.client.get(payment.id)) == "PENDING"

    house.endpoints[0].is_honest()
    assert status(house.client.wait_for(payment.id, "COMPLETED")) == "COMPLETED"
    house.holds_its_books()


@three
@pytest.mark.parametrize("empty_beyond", [True, False], ids=["empty", "error"])
def test_one_that_lags_is_passed_over(house: House, empty_beyond: bool) -> None:
    house.endpoints[0].lies(lies.lagging(4, empty_beyond=empty_beyond))
    payment = house.start_and_send()

    assert status(house.client.wait_for(payment.id, "COMPLETED")) == "COMPLETED"
    house.holds_its_books()


@one
def test_a_range_that_is_too_long_is_shortened(house: House) -> None:
    house.endpoints[0].lies(lies.range_limit(70))
    payment = house.start_and_send()
    house.chain.mine(300)

    assert status(house.client.wait_for(payment.id, "COMPLETED")) == "COMPLETED"
    wait_until_read(house.place, house.chain)
    house.holds_its_books()


#: More of them are tried on a scripted chain: test_watch_refusals.py.
FAULTS: dict[str, Callable[[LyingRpc], None]] = {
    "html": lambda rpc: rpc.says(200, b"<html>busy</html>"),
    "deeply nested": lambda rpc: rpc.says(200, b"[" * 100_000),
    "another id": lambda rpc: rpc.says(200, b'{"jsonrpc":"2.0","id":99,"result":"0x1"}'),
    "40 MiB": lambda rpc: rpc.says(200, b" " * (40 * 1024 * 1024)),
    "429": lambda rpc: rpc.says(429, retry_after="1"),
    "rate limited in JSON": lambda rpc: rpc.says(
        200, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"limit exceeded"}}'
    ),
    "hangs": lambda rpc: rpc.hangs(3),
}


@three
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_one_that_fails_is_passed_over(house: House, fault: Callable[[LyingRpc], None]) -> None:
    fault(house.endpoints[0])
    payment = house.start_and_send()

    assert status(house.client.wait_for(payment.id, "COMPLETED")) == "COMPLETED"
    house.holds_its_books()


@one
@pytest.mark.parametrize("fault", [FAULTS[name] for name in ("html", "429", "hangs")], ids=str)
def test_while_the_only_one_fails_nothing_is_lost(
    house: House, fault: Callable[[LyingRpc], None]
) -> None:
    fault(house.endpoints[0])
    payment = house.start_and_send()
    house.wait_for_line("chain_unread")

    house.endpoints[0].is_honest()
    assert status(house.client.wait_for(payment.id, "COMPLETED")) == "COMPLETED"
    house.holds_its_books()


@one
def test_an_endpoint_that_limits_the_rate_is_left_alone(house: House) -> None:
    rpc = house.endpoints[0]
    rpc.says(429, retry_after="2")
    house.wait_for_line("chain_unread")
    asked = sum(rpc.asked.values())
    time.sleep(1)

    assert sum(rpc.asked.values()) <= asked + 1


def test_what_was_left_out_is_found_when_it_is_read_again(place: Place, anvil: Path) -> None:
    """Headers and overlap miss it: only the rescan finds it, and the audit reports it."""
    with a_house(place, anvil, 1, TEMPO_RESCAN_INTERVAL_S="0.5") as house:
        [endpoint] = house.endpoints
        endpoint.hangs(0)
        payment = house.start_and_send()
        house.chain.mine(200)
        endpoint.lies(lies.about_logs(lies.dropped))
        wait_until_read(house.place, house.chain)
        assert status(house.client.get(payment.id)) == "PENDING"

        endpoint.is_honest()
        after = house.client.wait_for(payment.id, "COMPLETED")
        assert not after.late
        house.holds_its_books()


@one
def test_a_reorganisation_above_the_final_block_is_nothing(house: House) -> None:
    """Sent, seen in the newest block, undone, and never final: no receipt of it."""
    payment = house.client.call("InitiatePayment", a_token_request()).payment
    before = house.chain.balance(ALPHA)
    house.chain.transfer(ALPHA, units(payment), due(payment).memo)
    house.chain.mine()
    assert house.chain.balance(ALPHA) == before + units(payment)
    house.chain.reorg(1)
    house.chain.mine(10)
    wait_until_read(house.place, house.chain)

    came_again = house.chain.balance(ALPHA) > before
    assert status(house.client.get(payment.id)) == ("COMPLETED" if came_again else "PENDING")
    house.holds_its_books()


def test_a_break_of_finality_halts_the_watch_and_says_why(place: Place, anvil: Path) -> None:
    with a_house(place, anvil, 1) as house:
        _break_finality(house)


def _break_finality(house: House) -> None:
    payment = house.start_and_send()
    house.client.wait_for(payment.id, "COMPLETED")
    wait_until_read(house.place, house.chain)
    house.chain.reorg(8)
    house.chain.mine(10)

    line = house.wait_for_line("provider_watch_halted")
    assert "was final as" in str(line["reason"])
    stood = cursor_block(house.place)
    other = house.start_and_send()
    house.chain.mine(5)

    ready = _readiness(house.daemon)
    assert "watch halted" in ready["checks"]["provider:tempo"]["detail"]
    assert cursor_block(house.place) == stood
    assert status(house.client.get(other.id)) == "PENDING"
    assert status(house.client.get(payment.id)) == "COMPLETED", "what was final is not undone"
    assert [e.subject for e in events(house.place)] == ["payment.completed"]
    _wait_for_metric(house.daemon, 'payd_provider_watch_halted{provider="tempo"} 1.0')


def test_an_endpoint_of_another_chain_stops_the_start(place: Place, chain: Chain) -> None:
    with lying_rpc(chain) as rpc:
        rpc.lies(lies.another_chain)
        daemon = Daemon(place, **tempo_environment(rpc.url, PAYD_PROVIDERS_FAILURE_MODE="strict"))
        assert daemon.wait_ended() == 78
        assert any("is of chain 1" in str(line) for line in daemon.lines)


def test_a_receiver_that_is_the_guard_stops_the_start(place: Place) -> None:
    guard = "0xB10C000000000000000000000000000000000000"
    settings = {"TEMPO_RECEIVER_ADDRESS": guard, "PAYD_PROVIDERS_FAILURE_MODE": "strict"}
    daemon = Daemon(place, **tempo_environment("http://127.0.0.1:9", **settings))
    assert daemon.wait_ended() == 78
    assert any("the guard of receive policies" in str(line) for line in daemon.lines)


def test_a_real_node_without_a_fork_schedule_is_no_reason_not_to_start(
    place: Place, chain: Chain
) -> None:
    with running_with_tokens(place, chain.url) as (daemon, _):
        logged = [line for line in daemon.lines if line.get("event") == "chain_fork_unknown"]
    assert len(logged) == 1


#: `payd` whose loop monitor measures what a step computes: on a busy machine all else takes longer.
COMPUTED_STEPS = """
import time
import payd.__main__
import payd.providers.loop_monitor
payd.providers.loop_monitor.perf_counter = time.thread_time
payd.__main__.main()
"""


class ComputingDaemon(Daemon):
    program = ("-c", COMPUTED_STEPS, "serve")


def test_at_the_start_the_chains_libraries_do_not_block_the_loop(
    place: Place, chain: Chain
) -> None:
    """In a process of its own, which has not imported them yet: that is a second and more."""
    daemon = ComputingDaemon(place.without_forks(), **tempo_environment(chain.url))
    try:
        daemon.wait_started()
        wait_until_read(place, chain)
    finally:
        daemon.stop()
    wrong = {"provider_not_loaded", "provider_held_loop"}
    assert [line for line in daemon.lines if line.get("event") in wrong] == []


def test_without_any_endpoint_the_daemon_starts_and_takes_no_tokens(place: Place) -> None:
    nobody = "http://127.0.0.1:9"
    with running_with_tokens(place, nobody, **QUICK) as (_, client):
        with pytest.raises(Exception, match="cannot be asked now"):
            client.call("InitiatePayment", a_token_request())
        payment = client.initiate()
        assert status(client.wait_for(payment.id, "COMPLETED")) == "COMPLETED"


def _readiness(daemon: Daemon) -> dict[str, dict[str, dict[str, Any]]]:
    answer: dict[str, dict[str, dict[str, Any]]] = plain_http.get(
        f"http://{daemon.http}/readyz"
    ).json()
    return answer


def _wait_for_metric(daemon: Daemon, line: str) -> None:
    wait_until(lambda: line in plain_http.get(f"http://{daemon.metrics}/metrics").text, line)

"""Kill, long stop and restart at any point: no receipt is lost, counted twice or late."""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest
from integration.tempo.till import operate, status, wait_until_read
from support.daemon import Client, Daemon, Place, rows, wait_until_published
from support.tempo import (
    ALPHA,
    BETA,
    Chain,
    a_token_request,
    due,
    running_chain,
    running_with_tokens,
    tempo_environment,
    units,
)
from tempo_provider.companion.anvil import MASTER_ID

CAMPAIGN_KILLS = int(os.environ.get("PAYD_CAMPAIGN_KILLS", "50"))
#: What the watch goes through when it stores a range, and the worker when it settles a receipt.
POINTS = (
    "intake.before_inbox",
    "intake.after_inbox",
    "settle.before_commit",
    "settle.after_commit",
)
TRANSFERS_A_LIFE = 6
#: Another account than ours where addresses are used.
PAYER = 1


@attrs.frozen(kw_only=True)
class Death:
    """How one life of the daemon ends."""

    #: A named place, the nth time that it is reached; None: by the clock.
    point: str | None
    nth: int
    after_s: float


def deaths(count: int, seed: int) -> Iterator[Death]:
    """The same ones in every run."""
    seeded = random.Random(seed)
    for number in range(count):
        yield Death(
            point=None if number % 2 else seeded.choice(POINTS),
            nth=seeded.randint(1, 12),
            after_s=seeded.uniform(0.0, 0.6),
        )


@attrs.define
class Customers:
    """Customers that pay, and the result that each payment must have in the end."""

    chain: Chain
    seeded: random.Random
    waiting: list[Any]
    #: Of the daemon.
    settings: Mapping[str, str]
    sent: Counter[str] = attrs.field(factory=Counter)
    astray: int = 0

    def pay_some(self) -> None:
        """In parts, whole, or with a name of nobody; each in a block of its own."""
        for _ in range(TRANSFERS_A_LIFE):
            payment = self.seeded.choice(self.waiting)
            part = self.seeded.choice((units(payment), units(payment) // 2, 1))
            to, is_astray = due(payment).receiver_address, self.seeded.random() < 0.15
            # To an account, a memo is needed; an address names the payment by itself.
            is_plain = to.startswith(MASTER_ID) and self.seeded.random() < 0.7
            memo = None if is_plain else due(payment).memo
            if is_astray:
                memo = "0x" + self.seeded.randbytes(32).hex()
                to = to[:-12] + "0" * 12 if to.startswith(MASTER_ID) else to
                self.chain.transfer(ALPHA, part, memo, to=to, sender=PAYER)
                self.astray += part
            else:
                self.chain.transfer(due(payment).token_address, part, memo, to=to, sender=PAYER)
                self.sent[payment.id] += part
            self.chain.mine()


def live_and_die(
    place: Place, chain: Chain, count: int, seed: int, *, over_addresses: bool = False
) -> None:
    """So many lives; what the last one finds must be what a single one would have found."""
    chain.mine(5)
    settings = own_addresses(chain) if over_addresses else {}
    with running_with_tokens(place, chain.url, **settings) as (_, client):
        waiting = [
            client.call("InitiatePayment", a_token_request(currency=code)).payment
            for code in ("USDC", "USDT") * 4
        ]
    customers = Customers(chain, random.Random(seed), waiting, settings)
    for death in deaths(count, seed):
        _one_life(place, chain, customers, death)
    with running_with_tokens(place, chain.url, **settings) as (_, client):
        chain.finalize()
        wait_until_read(place, chain)
        _check(place, chain, client, customers)


def own_addresses(chain: Chain) -> Mapping[str, str]:
    """Settings with which each payment has an address of its own."""
    registered = chain.register_master()
    assert chain.succeeded(registered)
    return {"TEMPO_RECEIVER_ADDRESS": chain.accounts[0], "TEMPO_MASTER_ID": MASTER_ID}


def _one_life(place: Place, chain: Chain, customers: Customers, death: Death) -> None:
    crash_at = {"PAYD_CRASH_AT": f"{death.point}:{death.nth}"} if death.point else {}
    environment = tempo_environment(chain.url, **customers.settings, **crash_at)
    daemon = Daemon(place, **environment)
    with ExitStack() as stack:
        stack.callback(daemon.wait_ended)
        stack.callback(daemon.process.kill)
        if death.point is None:
            daemon.wait_started()
        customers.pay_some()
        if death.point is None:
            time.sleep(death.after_s)
        else:
            _until_dead(daemon)


def _until_dead(daemon: Daemon) -> None:
    """It dies at its point, unless it never comes by that often."""
    until = time.monotonic() + 6
    while daemon.process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)


def _check(place: Place, chain: Chain, client: Client, customers: Customers) -> None:
    events = Counter(
        (one.body["id"], one.subject)
        for one in wait_until_published(place)
        if one.subject != "payment.attention"
    )
    for payment in customers.waiting:
        after = client.get(payment.id)
        got = customers.sent[payment.id]
        assert int(after.crypto.confirmed_base_units) == got
        paid = got >= units(payment)
        assert status(after) == ("COMPLETED" if paid else "PROCESSING" if got else "PENDING")
        assert events[payment.id, "payment.completed"] == int(paid)
    [ledger] = rows(
        place, "SELECT coalesce(sum(amount), 0) AS units FROM receipts WHERE payment_id IS NULL"
    )
    assert ledger["units"] == customers.astray
    environment = tempo_environment(chain.url, **customers.settings)
    assert operate(place, environment, "tempo", "audit")["balanced"]
    if not customers.settings:
        [total] = rows(place, "SELECT sum(amount) AS units FROM receipts")
        assert total["units"] == chain.balance(ALPHA) + chain.balance(BETA)


both_ways = pytest.mark.parametrize(
    "over_addresses", [False, True], ids=["to the account", "over addresses"]
)


@both_ways
def test_killed_a_few_times(place: Place, chain: Chain, over_addresses: bool) -> None:
    live_and_die(place, chain, 3, seed=4, over_addresses=over_addresses)


@pytest.mark.campaign
@both_ways
@pytest.mark.parametrize("seed", range(2))
def test_killed_many_times(
    new_place: Callable[[], Place], anvil: Path, seed: int, over_addresses: bool
) -> None:
    with running_chain(anvil) as chain:
        live_and_die(
            new_place(), chain, CAMPAIGN_KILLS, seed=100 + seed, over_addresses=over_addresses
        )


def _away_for(blocks: int, place: Place, chain: Chain) -> None:
    """Money in time and money too late, all while nobody looks."""
    chain.mine(5)
    # A block is a second here: a day, so that half of them are in time.
    a_day = {"TEMPO_PAYMENT_TTL_MINUTES": "1440"}
    with running_with_tokens(place, chain.url, **a_day) as (_, client):
        in_time, late, never = (
            client.call("InitiatePayment", a_token_request()).payment for _ in range(3)
        )
    chain.transfer(ALPHA, units(in_time), due(in_time).memo)
    chain.mine(blocks // 2)
    chain.set_next_time(int(late.expire_time.seconds) + 60)
    chain.mine()
    chain.transfer(ALPHA, units(late), due(late).memo)
    chain.mine(blocks // 2)

    with running_with_tokens(place, chain.url) as (_, client):
        wait_until_read(place, chain)
        after = client.wait_for(in_time.id, "COMPLETED")
        assert not after.late, "the block's time decides, not ours"
        after = client.wait_for(late.id, "COMPLETED")
        assert after.late
        assert status(client.get(never.id)) == "PENDING", "by our clock it may still be paid"
    assert operate(place, tempo_environment(chain.url), "tempo", "audit")["balanced"]


def test_away_for_hundreds_of_blocks(place: Place, chain: Chain) -> None:
    _away_for(600, place, chain)


@pytest.mark.campaign
def test_away_for_five_thousand_blocks(place: Place, chain: Chain) -> None:
    _away_for(5_000, place, chain)

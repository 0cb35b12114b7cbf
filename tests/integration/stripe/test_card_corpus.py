"""Thousands of forged and malformed webhooks: none is taken, none breaks or swells the daemon."""

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from support import plain_http
from support.cards import StandIn, running_with_cards
from support.daemon import Daemon, Place, rows
from support.plain_http import NO_TLS
from support.webhook_mutations import Mutation, good_events, mutated, signed_headers, written

SEED = int(os.environ.get("PAYD_CORPUS_SEED", "1"))
COUNTS = (2_000, pytest.param(10_000, marks=pytest.mark.campaign))
#: Of mutations; so many that none of the generator's branches is dead.
KINDS_MIN = 250
GROWTH_MAX = 10 * 1024 * 1024
SENDERS = 4
#: A name and the codes that its mutations were answered with.
Answers = Counter[tuple[str, int]]


@pytest.fixture
def daemon(place: Place, stripe: StandIn) -> Iterator[Daemon]:
    with running_with_cards(place.without_forks(), stripe) as (daemon, _):
        yield daemon


@pytest.mark.parametrize("count", COUNTS)
def test_no_mutated_webhook_is_taken(daemon: Daemon, count: int) -> None:
    now = int(time.time())
    corpus = list(mutated(SEED, count, now))
    half = len(corpus) // 2
    process = psutil.Process(daemon.process.pid)

    answers = send_all(daemon, corpus[:half])
    before = process.memory_info().rss
    answers += send_all(daemon, corpus[half:])
    after = process.memory_info().rss

    assert answers.total() == count
    assert len({what for what, _ in answers}) > KINDS_MIN
    assert {pair for pair in answers if not 400 <= pair[1] < 500} == set()
    assert rows(daemon.place, "SELECT id FROM inbox") == []
    assert after - before <= GROWTH_MAX, f"{before:,} → {after:,} bytes"
    assert_good_ones_are_taken(daemon)


def send_all(daemon: Daemon, corpus: Sequence[Mutation]) -> Answers:
    """From several senders at once, each on a connection that it keeps."""
    with ThreadPoolExecutor(SENDERS) as pool:
        shares = [corpus[start::SENDERS] for start in range(SENDERS)]
        return sum(pool.map(lambda share: send(daemon, share), shares), Answers())


def send(daemon: Daemon, share: Sequence[Mutation]) -> Answers:
    answers = Answers()
    with httpx.Client(verify=NO_TLS, timeout=120, trust_env=False) as client:
        for body, headers, what in share:
            answer = client.post(url_of(daemon), content=body, headers=headers)
            answers[what, answer.status_code] += 1
    return answers


def assert_good_ones_are_taken(daemon: Daemon) -> None:
    """What the mutations were made of: else they would have been refused for nothing."""
    now = int(time.time())
    bodies = [written(event) for event in good_events(now)]
    for body in bodies:
        answer = plain_http.post(url_of(daemon), content=body, headers=signed_headers(body, now))
        assert (answer.status_code, answer.json()) == (200, {"received": True, "new": True})
    [stored] = rows(daemon.place, "SELECT count(*) FROM inbox")
    assert stored["count"] == len(bodies)


def url_of(daemon: Daemon) -> str:
    return f"http://{daemon.http}/webhooks/stripe"

"""A running daemon shows in its metrics what waits for a person."""

import re
import time
import urllib.request

from support.daemon import Daemon, Place, running_daemon
from support.waiting import PATIENCE_S, wait_until


def test_open_attention_is_in_the_metrics_with_the_age_of_the_oldest(place: Place) -> None:
    with running_daemon(place) as daemon, daemon.client() as client:
        started = client.initiate(metadata={"mock_scenario": "pay_twice"})
        wait_until(lambda: len(client.get(started.id).attention) == 2, "both reasons are open")

    # Counted at its start, and twice a minute.
    with running_daemon(place) as daemon:
        opened = 'payd_attention_open{reason="OVERPAID"}'
        assert wait_for_metric(daemon, opened) == 1.0
        assert wait_for_metric(daemon, 'payd_attention_open{reason="DUPLICATE_PAYMENT"}') == 1.0
        assert wait_for_metric(daemon, 'payd_attention_oldest_seconds{reason="OVERPAID"}') > 0
        assert wait_for_metric(daemon, 'payd_attention_open{reason="STUCK"}') == 0.0
        assert wait_for_metric(daemon, 'payd_refunds_open{status="creating"}') == 0.0


def wait_for_metric(daemon: Daemon, series: str) -> float:
    """Its value, as soon as the daemon has it."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        with urllib.request.urlopen(f"http://{daemon.metrics}/metrics") as answer:
            text = answer.read().decode()
        if found := re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE):
            return float(found[1])
        time.sleep(0.1)
    raise AssertionError(f"{series} is not in the metrics")

"""A shorter interval between scans holds at once after a reload, and after a restart."""

import signal
from pathlib import Path

from support.bank import bank_environment
from support.daemon import Place, rows, running_daemon
from support.waiting import wait_until

RESTS = """
    SELECT extract(epoch FROM next_time - now())::float AS seconds FROM provider_cursors
    WHERE provider = 'sepa' AND name = 'events' AND value IS NOT NULL
"""


def test_a_shorter_interval_holds_at_once(place: Place, tmp_path: Path) -> None:
    def rests(most_s: float, least_s: float = 0.0) -> bool:
        found = rows(place, RESTS)
        return bool(found) and least_s <= found[0]["seconds"] <= most_s

    file = tmp_path / "payd.yaml"
    settings = {**bank_environment(tmp_path), "PAYD_CONFIG": str(file)}
    prices = Path(__file__).parents[3] / "config" / "pricing.yaml"
    settings["PRICING_FILE"] = str(prices)
    file.write_text("recovery: {scan_interval_s: 7200}\n")
    with running_daemon(place, **settings) as daemon:
        wait_until(lambda: rests(7200, 3600), "a scan is over and rests for two hours")
        file.write_text("recovery: {scan_interval_s: 600}\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_line("configuration_reloaded", 0)
        wait_until(lambda: rests(600, 300), "the rest is ten minutes")

    file.write_text("recovery: {scan_interval_s: 60}\n")
    with running_daemon(place, **settings):
        wait_until(lambda: rests(60), "the rest is a minute")

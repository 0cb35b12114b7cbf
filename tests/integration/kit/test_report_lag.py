"""How late a report may be is the remote side's to say: a scan must read again that much."""

from datetime import timedelta
from typing import Any

import attrs
import trio
from acme_provider.conformance import AcmeRemote
from acme_provider.provider import AcmeProvider
from integration.kit.broken import manifest_of
from integration.kit.remotes import opening

from payd.plugins.testing import CHECKS, Outcome, run_check
from payd.plugins.testing.report import Verdict

BY_NAME = {check.name: check for check in CHECKS}
CHECK = "an event that appears late is read"


class ReadsTwoMinutesAgain(AcmeProvider):
    """Its cursor is the newest time that it has seen, less two minutes."""

    async def scan(self, cursor: str | None) -> Any:
        page = await super().scan(None)
        events, since = list(page.events), int(cursor or 0)
        while page.more:
            page = await super().scan(page.cursor)
            events += page.events
        times = {one.id: one.content["charge"]["as_of"] for one in events}
        new = tuple(one for one in events if times[one.id] >= since)
        newest = max((times[one.id] for one in new), default=since + 120)
        return attrs.evolve(page, events=new, cursor=str(max(since, newest - 120)))


class OneMinuteLate(AcmeRemote):
    report_lag = timedelta(minutes=1)


def verdict(remote: type[AcmeRemote]) -> Verdict:
    manifest = manifest_of(ReadsTwoMinutesAgain)
    return trio.run(run_check, BY_NAME[CHECK], manifest, opening(remote))


def test_a_report_within_the_lag_is_read_again() -> None:
    assert verdict(OneMinuteLate).outcome is Outcome.PASSED


def test_a_report_that_is_later_than_what_is_read_again_is_missed() -> None:
    usual = verdict(AcmeRemote)
    assert usual.outcome is Outcome.FAILED
    assert "reported 5 minutes after its time" in usual.message
    assert "read again from at least 5 minutes before the newest" in usual.message

"""Stored reports of the previous version of payd, which kept totals of refunds, are still read."""

import json
from typing import Any

import pytest
from unit.domain.builders import a_snapshot

from payd.adapters.postgres.reports import report_json, report_of
from payd.adapters.postgres.rows import provider_status_of
from payd.domain.evidence import Conflict, Observation, ProviderStatus

SNAPSHOT = a_snapshot(ProviderStatus.PAID)
OBSERVATION = Observation(id="o", reference="cs_1", fact=SNAPSHOT)


def stored(**fact: Any) -> Observation:
    text = json.dumps({"id": "o", "reference": "cs_1", **fact})
    report = report_of(text)
    assert isinstance(report, Observation)
    return report


def a_stored_snapshot(**overrides: Any) -> dict[str, Any]:
    fields = json.loads(json.dumps(report_json(OBSERVATION), default=lambda time: time.isoformat()))
    return dict(fields["snapshot"] | overrides)


def test_a_snapshot_is_stored_as_the_previous_version_stores_it() -> None:
    assert list(a_stored_snapshot())[:6] == [
        *("status", "asset", "received", "confirmed", "refunded", "as_of"),
    ]
    assert a_stored_snapshot()["refunded"] == 0
    assert stored(snapshot=a_stored_snapshot()) == OBSERVATION


def test_a_disputed_object_was_paid_and_its_total_of_refunds_is_left_out() -> None:
    old = stored(snapshot=a_stored_snapshot(status="DISPUTED", refunded=100))
    assert old == OBSERVATION
    assert provider_status_of("DISPUTED") is ProviderStatus.PAID
    assert provider_status_of("OPEN") is ProviderStatus.OPEN


@pytest.mark.parametrize(
    ("disputed", "detail"),
    [(False, "100 USD refunded in all"), (True, "100 USD refunded in all, disputed")],
)
def test_a_total_that_nobody_can_divide_is_for_a_person(disputed: bool, detail: str) -> None:
    reversal = {"asset": "USD", "refunded": 100, "disputed": disputed, "aliases": []}
    assert stored(reversal=reversal).fact == Conflict(detail=detail)

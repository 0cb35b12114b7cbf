"""The metrics port: what a scraper gets, in the format that it asks for."""

import httpx
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse
from support.plain_http import NO_TLS

from payd.telemetry import Metrics


async def test_a_scraper_reads_every_series(metrics_port: tuple[str, Metrics]) -> None:
    url, metrics = metrics_port
    metrics.payments.labels("card", "completed").inc()
    async with httpx.AsyncClient(verify=NO_TLS, base_url=url) as client:
        answer = await client.get("/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in parse(answer.text)}
    [sample] = [s for s in families["payd_payments"].samples if s.name == "payd_payments_total"]
    assert (sample.labels, sample.value) == ({"method": "card", "status": "completed"}, 1)


async def test_a_scraper_that_asks_for_openmetrics_gets_it(
    metrics_port: tuple[str, Metrics],
) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
    async with httpx.AsyncClient(verify=NO_TLS, base_url=metrics_port[0]) as client:
        answer = await client.get("/metrics", headers={"accept": accept})

    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert "payd_build_info" in {family.name for family in parse_openmetrics(answer.text)}


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/healthz")])
async def test_nothing_else_is_there(
    metrics_port: tuple[str, Metrics], method: str, path: str
) -> None:
    async with httpx.AsyncClient(verify=NO_TLS, base_url=metrics_port[0]) as client:
        answer = await client.request(method, path)

    assert answer.status_code == 404
    assert "payd_" not in answer.text

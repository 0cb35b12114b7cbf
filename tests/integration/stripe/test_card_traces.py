"""Traces of card payments: the span of a decision links to the webhook that led to it."""

from pathlib import Path

from integration.stripe.shop import open_shop, paid_event
from support.daemon import Place
from support.otlp import Exported, collecting
from support.waiting import wait_until


def test_a_decision_links_to_the_webhook_that_led_to_it(place: Place, tmp_path: Path) -> None:
    with collecting() as collector:
        tracing = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        with open_shop(place, tmp_path, **tracing) as shop:
            payment, session = shop.start()
            assert shop.settle(paid_event(session)) == ["applied"]

            def spans(name: str) -> list[Exported]:
                return [one for one in collector.spans() if one.name == name]

            def decided() -> list[Exported]:
                found = [
                    one
                    for one in spans("settle")
                    if one.attributes["payd.payment_id"] == payment.id
                ]
                return found if any(one.links for one in found) and spans("webhook") else []

            decisions = wait_until(decided, lambda: f"only {collector.spans()}")
    [webhook] = spans("webhook")
    links = {one.attributes["payd.status"]: one.links for one in decisions}
    assert links == {"PENDING": (), "COMPLETED": (webhook.id,)}
    # It is in the trace of the payment, and not in that of the webhook.
    assert {one.trace_id for one in decisions} & {webhook.trace_id} == set()

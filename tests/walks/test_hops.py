"""Each walk runs through little code, so that a reader opens few files to follow a payment.

The bounds are a little above what was measured. Code that needs more raises them here, on purpose.
"""

import json
import sys

from payd_client.proto import payment_pb2 as pb
from unit.service.world import World
from walks.card_rail import BODY
from walks.hops import Hops, counted
from walks.test_initiate_walk import CALL, the_request

from payd.codec.message_json import message_json
from payd.domain.payment import Status
from payd.plugins.interface import WebhookRequest
from payd.transport.grpc.handlers import Handlers
from payd.transport.http.webhooks import Webhooks


async def test_initiate_payment_runs_through_few_files_and_functions(house: World) -> None:
    services = house.services
    handlers = Handlers(services)

    with counted() as hops:
        answer = await handlers.initiate_payment(the_request(), CALL)

    assert answer.payment.next_action.redirect.url == "https://cards.example/cs_1"
    _within(hops, files=27, functions=96, calls=135, depth=13)


async def test_a_webhook_runs_through_few_files_and_functions(house: World) -> None:
    """From the received body to the payment's new status and the event in the outbox."""
    payment = await house.initiate()
    webhooks = Webhooks(
        intake=house.intake,
        on_webhook=lambda provider, outcome: None,
        on_events=lambda provider, outcome, number: None,
    )
    # Once for each type of message, a table of its conversions is made.
    for message in (pb.Payment(), pb.PricedItem(), pb.Money()):
        message_json(message)

    with counted() as hops:
        await webhooks.receive("mock", WebhookRequest(body=BODY, headers={}))
        assert await house.intake_pass() == 1

    assert (await house.newest(payment)).status is Status.COMPLETED
    assert (await house.outbox.depth())[0] == 1
    _within(hops, files=22, functions=81, calls=126, depth=11)


def _within(hops: Hops, **bounds: int) -> None:
    counts = {
        "files": len(hops.files),
        "functions": len(hops.functions),
        "calls": hops.calls,
        "depth": hops.depth,
    }
    sys.stdout.write(f"{json.dumps(counts)}\n")  # Shown with `pytest -s`.
    beyond = {name: count for name, count in counts.items() if count > bounds[name]}
    assert not beyond, f"{beyond} of at most {bounds}:\n" + "\n".join(hops.functions)

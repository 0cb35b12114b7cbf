"""Many refunds of one payment at once, through one daemon and through two (I17, I19)."""

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from integration.stripe.refunding import (
    a_refund,
    assert_sums_agree,
    at_stripe,
    status_of_refund,
    stripes_sum,
    wait_refunds,
)
from integration.stripe.shop import Shop, open_shop
from support.cards import running_with_cards
from support.daemon import Client, Place, reason_of

REQUESTS = 50
PARTS = 10
#: Each waits for its turn at the payment, on a busy machine.
PATIENCE_S = 120.0


def answers(clients: Sequence[Client], payment_id: str, minor_units: int) -> Counter[str]:
    """Send all requests at once, in turn through the clients; what became of them."""
    requests = [a_refund(payment_id, minor_units) for _ in range(REQUESTS)]
    calls = [
        clients[n % len(clients)].future("RefundPayment", request, timeout_s=PATIENCE_S)
        for n, request in enumerate(requests)
    ]
    return Counter(map(answer_of, calls))


def answer_of(call: Any) -> str:
    try:
        return status_of_refund(call.result().refund)
    except grpc.RpcError as error:
        return reason_of(error)


@pytest.mark.parametrize("daemons", [1, 2])
def test_of_many_tenths_at_once_exactly_ten_are_refunded(
    place: Place, tmp_path: Any, daemons: int
) -> None:
    with open_shop(place, tmp_path) as shop:
        payment, session = paid(shop)
        tenth, rest = divmod(payment.amount.minor_units, PARTS)
        assert rest == 0
        if daemons == 1:
            found = answers([shop.client], payment.id, tenth)
        else:
            with running_with_cards(place, shop.stripe) as (_, other):
                found = answers([shop.client, other], payment.id, tenth)

        assert found == {"SUCCEEDED": PARTS, "REFUND_EXCEEDS_PAID": REQUESTS - PARTS}
        assert len(at_stripe(shop.stripe, session)) == PARTS
        assert stripes_sum(shop.stripe, session) == payment.amount.minor_units
        wait_refunds(shop.client, payment.id, *["SUCCEEDED"] * PARTS)
        assert_sums_agree(shop, payment.id, session)


def paid(shop: Shop) -> tuple[Any, Any]:
    payment, session = shop.start()
    shop.stripe.act(session["id"], "pay")
    return shop.client.wait_for(payment.id, "COMPLETED"), session


def test_payd_and_the_dashboard_together_never_refund_more_than_was_paid(
    place: Place, tmp_path: Any
) -> None:
    """What the dashboard takes while payd refunds is refused by Stripe, to one of the two."""
    with open_shop(place, tmp_path) as shop:
        payment, session = paid(shop)
        tenth = payment.amount.minor_units // PARTS
        taken: list[int] = []

        def in_the_dashboard() -> None:
            path = f"/_control/sessions/{session['id']}/refund"
            taken.extend(
                shop.stripe.http.post(path, json={"amount": tenth}).status_code
                for _ in range(PARTS)
            )

        thread = threading.Thread(target=in_the_dashboard)
        thread.start()
        found = answers([shop.client], payment.id, tenth)
        thread.join()

        assert set(found) <= {"SUCCEEDED", "FAILED", "REFUND_EXCEEDS_PAID"}
        assert found["SUCCEEDED"] + taken.count(200) == PARTS
        assert stripes_sum(shop.stripe, session) == payment.amount.minor_units
        wait_refunds(shop.client, payment.id, *["SUCCEEDED"] * PARTS, *["FAILED"] * found["FAILED"])
        assert_sums_agree(shop, payment.id, session)

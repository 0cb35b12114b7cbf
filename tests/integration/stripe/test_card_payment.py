"""A payment by card from its start to its end, through the real parts."""

from cards import RETURN_URL, StandIn, pay_by_card, running_with_cards
from daemon import Place, rows, wait_until_published


def test_a_customer_pays(place: Place, stripe: StandIn) -> None:
    with running_with_cards(place, stripe) as (_, client):
        payment = pay_by_card(client)
        [session] = stripe.sessions(payment.id)
        assert payment.next_action.redirect.url == session["url"]
        assert session["amount_total"] == payment.amount.minor_units
        assert session["success_url"] == RETURN_URL + "?session_id={CHECKOUT_SESSION_ID}"

        stripe.act(session["id"], "pay")

        done = client.wait_for(payment.id, "COMPLETED")
        assert done.received.minor_units == payment.amount.minor_units
        assert done.provider_reference == session["id"]
        [event] = wait_until_published(place)
        assert event.subject == "payment.completed"
        trail = rows(place, "SELECT event_type, actor FROM payment_events ORDER BY version")
        assert trail[-1]["event_type"] == "payment_completed"
        assert trail[-1]["actor"] == "provider:stripe"

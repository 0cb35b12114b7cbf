"""A request whose body comes late, and is not read, must not leave its connection hanging."""

import http.client
import time

from support.cards import StandIn


def test_a_late_body_that_nobody_reads_does_not_hang_the_connection(stripe: StandIn) -> None:
    made = stripe.order("sessions", amount_total=100)
    connection = http.client.HTTPConnection(stripe.url.removeprefix("http://"), timeout=5)
    connection.putrequest("POST", f"/_control/sessions/{made['id']}/decline")
    connection.putheader("Content-Length", "2")
    connection.endheaders()
    time.sleep(0.3)
    connection.send(b"{}")
    assert connection.getresponse().read()
    connection.request("GET", "/_control/sessions")
    assert connection.getresponse().status == 200
    connection.close()

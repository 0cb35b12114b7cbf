"""The example shop passes instructions on to its page."""

import attrs
from main_app import models
from payd_client import Show, ShowField, ShowKind
from payd_client.messages import payment_of
from unit.test_codec import a_payment

from payd.codec.messages import payment_message


def test_each_line_of_the_instructions_reaches_the_page() -> None:
    show = Show(
        kind=ShowKind.QR,
        payload="instant:RF18",
        fields=(ShowField(label="IBAN", value="DE02", copyable=True),),
        expire_time=None,
    )
    payment = attrs.evolve(payment_of(payment_message(a_payment())), next_action=show)

    shown = models.payment_out(payment, []).next_action

    assert shown is not None
    assert (shown.type, shown.kind, shown.payload) == ("show", "QR", "instant:RF18")
    assert [line.model_dump() for line in shown.lines] == [
        {"label": "IBAN", "value": "DE02", "copyable": True}
    ]

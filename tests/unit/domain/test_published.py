"""A dead letter: its headers may name an event and a payment, and may say anything else."""

from uuid import UUID

import pytest
from unit.domain.builders import NOW

from payd.domain.published import DeadLetter

ID = UUID("0190f3b2-8c5e-7d1a-9b3f-2a6c4e8d0f17")


def a_letter(**headers: str) -> DeadLetter:
    return DeadLetter(
        sequence=1,
        subject="payment.completed",
        reason="no handler",
        time=NOW,
        deliveries=5,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        data=b"",
    )


def test_a_letter_names_its_event_and_its_payment() -> None:
    letter = a_letter(ce_id=str(ID), ce_source=f"//payd/eu/payments/{ID}")
    assert (letter.event_id, letter.named_event_id) == (str(ID), ID)
    assert letter.named_payment_id == ID


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ce_id": "7", "ce_source": "//payd/payments/7"},
        {"ce_id": "", "ce_source": f"//other/payments/{ID}"},
        {"ce_source": f"//payd/refunds/{ID}"},
    ],
    ids=["nothing", "no ids", "another sender", "no payment"],
)
def test_other_headers_name_nothing(headers: dict[str, str]) -> None:
    letter = a_letter(**headers)
    assert (letter.event_id, letter.named_event_id) == (headers.get("ce_id", ""), None)
    assert letter.named_payment_id is None

"""An event that happens once keeps its id, whatever version it is reached by."""

from typing import Any

import attrs
import pytest
from unit.domain.builders import a_payment

from payd.adapters.events import outbox_row_of
from payd.domain.decide import Event, EventType
from payd.domain.payment import Origin, Status

ORIGIN = Origin(actor="recovery")
PAID = a_payment(Status.COMPLETED, version=3)


def id_of(kind: EventType, version: int, **about: Any) -> object:
    event = Event(type=kind, previous_status=Status.PENDING, **about)
    payment = attrs.evolve(PAID, version=version)
    return outbox_row_of(payment, event, ORIGIN, "test").event_id


ONCE = [kind for kind in EventType if kind is not EventType.ATTENTION]


@pytest.mark.parametrize("kind", ONCE)
def test_after_a_restore_it_has_the_same_id(kind: EventType) -> None:
    assert id_of(kind, 3) == id_of(kind, 7)


def test_two_kinds_have_two_ids() -> None:
    assert len({id_of(kind, 3) for kind in EventType}) == len(EventType)


def test_two_disputes_have_two_ids() -> None:
    ids = {id_of(EventType.DISPUTED, 3, dispute_id=name) for name in ("dp_1", "dp_2")}
    assert len(ids) == 2


def test_each_attention_is_news() -> None:
    assert id_of(EventType.ATTENTION, 3) != id_of(EventType.ATTENTION, 4)

"""What the main app knows, by the events that were published."""

from payd.domain.decide import EventType
from payd.domain.explain.words import listing
from payd.domain.history import History


def main_app_knows(history: History, *kinds: EventType, about: str = "") -> str:
    """A sentence about the events of these kinds: which were published, and which wait."""
    subjects = {kind.value for kind in kinds}
    found = [
        event
        for event in history.events
        if event.subject in subjects and about in ("", event.about)
    ]
    published = dict.fromkeys(event.subject for event in found if event.publish_time)
    waiting = dict.fromkeys(event.subject for event in found if not event.publish_time)
    if published:
        return f"The main app knows it from {listing(published)}."
    if waiting:
        return f"The main app does not know it yet: {listing(waiting)} waits for NATS."
    return f"The main app has been sent no {listing(sorted(subjects))}."

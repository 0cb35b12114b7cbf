"""Stripe's lists, and a clock that a test sets."""

import bisect
from datetime import datetime
from typing import Any

import attrs
import httpx
from stripe_provider.webhooks import EVENTS
from unit.stripe.builders import NOW, SESSION_ID, Sent, an_event, answer, failure


@attrs.define
class Shelf:
    """Stripe's lists: newest first, page by page, after an id, within times."""

    rows: list[dict[str, Any]]
    #: Stripe gives as many as were asked for at most. Few, so that many pages take no time.
    page: int = 100
    queries: list[dict[str, str]] = attrs.Factory(list)

    def __call__(self, sent: Sent) -> httpx.Response:
        self.queries.append(dict(sent.query))
        limit = min(self.page, int(sent.query["limit"]))
        found = self._within(sent.query)
        if after := sent.query.get("starting_after"):
            places = [n for n, row in enumerate(found) if row["id"] == after]
            if not places:
                gone = {"type": "invalid_request_error", "code": "resource_missing"}
                return failure(400, param="starting_after", **gone)
            found = found[places[0] + 1 :]
        page = {"object": "list", "data": found[:limit], "has_more": len(found) > limit}
        return answer(page | {"url": sent.path})

    def _within(self, query: Any) -> list[dict[str, Any]]:
        """The rows lie in the order of their times."""
        times = [row["created"] for row in self.rows]
        low, high = 0, len(times)
        if "created[gte]" in query:
            low = bisect.bisect_left(times, int(query["created[gte]"]))
        if "created[lte]" in query:
            high = bisect.bisect_right(times, int(query["created[lte]"]))
        if "created[lt]" in query:
            high = bisect.bisect_left(times, int(query["created[lt]"]))
        return self.rows[low:high][::-1]


@attrs.define
class Hand:
    """A clock that a test sets."""

    time: datetime = NOW

    def now(self) -> datetime:
        return self.time


def events_at(*times: int) -> list[dict[str, Any]]:
    """One each, named in their order; of a kind that is small."""
    session = {"id": SESSION_ID, "mode": "setup", "object": "checkout.session"}
    rows = (an_event(EVENTS[0], session, created=time) for time in sorted(times))
    return [row | {"id": f"evt_{n}"} for n, row in enumerate(rows)]

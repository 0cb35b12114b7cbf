"""What the spans around ports say, and which part of an error they leave out."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import attrs
import pytest
from contract.stores import CALLER, NOW, a_new_payment, created

from payd.adapters.traced import traced_provider, traced_publisher, traced_store
from payd.domain.decide import decide
from payd.domain.evidence import Created, OutcomeUnknown
from payd.ports import Answer, Commit, OutboxRow, PublishError
from payd.telemetry.tracing import CURRENT, NOTHING, Attributes, SpanKind

SECRET = "a customer's words"


@attrs.define
class Noted:
    """A span that remembers."""

    name: str
    parent: str
    attributes: dict[str, str | int]
    traceparent: str
    failure: str | None = None
    links: tuple[str, ...] = ()

    def end(self, attributes: Attributes = NOTHING, *, failure: str = "") -> None:
        assert self.failure is None, "ended twice"
        self.attributes.update(attributes)
        self.failure = failure


class NotingTracer:
    def __init__(self) -> None:
        self.spans: list[Noted] = []

    def begin(
        self,
        name: str,
        kind: SpanKind,
        parent: str,
        attributes: Attributes,
        links: Sequence[str] = (),
    ) -> Noted:
        span = Noted(name, parent, dict(attributes), f"span-{len(self.spans)}", links=tuple(links))
        self.spans.append(span)
        return span

    async def close(self) -> None:
        raise AssertionError("not closed here")


@pytest.fixture
def tracer() -> NotingTracer:
    return NotingTracer()


def answering(outcome: Any) -> Callable[..., Any]:
    async def answer(*_: object) -> Any:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return answer


async def test_a_providers_call_is_a_child_of_the_current_call(tracer: NotingTracer) -> None:
    answer = Answer(evidence=(Created(reference=SECRET, next_action=None),))
    behind: Any = SimpleNamespace(name="bank", create=answering(answer), can_scan=True)
    provider = traced_provider(behind, tracer)
    CURRENT.set("the call")
    payment_id = uuid4()

    about: Any = SimpleNamespace(payment_id=payment_id)
    assert await provider.create(about) is answer
    assert provider.can_scan

    [span] = tracer.spans
    assert (span.name, span.parent, span.failure) == ("provider create", "the call", "")
    assert span.attributes == {
        "payd.provider": "bank",
        "payd.operation": "create",
        "payd.payment_id": str(payment_id),
        "payd.outcome": "Created",
    }


async def test_an_unknown_outcome_and_an_error_are_failures_by_name(tracer: NotingTracer) -> None:
    unknown = Answer(evidence=(OutcomeUnknown(),))
    behind: Any = SimpleNamespace(
        name="bank", fetch=answering(unknown), close=answering(ValueError(SECRET))
    )
    provider, about = traced_provider(behind, tracer), SimpleNamespace()
    await provider.fetch(about)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=SECRET):
        await provider.close(about)  # type: ignore[arg-type]
    assert [one.failure for one in tracer.spans] == ["OutcomeUnknown", "ValueError"]
    assert SECRET not in str(tracer.spans)


async def test_a_decision_is_stored_with_its_span_as_its_origin(tracer: NotingTracer) -> None:
    commits: list[Any] = []

    async def commit(before: Any, decision: Any, origin: Any, inbox_ids: Any) -> bool:
        commits.append(origin)
        return False

    async def commit_all(given: list[Commit]) -> list[bool]:
        commits.extend(one.origin for one in given)
        return [True]

    behind: Any = SimpleNamespace(commit=commit, commit_all=commit_all, other="kept")
    store: Any = traced_store(behind, tracer)
    payment = a_new_payment()
    decision = decide(payment, created(), NOW)
    assert decision is not None
    CURRENT.set("")
    nobody = attrs.evolve(CALLER, traceparent="", linked_spans=("the webhook",))

    assert not await store.commit(payment, decision, CALLER)
    [written] = await store.commit_all([Commit(before=payment, decision=decision, origin=nobody)])

    assert written
    assert store.other == "kept"
    assert [one.traceparent for one in commits] == ["span-0", "span-1"]
    one, other = tracer.spans
    assert (one.parent, other.parent) == (CALLER.traceparent, payment.traceparent)
    assert (one.attributes["payd.written"], other.attributes["payd.written"]) == (0, 1)
    assert one.attributes["payd.status"] == "PENDING"
    assert (one.links, other.links) == ((), ("the webhook",))


async def test_an_event_is_published_within_a_span_of_its_trace(tracer: NotingTracer) -> None:
    row = OutboxRow(
        id=1,
        event_id=uuid4(),
        payment_id=uuid4(),
        subject="payment.completed",
        headers={"traceparent": "the decision"},
        body=SECRET.encode(),
    )
    behind: Any = SimpleNamespace(publish_all=answering([None, PublishError(SECRET)]))
    publisher = traced_publisher(behind, tracer)

    assert (await publisher.publish_all([row, row]))[0] is None

    assert [one.failure for one in tracer.spans] == ["", "PublishError"]
    assert {one.parent for one in tracer.spans} == {"the decision"}
    assert SECRET not in str(tracer.spans)


async def test_a_batch_that_fails_ends_every_span(tracer: NotingTracer) -> None:
    behind: Any = SimpleNamespace(
        publish_all=answering(OSError(SECRET)), commit_all=answering(OSError(SECRET))
    )
    row: Any = SimpleNamespace(subject="s", headers={}, event_id=uuid4(), payment_id=uuid4())
    payment = a_new_payment()
    decision = decide(payment, created(), NOW)
    assert decision is not None
    with pytest.raises(OSError, match=SECRET):
        await traced_publisher(behind, tracer).publish_all([row])
    with pytest.raises(OSError, match=SECRET):
        await traced_store(behind, tracer).commit_all(
            [Commit(before=payment, decision=decision, origin=CALLER)]
        )
    assert [one.failure for one in tracer.spans] == ["OSError", "OSError"]


def test_nothing_stands_between_without_a_tracer() -> None:
    store: Any = SimpleNamespace()
    publisher: Any = SimpleNamespace()
    assert traced_store(store, None) is store
    assert traced_publisher(publisher, None) is publisher

"""Whatever a provider does, its fence answers with a named outcome, in time."""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from unit.providers.toys import (
    CREATED,
    FOUND,
    OPEN,
    CollectingSink,
    Journal,
    Toy,
    WatchingToy,
    a_manifest,
    a_ref,
    an_operation,
    fenced,
    half,
    says,
    well,
)

from payd.domain import evidence
from payd.domain.errors import InvalidField, ProviderUnavailable
from payd.plugins import (
    Absent,
    Cancel,
    Created,
    Declined,
    Found,
    IdempotencyConflict,
    InvalidRequest,
    Lookup,
    Misconfigured,
    NotAttempted,
    OutcomeUnknown,
    Provider,
    RateLimited,
    Redirect,
    Sink,
)
from payd.ports import Answer
from payd.providers.breaker import FAILURES_MAX, BreakerState
from payd.providers.calls import GRACE_S
from payd.providers.fence import Fence

UNKNOWN = Answer(evidence=(evidence.OutcomeUnknown(),))
UNANSWERED = Answer(evidence=(evidence.Unanswered(),))
#: The provider says that there is no such object.
MISSING = Answer(evidence=(evidence.Unanswered(),), is_missing=True)


async def create(*words: object, **overrides: Any) -> Answer:
    async with fenced(Toy(says=says(*words)), **overrides) as fence:
        return await fence.create(an_operation())


async def fetch(word: object, lookup: Lookup, reference: str | None) -> Answer:
    toy = Toy(says=says(CREATED), finds=says(word))
    async with fenced(toy, capabilities={"lookup": lookup}) as fence:
        return await fence.fetch(a_ref(reference=reference))


async def close(word: object, cancel: Cancel) -> Answer:
    toy = Toy(says=says(CREATED), finds=says(word), closes=says(word))
    async with fenced(toy, capabilities={"cancel": cancel}) as fence:
        return await fence.close(a_ref(reference="toy_1"))


async def hang(*_: object) -> None:
    await trio.sleep_forever()


# -- create ------------------------------------------------------------------------------------


async def test_a_created_payment_is_answered_as_it_is() -> None:
    assert await create(CREATED) == Answer(evidence=(CREATED,))


async def test_a_declined_payment_carries_code_and_message() -> None:
    answer = await create(Declined("card_declined", "No."))
    assert answer == Answer(evidence=(evidence.Declined(code="card_declined", message="No."),))


async def test_a_refused_value_fails_the_payment_and_names_the_field() -> None:
    answer = await create(InvalidRequest("metadata.color", "is no color"))
    (declined,) = answer.evidence
    assert isinstance(declined, evidence.Declined)
    assert declined.code == "invalid_request"
    assert isinstance(answer.error, InvalidField)
    assert (answer.error.field, answer.error.description) == ("metadata.color", "is no color")


@pytest.mark.parametrize(
    ("word", "wait_s"),
    [(NotAttempted("no route"), 1.0), (RateLimited(7.5), 7.5), (Misconfigured("bad key"), 1.0)],
)
async def test_what_was_provably_not_sent_may_be_retried(
    word: Exception, wait_s: float, autojump_clock: MockClock
) -> None:
    answer = await create(word)
    assert answer.evidence == (evidence.NotAttempted(),)
    assert isinstance(answer.error, ProviderUnavailable)
    assert answer.error.retry_after_s == wait_s


@pytest.mark.parametrize(
    "word",
    [
        OutcomeUnknown("read timed out"),
        ValueError("a bug"),
        SystemExit(3),
        ExceptionGroup("two", [NotAttempted("one"), ValueError("other")]),
        {"reference": "toy_1"},
        None,
    ],
    ids=repr,
)
async def test_no_readable_answer_is_an_unknown_outcome(word: object) -> None:
    assert await create(word) == UNKNOWN


@pytest.mark.parametrize(
    "fields",
    [
        {"reference": ""},
        {"reference": 7},
        {"next_action": "https://toy.invalid"},
        {"next_action": Redirect},
    ],
    ids=repr,
)
async def test_a_provider_that_cannot_make_its_answer_has_an_unknown_outcome(
    fields: dict[str, Any],
) -> None:
    async def say(_: object) -> Created:
        return attrs.evolve(CREATED, **fields)

    async with fenced(Toy(says=say)) as fence:
        assert await fence.create(an_operation()) == UNKNOWN


async def test_a_conflict_at_the_provider_is_an_unknown_outcome_and_conflicting_evidence() -> None:
    answer = await create(IdempotencyConflict("other amount"))
    conflict = evidence.Conflict(detail="create was sent before with other parameters")
    assert answer == Answer(evidence=(evidence.OutcomeUnknown(), conflict))


async def test_an_error_from_the_providers_own_nursery_keeps_its_name() -> None:
    answer = await create(ExceptionGroup("nursery", [Declined("stolen", "No.")]))
    assert answer.evidence == (evidence.Declined(code="stolen", message="No."),)


async def test_what_was_not_sent_is_sent_again_within_the_deadline(
    autojump_clock: MockClock,
) -> None:
    assert (await create(NotAttempted("1"), NotAttempted("2"), CREATED)).evidence == (CREATED,)
    unknown = await create(NotAttempted("1"), OutcomeUnknown("2"), CREATED)
    assert unknown == UNKNOWN, "sent once: never sent again blindly"


async def test_a_provider_that_hangs_is_unknown_at_its_deadline(autojump_clock: MockClock) -> None:
    start = trio.current_time()
    async with fenced(Toy(says=hang)) as fence:
        assert await fence.create(an_operation()) == UNKNOWN
    assert trio.current_time() - start == pytest.approx(10)


async def test_a_provider_that_resists_its_cancellation_is_left_behind() -> None:
    release = threading.Event()

    async def block(_: object) -> None:
        await trio.to_thread.run_sync(release.wait)

    deadline = {"operation_timeout": timedelta(seconds=0.05)}
    async with fenced(Toy(says=block), capabilities=deadline) as fence:
        start = trio.current_time()
        try:
            assert await fence.create(an_operation()) == UNKNOWN
            assert trio.current_time() - start >= 0.05 + GRACE_S
        finally:
            release.set()


async def test_a_call_that_found_no_free_place_was_provably_not_sent(
    autojump_clock: MockClock,
) -> None:
    one_at_a_time = {"concurrency": 1}
    async with fenced(Toy(says=hang), capabilities=one_at_a_time) as fence:
        answers: list[Answer] = []

        async def ask() -> None:
            answers.append(await fence.create(an_operation()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
    outcomes = sorted(type(answer.evidence[0]).__name__ for answer in answers)
    assert outcomes == ["NotAttempted", "OutcomeUnknown"]


async def test_no_more_calls_than_declared_are_at_the_provider_at_once() -> None:
    at_once = most = 0

    async def count(_: object) -> Created:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await trio.lowlevel.checkpoint()
        at_once -= 1
        return CREATED

    async with (
        fenced(Toy(says=count), capabilities={"concurrency": 3}) as fence,
        trio.open_nursery() as nursery,
    ):
        for _ in range(20):
            nursery.start_soon(fence.create, an_operation())
    assert most == 3


async def test_the_callers_cancellation_reaches_the_provider_and_is_not_swallowed() -> None:
    reached = trio.Event()

    async def note_cancellation(_: object) -> None:
        try:
            await trio.sleep_forever()
        finally:
            reached.set()
            raise ValueError("while being cancelled")

    async with fenced(Toy(says=note_cancellation)) as fence:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fence.create, an_operation())
                await wait_all_tasks_blocked()
                scope.cancel()
        assert scope.cancelled_caught
        with trio.fail_after(1):
            await reached.wait()


async def test_a_cancelled_call_whose_nursery_breaks_stays_inside_the_fence() -> None:
    async def break_while_cancelled(_: object) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("while being cancelled")

    async with fenced(Toy(says=break_while_cancelled)) as fence:
        with trio.move_on_after(0.01) as scope:
            await fence.create(an_operation())
        assert scope.cancelled_caught
        assert fence.state().running


# -- look and close ----------------------------------------------------------------------------


async def test_a_look_brings_the_object_and_how_it_stands() -> None:
    answer = await fetch(FOUND, Lookup.AUTHORITATIVE, "toy_1")
    assert answer == Answer(evidence=(CREATED, OPEN))


@pytest.mark.parametrize(
    ("lookup", "reference", "expected"),
    [
        (Lookup.INCLUDING_ABSENCE, None, Answer(evidence=(Absent(),))),
        (Lookup.INCLUDING_ABSENCE, "toy_1", MISSING),
        (Lookup.AUTHORITATIVE, None, Answer(evidence=(Absent(proven=False),))),
        (Lookup.NONE, "toy_1", MISSING),
    ],
)
async def test_absence_says_whether_it_proves_that_nothing_was_created(
    lookup: Lookup, reference: str | None, expected: Answer
) -> None:
    assert await fetch(Absent(), lookup, reference) == expected


async def test_a_search_that_may_have_come_too_early_proves_nothing() -> None:
    early = await fetch(Absent(proven=False), Lookup.INCLUDING_ABSENCE, None)
    assert early == Answer(evidence=(Absent(proven=False),))


async def test_a_provider_without_lookup_is_not_asked_for_what_has_no_reference() -> None:
    assert await fetch(AssertionError("asked"), Lookup.NONE, None) == UNANSWERED
    assert (await fetch(FOUND, Lookup.NONE, "toy_1")).evidence == (CREATED, OPEN)


@pytest.mark.parametrize(
    "word", [OutcomeUnknown("?"), ValueError("a bug"), Declined("a", "b"), OPEN, None], ids=repr
)
async def test_a_failed_look_brings_nothing(word: object) -> None:
    assert await fetch(word, Lookup.INCLUDING_ABSENCE, "toy_1") == UNANSWERED


async def test_closing_reports_the_state_where_the_rail_closes() -> None:
    assert await close(OPEN, Cancel.CLOSES) == Answer(evidence=(OPEN,))


async def test_a_rail_that_cannot_close_is_looked_at() -> None:
    answer = await close(OPEN, Cancel.NOT_CLOSABLE)
    assert answer == Answer(evidence=(evidence.NotClosable(snapshot=OPEN),))


@pytest.mark.parametrize("cancel", list(Cancel))
async def test_only_the_providers_cancel_is_asked_on_every_rail(cancel: Cancel) -> None:
    """`fetch` may answer from a point that is not final yet."""
    asked: list[tuple[str, object]] = []

    async def fetch(ref: object) -> Found:
        asked.append(("fetch", ref))
        return FOUND

    async def shut(ref: object) -> object:
        asked.append(("cancel", ref))
        return OPEN

    toy, ref = Toy(says=says(CREATED), finds=fetch, closes=shut), a_ref(reference="toy_1")
    async with fenced(toy, capabilities={"cancel": cancel}) as fence:
        await fence.close(ref)
    assert asked == [("cancel", ref)]


@pytest.mark.parametrize("cancel", list(Cancel))
@pytest.mark.parametrize("word", [OutcomeUnknown("?"), Absent(), 7], ids=repr)
async def test_a_failed_closing_brings_nothing(cancel: Cancel, word: object) -> None:
    assert await close(word, cancel) == UNANSWERED


# -- the breaker and what is seen of it --------------------------------------------------------


async def test_failures_in_a_row_leave_the_provider_alone_until_a_probe_succeeds(
    autojump_clock: MockClock,
) -> None:
    calls = 0
    is_well = False

    async def count(_: object) -> Created:
        nonlocal calls
        calls += 1
        if not is_well:
            raise OutcomeUnknown("500")
        return CREATED

    async with fenced(Toy(says=count)) as fence:
        for _ in range(FAILURES_MAX):
            assert await fence.create(an_operation()) == UNKNOWN
        assert fence.state().breaker is BreakerState.OPEN
        assert not fence.state().ready
        refused = await fence.create(an_operation())
        assert refused.evidence == (evidence.NotAttempted(),)
        assert isinstance(refused.error, ProviderUnavailable)
        assert refused.error.retry_after_s == pytest.approx(0.75)
        assert calls == FAILURES_MAX

        await trio.sleep(0.75)
        assert fence.state().breaker is BreakerState.HALF_OPEN
        assert await fence.create(an_operation()) == UNKNOWN
        assert fence.state().breaker is BreakerState.OPEN, "one failed probe is enough"

        await trio.sleep(1.5)
        is_well = True
        assert (await fence.create(an_operation())).evidence == (CREATED,)
        assert fence.state().breaker is BreakerState.CLOSED


async def test_one_call_is_the_probe_and_one_that_is_cancelled_gives_its_place_back(
    autojump_clock: MockClock,
) -> None:
    words: list[Any] = [says(OutcomeUnknown("500"))] * FAILURES_MAX + [hang, says(CREATED)]

    async def speak(operation: object) -> Any:
        return await words.pop(0)(operation)

    async with fenced(Toy(says=speak)) as fence:
        for _ in range(FAILURES_MAX):
            await fence.create(an_operation())
        await trio.sleep(0.75)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fence.create, an_operation())
            await wait_all_tasks_blocked()
            assert (await fence.create(an_operation())).evidence == (evidence.NotAttempted(),)
            nursery.cancel_scope.cancel()
        assert (await fence.create(an_operation())).evidence == (CREATED,)


@pytest.mark.parametrize(
    "word", [Declined("a", "b"), InvalidRequest("a", "b"), RateLimited(1)], ids=repr
)
async def test_a_provider_that_answers_is_not_failing(word: Exception) -> None:
    async with fenced(Toy(says=says(word))) as fence:
        for _ in range(2 * FAILURES_MAX):
            await fence.create(an_operation())
        assert fence.state().breaker is BreakerState.CLOSED


async def test_refused_credentials_show_until_something_works() -> None:
    async with fenced(Toy(says=says(Misconfigured("bad key"), CREATED))) as fence:
        await fence.create(an_operation())
        assert fence.state().misconfigured
        assert fence.state().last_error == "misconfigured"
        assert not fence.state().ready
        await fence.create(an_operation())
        assert not fence.state().misconfigured
        assert fence.state().ready


async def test_every_call_is_counted_with_its_outcome() -> None:
    seen: list[tuple[str, str, str]] = []

    def note(provider: str, operation: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        seen.append((provider, operation, outcome))

    toy = Toy(says=says(Declined("a", "b"), CREATED), finds=says(ValueError("a bug")))
    async with fenced(toy, on_call=note) as fence:
        await fence.create(an_operation())
        await fence.create(an_operation())
        await fence.fetch(a_ref(reference="toy_1"))
    assert seen == [
        ("toy", "create", "declined"),
        ("toy", "create", "ok"),
        ("toy", "fetch", "outcome_unknown"),
    ]


async def test_health_is_checked_now_and_then_and_a_hanging_check_is_unhealthy(
    autojump_clock: MockClock,
) -> None:
    words: list[Any] = [says(None), hang, says(None)]

    async def feel() -> None:
        await words.pop(0)()

    async with fenced(Toy(says=says(CREATED), feels=feel)) as fence:
        assert fence.state().healthy is None
        async with trio.open_nursery() as nursery:
            await nursery.start(fence.run_health)
            assert fence.state().healthy is True
            await trio.sleep(15 + 6)
            assert fence.state().healthy is False
            assert not fence.state().ready
            await trio.sleep(15)
            assert fence.state().healthy is True
            await fence.stop()


# -- long tasks --------------------------------------------------------------------------------


async def test_a_watch_that_ends_or_breaks_is_started_again_and_its_siblings_go_on(
    autojump_clock: MockClock,
) -> None:
    starts = 0
    third = trio.Event()

    async def watch(sink: Sink) -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise ValueError("a bug")
        if starts == 3:
            third.set()
            await trio.sleep_forever()

    journal = Journal()
    toy = WatchingToy(says=says(CREATED), watches=watch)
    async with fenced(toy, log=journal) as fence, trio.open_nursery() as nursery:
        await nursery.start(fence.run_watch, CollectingSink())
        await third.wait()
        assert fence.state().watch_restarts == 2
        assert journal.events() == ["provider_watch_restarted"] * 2
        assert (await fence.create(an_operation())).evidence == (CREATED,)
        await fence.stop()


async def test_a_provider_without_a_watch_needs_none() -> None:
    async with fenced(Toy(says=says(CREATED))) as fence:
        with trio.fail_after(1):
            await fence.run_watch(CollectingSink())


async def test_a_provider_whose_context_breaks_is_built_again_with_its_watch(
    autojump_clock: MockClock,
) -> None:
    built = 0
    broken = trio.Event()
    watched: list[int] = []

    @asynccontextmanager
    async def build() -> AsyncIterator[Provider]:
        nonlocal built
        built += 1

        async def watch(sink: Sink) -> None:
            watched.append(built)
            await trio.sleep_forever()

        async def break_once() -> None:
            await broken.wait()
            if built == 1:
                raise ConnectionError("the stream broke")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(break_once)
            yield WatchingToy(says=hang if built == 1 else says(CREATED), watches=watch)
            nursery.cancel_scope.cancel()

    answers: list[Answer] = []
    async with fenced(build) as fence, trio.open_nursery() as nursery:

        async def ask() -> None:
            answers.append(await fence.create(an_operation()))

        await nursery.start(fence.run_watch, CollectingSink())
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        broken.set()
        with trio.fail_after(1):
            while not answers:
                await wait_all_tasks_blocked()
        assert answers == [UNKNOWN], "it was under way when the provider broke"
        assert not fence.state().running
        down = await fence.create(an_operation())
        assert down.evidence == (evidence.NotAttempted(),)

        await trio.sleep(60)
        assert (await fence.create(an_operation())).evidence == (CREATED,)
        assert watched == [1, 2]
        assert fence.state().restarts == 1
        await fence.stop()


def starting(*steps: Callable[[], Awaitable[None]]) -> Callable[[], Any]:
    """A factory whose builds begin with these steps, in turn, and the last one again and again."""
    left = list(steps)

    @asynccontextmanager
    async def build() -> AsyncIterator[Provider]:
        await (left.pop(0) if len(left) > 1 else left[0])()
        yield Toy(says=says(CREATED))

    return build


async def no_route() -> None:
    raise ConnectionError("no route")


async def test_a_stop_cancels_the_factory_and_blames_nobody(autojump_clock: MockClock) -> None:
    log = Journal()
    fence = Fence(starting(no_route, hang), a_manifest(), log=log, random=half)
    async with trio.open_nursery() as nursery:
        await nursery.start(fence.run)
        await trio.sleep(5)
        start = trio.current_time()
        await fence.stop()
    assert trio.current_time() == start
    assert log.events() == ["provider_not_started"]


async def test_a_provider_that_starts_at_last_is_checked_at_once_and_logged(
    autojump_clock: MockClock,
) -> None:
    log = Journal()
    fence = Fence(starting(no_route, no_route, well), a_manifest(), log=log, random=half)
    async with trio.open_nursery() as nursery:
        await nursery.start(fence.run)
        await nursery.start(fence.run_health)
        assert fence.state().healthy is False
        # After pauses of 0.25 s and 0.5 s; the next check that is due comes at 15 s.
        await trio.sleep(1)
        assert fence.state().ready
        await fence.stop()
    assert log.lines == [
        ("provider_not_started", {"provider": "toy", "error": "ConnectionError: no route"}),
        ("provider_not_started", {"provider": "toy", "error": "ConnectionError: no route"}),
        ("provider_started", {"provider": "toy", "restarts": 2}),
    ]


async def test_a_stop_works_before_the_start_and_twice() -> None:
    unstarted = Fence(
        lambda: nullcontext(Toy(says=says(CREATED))), a_manifest(), log=Journal(), random=half
    )
    with trio.fail_after(1):
        await unstarted.stop()
        async with fenced(Toy(says=says(CREATED))) as fence:
            await fence.stop()
            assert (await fence.create(an_operation())).evidence == (evidence.NotAttempted(),)
            assert fence.state().restarts == 0

"""A refund behind the fence: each answer and each error has one meaning, and no other."""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest
import trio
from trio.testing import MockClock
from unit.providers.toys import (
    CREATED,
    OPEN,
    REFUND_ID,
    REFUNDED,
    REFUNDS,
    Journal,
    RefundingToy,
    Toy,
    a_manifest,
    a_refund,
    a_refund_ref,
    an_operation,
    fenced,
    half,
    says,
)

from payd.domain import evidence
from payd.domain.errors import InvalidField, ProviderUnavailable
from payd.plugins import (
    Absent,
    Declined,
    IdempotencyConflict,
    InvalidRequest,
    Lookup,
    Misconfigured,
    NotAttempted,
    OutcomeUnknown,
    RateLimited,
    RefundInstructions,
    RefundState,
    Sends,
    Show,
    ShowKind,
)
from payd.ports import RefundReply
from payd.providers.breaker import FAILURES_MAX, BreakerState
from payd.providers.fence import Fence

UNKNOWN = RefundReply(answer=evidence.OutcomeUnknown())
UNANSWERED = RefundReply(answer=evidence.Unanswered())
INSTRUCTIONS = RefundInstructions(next_action=Show(kind=ShowKind.TEXT, payload="Send 4 USD back."))
OTHER_ID = UUID("01890000-0000-7000-8000-000000000009")


def refunding(
    refunds: Callable[..., Awaitable[Any]], finds: Callable[..., Awaitable[Any]] | None = None
) -> RefundingToy:
    return RefundingToy(says=says(CREATED), refunds=refunds, finds_refund=finds or says(Absent()))


async def refund(*words: object, sends: Sends = Sends.PROVIDER) -> RefundReply:
    able = attrs.evolve(REFUNDS, sends=sends)
    async with fenced(refunding(says(*words)), capabilities={"refunds": able}) as fence:
        return await fence.refund(a_refund())


async def fetch(word: object, lookup: Lookup, reference: str | None) -> RefundReply:
    able = attrs.evolve(REFUNDS, lookup=lookup)
    toy = refunding(says(REFUNDED), says(word))
    async with fenced(toy, capabilities={"refunds": able}) as fence:
        return await fence.fetch_refund(a_refund_ref(reference=reference))


async def hang(*_: object) -> None:
    await trio.sleep_forever()


# -- refund ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(RefundState))
@pytest.mark.parametrize("refund_id", [None, REFUND_ID])
async def test_a_refund_is_answered_as_it_stands(
    state: RefundState, refund_id: UUID | None
) -> None:
    said = attrs.evolve(REFUNDED, state=state, refund_id=refund_id)
    assert await refund(said) == RefundReply(answer=said)


async def test_a_rail_that_cannot_send_answers_with_instructions() -> None:
    assert await refund(INSTRUCTIONS, sends=Sends.INSTRUCTIONS) == RefundReply(answer=INSTRUCTIONS)


async def test_a_declined_refund_has_a_code_and_a_message() -> None:
    reply = await refund(Declined("charge_disputed", "No."))
    declined = evidence.Declined(code="charge_disputed", message="No.")
    assert reply == RefundReply(answer=declined)


async def test_a_refused_value_fails_the_refund_and_names_the_field() -> None:
    reply = await refund(InvalidRequest("destination", "is no address"))
    assert isinstance(reply.answer, evidence.Declined)
    assert reply.answer.code == "invalid_request"
    assert isinstance(reply.error, InvalidField)
    assert (reply.error.field, reply.error.description) == ("destination", "is no address")


@pytest.mark.parametrize(
    ("word", "wait_s"),
    [(NotAttempted("no route"), 1.0), (RateLimited(7.5), 7.5), (Misconfigured("bad key"), 1.0)],
)
async def test_what_was_provably_not_sent_may_be_retried(
    word: Exception, wait_s: float, autojump_clock: MockClock
) -> None:
    reply = await refund(word)
    assert reply.answer == evidence.NotAttempted()
    assert isinstance(reply.error, ProviderUnavailable)
    assert reply.error.retry_after_s == wait_s


@pytest.mark.parametrize(
    "word",
    [
        OutcomeUnknown("read timed out"),
        ValueError("a bug"),
        SystemExit(3),
        ExceptionGroup("two", [NotAttempted("one"), ValueError("other")]),
        {"reference": "re_1"},
        None,
        OPEN,
        Absent(),
        INSTRUCTIONS,
        attrs.evolve(REFUNDED, refund_id=OTHER_ID),
    ],
    ids=repr,
)
async def test_no_readable_answer_is_an_unknown_outcome(word: object) -> None:
    assert await refund(word) == UNKNOWN


async def test_a_rail_that_cannot_send_cannot_have_sent() -> None:
    assert await refund(REFUNDED, sends=Sends.INSTRUCTIONS) == UNKNOWN


@pytest.mark.parametrize(
    "fields",
    [
        {"reference": ""},
        {"reference": 7},
        {"state": "SUCCEEDED"},
        {"amount": -1},
        {"amount": 4.0},
        {"time": None},
        {"refund_id": str(REFUND_ID)},
        {"aliases": "pi_1"},
    ],
    ids=repr,
)
async def test_a_provider_that_cannot_make_its_answer_has_an_unknown_outcome(
    fields: dict[str, Any],
) -> None:
    async def say(_: object) -> Any:
        return attrs.evolve(REFUNDED, **fields)

    async with fenced(refunding(say, say), capabilities={"refunds": REFUNDS}) as fence:
        assert await fence.refund(a_refund()) == UNKNOWN
        assert await fence.fetch_refund(a_refund_ref()) == UNANSWERED


async def test_another_refund_under_the_same_operation_is_a_conflict() -> None:
    reply = await refund(IdempotencyConflict("other amount"))
    assert reply == RefundReply(answer=evidence.OutcomeUnknown(), is_conflict=True)


async def test_what_was_not_sent_is_sent_again_within_the_deadline(
    autojump_clock: MockClock,
) -> None:
    assert (await refund(NotAttempted("1"), NotAttempted("2"), REFUNDED)).answer == REFUNDED
    unknown = await refund(NotAttempted("1"), OutcomeUnknown("2"), REFUNDED)
    assert unknown == UNKNOWN, "sent once: never sent again blindly"


async def test_a_refund_that_hangs_is_unknown_at_its_deadline(autojump_clock: MockClock) -> None:
    start = trio.current_time()
    async with fenced(refunding(hang, hang), capabilities={"refunds": REFUNDS}) as fence:
        assert await fence.refund(a_refund()) == UNKNOWN
        assert await fence.fetch_refund(a_refund_ref()) == UNANSWERED
    assert trio.current_time() - start == pytest.approx(20)


async def test_refunds_and_payments_share_the_places_of_their_provider(
    autojump_clock: MockClock,
) -> None:
    one_at_a_time = {"refunds": REFUNDS, "concurrency": 1}
    replies: list[RefundReply] = []
    async with fenced(refunding(hang), capabilities=one_at_a_time) as fence:

        async def ask() -> None:
            replies.append(await fence.refund(a_refund()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
    outcomes = sorted(type(reply.answer).__name__ for reply in replies)
    assert outcomes == ["NotAttempted", "OutcomeUnknown"]


# -- fetch -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", [None, "re_1"])
async def test_a_look_brings_the_refund(reference: str | None) -> None:
    reply = await fetch(REFUNDED, Lookup.AUTHORITATIVE, reference)
    assert reply == RefundReply(answer=REFUNDED)


@pytest.mark.parametrize(
    ("lookup", "reference", "expected"),
    [
        (Lookup.INCLUDING_ABSENCE, None, RefundReply(answer=Absent())),
        (Lookup.INCLUDING_ABSENCE, "re_1", UNANSWERED),
        (Lookup.AUTHORITATIVE, None, RefundReply(answer=Absent(proven=False))),
        (Lookup.NONE, "re_1", UNANSWERED),
    ],
)
async def test_absence_says_whether_it_proves_that_nothing_was_refunded(
    lookup: Lookup, reference: str | None, expected: RefundReply
) -> None:
    assert await fetch(Absent(), lookup, reference) == expected


async def test_a_search_that_may_have_come_too_early_proves_nothing() -> None:
    early = await fetch(Absent(proven=False), Lookup.INCLUDING_ABSENCE, None)
    assert early == RefundReply(answer=Absent(proven=False))


async def test_a_provider_without_lookup_is_not_asked_for_what_has_no_reference() -> None:
    assert await fetch(AssertionError("asked"), Lookup.NONE, None) == UNANSWERED
    assert (await fetch(REFUNDED, Lookup.NONE, "re_1")).answer == REFUNDED


@pytest.mark.parametrize(
    "word",
    [
        OutcomeUnknown("?"),
        ValueError("a bug"),
        Declined("a", "b"),
        OPEN,
        None,
        INSTRUCTIONS,
        attrs.evolve(REFUNDED, refund_id=OTHER_ID),
    ],
    ids=repr,
)
async def test_a_failed_look_brings_nothing(word: object) -> None:
    assert await fetch(word, Lookup.INCLUDING_ABSENCE, None) == UNANSWERED


# -- which provider can refund -----------------------------------------------------------------


async def test_a_provider_without_refunds_is_not_asked() -> None:
    async with fenced(Toy(says=says(CREATED))) as fence:
        assert not fence.can_refund
        reply = await fence.refund(a_refund())
        assert reply.answer == evidence.NotAttempted()
        assert await fence.fetch_refund(a_refund_ref()) == UNANSWERED


async def test_that_it_can_refund_does_not_change_while_it_is_down() -> None:
    async with fenced(refunding(says(REFUNDED)), capabilities={"refunds": REFUNDS}) as fence:
        assert fence.can_refund
        await fence.stop()
        assert fence.can_refund
        reply = await fence.refund(a_refund())
        assert reply.answer == evidence.NotAttempted()
        assert isinstance(reply.error, ProviderUnavailable)
        assert await fence.fetch_refund(a_refund_ref()) == UNANSWERED


@pytest.mark.parametrize(
    ("toy", "refunds", "why"),
    [
        (Toy(says=says(CREATED)), REFUNDS, "has no refund and fetch_refund"),
        (refunding(says(REFUNDED)), None, "does not declare how"),
    ],
)
async def test_a_provider_that_contradicts_its_manifest_does_not_start(
    toy: Toy, refunds: object, why: str
) -> None:
    manifest = a_manifest(capabilities={"refunds": refunds})
    fence = Fence(lambda: nullcontext(toy), manifest, log=Journal(), random=half)
    async with trio.open_nursery() as nursery:
        assert why in str(await nursery.start(fence.run))


# -- what a failing refund does to payments ----------------------------------------------------


async def test_lost_refunds_in_a_row_open_the_breaker_of_the_provider() -> None:
    toy = refunding(says(OutcomeUnknown("500")))
    async with fenced(toy, capabilities={"refunds": REFUNDS}) as fence:
        for _ in range(FAILURES_MAX):
            await fence.refund(a_refund())
        assert fence.state().breaker is BreakerState.OPEN
        assert (await fence.create(an_operation())).evidence == (evidence.NotAttempted(),)


async def test_a_key_that_may_not_refund_stops_no_payment() -> None:
    journal = Journal()
    refusal = Misconfigured("the key may not write refunds")
    toy = refunding(says(*[refusal] * (FAILURES_MAX + 1), REFUNDED), says(refusal))
    async with fenced(toy, log=journal, capabilities={"refunds": REFUNDS}) as fence:
        for _ in range(FAILURES_MAX + 1):
            await fence.refund(a_refund())
            await fence.fetch_refund(a_refund_ref())
        state = fence.state()
        assert state.ready
        assert state.refund_refusal == "the key may not write refunds"
        assert journal.events().count("provider_refuses_refunds") == 1
        assert (await fence.create(an_operation())).evidence == (CREATED,)
        assert fence.state().refund_refusal, "a payment proves nothing about refunds"
        assert (await fence.refund(a_refund())).answer == REFUNDED
        assert fence.state().refund_refusal is None


async def test_every_call_is_counted_with_its_outcome() -> None:
    seen: list[tuple[str, str]] = []

    def note(_provider: str, operation: str, outcome: str, _seconds: float) -> None:
        seen.append((operation, outcome))

    toy = refunding(says(Declined("a", "b"), REFUNDED), says(ValueError("a bug")))
    able = {"refunds": REFUNDS, "operation_timeout": timedelta(seconds=5)}
    async with fenced(toy, on_call=note, capabilities=able) as fence:
        await fence.refund(a_refund())
        await fence.refund(a_refund())
        await fence.fetch_refund(a_refund_ref())
    assert seen == [
        ("refund", "declined"),
        ("refund", "ok"),
        ("fetch_refund", "outcome_unknown"),
    ]

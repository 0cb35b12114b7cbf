"""A provider's pure methods: whatever its code does, one of few outcomes comes back."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import pytest
from trio.testing import wait_all_tasks_blocked
from unit.providers.toys import CREATED, FOUND, START, Journal, Toy, an_operation, fenced, says

from payd.domain.errors import InvalidField, ProviderUnavailable, WebhookRefused, WebhookUnknown
from payd.domain.evidence import Conflict, Observation, Receipt, ReceiptState
from payd.plugins import errors
from payd.plugins.interface import (
    EVENTS_MAX,
    CreateOperation,
    ObjectPage,
    Page,
    ProviderEvent,
    RemoteObject,
    WebhookRequest,
)
from payd.ports.provider import Untranslatable
from payd.providers.breaker import FAILURES_MAX, BreakerState
from payd.providers.validation import is_json

REQUEST = WebhookRequest(body=b"body", headers={})
EVENT = ProviderEvent(id="evt_1", type="paid", content={"a": 1})
SEEN = Observation(id="evt_1", reference="cs_1", fact=Conflict())


class Telling(Toy):
    """Answers the pure questions, and those of scans, as a test says: a value, or an error."""

    def __init__(self, said: object) -> None:
        super().__init__(says=says(CREATED))
        self._said = said
        self.secrets: Mapping[str, tuple[str, ...]] = {}

    def prepare(self, operation: CreateOperation, /) -> Mapping[str, Any]:
        return self._answer()

    def verify(self, request: Any, secrets: Any, now: Any, /) -> ProviderEvent:
        self.secrets = secrets
        return self._answer()

    def translate(self, event: ProviderEvent, /) -> Sequence[Observation]:
        return self._answer()

    async def scan(self, cursor: str | None, /) -> Page:
        return self._answer()

    async def objects(self, since: Any, until: Any, cursor: Any, /) -> ObjectPage:
        return self._answer()

    def _answer(self) -> Any:
        if isinstance(self._said, BaseException):
            raise self._said
        return self._said


# -- prepare -------------------------------------------------------------------------------------


async def test_prepared_parameters_are_passed_on() -> None:
    async with fenced(Telling({"a": [1, None, True, "x"]})) as fence:
        assert fence.prepare(an_operation()) == {"a": [1, None, True, "x"]}


async def test_a_provider_that_prepares_nothing_gives_nothing() -> None:
    async with fenced(Toy(says=says(CREATED))) as fence:
        assert fence.prepare(an_operation()) == {}


async def test_a_value_that_it_refuses_is_named() -> None:
    async with fenced(Telling(errors.InvalidRequest("return_url", "is needed"))) as fence:
        with pytest.raises(InvalidField) as refused:
            fence.prepare(an_operation())
    assert refused.value.field == "return_url"


@pytest.mark.parametrize("said", [KeyError("x"), None, {"a": 1.5}, {1: "a"}, {"a": "\0"}, ["a"]])
async def test_parameters_that_cannot_be_stored_are_not_sent(said: object) -> None:
    async with fenced(Telling(said)) as fence:
        with pytest.raises(ProviderUnavailable):
            fence.prepare(an_operation())


async def test_a_provider_that_is_not_running_prepares_nothing() -> None:
    async with fenced(Telling({})) as fence:
        await fence.stop()
        with pytest.raises(ProviderUnavailable):
            fence.prepare(an_operation())


# -- webhooks ------------------------------------------------------------------------------------


async def test_a_webhook_is_verified_with_the_secrets() -> None:
    toy = Telling(EVENT)
    async with fenced(toy, secrets={"toy_secret": ("new", "old")}) as fence:
        assert fence.verify(REQUEST, START) == (EVENT,)
    assert toy.secrets == {"toy_secret": ("new", "old")}


async def test_a_webhook_may_have_several_events_or_none() -> None:
    events = [attrs.evolve(EVENT, id=f"evt_{n}") for n in range(EVENTS_MAX)]
    async with fenced(Telling(events)) as fence:
        assert fence.verify(REQUEST, START) == tuple(events)
    async with fenced(Telling(())) as fence:
        assert fence.verify(REQUEST, START) == ()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([EVENT, attrs.evolve(EVENT, content={})], "repeated_event_id"),
        ([EVENT, EVENT], "repeated_event_id"),
        (
            [attrs.evolve(EVENT, id=f"evt_{n}") for n in range(EVENTS_MAX + 1)],
            "too_many_events",
        ),
    ],
    ids=["one id, two contents", "one event twice", "too many"],
)
async def test_events_that_cannot_be_stored_together_are_a_defect_of_the_provider(
    said: list[ProviderEvent], why: str
) -> None:
    journal = Journal()
    async with fenced(Telling(said), log=journal) as fence:
        with pytest.raises(WebhookRefused) as refused:
            fence.verify(REQUEST, START)
        assert refused.value.metadata == {"why": why}
        assert journal.events() == ["provider_call_failed"]
        assert (await fence.create(an_operation())).evidence == (CREATED,), "payments go on"


async def test_a_refusal_says_why_in_one_word() -> None:
    async with fenced(Telling(errors.WebhookRefused("too_old", "signed long ago"))) as fence:
        with pytest.raises(WebhookRefused) as refused:
            fence.verify(REQUEST, START)
    assert refused.value.metadata == {"why": "too_old"}


@pytest.mark.parametrize(
    "said",
    [
        KeyError("4242424242424242"),
        RecursionError(),
        None,
        "evt_1",
        "",
        b"",
        {EVENT.id: EVENT},
        [EVENT, "evt_2"],
        [EVENT, attrs.evolve(EVENT, id="evt_2", content={"a": "\0"})],
        ProviderEvent(id="evt_1", type="paid", content={"a": "\0"}),
    ],
)
async def test_what_cannot_be_read_is_refused_and_not_quoted(said: object) -> None:
    async with fenced(Telling(said)) as fence:
        with pytest.raises(WebhookRefused) as refused:
            fence.verify(REQUEST, START)
    assert refused.value.metadata == {"why": "unreadable"}
    assert "4242" not in str(refused.value)


async def test_a_webhook_for_a_provider_that_is_not_running_may_be_sent_again() -> None:
    async with fenced(Telling(EVENT)) as fence:
        await fence.stop()
        with pytest.raises(ProviderUnavailable) as refused:
            fence.verify(REQUEST, START)
    assert refused.value.may_retry


async def test_an_exit_of_the_providers_code_ends_nothing() -> None:
    async with fenced(Telling(SystemExit(1))) as fence:
        with pytest.raises(WebhookRefused):
            fence.verify(REQUEST, START)
        with pytest.raises(Untranslatable):
            fence.translate(EVENT)
        with pytest.raises(ProviderUnavailable):
            fence.prepare(an_operation())


async def test_a_provider_without_webhooks_takes_none() -> None:
    async with fenced(Toy(says=says(CREATED))) as fence:
        with pytest.raises(WebhookUnknown):
            fence.verify(REQUEST, START)
        with pytest.raises(Untranslatable):
            fence.translate(EVENT)


async def test_an_event_is_translated() -> None:
    receipt = Receipt(id="r", asset="USD", amount=1, state=ReceiptState.CONFIRMED, time=START)
    said = [
        SEEN,
        Observation(id="o", reference="cs_1", fact=(receipt,)),
        Observation(id="o", reference="cs_1", fact=Conflict(detail="d")),
    ]
    async with fenced(Telling(said)) as fence:
        assert fence.translate(EVENT) == tuple(said)


@pytest.mark.parametrize(
    "said",
    [
        KeyError("x"),
        None,
        [EVENT],
    ],
)
async def test_what_is_no_observation_is_untranslatable(said: object) -> None:
    async with fenced(Telling(said)) as fence:
        with pytest.raises(Untranslatable):
            fence.translate(EVENT)


async def test_a_provider_that_is_not_running_translates_later() -> None:
    async with fenced(Telling([SEEN])) as fence:
        await fence.stop()
        with pytest.raises(Untranslatable):
            fence.translate(EVENT)


# -- scans ---------------------------------------------------------------------------------------


async def test_a_page_of_events_is_passed_on() -> None:
    page = Page(events=(EVENT,), cursor="7")
    async with fenced(Telling(page)) as fence:
        assert fence.can_scan
        assert await fence.scan(None) == page


@pytest.mark.parametrize(
    "said", [errors.OutcomeUnknown("?"), None, ObjectPage(objects=(), cursor=None)]
)
async def test_a_scan_without_a_readable_answer_brings_nothing(said: object) -> None:
    async with fenced(Telling(said)) as fence:
        assert await fence.scan("7") is None


@pytest.mark.parametrize("said", [errors.Misconfigured("no right to read events"), KeyError()])
async def test_what_is_read_in_bulk_and_fails_hurts_no_payment(said: Exception) -> None:
    calls: list[tuple[str, str]] = []
    journal = Journal()

    def note(_: str, operation: str, outcome: str, seconds: float) -> None:
        calls.append((operation, outcome))

    async with fenced(Telling(said), on_call=note, log=journal) as fence:
        for _ in range(10):
            assert await fence.scan(None) is None
            assert await fence.objects(START, START, None) is None
        state = fence.state()
        assert (state.breaker, state.misconfigured) == (BreakerState.CLOSED, False)
        assert (await fence.create(an_operation())).evidence == (CREATED,)

    assert [operation for operation, _ in calls] == ["scan", "objects"] * 10 + ["create"]
    assert journal.events().count("provider_call_failed") == 20


async def test_a_scan_that_works_does_not_bring_a_broken_provider_back() -> None:
    toy = Telling(Page(events=(), cursor="7"))
    toy.says = says(errors.OutcomeUnknown("?"))
    async with fenced(toy) as fence:
        for _ in range(FAILURES_MAX):
            await fence.create(an_operation())

        assert await fence.scan(None) is not None, "its list can be read all the same"
        assert fence.state().breaker is BreakerState.OPEN


async def test_a_provider_that_is_not_running_brings_nothing() -> None:
    async with fenced(Telling(Page(events=(), cursor="7"))) as fence:
        await fence.stop()
        assert await fence.scan(None) is None
        assert await fence.objects(START, START, None) is None
        assert not fence.can_scan
        assert not fence.can_list_objects


async def test_a_page_of_objects_is_passed_on() -> None:
    page = ObjectPage(objects=(RemoteObject(payment_id=None, found=FOUND),), cursor=None)
    async with fenced(Telling(page)) as fence:
        assert fence.can_list_objects
        assert await fence.objects(START, START, None) == page


@pytest.mark.parametrize("said", [errors.NotAttempted("?"), Page(events=(), cursor="")])
async def test_a_list_without_a_readable_answer_brings_nothing(said: object) -> None:
    async with fenced(Telling(said)) as fence:
        assert await fence.objects(START, START, None) is None


async def test_a_provider_without_lists_is_not_asked_for_them() -> None:
    async with fenced(Toy(says=says(CREATED))) as fence:
        assert not fence.can_scan
        assert not fence.can_list_objects
        assert await fence.scan(None) is None
        assert await fence.objects(START, START, None) is None


# -- answers that cannot even be looked at -------------------------------------------------------


def nested(levels: int) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for _ in range(levels):
        content = {"a": content}
    return content


async def test_an_event_too_deep_to_be_stored_is_refused() -> None:
    deep = ProviderEvent(id="evt_1", type="paid", content=nested(2000))
    async with fenced(Telling(deep)) as fence:
        with pytest.raises(WebhookRefused):
            fence.verify(REQUEST, START)


async def test_parameters_too_deep_to_be_stored_are_not_sent() -> None:
    async with fenced(Telling(nested(2000))) as fence:
        with pytest.raises(ProviderUnavailable):
            fence.prepare(an_operation())


async def test_a_page_too_deep_to_be_stored_brings_nothing_and_ends_nothing() -> None:
    deep = ProviderEvent(id="e", type="t", content=nested(2000))
    said = Page(events=(deep,), cursor="")
    async with fenced(Telling(said)) as fence:
        assert await fence.scan(None) is None
        await wait_all_tasks_blocked()
        assert fence.state().running


def test_only_what_a_database_can_keep_is_json() -> None:
    assert is_json({"a": [{"b": (None, 1, "ü")}]})
    assert not any(map(is_json, (1.0, b"x", {"a": object()}, "\ud800", {"a": {1}})))


async def test_what_is_read_in_bulk_may_fail_without_hurting_payments() -> None:
    refused = errors.Misconfigured("the key may not list events")
    async with fenced(Telling(refused)) as fence:
        for _ in range(50):
            assert await fence.scan(None) is None
            assert await fence.objects(START, START, None) is None

        state = fence.state()
        assert not state.misconfigured
        assert (await fence.create(an_operation())).evidence == (CREATED,)

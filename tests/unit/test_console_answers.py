"""What the console answers when payd is slow, gone or wrong: a page in its own design."""

import html
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, cast
from uuid import UUID

import attrs
import pytest
import trio
import trio.testing
from payd_client.proto import payment_pb2 as pb
from support.console import PASSWORD, fields_of
from unit.test_codec import a_payment
from unit.test_refund_messages import a_refund

from payd.codec.messages import payment_message
from payd.codec.refunds import refund_message
from payd.domain.attention import Attention, AttentionRecord
from payd.domain.errors import StoreUnavailable, VersionChanged
from payd.domain.next_action import Show, ShowField, ShowKind
from payd.domain.refund import RefundStatus
from payd.service.show_payment import ShowPayment
from payd.transport.console.app import Console, build_console_app
from payd.transport.console.live import LOOK_S, LOOKING_MAX, Live
from payd.transport.console.logins import Logins
from payd.transport.console.own_calls import OwnCalls
from payd.transport.console.passwords import entries_of, new_entry
from payd.transport.console.sessions import Sessions
from payd.transport.console.visits import READING_S
from payd.transport.grpc.one_call import Call, Handle, Method
from payd.transport.grpc.roles import ACCESS
from payd.transport.http.pages.live import STREAM_S, LivePages
from payd.transport.http.serve import HttpLimits

PAYMENT = a_payment()
IDLE_S = 2 * STREAM_S
PAGE = f"/payments/{PAYMENT.id}"
ENTRIES = entries_of((new_entry("alice", PASSWORD),))


class NoNews:
    """A payment that does not change."""

    async def newer(self, payment_id: UUID, after_version: int, timeout_s: float) -> int | None:
        await trio.sleep(timeout_s)
        return None


class Browser:
    """An operator's browser: an application without a listener, and a session."""

    def __init__(self, **handles: Handle) -> None:
        async def run(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
            return await function(*args)

        async def no_wait(name: str) -> float:
            return 0

        self.reported: list[tuple[str, str]] = []
        self.stopping = trio.Event()
        self.entries = dict(ENTRIES)
        console = Console(
            calls=OwnCalls(
                {
                    name: Method(request=object, response=object, handle=one, access=ACCESS[name])
                    for name, one in handles.items()
                },
                run,
                lambda method, code, *_: self.reported.append((method, code)),
            ),
            logins=Logins(entries=lambda: self.entries, proxy=lambda: None, wait_of=no_wait),
            sessions=Sessions(idle_s=IDLE_S, age_s=1e6, now=trio.current_time),
            hosts=frozenset({"localhost"}),
            environment="test",
            live=Live(payments=LivePages(cast(ShowPayment, NoNews()), 1), stopping=self.stopping),
        )
        self._client = build_console_app(console).test_client()

    async def log_in(self) -> None:
        form = {"name": "alice", "password": PASSWORD}
        answer = await self._client.post("/login", form=form)
        assert answer.status_code == 303

    async def get(self, path: str) -> tuple[int, str]:
        answer = await self._client.get(path)
        return answer.status_code, await answer.get_data(as_text=True)

    async def post(self, path: str, form: dict[str, str]) -> tuple[int, str]:
        answer = await self._client.post(path, form=form)
        return answer.status_code, await answer.get_data(as_text=True)

    async def log_out(self) -> None:
        _, page = await self.get("/refunds")
        form = {"form_token": fields_of(page)["form_token"]}
        assert (await self._client.post("/logout", form=form)).status_code == 303

    async def send(self, path: str) -> tuple[int, str]:
        """Send the form of a page that asks for nothing."""
        _, page = await self.get(path)
        form = fields_of(page)
        answer = await self._client.post(path, form={"form_token": form["form_token"]})
        return answer.status_code, answer.headers.get("location", "")


async def get(request: Any, call: Call) -> Any:
    return pb.GetPaymentResponse(payment=payment_message(PAYMENT))


async def the_overview(request: Any, call: Call) -> Any:
    found = pb.Overview()
    found.time.GetCurrentTime()
    return pb.GetOverviewResponse(overview=found)


async def no_payments(request: Any, call: Call) -> Any:
    return pb.ListAttentionResponse()


async def no_refunds(request: Any, call: Call) -> Any:
    return pb.ListRefundsResponse()


async def hanging(request: Any, call: Call) -> Any:
    await trio.sleep_forever()


async def test_a_page_that_is_slow_says_so_before_the_listener_cuts_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    browser = Browser(GetOverview=hanging)
    await browser.log_in()
    start = trio.current_time()
    status, page = await browser.get("/")
    assert trio.current_time() - start < HttpLimits().request_timeout_s
    assert (status, "payd is slow at the moment" in page) == (503, True)
    assert "Log out" in page
    assert browser.reported == [("GetOverview", "CANCELLED")]


async def test_a_page_of_several_slow_calls_is_no_slower(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def slow(request: Any, call: Call) -> Any:
        await trio.sleep(9)
        return pb.GetPaymentResponse(payment=payment_message(PAYMENT))

    browser = Browser(GetPayment=slow, ExplainPayment=hanging)
    await browser.log_in()
    start = trio.current_time()
    status, page = await browser.get(PAGE)
    assert trio.current_time() - start < HttpLimits().request_timeout_s
    assert (status, "payd is slow at the moment" in page) == (503, True)


async def test_a_change_that_has_begun_is_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def sync(request: Any, call: Call) -> Any:
        await trio.sleep(2 * READING_S)
        return pb.SyncPaymentResponse(payment=payment_message(PAYMENT))

    browser = Browser(GetPayment=get, SyncPayment=sync)
    await browser.log_in()
    assert await browser.send(f"{PAGE}/sync") == (303, f"{PAGE}?done=sync")


async def test_a_lost_connection_is_a_page_in_the_design() -> None:
    async def gone(request: Any, call: Call) -> Any:
        raise StoreUnavailable("PostgreSQL: ConnectionDoesNotExistError", retry_after_s=1.0)

    browser = Browser(GetOverview=gone)
    await browser.log_in()
    status, page = await browser.get("/")
    assert (status, "STORE_UNAVAILABLE" in page, "Log out" in page) == (503, True, True)


async def test_a_defect_is_a_page_that_leaks_nothing() -> None:
    async def wrong(request: Any, call: Call) -> Any:
        raise RuntimeError("the password is x")

    browser = Browser(GetOverview=wrong)
    await browser.log_in()
    status, page = await browser.get("/")
    assert (status, "That did not work" in page, "password" in page) == (500, True, False)


async def test_the_overviews_stream_sends_a_mark_for_each_change_and_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    answers = iter([1, 1, 2])

    async def overview(request: Any, call: Call) -> Any:
        found = pb.Overview()
        found.time.GetCurrentTime()
        found.backlog.events = next(answers, 2)
        return pb.GetOverviewResponse(overview=found)

    browser = Browser(GetOverview=overview, ListRefunds=no_refunds)
    await browser.log_in()
    start = trio.current_time()
    status, events = await browser.get("/overview/events")
    assert trio.current_time() - start < STREAM_S + 5
    first, second = [line for line in events.splitlines() if line.startswith("id: ")]
    assert (status, first != second) == (200, True)
    # What the browser has already is not sent again.
    known = second.removeprefix("id: ")
    assert "change" not in (await browser.get(f"/overview/events?after={known}"))[1]


async def test_twenty_pages_of_the_same_kind_make_one_look_and_none_misses_a_change(
    autojump_clock: trio.testing.MockClock,
) -> None:
    looks: list[float] = []

    async def overview(request: Any, call: Call) -> Any:
        looks.append(trio.current_time())
        await trio.sleep(0.5)
        found = pb.Overview()
        found.time.GetCurrentTime()
        found.backlog.unmatched_receipts = len(looks)
        return pb.GetOverviewResponse(overview=found)

    browser = Browser(GetOverview=overview, ListRefunds=no_refunds)
    await browser.log_in()
    seen: list[list[str]] = []

    async def stream(begin_s: float) -> None:
        await trio.sleep(begin_s)
        _, events = await browser.get("/overview/events")
        seen.append([line for line in events.splitlines() if line.startswith("id: ")])

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(stream, number / 10)
    marks = list(dict.fromkeys(mark for one in seen for mark in one))
    assert len(marks) == len(looks)
    assert all(later - one >= LOOK_S for one, later in itertools.pairwise(looks))
    # Each of them begins and ends a little later than the one before.
    assert all(len(one) >= len(marks) - 2 for one in seen)


async def test_an_idle_system_sends_no_change(autojump_clock: trio.testing.MockClock) -> None:
    """Its daemon still checks, signs and restarts; a page that is loaded again shows that."""
    looks = itertools.count(1)

    async def overview(request: Any, call: Call) -> Any:
        number = next(looks)
        found = pb.Overview()
        found.time.GetCurrentTime()
        found.loops.add(name="recovery", restarts=number, failures=number)
        found.backlog.oldest_event_age.FromSeconds(number)
        found.trail.checkpoint = number
        found.trail.unsigned_rows = number
        found.trail.unchained_rows = number
        return pb.GetOverviewResponse(overview=found)

    browser = Browser(GetOverview=overview, ListRefunds=no_refunds)
    await browser.log_in()
    _, page = await browser.get("/")
    known = page.partition("after=")[2].partition('"')[0]
    assert "change" not in (await browser.get(f"/overview/events?after={known}"))[1]
    assert next(looks) > 5


async def test_a_stream_that_gets_no_answer_ends_those_of_its_page_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    looks = []

    async def gone(request: Any, call: Call) -> Any:
        looks.append(call)
        await trio.sleep(1)
        raise StoreUnavailable("PostgreSQL is away", retry_after_s=1.0)

    browser = Browser(ListAttention=gone)
    await browser.log_in()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(browser.get, "/attention/events")
    assert len(looks) == 1


@pytest.mark.parametrize("path", ["/refunds?status=PENDING", "/receipts?all=1&provider=mock"])
async def test_a_list_is_live_until_something_in_it_changes(
    autojump_clock: trio.testing.MockClock, path: str
) -> None:
    asked: list[Any] = []

    async def refunds(request: Any, call: Call) -> Any:
        asked.append((list(request.statuses), request.page_token))
        refund = a_refund(status=RefundStatus.PENDING)
        return pb.ListRefundsResponse(refunds=[refund_message(PAYMENT, refund)])

    async def receipts(request: Any, call: Call) -> Any:
        asked.append((request.filter.unmatched, request.filter.provider))
        return pb.ListReceiptsResponse()

    browser = Browser(ListRefunds=refunds, ListReceipts=receipts)
    await browser.log_in()
    _, page = await browser.get(path)
    events = html.unescape(page.partition('data-events="')[2].partition('"')[0])
    assert events.startswith(f"{path.partition('?')[0]}/events?")
    assert "change" not in (await browser.get(events))[1]
    assert len(asked) > 5
    assert all(one == asked[0] for one in asked)
    other = events.partition("after=")[0] + "after=other"
    assert (await browser.get(other))[1].count("event: change") == 1


async def test_beyond_the_limit_of_streams_a_page_asks_by_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    browser = Browser(ListAttention=no_payments)
    await browser.log_in()
    answers = []

    async def stream() -> None:
        answers.append((await browser.get("/attention/events"))[1].count("change"))

    async with trio.open_nursery() as nursery:
        for _ in range(LOOKING_MAX + 1):
            nursery.start_soon(stream)
    assert sorted(answers) == [0] + [1] * LOOKING_MAX
    # They have ended, and make room.
    assert "change" in (await browser.get("/attention/events"))[1]


async def test_a_stream_ends_when_payd_stops_or_has_no_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def gone(request: Any, call: Call) -> Any:
        raise StoreUnavailable("PostgreSQL is away", retry_after_s=1.0)

    browser = Browser(GetOverview=gone, ListAttention=no_payments)
    await browser.log_in()
    start = trio.current_time()
    assert await browser.get("/overview/events") == (200, "retry: 2000\n\n")
    browser.stopping.set()
    await browser.get("/attention/events")
    assert trio.current_time() - start < 1


async def test_a_stream_is_no_use_of_a_session(autojump_clock: trio.testing.MockClock) -> None:
    browser = Browser(ListAttention=no_payments)
    await browser.log_in()
    for _ in range(3):
        status, _ = await browser.get("/attention/events")
    assert status == 303


async def test_a_refund_that_waits_for_a_transfer_shows_what_to_send() -> None:
    show = Show(
        kind=ShowKind.BANK_TRANSFER,
        payload="",
        fields=(ShowField(label="IBAN", value="DE02 1203", copyable=True),),
    )
    refund = a_refund(status=RefundStatus.AWAITING_TRANSFER, next_action=show)

    async def refunds(request: Any, call: Call) -> Any:
        return pb.ListRefundsResponse(refunds=[refund_message(PAYMENT, refund)])

    browser = Browser(ListRefunds=refunds)
    await browser.log_in()
    status, page = await browser.get("/refunds")
    assert status == 200
    assert "send this yourself" in page
    assert "<dt>IBAN</dt><dd>DE02 1203</dd>" in page
    assert f'href="/refunds/{refund.id}/settle"' in page


@pytest.mark.parametrize("ending", ["logout", "removal"])
@pytest.mark.parametrize("stream", ["/overview", "/attention", PAGE])
async def test_a_stream_ends_soon_after_its_session(
    stream: str, ending: str, autojump_clock: trio.testing.MockClock
) -> None:
    browser = Browser(
        GetPayment=get,
        GetOverview=the_overview,
        ListAttention=no_payments,
        ListRefunds=no_refunds,
    )
    await browser.log_in()
    taken = []

    async def follow() -> None:
        start = trio.current_time()
        status, _ = await browser.get(f"{stream}/events")
        taken.append((status, trio.current_time() - start))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await trio.sleep(1)
        if ending == "logout":
            await browser.log_out()
        else:
            browser.entries.clear()
    [(status, seconds)] = taken
    assert (status, seconds < STREAM_S / 2) == (200, True)


async def test_a_refused_version_is_asked_again_about_the_newest_one() -> None:
    record = AttentionRecord(reason=Attention.OVERPAID, since=PAYMENT.create_time)
    newest = payment_message(attrs.evolve(PAYMENT, version=3, attention_records=(record,)))

    async def get_newest(request: Any, call: Call) -> Any:
        return pb.GetPaymentResponse(payment=newest)

    async def resolve(request: Any, call: Call) -> Any:
        if request.expected_version != newest.version:
            raise VersionChanged("the payment has changed", version=str(newest.version))
        return pb.ResolveAttentionResponse(payment=newest)

    browser = Browser(GetPayment=get_newest, ResolveAttention=resolve)
    await browser.log_in()
    path = f"{PAGE}/resolve"
    _, page = await browser.get(f"{path}?version=2")
    for version, status in (("2", 409), ("3", 303)):
        form = fields_of(page) | {"reasons": "OVERPAID", "note": "sent back"}
        assert form["version"] == version
        answered, page = await browser.post(path, form)
        assert answered == status


async def test_raw_rows_are_read_only_when_they_are_asked_for() -> None:
    async def explain(request: Any, call: Call) -> Any:
        status = pb.PAYMENT_STATUS_PENDING
        waiting = pb.WaitingFor(what="the customer pays", actor="WAITING_FOR_ACTOR_CUSTOMER")
        explanation = pb.Explanation(status=status, waiting_for=waiting)
        return pb.ExplainPaymentResponse(explanation=explanation)

    async def no_receipts(request: Any, call: Call) -> Any:
        return pb.ListReceiptsResponse()

    async def rows(request: Any, call: Call) -> Any:
        table = pb.StoredTable(name="payments", rows=['{"id": "x<y"}'])
        return pb.GetStoredRowsResponse(tables=[table])

    browser = Browser(
        GetPayment=get, ExplainPayment=explain, ListReceipts=no_receipts, GetStoredRows=rows
    )
    await browser.log_in()
    status, page = await browser.get(PAGE)
    assert (status, f'href="{PAGE}/raw"' in page) == (200, True)
    assert ("GetStoredRows", "OK") not in browser.reported
    status, page = await browser.get(f"{PAGE}/raw")
    assert (status, "x&lt;y" in page) == (200, True)

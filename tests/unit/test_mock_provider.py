"""The mock takes no money, and otherwise behaves like a provider that does."""

import itertools
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import attrs
import pytest
import trio
from mock_provider import MANIFEST, MockConfig
from mock_provider.provider import MockProvider, open_provider
from pydantic import ValidationError
from trio.testing import MockClock
from unit.providers.toys import (
    PAYMENT_ID,
    START,
    CollectingSink,
    Journal,
    TrioClock,
    a_ref,
    an_operation,
    half,
)

from payd.domain.attention import Attention
from payd.domain.decide import decide
from payd.domain.evidence import Evidence
from payd.domain.payment import Customer, Payment, Status
from payd.plugins import (
    Absent,
    Created,
    CryptoTransfer,
    Declined,
    Found,
    IdempotencyConflict,
    InvalidRequest,
    OutcomeUnknown,
    ProviderContext,
    ProviderStatus,
    Redirect,
    Sink,
    Snapshot,
    TokenTerms,
)
from payd.ports import Answer
from payd.providers.discovery import EnabledPlugin, PluginError
from payd.providers.loader import FailureMode, open_providers


@asynccontextmanager
async def mock(**settings: Any) -> AsyncIterator[MockProvider]:
    context = ProviderContext(environment="test", secrets={}, clock=TrioClock(), log=Journal())
    async with open_provider(context, MockConfig(**settings)) as provider:
        assert isinstance(provider, MockProvider)
        yield provider


@asynccontextmanager
async def watched(provider: MockProvider, sink: Sink) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(provider.watch, sink)
        yield
        nursery.cancel_scope.cancel()


async def look(provider: MockProvider, **overrides: Any) -> Found:
    found = await provider.fetch(a_ref(**overrides))
    assert isinstance(found, Found)
    return found


async def create_in_the_end(provider: MockProvider, operation: Any) -> Created:
    """As recovery does: look for what was lost, and create it again where it is absent."""
    try:
        return await provider.create(operation)
    except OutcomeUnknown:
        found = await provider.fetch(a_ref())
        return found.created if isinstance(found, Found) else await provider.create(operation)


def a_payment() -> Payment:
    operation = an_operation()
    return Payment(
        id=PAYMENT_ID,
        idempotency_key="key-1",
        request_hash=b"",
        customer=Customer(id="customer-1"),
        method="mock",
        provider="mock",
        amount=operation.amount,
        items=(),
        pricing_version="v1",
        create_time=START,
        update_time=START,
        expire_time=operation.expire_time,
    )


def settled(evidence: Sequence[tuple[Evidence, datetime]]) -> Payment:
    payment = a_payment()
    for piece, now in evidence:
        if decision := decide(payment, piece, now):
            payment = decision.payment
    return payment


# -- scenarios ---------------------------------------------------------------------------------

#: scenario → status, received, attention, late, and seconds until each report
FATES: dict[str, tuple[Status, int, set[Attention], bool, list[float]]] = {
    "complete": (Status.COMPLETED, 1000, set(), False, [0.2]),
    "pending": (Status.EXPIRED, 0, set(), False, [1800]),
    "expire": (Status.EXPIRED, 0, set(), False, [0.2]),
    "timeout_before": (Status.COMPLETED, 1000, set(), False, [0.2]),
    "timeout_after": (Status.COMPLETED, 1000, set(), False, [0.2]),
    "pay_late": (Status.COMPLETED, 1000, set(), True, [0.2, 0.4]),
    "pay_twice": (
        Status.COMPLETED,
        2000,
        {Attention.OVERPAID, Attention.DUPLICATE_PAYMENT},
        False,
        [0.2, 0.4],
    ),
    "underpay": (Status.EXPIRED, 500, {Attention.UNDERPAID}, False, [0.2, 0.4]),
}


@pytest.mark.parametrize("scenario", FATES)
async def test_a_scenario_is_reported_when_it_happens_and_ends_the_payment(
    scenario: str, autojump_clock: MockClock
) -> None:
    status, received, attention, late, seconds = FATES[scenario]
    clock = TrioClock()
    sink = CollectingSink()
    reports: list[tuple[Evidence, datetime]] = []
    async with mock() as provider, watched(provider, sink):
        operation = an_operation(metadata={"mock_scenario": scenario})
        created = await create_in_the_end(provider, operation)
        reports.append((created, clock.now()))
        for number, after_s in enumerate(seconds):
            await sink.reach(number + 1)
            assert (clock.now() - START).total_seconds() == pytest.approx(after_s, abs=0.05)
            reports.append((sink.seen[number].fact, clock.now()))
        await trio.sleep(60)
        final = (await look(provider, reference=created.reference)).snapshot

    assert len(sink.seen) == len(seconds), "and nothing else is reported"
    payment = settled(reports)
    assert (payment.status, payment.received, payment.late) == (status, received, late)
    assert payment.attention == attention
    assert final.received == received
    assert final.confirmed == (0 if payment.late else received), "its receipt has the time"
    for order in itertools.permutations([*reports, (final, clock.now())]):
        other = settled(order)
        assert (other.received, other.confirmed) == (payment.received, payment.confirmed)


async def test_a_decline_is_definitive_and_leaves_nothing(autojump_clock: MockClock) -> None:
    operation = an_operation(metadata={"mock_scenario": "decline"})
    async with mock() as provider:
        for _ in range(2):
            with pytest.raises(Declined):
                await provider.create(operation)
        assert await provider.fetch(a_ref()) == Absent()


async def test_a_lost_request_is_provably_absent_and_works_when_sent_again() -> None:
    operation = an_operation(metadata={"mock_scenario": "timeout_before"})
    async with mock() as provider:
        with pytest.raises(OutcomeUnknown):
            await provider.create(operation)
        assert await provider.fetch(a_ref()) == Absent()
        created = await provider.create(operation)
        assert (await look(provider)).created == created


async def test_a_lost_answer_is_found_again_and_reported_by_reference_alone(
    autojump_clock: MockClock,
) -> None:
    operation = an_operation(metadata={"mock_scenario": "timeout_after"})
    sink = CollectingSink()
    async with mock() as provider, watched(provider, sink):
        with pytest.raises(OutcomeUnknown):
            await provider.create(operation)
        found = await look(provider)
        assert await provider.create(operation) == found.created
        await sink.reach(1)
        assert [seen.reference for seen in sink.seen] == [found.created.reference]


async def test_other_reports_name_the_payment(autojump_clock: MockClock) -> None:
    sink = CollectingSink()
    async with mock() as provider, watched(provider, sink):
        created = await provider.create(an_operation())
        await sink.reach(1)
    (report,) = sink.seen
    assert report.reference == str(PAYMENT_ID)
    assert report.id == f"{created.reference}:paid:1"


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"mock_scenario": "explode"}, "metadata.mock_scenario"),
        ({"mock_delay_ms": "soon"}, "metadata.mock_delay_ms"),
        ({"mock_delay_ms": "-1"}, "metadata.mock_delay_ms"),
        ({"mock_delay_ms": "86400001"}, "metadata.mock_delay_ms"),
        ({"mock_delay_ms": "9" * 5000}, "metadata.mock_delay_ms"),
        ({"mock_delay_ms": "٣"}, "metadata.mock_delay_ms"),
    ],
)
async def test_what_the_mock_cannot_play_is_refused_with_its_field(
    metadata: dict[str, str], field: str
) -> None:
    async with mock() as provider:
        with pytest.raises(InvalidRequest) as refused:
            await provider.create(an_operation(metadata=metadata))
        assert refused.value.field == field
        assert await provider.fetch(a_ref()) == Absent()


async def test_the_caller_may_choose_the_delay(autojump_clock: MockClock) -> None:
    sink = CollectingSink()
    async with mock() as provider, watched(provider, sink):
        await provider.create(an_operation(metadata={"mock_delay_ms": "5000"}))
        await trio.sleep(4.99)
        assert sink.seen == []
        await trio.sleep(0.02)
        assert len(sink.seen) == 1


async def test_without_delay_the_money_is_reported_at_once(autojump_clock: MockClock) -> None:
    sink = CollectingSink()
    async with mock(delay_ms=0) as provider, watched(provider, sink):
        await trio.sleep(1)
        start = trio.current_time()
        await provider.create(an_operation())
        await sink.reach(1)
        assert trio.current_time() == start, "no poll was waited for"


async def test_money_that_comes_after_the_expiry_is_not_taken(autojump_clock: MockClock) -> None:
    sink = CollectingSink()
    operation = an_operation(expire_time=START + timedelta(seconds=1))
    slow = attrs.evolve(operation, metadata={"mock_delay_ms": "5000"})
    async with mock() as provider, watched(provider, sink):
        await provider.create(slow)
        await trio.sleep(10)
    (report,) = sink.seen
    assert isinstance(report.fact, Snapshot)
    assert report.fact.status is ProviderStatus.EXPIRED
    assert report.fact.as_of == slow.expire_time


async def test_a_look_agrees_with_the_reports_at_every_moment(autojump_clock: MockClock) -> None:
    sink = CollectingSink()
    async with mock() as provider, watched(provider, sink):
        await provider.create(an_operation(metadata={"mock_scenario": "pay_twice"}))
        totals = []
        for _ in range(3):
            snapshot = (await look(provider)).snapshot
            totals.append((snapshot.received, snapshot.status))
            await trio.sleep(0.2)
    assert totals == [
        (0, ProviderStatus.OPEN),
        (1000, ProviderStatus.PAID),
        (2000, ProviderStatus.PAID),
    ]


# -- idempotency, cancelling -------------------------------------------------------------------


async def test_the_same_operation_twice_is_one_session(autojump_clock: MockClock) -> None:
    sink = CollectingSink()
    async with mock() as provider, watched(provider, sink):
        first = await provider.create(an_operation())
        await trio.sleep(0.1)
        assert await provider.create(an_operation()) == first
        await trio.sleep(10)
    assert len(sink.seen) == 1


async def test_the_same_operation_id_with_other_parameters_is_a_conflict() -> None:
    other_amount = attrs.evolve(an_operation().amount, minor_units=1001)
    async with mock() as provider:
        first = await provider.create(an_operation())
        with pytest.raises(IdempotencyConflict):
            await provider.create(an_operation(amount=other_amount))
        assert (await look(provider)).created == first


async def test_a_cancelled_session_is_never_paid_and_can_be_cancelled_again(
    autojump_clock: MockClock,
) -> None:
    sink = CollectingSink()
    async with mock() as provider, watched(provider, sink):
        created = await provider.create(an_operation())
        for _ in range(2):
            snapshot = await provider.cancel(a_ref(reference=created.reference))
            assert snapshot.status is ProviderStatus.CANCELED
            await trio.sleep(10)
        assert (await look(provider)).snapshot.status is ProviderStatus.CANCELED
    assert sink.seen == []


async def test_money_that_was_first_cannot_be_cancelled(autojump_clock: MockClock) -> None:
    sink = CollectingSink()
    async with mock() as provider:
        await provider.create(an_operation())
        await trio.sleep(1)
        snapshot = await provider.cancel(a_ref())
        assert (snapshot.status, snapshot.confirmed) == (ProviderStatus.PAID, 1000)
        async with watched(provider, sink):
            await sink.reach(1)


async def test_an_expired_session_says_so_when_it_is_cancelled(autojump_clock: MockClock) -> None:
    async with mock() as provider:
        await provider.create(an_operation(metadata={"mock_scenario": "expire"}))
        await trio.sleep(1)
        assert (await provider.cancel(a_ref())).status is ProviderStatus.EXPIRED


# -- tokens, failure rate, settings ------------------------------------------------------------


async def test_a_token_payment_is_paid_in_exact_base_units(autojump_clock: MockClock) -> None:
    (method,) = MANIFEST.methods(MockConfig.model_validate({"methods": "crypto"}))
    token = method.crypto_currencies[0]
    terms = TokenTerms(
        currency=token.code,
        chain_id=token.chain_id,
        token_address=token.token_address,
        decimals=token.decimals,
        due_base_units=2**200 + 1,
    )
    sink = CollectingSink()
    async with mock(methods="crypto") as provider, watched(provider, sink):
        created = await provider.create(an_operation(crypto=terms))
        action = created.next_action
        assert isinstance(action, CryptoTransfer)
        assert action.amount_base_units == terms.due_base_units
        assert f"{terms.due_base_units:064x}" in action.calldata
        await sink.reach(1)
        found = await look(provider, asset=terms.token_address)
    assert found.created == created
    assert found.snapshot.confirmed == terms.due_base_units
    assert isinstance(sink.seen[0].fact, tuple)
    (receipt,) = sink.seen[0].fact
    assert (receipt.asset, receipt.amount) == (terms.token_address, terms.due_base_units)


async def test_the_failure_rate_fails_its_part_the_same_way_each_time() -> None:
    async def outcomes() -> list[str]:
        names = []
        async with mock(failure_rate=0.4, seed=7) as provider:
            for number in range(400):
                operation = an_operation(
                    operation_id=f"op-{number}", payment_id=UUID(int=number), metadata={}
                )
                try:
                    await provider.create(operation)
                    names.append("created")
                except (Declined, OutcomeUnknown) as error:
                    names.append(type(error).__name__)
        return names

    names = await outcomes()
    assert names == await outcomes()
    assert 40 < names.count("Declined") < 120
    assert 40 < names.count("OutcomeUnknown") < 120


def test_methods_come_as_a_list_or_with_commas() -> None:
    assert MockConfig.model_validate({"methods": "card, crypto"}).methods == ("card", "crypto")
    keys = [method.key for method in MANIFEST.methods(MockConfig(methods=("mock", "card")))]
    assert keys == ["mock", "card"]
    assert [method.key for method in MANIFEST.methods(MockConfig())] == ["mock"]


@pytest.mark.parametrize(
    "wrong",
    [{"methods": []}, {"methods": "Card!"}, {"delay_ms": -1}, {"failure_rate": 2}, {"rate": 1}],
    ids=repr,
)
def test_a_wrong_setting_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MockConfig.model_validate(wrong)


# -- the remote side outlives the daemon -------------------------------------------------------

_CREATE_AND_WAIT_TO_BE_KILLED = """
import sys, trio
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from unit.test_mock_provider import mock
from unit.providers.toys import an_operation

async def main():
    async with mock(state_file=Path(sys.argv[1])) as provider:
        created = await provider.create(an_operation())
        print(created.reference, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


def create_in_a_daemon_that_is_killed(state_file: Path) -> str:
    """Gives the reference of the session that it created."""
    tests = str(Path(__file__).parent.parent)
    command = [sys.executable, "-c", _CREATE_AND_WAIT_TO_BE_KILLED, str(state_file), tests]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        reference = daemon.stdout.readline().strip()
        daemon.kill()
    return reference


async def test_a_session_survives_the_death_of_the_daemon(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    state_file = tmp_path / "state" / "mock.db"
    reference = create_in_a_daemon_that_is_killed(state_file)
    sink = CollectingSink()
    async with mock(state_file=state_file) as provider:
        assert (await look(provider)).created.reference == reference
        async with watched(provider, sink):
            await sink.reach(1)
    async with mock(state_file=state_file) as provider, watched(provider, sink):
        await trio.sleep(10)
    assert len(sink.seen) == 1, "what was stored is not reported again"


async def test_a_report_that_could_not_be_stored_is_made_again_as_it_was(
    autojump_clock: MockClock,
) -> None:
    class Broken:
        async def put(self, observations: Sequence[Any], /) -> None:
            seen.extend(observations)
            raise ConnectionError("the store is away")

    seen: list[Any] = []
    sink = CollectingSink()
    async with mock() as provider:
        await provider.create(an_operation())
        with pytest.RaisesGroup(ConnectionError):
            async with watched(provider, cast(Sink, Broken())):
                await trio.sleep(10)
        async with watched(provider, sink):
            await sink.reach(1)
    assert sink.seen == seen


async def test_what_one_daemon_created_another_one_reports_and_cancels(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    sink = CollectingSink()
    shared = tmp_path / "mock.db"
    async with mock(state_file=shared) as one, mock(state_file=shared) as other:
        async with watched(other, sink):
            await one.create(an_operation())
            await sink.reach(1)
        second = {"operation_id": "op-2", "payment_id": UUID(int=2)}
        await one.create(an_operation(**second))
        assert (await other.cancel(a_ref(**second))).status is ProviderStatus.CANCELED
        assert (await look(one, **second)).snapshot.status is ProviderStatus.CANCELED


async def test_many_reports_go_in_batches() -> None:
    sink = CollectingSink()
    async with mock(delay_ms=0) as provider:
        for number in range(250):
            await provider.create(
                an_operation(operation_id=f"op-{number}", payment_id=UUID(int=number))
            )
        async with watched(provider, sink):
            await sink.reach(250)
    assert sink.batches == [100, 100, 50]
    assert len({seen.id for seen in sink.seen}) == 250


# -- as payd finds it --------------------------------------------------------------------------


async def test_the_installed_mock_is_found_and_pays_through_its_fence(
    autojump_clock: MockClock,
) -> None:
    sink = CollectingSink()
    enabled = EnabledPlugin(name="mock", settings={"methods": "mock,card", "delay_ms": "50"})
    async with (
        open_providers(
            [enabled],
            environment="development",
            clock=TrioClock(),
            failure_mode=FailureMode.STRICT,
            log_of=lambda name: Journal(),
            random=half,
        ) as opened,
        trio.open_nursery() as nursery,
    ):
        registered = opened.methods.by_method("card")
        assert registered is not None
        (fence,) = opened.fences
        await nursery.start(fence.run_watch, sink)
        await nursery.start(fence.run_health)
        answer = await registered.provider.create(an_operation(method="card"))
        (created,) = answer.evidence
        assert isinstance(created, Created)
        assert created.next_action == Redirect(url=f"https://mock.invalid/pay/{created.reference}")
        await sink.reach(1)
        look_now = await registered.provider.fetch(a_ref())
        assert look_now.evidence[0] == created
        assert await fence.fetch(a_ref(operation_id="other")) == Answer(evidence=(Absent(),))
        assert fence.state().ready
        nursery.cancel_scope.cancel()


async def test_the_mock_is_refused_in_production() -> None:
    with pytest.raises(PluginError, match="provider mock: is made for development"):
        async with open_providers(
            [EnabledPlugin(name="mock")],
            environment="production",
            clock=TrioClock(),
            failure_mode=FailureMode.STRICT,
            log_of=lambda name: Journal(),
            random=half,
        ):
            pass

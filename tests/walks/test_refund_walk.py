"""The path of a refund, step by step: from a request to a consumer's event.

Each test takes one step further. Read them in their order, next to the file that each names.
"""

import json

import pytest
from unit.service.world import CALLER, World
from walks.card_rail import NOON, CardRail

from payd.domain.decide import Event, EventType, decide
from payd.domain.errors import RefundExceedsPaid
from payd.domain.evidence import Observation, ProviderStatus, RefundRequested, Snapshot
from payd.domain.outcome import Asking
from payd.domain.payment import Payment, Status
from payd.domain.refund import Refund, RefundSnapshot, RefundState, RefundStatus, RefundTerms
from payd.domain.refunds import left
from payd.service.operation import refund_operation

PAID = Observation(
    id="evt_1",
    reference="cs_1",
    fact=Snapshot(
        status=ProviderStatus.PAID, asset="USD", received=14900, confirmed=14900, as_of=NOON
    ),
)


# -- domain/refunds.grant: what is left, and who gets it --------------------------------------


async def test_stop_1_a_refund_reserves_its_amount_in_a_new_version_of_the_payment(
    house: World,
) -> None:
    payment = await _paid(house)

    decision = decide(payment, _request(house, 14_900), house.clock.now())

    assert decision is not None
    assert decision.payment.version == payment.version + 1
    assert left(decision.payment) == 0
    with pytest.raises(RefundExceedsPaid):
        decide(decision.payment, _request(house, 1), house.clock.now())


# -- service/refund.RefundPayment: stored before the provider is asked ------------------------


async def test_stop_2_the_refund_is_stored_with_its_claim_before_anything_is_sent(
    house: World, rail: CardRail
) -> None:
    payment = await _paid(house)
    request = _request(house, 100)

    granted, mine = await house.settle.claim(payment, request, CALLER)

    assert mine
    [refund] = granted.refunds
    assert (refund.status, refund.asking) == (RefundStatus.CREATING, Asking.ASKING)
    assert rail.refunds == []
    assert (await house.trail(payment))[-1] == "refund_creating"


# -- service/send_refund, providers/fence: the provider is asked ------------------------------


async def test_stop_3_the_provider_gets_the_stored_refund_under_one_operation_id(
    house: World, rail: CardRail
) -> None:
    payment = await _paid(house)

    refund = await house.refund(payment)

    [operation] = rail.refunds
    assert operation == refund_operation(await house.newest(payment), refund)
    assert operation.operation_id == f"payd:{refund.id}:refund:v1"


# -- providers/answers, domain/refunds.answered: its answer ------------------------------------


async def test_stop_4_the_answer_moves_the_refund(house: World) -> None:
    payment = await _paid(house)

    refund = await house.refund(payment)

    assert (refund.status, refund.provider_reference) == (RefundStatus.PENDING, "re_1")
    assert (await house.trail(payment))[-1] == "refund_pending"


async def test_stop_4_without_an_answer_recovery_finds_out(house: World, rail: CardRail) -> None:
    payment = await _paid(house)
    rail.loses_answers = True

    refund = await house.refund(payment)
    assert refund.status is RefundStatus.CREATING

    assert (await house.check_refund(refund)).status is RefundStatus.PENDING
    assert len(rail.refunds) == 1


# -- service/reports.work: what the provider reports later -------------------------------------


async def test_stop_5_a_report_is_matched_by_the_id_that_payd_gave_the_refund(
    house: World, rail: CardRail
) -> None:
    payment = await _paid(house)
    rail.loses_answers = True
    refund = await house.refund(payment)
    assert refund.provider_reference is None

    report = rail.refunded(RefundState.SUCCEEDED)
    decision = decide(await house.newest(payment), report, house.clock.now())

    assert decision is not None
    assert decision.events == (
        Event(type=EventType.REFUNDED, previous_status=Status.COMPLETED, refund_id=refund.id),
    )
    assert decide(decision.payment, report, house.clock.now()) is None


# -- service/publish: the consumers ------------------------------------------------------------


async def test_stop_6_a_consumer_reads_that_the_money_went_back(
    house: World, rail: CardRail
) -> None:
    payment, _ = await _pending(house)

    await _report(house, rail.refunded(RefundState.SUCCEEDED))
    await house.settle_and_publish()

    row = house.publisher.published[-1]
    body = json.loads(row.body)
    assert row.subject == "payment.refunded"
    assert body["id"] == str(payment.id)
    assert body["refunded"] == {"currency_code": "USD", "minor_units": "100"}


async def test_stop_7_money_that_comes_back_is_left_again(house: World, rail: CardRail) -> None:
    payment, refund = await _pending(house)
    for state in (RefundState.SUCCEEDED, RefundState.FAILED):
        await _report(house, rail.refunded(state))
    await house.settle_and_publish()

    assert [row.subject for row in house.publisher.published] == [
        *("payment.completed", "payment.refunded"),
        *("payment.refund_failed", "payment.attention"),
    ]
    assert (await house.stored(refund)).status is RefundStatus.FAILED
    assert left(await house.newest(payment)) == 14_900


def _request(house: World, amount: int) -> RefundRequested:
    now = house.clock.now()
    refund = Refund(
        id=house.refunds.ids.new(),
        status=RefundStatus.CREATING,
        amount=amount,
        create_time=now,
        update_time=now,
        asking=Asking.ASKING,
    )
    return RefundRequested(refund=refund, terms=RefundTerms())


async def _paid(house: World) -> Payment:
    payment = await house.initiate()
    await house.intake.accept("mock", [PAID])
    await house.intake_pass()
    return await house.newest(payment)


async def _pending(house: World) -> tuple[Payment, Refund]:
    payment = await _paid(house)
    refund = await house.refund(payment)
    return await house.newest(payment), refund


async def _report(house: World, report: RefundSnapshot) -> None:
    name = f"{report.reference} {report.state.value}"
    await house.intake.accept("mock", [Observation(id=name, reference="cs_1", fact=report)])
    await house.intake_pass()

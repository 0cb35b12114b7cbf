"""The outbox: an event is written with its decision, and claimed in order by one daemon."""

import json
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import trio
from contract.stores import CALLER, NOW, Stores, all_at_once, created, eventually, paid

from payd.adapters.events import outbox_row_of
from payd.domain.decide import decide
from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.evidence import Conflict, Declined
from payd.domain.payment import Payment
from payd.domain.refund import RefundSnapshot, RefundState
from payd.ports import OutboxRow

LEASE_S = 60.0
A_MINUTE = timedelta(minutes=1)


async def test_a_new_payment_has_no_event(stores: Stores) -> None:
    await stores.learn(await stores.add(), created())

    assert await stores.outbox.claim(10, LEASE_S) == []
    assert await stores.outbox.depth() == (0, 0.0)


async def test_a_completed_payment_has_one_event(stores: Stores) -> None:
    payment = await _completed(stores)

    [row] = await stores.outbox.claim(10, LEASE_S)

    assert row.payment_id == payment.id
    assert row.subject == "payment.completed"


async def test_an_event_says_what_a_consumer_needs(stores: Stores) -> None:
    payment = await stores.learn(await stores.add(), Declined(code="no_funds", message="Declined."))

    [row] = await stores.outbox.claim(10, LEASE_S)
    body = json.loads(row.body)

    assert row.subject == "payment.failed"
    assert (body["id"], body["status"]) == (str(payment.id), "PAYMENT_STATUS_FAILED")
    assert body["event_id"] == str(row.event_id)
    assert body["event_type"] == "payment.failed"
    assert body["previous_status"] == "PAYMENT_STATUS_CREATING"
    assert body["request_id"] == CALLER.request_id


async def test_an_event_carries_its_cloudevents_headers(stores: Stores) -> None:
    payment = await _completed(stores)

    [row] = await stores.outbox.claim(10, LEASE_S)

    assert row.headers == {
        "ce-specversion": "1.0",
        "ce-id": str(row.event_id),
        "ce-source": f"//payd/test/payments/{payment.id}",
        "ce-type": "dev.payd.payment.completed.v1",
        "ce-time": payment.update_time.isoformat().replace("+00:00", "Z"),
        "Content-Type": "application/json",
        "traceparent": CALLER.traceparent,
    }


async def test_the_stored_event_is_the_one_that_every_repetition_gives(stores: Stores) -> None:
    before = await stores.learn(await stores.add(), created())
    decision = decide(before, paid(before), before.update_time)
    assert decision is not None
    await stores.payments.commit(before, decision, CALLER)

    [row] = await stores.outbox.claim(10, LEASE_S)

    again = outbox_row_of(decision.payment, decision.events[0], CALLER, "test")
    assert (row.event_id, row.subject, row.headers, row.body) == (
        again.event_id,
        again.subject,
        again.headers,
        again.body,
    )


async def test_a_commit_that_loses_writes_no_event(stores: Stores) -> None:
    before = await stores.learn(await stores.add(), created())
    decision = decide(before, paid(before), before.update_time)
    assert decision is not None
    assert await stores.payments.commit(before, decision, CALLER)

    assert not await stores.payments.commit(before, decision, CALLER)

    assert (await stores.outbox.depth())[0] == 1


async def test_events_of_one_payment_are_claimed_in_order_each_after_the_last(
    stores: Stores,
) -> None:
    await _completed_with_too_much(stores)

    [first] = await stores.outbox.claim(10, LEASE_S)
    assert first.subject == "payment.completed"
    assert await stores.outbox.claim(10, LEASE_S) == []

    await stores.outbox.mark_published([first.id])
    [second] = await stores.outbox.claim(10, LEASE_S)
    assert second.subject == "payment.attention"
    assert json.loads(second.body)["reason"] == "OVERPAID"

    await stores.outbox.mark_published([second.id])
    assert await stores.outbox.claim(10, LEASE_S) == []
    assert await stores.outbox.depth() == (0, 0.0)


async def test_a_second_decision_of_a_payment_waits_behind_its_first(stores: Stores) -> None:
    payment = await _completed(stores)
    await stores.learn(payment, paid(payment, received=2 * payment.due, confirmed=2 * payment.due))

    [first] = await stores.outbox.claim(10, LEASE_S)
    await stores.outbox.mark_published([first.id])
    [second] = await stores.outbox.claim(10, LEASE_S)

    assert [first.subject, second.subject] == ["payment.completed", "payment.attention"]
    assert [first.previous_event_id, second.previous_event_id] == [None, first.event_id]
    assert json.loads(second.body)["reason"] == "DUPLICATE_PAYMENT,OVERPAID"


async def test_each_event_of_a_payment_names_the_one_before_it(stores: Stores) -> None:
    payment = await _completed_with_too_much(stores)
    await stores.learn(payment, Conflict(detail="other contents"))
    await _completed(stores)

    rows: list[OutboxRow] = []
    while batch := [row for row in await stores.outbox.claim(10, 0) if row.id not in _ids(rows)]:
        rows += batch
        await stores.outbox.mark_published([row.id for row in batch])

    mine = [row for row in rows if row.payment_id == payment.id]
    subjects = [row.subject for row in mine]
    assert subjects == ["payment.completed", "payment.attention", "payment.attention"]
    ids = [row.event_id for row in mine]
    assert [row.previous_event_id for row in mine] == [None, *ids[:2]]


async def test_events_of_refunds_and_disputes_have_the_one_that_they_are_about(
    stores: Stores,
) -> None:
    payment = await _completed(stores)
    refunds = tuple(
        RefundSnapshot(
            reference=f"re_{n}",
            state=RefundState.SUCCEEDED,
            asset="USD",
            amount=1,
            time=NOW + n * A_MINUTE,
        )
        for n in (1, 2)
    )
    dispute = Dispute(
        id="dp_1",
        status=DisputeStatus.LOST,
        asset="USD",
        amount=1,
        open_time=NOW,
        as_of=NOW,
    )

    await stores.learn(payment, paid(payment, refunds=refunds, disputes=(dispute,)))

    rows: list[OutboxRow] = []
    while batch := await stores.outbox.claim(10, LEASE_S):
        rows += batch
        await stores.outbox.mark_published([row.id for row in batch])
    bodies = [json.loads(row.body) for row in rows[1:]]
    assert [(body["event_type"], *_about(body)) for body in bodies] == [
        ("payment.refunded", "re_1", None),
        ("payment.refunded", "re_2", None),
        ("payment.disputed", None, "dp_1"),
        ("payment.dispute_closed", None, "dp_1"),
        ("payment.attention", None, None),
    ]
    assert len({row.event_id for row in rows}) == 6
    assert [row.previous_event_id for row in rows[1:]] == [row.event_id for row in rows[:-1]]


def _about(body: dict[str, Any]) -> tuple[str | None, str | None]:
    refund, dispute = body.get("refund", {}), body.get("dispute", {})
    return refund.get("provider_reference"), dispute.get("id")


async def test_payments_do_not_wait_for_one_another(stores: Stores) -> None:
    payments = [await _completed_with_too_much(stores) for _ in range(3)]

    claimed = await stores.outbox.claim(10, LEASE_S)

    assert [row.payment_id for row in claimed] == [payment.id for payment in payments]


async def test_no_more_is_claimed_than_was_asked_for(stores: Stores) -> None:
    payments = [await _completed(stores) for _ in range(3)]

    claimed = await stores.outbox.claim(2, LEASE_S)

    assert [row.payment_id for row in claimed] == [payment.id for payment in payments[:2]]


async def test_each_event_goes_to_one_of_many_claimers(stores: Stores) -> None:
    payments = [await _completed(stores) for _ in range(12)]

    batches = await all_at_once([partial(stores.outbox.claim, 3, LEASE_S)] * 8)
    batches.append(await stores.outbox.claim(12, LEASE_S))

    claimed = [row.payment_id for batch in batches for row in batch]
    assert len(claimed) == len(payments)
    assert set(claimed) == {payment.id for payment in payments}


async def test_a_claimer_that_died_gives_way_when_its_lease_ends(stores: Stores) -> None:
    await _completed(stores)
    [lost] = await stores.outbox.claim(10, 0.05)

    [again] = await eventually(partial(stores.outbox.claim, 10, LEASE_S))

    assert again == lost


async def test_a_released_event_is_tried_again_and_its_successors_still_wait(
    stores: Stores,
) -> None:
    await _completed_with_too_much(stores)
    [row] = await stores.outbox.claim(10, LEASE_S)

    await stores.outbox.release({row.id: "the stream is away"})

    assert await eventually(partial(stores.outbox.claim, 10, LEASE_S)) == [row]


async def test_depth_counts_what_is_unpublished_and_the_age_of_its_oldest(stores: Stores) -> None:
    payment = await _completed_with_too_much(stores)
    await _completed(stores)

    count, oldest_age_s = await stores.outbox.depth()

    assert count == 3
    assert 0 <= oldest_age_s < 3600
    await _publish_all(stores, payment.id)
    assert (await stores.outbox.depth())[0] == 1


async def test_a_commit_wakes_the_waiting_publisher(stores: Stores) -> None:
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_completed, stores)
            rows: list[OutboxRow] = []
            while not rows:
                await stores.outbox.wait(30)
                rows.extend(await stores.outbox.claim(10, LEASE_S))

    assert rows[0].subject == "payment.completed"


async def test_an_event_that_nobody_claims_ends_one_wait_only(stores: Stores) -> None:
    """The publisher claims nothing while the stream is away, and must not spin meanwhile."""
    await _completed(stores)
    with trio.fail_after(30):
        await stores.outbox.wait(30)

    with trio.move_on_after(0.3) as patience:
        await stores.outbox.wait(30)
    assert patience.cancelled_caught


async def test_waiting_for_events_ends_at_the_time_out(stores: Stores) -> None:
    with trio.fail_after(30):
        await stores.outbox.claim(10, LEASE_S)
        await stores.outbox.wait(0.02)


async def _completed(stores: Stores) -> Payment:
    payment = await stores.learn(await stores.add(), created())
    return await stores.learn(payment, paid(payment))


async def _completed_with_too_much(stores: Stores) -> Payment:
    payment = await stores.learn(await stores.add(), created())
    too_much = payment.due + 1
    return await stores.learn(payment, paid(payment, received=too_much, confirmed=too_much))


async def _publish_all(stores: Stores, payment_id: UUID) -> None:
    while True:
        rows = await stores.outbox.claim(10, 0)
        mine = [row.id for row in rows if row.payment_id == payment_id]
        if not mine:
            return
        await stores.outbox.mark_published(mine)


def _ids(rows: Sequence[OutboxRow]) -> set[int]:
    return {row.id for row in rows}

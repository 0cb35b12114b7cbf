"""Money that arrives by receipts: matched, unmatched, placed by a person, and waited for."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import attrs
import pytest
from support.memory.ledger import UNMATCHED
from unit.service.fakes import NOON
from unit.service.world import USDC, World, capable

from payd.domain.attention import Attention
from payd.domain.errors import (
    PaymentNotFound,
    ReceiptNotAttachable,
    ReceiptNotFound,
    StoreUnavailable,
)
from payd.domain.evidence import (
    Observation,
    Outflow,
    ProviderStatus,
    Receipt,
    ReceiptState,
    Snapshot,
)
from payd.domain.payment import Origin, Payment, Status
from payd.plugins.capabilities import Cancel as Closing
from payd.plugins.interface import Holding, ProviderEvent
from payd.ports import Book, Cursor, Name, Reconciliation
from payd.service import status_check
from payd.service.audit import AUDIT, Balance
from payd.service.reports import PARKED_MAX

CHAIN = capable(cancel=Closing.NOT_CLOSABLE)
DUE = 149_000_000
OPERATOR = Origin(actor="operator:ada")


def a_receipt(name: str = "r1", amount: int = DUE, **overrides: Any) -> Receipt:
    """A final arrival in the token that is due."""
    fields: dict[str, Any] = {
        "asset": USDC.token_address,
        "state": ReceiptState.CONFIRMED,
        "time": NOON,
    }
    return Receipt(id=name, amount=amount, **(fields | overrides))


LOOKED = Snapshot(
    status=ProviderStatus.PAID,
    asset=USDC.token_address,
    received=DUE,
    confirmed=DUE,
    as_of=NOON,
)


def watched_receipt(receipt: Receipt, reference: object) -> Observation:
    """An observation of one receipt, as a watch reports it."""
    return Observation(id=receipt.id, reference=str(reference), fact=(receipt,))


@pytest.fixture
def world() -> World:
    """A rail that cannot close."""
    return World(CHAIN)


async def in_tokens(world: World, key: str = "key-1") -> Payment:
    """A payment that waits for its tokens."""
    return await world.initiate(method="crypto", crypto_currency="USDC", idempotency_key=key)


async def put(world: World, *observations: Observation, work: bool = True) -> list[str]:
    """What became of each report, once it was worked on."""
    await world.intake.accept("mock", observations)
    if not work:
        return []
    rows = await world.reports.claim_batch()
    outcomes = await world.reports.work(rows)
    return [outcomes[row.id] for row in rows]


def an_event(world: World, *observations: Observation) -> Any:
    """Of a scan or a webhook, which means these."""
    event = ProviderEvent(id="evt_1", type="booked", content={})
    world.provider.meanings[event.id] = observations
    return event


# -- matching --------------------------------------------------------------------------------


async def test_a_receipt_that_names_the_payment_completes_it(world: World) -> None:
    payment = await in_tokens(world)

    assert await put(world, watched_receipt(a_receipt(), payment.provider_reference)) == ["applied"]

    assert (await world.newest(payment)).status is Status.COMPLETED
    assert await world.store.ledger.newest(UNMATCHED, None, 10) == []


@pytest.mark.parametrize("reference", ["", "RF18539007547034", str(UUID(int=99))])
async def test_an_events_receipt_that_names_no_payment_is_kept_for_a_person(
    world: World, reference: str
) -> None:
    await world.intake.accept("mock", [an_event(world, watched_receipt(a_receipt(), reference))])
    for _ in range(2):
        for row in await world.reports.claim_batch():
            assert (await world.reports.work([row]))[row.id] == "unmatched"

    [waiting] = await world.store.ledger.newest(UNMATCHED, None, 10)
    assert (waiting.receipt, waiting.reference) == (a_receipt(), reference)
    assert await world.reports.claim_batch() == []


async def test_each_receipt_of_an_event_is_kept_for_a_person_under_a_name_of_its_own(
    world: World,
) -> None:
    said = [Observation(id="", reference="", fact=(a_receipt(name),)) for name in ("r1", "r2")]
    await world.intake.accept("mock", [an_event(world, *said)])
    await world.reports.work(await world.reports.claim_batch())

    rows = await world.reports.claim_batch()

    names = [row.report.id for row in rows if isinstance(row.report, Observation)]
    assert names == ["evt_1 receipts 0", "evt_1 receipts 1"]
    assert {(row.provider, row.conflicting) for row in rows} == {("mock", False)}
    waiting = await world.store.ledger.newest(UNMATCHED, None, 10)
    assert {one.receipt.id for one in waiting} == {"r1", "r2"}


@pytest.mark.parametrize("facts", [(LOOKED,), (LOOKED, (a_receipt(),))], ids=["none", "one"])
async def test_an_event_that_never_matched_leaves_its_receipts_to_a_person(
    world: World, facts: tuple[Any, ...]
) -> None:
    said = [
        Observation(id=f"o{number}", reference=str(UUID(int=99)), fact=fact)
        for number, fact in enumerate(facts)
    ]
    await world.intake.accept("mock", [an_event(world, *said)])
    world.clock.move(hours=PARKED_MAX / timedelta(hours=1) + 1)

    [row] = await world.reports.claim_batch()
    assert (await world.reports.work([row]))[row.id] == "never_matched"

    assert len(await world.store.ledger.newest(UNMATCHED, None, 10)) == len(facts) - 1


@pytest.mark.parametrize("reference", ["", "0xforeign", str(UUID(int=99))])
async def test_a_receipt_that_names_no_payment_is_unmatched_at_once(
    world: World, reference: str
) -> None:
    assert await put(world, watched_receipt(a_receipt(), reference)) == ["unmatched"]

    [waiting] = await world.store.ledger.newest(UNMATCHED, None, 10)
    assert (waiting.receipt, waiting.reference, waiting.payment_id) == (
        a_receipt(),
        reference,
        None,
    )


async def test_another_token_is_recorded_in_the_payment_and_stays_unmatched(world: World) -> None:
    payment = await in_tokens(world)
    other = a_receipt(asset="0x" + "99" * 20)

    assert await put(world, watched_receipt(other, payment.id)) == ["applied"]

    after = await world.newest(payment)
    assert (after.status, after.attention) == (Status.PENDING, {Attention.WRONG_TOKEN})
    assert [one.receipt for one in await world.store.ledger.newest(UNMATCHED, None, 10)] == [other]


# -- two names for one payment ---------------------------------------------------------------


def named_twice(reference: object, also: object) -> Observation:
    """A receipt at an address of a payment's own, with a memo."""
    receipt = a_receipt()
    return Observation(id=receipt.id, reference=str(reference), also=str(also), fact=(receipt,))


@pytest.mark.parametrize(("first", "second"), [("alias", "id"), ("alias", "x"), ("x", "id")])
async def test_of_two_names_one_is_enough(world: World, first: str, second: str) -> None:
    payment = await in_tokens(world)
    names = {"alias": payment.aliases[0], "id": payment.id, "x": "0xforeign"}

    assert await put(world, named_twice(names[first], names[second])) == ["applied"]

    after = await world.newest(payment)
    assert (after.status, after.attention) == (Status.COMPLETED, frozenset())


async def test_a_receipt_that_is_stored_already_counts_once_by_its_second_name_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await in_tokens(world)
    parts = [a_receipt("r1", DUE - 7), a_receipt("r2", 7)]
    first, second = (
        Observation(id=one.id, reference="0xforeign", also=str(payment.id), fact=(one,))
        for one in parts
    )
    assert await put(world, first) == ["applied"]

    again = attrs.evolve(first, id="again")
    find_all, asked = world.store.find_all, list[Mapping[Name, Collection[str]]]()

    async def noting(names: Mapping[Name, Collection[str]]) -> Mapping[Name, Payment]:
        asked.append(dict(names))
        return await find_all(names)

    monkeypatch.setattr(world.store, "find_all", noting)
    assert await put(world, again, second) == ["nothing_new", "applied"]
    both = {"r1", "r2"}
    assert asked == [{Name("mock", "0xforeign"): both, Name("mock", str(payment.id)): both}]

    after = await world.newest(payment)
    assert (after.status, after.confirmed) == (Status.COMPLETED, DUE)


async def test_two_names_that_nobody_has_leave_the_money_unmatched(world: World) -> None:
    assert await put(world, named_twice("0xforeign", "0xother")) == ["unmatched"]


async def test_two_names_of_two_payments_pay_the_first_and_ask_for_a_person(world: World) -> None:
    payment, other = await in_tokens(world), await in_tokens(world, "key-2")

    assert await put(world, named_twice(payment.aliases[0], other.id)) == ["applied"]

    after = await world.newest(payment)
    assert (after.status, after.attention) == (
        Status.COMPLETED,
        {Attention.CONFLICTING_EVIDENCE},
    )
    assert (await world.newest(other)).version == other.version
    audit = [row.details for row in await world.store.audit_trail(payment.id)]
    assert f"report r1 names payment {other.id}, too, by {other.id}" in str(audit)
    assert sorted(await world.events()) == ["payment.attention", "payment.completed"]


async def test_a_payment_is_not_canceled_while_money_with_its_second_name_waits(
    world: World,
) -> None:
    payment = await in_tokens(world)
    await put(world, named_twice("0xforeign", payment.id), work=False)

    assert (await world.cancel(payment)).status is Status.CANCELING


# -- one receipt, two payments ---------------------------------------------------------------


async def test_a_receipt_that_is_reported_for_two_payments_is_conflicting_on_the_second_at_once(
    world: World,
) -> None:
    first, second = await in_tokens(world), await in_tokens(world, "key-2")
    await put(world, watched_receipt(a_receipt(), first.id))
    again = Observation(id="again", reference=str(second.id), fact=(a_receipt(),))

    assert await put(world, again) == ["applied"]

    assert (await world.newest(first)).status is Status.COMPLETED
    after = await world.newest(second)
    assert (after.status, after.received) == (Status.PENDING, 0)
    assert after.attention == {Attention.CONFLICTING_EVIDENCE}
    audit = (await world.store.audit_trail(second.id))[-1]
    assert audit.details["reason"] == "reported for this payment, but another payment has: r1"
    assert await world.events() == ["payment.completed", "payment.attention"]


async def test_a_receipt_of_another_payment_does_not_hide_what_came_with_it(world: World) -> None:
    first, second = await in_tokens(world), await in_tokens(world, "key-2")
    await put(world, watched_receipt(a_receipt(), first.id))
    both = (a_receipt(), a_receipt("r2"), a_receipt("r3", asset="0x" + "99" * 20))

    said = Observation(id="both", reference=str(second.id), fact=both)
    assert await put(world, said) == ["applied"]

    after = await world.newest(second)
    assert (after.status, after.confirmed) == (Status.COMPLETED, DUE)
    assert after.attention == {Attention.CONFLICTING_EVIDENCE, Attention.WRONG_TOKEN}


async def test_the_same_conflict_again_changes_nothing(world: World) -> None:
    first, second = await in_tokens(world), await in_tokens(world, "key-2")
    await put(world, watched_receipt(a_receipt(), first.id))
    for name, outcome in [("again", "applied"), ("and again", "nothing_new")]:
        said = Observation(id=name, reference=str(second.id), fact=(a_receipt(),))
        assert await put(world, said) == [outcome]

    assert await world.reports.claim_batch() == []


# -- a status check counts only when no evidence waits in the inbox ------------------------------


async def test_a_payment_does_not_expire_while_its_money_waits_in_the_inbox(world: World) -> None:
    payment = await in_tokens(world)
    await put(world, watched_receipt(a_receipt(), payment.id), work=False)
    world.clock.time = payment.expire_time
    await world.recovery_pass()
    assert (await world.newest(payment)).status is Status.PENDING

    await world.intake_pass()

    after = await world.newest(payment)
    assert (after.status, after.late) == (Status.COMPLETED, False)


async def test_a_payment_is_not_canceled_while_its_money_waits_in_the_inbox(world: World) -> None:
    payment = await in_tokens(world)
    await put(world, watched_receipt(a_receipt(), payment.provider_reference), work=False)

    assert (await world.cancel(payment)).status is Status.CANCELING
    await world.intake_pass()

    assert (await world.newest(payment)).status is Status.COMPLETED


@pytest.mark.parametrize("name", ["reference", "id", "alias", "second name"])
async def test_a_payment_does_not_end_while_an_event_about_its_money_waits_in_the_inbox(
    world: World, name: str
) -> None:
    payment = await in_tokens(world)
    named = {
        "reference": payment.provider_reference,
        "id": payment.id,
        "alias": payment.aliases[0],
        "second name": "0xforeign",
    }[name]
    report = watched_receipt(a_receipt(), named)
    if name == "second name":
        report = attrs.evolve(report, also=str(payment.id))
    event = an_event(world, report)
    await world.intake.accept("mock", [event])

    assert (await world.cancel(payment)).status is Status.CANCELING
    world.clock.time = payment.expire_time
    await world.recovery_pass()
    assert (await world.newest(payment)).status is Status.CANCELING

    await world.intake_pass()

    after = await world.newest(payment)
    assert (after.status, after.late) == (Status.COMPLETED, False)


async def test_a_report_under_an_alias_keeps_its_payment_open(world: World) -> None:
    payment = await in_tokens(world)
    await put(world, watched_receipt(a_receipt(), payment.aliases[0]), work=False)

    assert (await world.cancel(payment)).status is Status.CANCELING


async def test_all_pages_of_the_inbox_are_searched_for_the_payments_money(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_check, "_PAGE", 3)
    payment = await in_tokens(world)
    unread: list[Any] = [
        ProviderEvent(id=f"evt_0{number}", type="from the future", content={})
        for number in range(5)
    ]
    await world.intake.accept("mock", unread)
    await world.intake.accept("mock", [an_event(world, watched_receipt(a_receipt(), payment.id))])

    read, limits = world.inbox.waiting_events, list[int]()

    async def noting(
        provider: str, after_id: int, limit: int
    ) -> Sequence[tuple[int, ProviderEvent]]:
        limits.append(limit)
        return await read(provider, after_id, limit)

    monkeypatch.setattr(world.inbox, "waiting_events", noting)
    assert (await world.cancel(payment)).status is Status.CANCELING
    assert limits == [3, 3]

    await world.intake_pass()
    assert (await world.newest(payment)).status is Status.COMPLETED


async def test_events_about_others_and_events_that_nobody_can_read_keep_no_payment_open(
    world: World,
) -> None:
    payment = await in_tokens(world)
    about_another = an_event(world, watched_receipt(a_receipt(), UUID(int=99)))
    unreadable: Any = ProviderEvent(id="evt_2", type="from the future", content={})
    await world.intake.accept("mock", [about_another, unreadable])

    assert (await world.cancel(payment)).status is Status.CANCELED


async def test_a_payment_that_waits_for_the_chain_to_be_read_is_checked_again_within_seconds(
    world: World,
) -> None:
    payment = await in_tokens(world)
    await put(world, watched_receipt(a_receipt(), payment.id), work=False)
    world.clock.time = payment.expire_time
    await world.recovery_pass()

    look = (await world.newest(payment)).next_check_time
    assert look is not None
    assert look - world.clock.now() <= timedelta(seconds=15)


@pytest.mark.parametrize("hours", [1, 2])
async def test_a_chain_that_is_not_read_for_long_is_checked_as_any_other(
    world: World, hours: int
) -> None:
    payment = await in_tokens(world)
    await put(world, watched_receipt(a_receipt(), payment.id), work=False)
    world.clock.time = payment.expire_time + timedelta(hours=hours)
    await world.recovery_pass()

    look = (await world.newest(payment)).next_check_time
    assert look is not None
    assert look - world.clock.now() >= timedelta(minutes=2)


# -- a person places a receipt -----------------------------------------------------------------


async def test_an_attached_receipt_counts_and_records_the_operator_and_the_reason(
    world: World,
) -> None:
    payment = await in_tokens(world)
    await put(world, watched_receipt(a_receipt(), ""))

    after = await world.attach.attach("r1", payment.id, OPERATOR, "he told us")

    assert after.status is Status.COMPLETED
    assert await world.store.ledger.newest(UNMATCHED, None, 10) == []
    audit = (await world.store.audit_trail(payment.id))[-1]
    assert (audit.actor, audit.details["reason"]) == ("operator:ada", "he told us")
    assert await world.events() == ["payment.completed"]


async def test_attaching_it_again_changes_nothing(world: World) -> None:
    payment = await in_tokens(world)
    await put(world, watched_receipt(a_receipt(), ""))
    first = await world.attach.attach("r1", payment.id, OPERATOR)
    audit = (await world.store.audit_trail(payment.id))[-1]
    assert audit.details.get("reason") is None, "nobody gave one"

    assert await world.attach.attach("r1", payment.id, OPERATOR) == first


async def test_a_receipt_is_attached_to_one_payment_only(world: World) -> None:
    payment, other = await in_tokens(world), await in_tokens(world, "key-2")
    await put(world, watched_receipt(a_receipt(), ""))
    await world.attach.attach("r1", payment.id, OPERATOR)

    with pytest.raises(ReceiptNotAttachable) as refusal:
        await world.attach.attach("r1", other.id, OPERATOR)
    assert str(refusal.value) == f"it belongs to the payment {payment.id}"
    assert refusal.value.metadata == {"receipt_id": "r1", "payment_id": str(other.id)}


async def test_of_two_operators_that_attach_one_receipt_at_once_the_second_is_refused(
    world: World,
) -> None:
    payment, other = await in_tokens(world), await in_tokens(world, "key-2")
    await put(world, watched_receipt(a_receipt(), ""))
    owner = attrs.evolve(payment, receipts=(a_receipt(),))
    world.crash.act_at("settle.before_commit", partial(_give, world, owner))

    with pytest.raises(ReceiptNotAttachable) as refusal:
        await world.attach.attach("r1", other.id, OPERATOR)

    assert str(refusal.value) == "another payment has just received it"
    assert refusal.value.metadata == {"receipt_id": "r1", "payment_id": str(other.id)}
    assert (await world.newest(other)).attention == frozenset()


@pytest.mark.parametrize(
    ("receipt", "why"),
    [
        (
            a_receipt(state=ReceiptState.HELD),
            "it is HELD, not CONFIRMED: the money is not final",
        ),
        (
            a_receipt(asset="0x" + "99" * 20),
            f"it is in 0x{'99' * 20}, but the payment is due in {USDC.token_address}",
        ),
    ],
)
async def test_what_is_not_the_payments_money_cannot_be_attached(
    world: World, receipt: Receipt, why: str
) -> None:
    payment = await in_tokens(world)
    await put(world, watched_receipt(receipt, ""))

    with pytest.raises(ReceiptNotAttachable) as refusal:
        await world.attach.attach("r1", payment.id, OPERATOR)
    assert str(refusal.value) == why
    assert refusal.value.metadata == {"receipt_id": "r1", "payment_id": str(payment.id)}
    assert (await world.newest(payment)).version == payment.version


async def test_what_does_not_exist_cannot_be_attached(world: World) -> None:
    payment = await in_tokens(world)

    with pytest.raises(ReceiptNotFound) as refusal:
        await world.attach.attach("r9", payment.id, OPERATOR)
    assert str(refusal.value) == "no receipt of mock has this id: see `payd receipts list`"
    assert refusal.value.metadata == {"receipt_id": "r9"}
    with pytest.raises(PaymentNotFound):
        await world.attach.attach("r1", UUID(int=77), OPERATOR)


def _give(world: World, payment: Payment) -> None:
    assert world.store.ledger.give(payment)


# -- the audit ---------------------------------------------------------------------------------


async def watched(world: World, *observations: Observation, **more: Any) -> None:
    """What the watch stores with its cursor."""
    cursor = Cursor(name="watch", value="block 7", rest=timedelta(0))
    await world.intake.accept("mock", observations, cursor, **more)


def holding(balance: int, opening: int = 0, asset: str = USDC.token_address) -> Holding:
    """What the account holds."""
    return Holding(asset=asset, opening=opening, balance=balance, at="block 7 0x77")


async def test_books_that_balance_have_no_findings(world: World) -> None:
    payment = await in_tokens(world)
    gone = Outflow(id="o1", asset=USDC.token_address.upper(), amount=9, time=NOON)
    held = watched_receipt(a_receipt("r3", 50, state=ReceiptState.HELD), "")
    await watched(
        world,
        watched_receipt(a_receipt(), payment.id),
        watched_receipt(a_receipt("r2", 5), ""),
        held,
        outflows=[gone],
    )
    world.provider.holds = [holding(100 + DUE + 5 - 9, opening=100)]

    result = await world.audit.work(world.provider)

    assert result is not None
    assert result == Reconciliation(
        provider="mock",
        since=NOON,
        until=NOON,
        start_time=NOON,
        end_time=NOON,
        objects=1,
        payments=0,
        findings=(),
    )
    assert world.provider.audited == ["block 7"]
    assert world.results.results == [result]


@pytest.mark.parametrize("balance", [DUE - 1, DUE + 1])
async def test_a_difference_of_one_unit_is_named(world: World, balance: int) -> None:
    await watched(world, watched_receipt(a_receipt(), ""))
    world.provider.holds = [holding(balance)]

    result = await world.audit.work(world.provider)

    assert result is not None
    account = f"account {balance} at block 7 0x77"
    assert result.findings == (
        {
            "kind": "balance_differs",
            "reference": USDC.token_address,
            "payment_id": "",
            "detail": f"ledger {DUE}, {account}: difference {balance - DUE:+d}",
        },
    )


async def test_an_asset_that_the_provider_does_not_name_is_a_difference(world: World) -> None:
    await watched(world, watched_receipt(a_receipt(), ""))
    world.provider.holds = []

    result = await world.audit.work(world.provider)

    assert result is not None
    account = "account nothing (asset not reported) at the cursor"
    assert result.findings[0]["detail"] == f"ledger {DUE}, {account}: difference -{DUE}"


async def test_an_asset_that_nobody_has_is_no_difference(world: World) -> None:
    """As much has left as has arrived, and the provider does not name what it has none of."""
    gone = Outflow(id="o1", asset=USDC.token_address, amount=DUE, time=NOON)
    await watched(world, watched_receipt(a_receipt(), ""), outflows=[gone])
    world.provider.holds = []
    balances = await world.audit.balances(world.provider)
    assert balances == [
        Balance(
            asset=USDC.token_address,
            opening=0,
            received=DUE,
            outflows=DUE,
            held=None,
            at="the cursor",
        )
    ]
    assert not balances[0].differs


async def test_assets_are_compared_in_order_however_they_are_written(world: World) -> None:
    """The account may hold what no receipt was in, and had it before payd watched."""
    await watched(world, watched_receipt(a_receipt(), ""))
    other = "0x" + "CD" * 20
    world.provider.holds = [
        holding(7, opening=7, asset=other),
        holding(DUE, asset=USDC.token_address.upper()),
    ]
    balances = await world.audit.balances(world.provider)
    assert balances is not None
    assert [(one.asset, one.booked, one.differs) for one in balances] == [
        (USDC.token_address, DUE, False),
        (other.lower(), 7, False),
    ]


async def test_a_running_sum_that_is_not_the_sum_of_its_rows_is_a_finding(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watched(world, watched_receipt(a_receipt(), ""))
    world.provider.holds = [holding(DUE)]
    asset, other, empty = (USDC.token_address, "0x" + "99" * 20, "0x" + "00" * 20)

    async def recount(provider: str) -> tuple[Book, Book]:
        assert provider == "mock"
        running = Book(
            cursor="block 7", received={asset: 5, other: 1}, outflows={empty: 0, asset: 3}
        )
        received, outflows = {asset: 7, other: 1, empty: 0}, {other: 2}
        return running, attrs.evolve(running, received=received, outflows=outflows)

    monkeypatch.setattr(world.store.ledger, "recount", recount)

    result = await world.audit.work(world.provider)

    assert result is not None
    way_out = "run SELECT recount_ledger()"
    differences = (
        (asset, f"received: the running sum is 5, the rows add up to 7; {way_out}"),
        (other, f"outflows: the running sum is 0, the rows add up to 2; {way_out}"),
        (asset, f"outflows: the running sum is 3, the rows add up to 0; {way_out}"),
    )
    assert result.findings == tuple(
        {"kind": "sums_differ", "reference": reference, "payment_id": "", "detail": detail}
        for reference, detail in differences
    )


async def test_a_difference_is_a_finding_although_the_rows_cannot_be_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watched(world, watched_receipt(a_receipt(), ""))
    world.provider.holds = [holding(DUE - 1)]

    async def recount(provider: str) -> tuple[Book, Book]:
        raise StoreUnavailable("the statement took too long", retry_after_s=1.0)

    monkeypatch.setattr(world.store.ledger, "recount", recount)

    result = await world.audit.work(world.provider)

    assert world.results.results == [result]
    assert result is not None
    assert [one["kind"] for one in result.findings] == ["balance_differs"]


async def test_without_an_answer_or_a_cursor_there_is_no_result(world: World) -> None:
    assert await world.audit.work(world.provider) is None
    assert world.provider.audited == []

    await watched(world, watched_receipt(a_receipt(), ""))
    assert await world.audit.work(world.provider) is None
    assert world.results.results == []


async def test_an_audit_without_an_answer_is_due_again_soon(world: World) -> None:
    [due] = await world.audit.claim_batch()
    await world.audit.work(due)
    world.clock.move(seconds=9)
    assert await world.audit.claim_batch() == []
    world.clock.move(seconds=1)
    assert await world.audit.claim_batch() == [due]
    world.clock.move(seconds=299)
    assert await world.audit.claim_batch() == [], "its daemon may still be at work"
    world.clock.move(seconds=1)
    assert await world.audit.claim_batch() == [due]


async def test_an_audit_leaves_the_time_of_its_start(world: World) -> None:
    await world.audit.work(world.provider)
    assert await world.inbox.read_cursor("mock", AUDIT) == NOON.isoformat()


async def test_an_audit_is_due_once_a_day_for_one_daemon(world: World) -> None:
    world.provider.holds = []
    await watched(world)
    [due] = await world.audit.claim_batch()
    assert await world.audit.claim_batch() == [], "another daemon has it"
    await world.audit.work(due)

    world.clock.move(hours=23)
    assert await world.audit.claim_batch() == []
    world.clock.move(hours=1)
    assert await world.audit.claim_batch() == [due]
    world.provider.can_audit = False
    world.clock.move(hours=25)
    assert await world.audit.claim_batch() == []


async def test_an_audit_with_a_difference_is_due_again_in_ten_minutes(world: World) -> None:
    """A report of final money may have waited to be settled: then the next audit agrees."""
    world.provider.holds = [holding(DUE)]
    await watched(world)
    [due] = await world.audit.claim_batch()
    await world.audit.work(due)

    world.clock.move(minutes=9)
    assert await world.audit.claim_batch() == []
    world.clock.move(minutes=1)
    assert await world.audit.claim_batch() == [due]

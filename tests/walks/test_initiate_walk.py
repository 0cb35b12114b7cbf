"""The path of InitiatePayment, step by step: from the request's bytes to those of its answer.

Each test takes one step further. Read them in their order, next to the file that each names.
"""

from typing import Any

import pytest
from payd_client.proto import payment_pb2 as pb
from unit.service.fakes import Died
from unit.service.world import CALLER, PRICES, WAIT_S, World, a_request
from walks.card_rail import CardRail

from payd.codec.messages import payment_message
from payd.codec.requests import initiate_request
from payd.domain.decide import decide
from payd.domain.errors import InvalidField, UnknownProduct
from payd.domain.evidence import Created
from payd.domain.next_action import Redirect
from payd.domain.outcome import Asking
from payd.domain.payment import Payment, Status
from payd.service.operation import create_operation
from payd.transport.grpc.handlers import Handlers
from payd.transport.grpc.one_call import Call

CALL = Call(origin=CALLER, wait_s=WAIT_S, budget_s=WAIT_S)


def the_request(**changes: Any) -> pb.InitiatePaymentRequest:
    """What the main app sends."""
    fields: dict[str, Any] = {
        "idempotency_key": "key-1",
        "customer": pb.Customer(id="user-1", email="user@example.org"),
        "items": [pb.Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")],
        "method": "card",
    }
    return pb.InitiatePaymentRequest(**(fields | changes))


# -- proto/requests: what is refused, and what a request means -------------------------------


async def test_stop_1_a_request_is_decoded_or_refused_by_the_path_of_its_field() -> None:
    request = pb.InitiatePaymentRequest.FromString(the_request().SerializeToString())

    assert initiate_request(request) == a_request()
    with pytest.raises(InvalidField) as refusal:
        initiate_request(the_request(customer=pb.Customer()))
    assert refusal.value.field == "customer.id"


# -- service/initiate, domain/pricing: the price ---------------------------------------------


async def test_stop_2_the_request_is_priced_by_the_list_in_force(house: World) -> None:
    quote = house.query.quote(a_request())

    assert (quote.total.currency_code, quote.total.minor_units) == ("USD", 14900)
    assert quote.pricing_version == PRICES.version
    item = pb.Item(chain_profile_id="dogecoin", node_type="full", duration="1d")
    unpriced = initiate_request(the_request(items=[item]))
    with pytest.raises(UnknownProduct):
        house.query.quote(unpriced)


# -- service/initiate, domain/payment, insert_payments: the write ----------------------------


async def test_stop_3_the_payment_is_written_before_the_provider_is_called(
    house: World, rail: CardRail
) -> None:
    payment = await _written(house)

    assert (payment.status, payment.asking) == (Status.CREATING, Asking.ASKING)
    assert payment == await house.newest(payment)
    assert await house.trail(payment) == ["payment_creating"]
    assert rail.operations == []


# -- service/ask, plugins/fence, the provider: the question ----------------------------------


async def test_stop_4_the_provider_is_called_once_with_exactly_what_was_written(
    house: World, rail: CardRail
) -> None:
    payment = await _written(house)
    operation = create_operation(payment)

    answer = await house.port.create(operation)

    assert rail.operations == [operation]
    assert operation.operation_id == f"payd:{payment.id}:create:v1"
    assert (operation.amount, operation.payment_id) == (payment.amount, payment.id)
    assert (answer.evidence, answer.error) == ((_created(),), None)


# -- domain/decide: what the answer makes of the payment -------------------------------------


async def test_stop_5_the_answer_makes_the_payment_pending(house: World) -> None:
    payment = await _written(house)

    decision = decide(payment, _created(), house.clock.now())

    assert decision is not None
    assert (decision.payment.status, decision.payment.version) == (Status.PENDING, 2)
    assert decision.payment.next_action == Redirect(url="https://cards.example/cs_1")
    assert (decision.audit_event, decision.events) == ("payment_pending", ())


# -- service/settle, commit_decisions: the second write --------------------------------------


async def test_stop_6_the_decision_is_committed_with_its_audit_row(house: World) -> None:
    payment = await _written(house)

    after = await house.settle.settle(payment, _created(), CALLER)

    assert after == await house.newest(payment)
    assert await house.trail(payment) == ["payment_creating", "payment_pending"]
    assert await house.store.find("mock", "pi_1") == after


# -- proto/codec: the answer -----------------------------------------------------------------


async def test_stop_7_the_payment_is_encoded_for_the_caller(house: World) -> None:
    payment = await house.settle.settle(await _written(house), _created(), CALLER)

    message = payment_message(payment)

    assert message.id == str(payment.id)
    assert message.status == pb.PAYMENT_STATUS_PENDING
    assert message.next_action.redirect.url == "https://cards.example/cs_1"
    assert (message.amount.currency_code, message.amount.minor_units) == ("USD", 14900)


# -- transport/grpc/handlers: the whole way --------------------------------------------------


async def test_the_whole_way_and_the_same_again(house: World, rail: CardRail) -> None:
    services = house.services
    door = Handlers(services)

    first = await door.initiate_payment(the_request(), CALL)
    again = await door.initiate_payment(the_request(), CALL)
    seen = await door.get_payment(pb.GetPaymentRequest(payment_id=first.payment.id), CALL)

    assert first.payment.status == pb.PAYMENT_STATUS_PENDING
    assert first.payment.next_action.redirect.url == "https://cards.example/cs_1"
    assert first.payment == again.payment == seen.payment
    assert len(rail.operations) == 1


async def _written(house: World) -> Payment:
    """As far as stop 3: the daemon goes no further than its first write."""
    house.crash.die_at("initiate.after_insert")
    with pytest.raises(Died):
        await house.initiate()
    return await house.query.get_by_key("key-1")


def _created() -> Created:
    return Created(
        reference="cs_1", next_action=Redirect(url="https://cards.example/cs_1"), aliases=("pi_1",)
    )

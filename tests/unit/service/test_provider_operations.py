"""What is sent to a provider comes from what is stored: at every retry it is the same."""

from datetime import timedelta
from uuid import UUID

import attrs
import pytest
from unit.domain.builders import NOW, TERMS, TOKEN, a_payment, a_refund
from unit.service.world import World, capable

from payd.domain.errors import ProviderUnavailable
from payd.domain.payment import Payment, Status
from payd.plugins.interface import CreateOperation, PaymentRef
from payd.plugins.refunding import RefundOperation, RefundRef
from payd.service.operation import (
    claim_deadline,
    create_operation,
    enabled_provider,
    payment_ref,
    refund_operation,
    refund_ref,
    unique_providers,
)

REFUND = a_refund(provider_reference="re_1", reason="damaged", destination="0xabc", create_time=NOW)


def sold(**overrides: object) -> Payment:
    """A payment in tokens with every field that a provider may need."""
    fields: dict[str, object] = {
        "method": "crypto",
        "crypto": TERMS,
        "return_url": "https://app.example/ok",
        "cancel_url": "https://app.example/no",
        "metadata": {"order": "7"},
        "parameters": {"memo": "m"},
        "aliases": ("pi_1",),
    }
    return a_payment(Status.PENDING, **(fields | overrides))


def test_a_create_operation_has_all_that_is_stored_of_what_is_sold() -> None:
    payment = sold()

    assert create_operation(payment) == CreateOperation(
        operation_id=f"payd:{payment.id}:create:v1",
        payment_id=payment.id,
        method="crypto",
        amount=payment.amount,
        crypto=TERMS,
        items=payment.items,
        customer_id="user",
        create_time=payment.create_time,
        expire_time=payment.expire_time,
        return_url="https://app.example/ok",
        cancel_url="https://app.example/no",
        metadata={"order": "7"},
        parameters={"memo": "m"},
        tag=None,
    )


@pytest.mark.parametrize("reference", ["obj_1", None])
def test_a_payment_is_fetched_by_all_its_names(reference: str | None) -> None:
    payment = sold(provider_reference=reference)

    assert payment_ref(payment) == PaymentRef(
        operation_id=f"payd:{payment.id}:create:v1",
        payment_id=payment.id,
        reference=reference,
        asset=TOKEN,
        create_time=payment.create_time,
        aliases=("pi_1",),
    )


@pytest.mark.parametrize("reference", ["obj_1", None])
def test_a_refund_operation_has_all_that_is_stored_of_the_refund(reference: str | None) -> None:
    """A payment that completed by its receipts alone may have no reference."""
    payment = sold(provider_reference=reference, snapshot_confirmed=500)

    assert refund_operation(payment, REFUND) == RefundOperation(
        operation_id=f"payd:{REFUND.id}:refund:v1",
        refund_id=REFUND.id,
        payment_id=payment.id,
        reference=reference or str(payment.id),
        aliases=("pi_1",),
        amount=100,
        asset=TOKEN,
        is_all=False,
        reason="damaged",
        destination="0xabc",
        create_time=REFUND.create_time,
    )


def test_all_that_was_paid_is_refunded_as_the_whole() -> None:
    payment = sold(snapshot_confirmed=500)

    assert refund_operation(payment, attrs.evolve(REFUND, amount=500)).is_all


@pytest.mark.parametrize("reference", ["obj_1", None])
def test_a_refund_is_fetched_by_all_its_names_and_those_of_its_payment(
    reference: str | None,
) -> None:
    payment = sold(provider_reference=reference)

    assert refund_ref(payment, REFUND) == RefundRef(
        operation_id=f"payd:{REFUND.id}:refund:v1",
        refund_id=REFUND.id,
        reference="re_1",
        payment_id=payment.id,
        payment_reference=reference or str(payment.id),
        aliases=("pi_1",),
        asset=TOKEN,
        amount=100,
        create_time=REFUND.create_time,
    )


def test_a_claim_lasts_as_long_as_the_providers_deadline_and_a_margin(world: World) -> None:
    world.provider.capabilities = capable(operation_timeout=timedelta(seconds=7))

    assert claim_deadline(world.port, NOW) == NOW + timedelta(seconds=9)


def test_a_provider_of_several_methods_is_one_provider(world: World) -> None:
    assert len(world.providers.registered()) == 2
    assert unique_providers(world.providers) == [world.port]


def test_a_provider_that_this_daemon_does_not_have_is_named(world: World) -> None:
    payment = a_payment(id=UUID(int=7), provider="elsewhere")

    with pytest.raises(ProviderUnavailable) as refusal:
        enabled_provider(world.providers, payment)

    assert str(refusal.value) == "provider 'elsewhere' is not enabled on this daemon"
    assert refusal.value.metadata == {"provider": "elsewhere"}
    assert enabled_provider(world.providers, attrs.evolve(payment, provider="mock")) is world.port

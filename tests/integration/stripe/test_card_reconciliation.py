"""What the comparison with Stripe's own list finds, when webhooks, looks and scans all failed."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from integration.stripe.shop import Json, Shop, open_shop, status_of
from support.cards import a_card_request
from support.daemon import Place, rows
from support.waiting import wait_until

NEVER = "next_look_time = now() + interval '1 day'"


@pytest.fixture(scope="module")
def shop(module_place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("stripe")
    with open_shop(module_place, folder, STRIPE_REQUEST_TIMEOUT_S="2") as opened:
        # From here on every webhook of Stripe is lost.
        opened.stripe.webhooks(mode="drop")
        yield opened


def compare(shop: Shop, payment_id: str) -> Json:
    """What comparisons find about a payment; those in its session's first second leave it out."""
    found: list[Json] = []

    def has_found() -> bool:
        found[:] = [one for one in compare_once(shop) if one["payment_id"] == payment_id]
        return bool(found)

    wait_until(has_found, "a finding")
    [finding] = found
    return finding


def compare_once(shop: Shop) -> list[Json]:
    """The next comparison is due; its findings."""
    wait_until(lambda: results(shop), "a first comparison")
    before = len(results(shop))
    rows(shop.place, "UPDATE provider_cursors SET next_time = now() WHERE name = 'objects'")
    wait_until(lambda: len(results(shop)) > before, "a comparison")
    findings: list[Json] = json.loads(results(shop)[-1]["findings"])
    return findings


def results(shop: Shop) -> list[Any]:
    return list(rows(shop.place, "SELECT * FROM reconciliations ORDER BY id"))


def a_foreign_session(shop: Shop, payment_id: str, **fields: Any) -> Json:
    """Create a session with the account's key but not by payd, which names a payment."""
    names = {"client_reference_id": payment_id, "metadata": {"payment_id": payment_id}}
    session: Json = shop.stripe.order("sessions", **names, **fields)
    return session


def test_a_session_of_a_payment_that_payd_does_not_have_is_reported_and_left(shop: Shop) -> None:
    nobody = str(uuid.uuid4())
    session = a_foreign_session(shop, nobody)

    finding = compare(shop, nobody)

    assert (finding["kind"], finding["reference"]) == ("object_without_payment", session["id"])
    assert [one["status"] for one in shop.stripe.sessions(nobody)] == ["open"]
    found = shop.metric(
        "payd_reconciliation_findings", provider="stripe", kind="object_without_payment"
    )
    assert found >= 1


def test_a_second_open_session_is_closed(shop: Shop) -> None:
    payment, session = shop.start()
    second = a_foreign_session(shop, payment.id, amount_total=payment.amount.minor_units)

    finding = compare(shop, payment.id)

    assert (finding["kind"], finding["reference"]) == ("second_object", second["id"])
    assert [one["id"] for one in shop.stripe.payable(payment.id)] == [session["id"]]
    assert status_of(shop.client.get(payment.id)) == "PENDING"


def test_a_second_session_that_is_paid_wants_a_person(shop: Shop) -> None:
    payment, session = shop.start()
    shop.set(payment.id, NEVER)
    second = a_foreign_session(shop, payment.id, amount_total=payment.amount.minor_units)
    shop.stripe.act(second["id"], "pay")

    finding = compare(shop, payment.id)

    assert (finding["kind"], finding["reference"]) == ("second_object", second["id"])
    row = shop.row(payment.id)
    assert (row["status"], list(row["attention"])) == ("PENDING", ["CONFLICTING_EVIDENCE"])
    assert row["provider_reference"] == session["id"]
    assert shop.subjects(payment.id) == ["payment.attention"]


def test_a_payment_without_any_report_is_settled(shop: Shop) -> None:
    payment, session = shop.start()
    shop.set(payment.id, NEVER)
    shop.stripe.act(session["id"], "pay")

    finding = compare(shop, payment.id)

    assert (finding["kind"], finding["detail"]) == ("payment_behind", "PENDING->COMPLETED")
    assert status_of(shop.client.get(payment.id)) == "COMPLETED"
    assert shop.subjects(payment.id) == ["payment.completed"]
    assert [one for one in compare_once(shop) if one["payment_id"] == payment.id] == []


def test_a_payment_that_does_not_know_its_session_is_given_it(shop: Shop) -> None:
    shop.stripe.fault("500_after")
    payment = shop.client.call("InitiatePayment", a_card_request()).payment
    assert status_of(payment) == "CREATING"
    shop.set(payment.id, NEVER)

    finding = compare(shop, payment.id)

    assert (finding["kind"], finding["detail"]) == ("payment_behind", "CREATING->PENDING")
    [session] = shop.stripe.payable(payment.id)
    known = shop.client.get(payment.id)
    assert (known.provider_reference, known.next_action.redirect.url) == (
        session["id"],
        session["url"],
    )


@pytest.mark.parametrize("status", ["CANCELED", "EXPIRED", "FAILED"])
def test_a_session_that_outlived_its_payment_is_closed(shop: Shop, status: str) -> None:
    payment, session = shop.start()
    shop.set(payment.id, f"status = '{status}', close_time = now(), next_look_time = NULL")

    finding = compare(shop, payment.id)

    assert (finding["kind"], finding["reference"]) == ("open_after_close", session["id"])
    assert shop.stripe.payable(payment.id) == []
    assert shop.row(payment.id)["status"] == status


def test_money_for_a_canceled_payment_wants_a_person(shop: Shop) -> None:
    payment, session = shop.start()
    shop.set(payment.id, "status = 'CANCELED', close_time = now(), next_look_time = NULL")
    shop.stripe.act(session["id"], "pay")

    def has_raised() -> bool:
        compare_once(shop)
        return bool(shop.row(payment.id)["attention"])

    wait_until(has_raised, "attention")
    row = shop.row(payment.id)
    assert (row["status"], list(row["attention"])) == ("CANCELED", ["PAID_AFTER_CLOSE"])
    assert row["snapshot_confirmed"] == payment.amount.minor_units
    assert shop.subjects(payment.id) == ["payment.attention"]


def test_a_payment_whose_session_stripe_does_not_know_wants_a_person(shop: Shop) -> None:
    payment, _ = shop.start()
    reference = f"cs_test_gone_{payment.id}"
    # So old that Stripe's list cannot just be late.
    shop.set(
        payment.id,
        f"""
        provider_reference = '{reference}', next_look_time = now() + interval '1 day',
        create_time = now() - interval '20 minutes'
        """,
    )

    def missing() -> list[Json]:
        findings = compare_once(shop)
        return [one for one in findings if one["reference"] == reference]

    [finding] = missing()

    assert (finding["kind"], finding["payment_id"]) == ("payment_without_object", payment.id)
    row = shop.row(payment.id)
    assert (row["status"], list(row["attention"])) == ("PENDING", ["CONFLICTING_EVIDENCE"])
    assert shop.subjects(payment.id) == ["payment.attention"]
    missing()
    assert shop.subjects(payment.id) == ["payment.attention"]

"""The console shows an operator what payd knows: overview, payments, and all about one payment."""

import pytest
from payd_client.proto import payment_pb2 as pb
from support.console import RunningConsole
from support.daemon import wait_until_published

PAGES = (
    *("/", "/?days=30", "/attention", "/payments", "/refunds", "/receipts", "/receipts?all=1"),
    *("/reconciliations", "/dead-letters", "/configuration"),
)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_opens_for_an_operator_and_no_other(console: RunningConsole, path: str) -> None:
    with console.operator() as alice:
        assert "payd console" in alice.read(path)
    with console.browser() as stranger:
        answer = stranger.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login")


def test_a_payment_is_found_by_its_references_and_shown_whole(console: RunningConsole) -> None:
    with console.daemon.client() as client:
        payment = client.initiate(metadata={"note": "<script>alert(1)</script>"})
        paid = client.wait_for(payment.id, "COMPLETED")
    with console.operator() as alice:
        for reference in (paid.id, paid.idempotency_key, paid.provider_reference):
            assert f"/payments/{paid.id}" in alice.read(f"/payments?reference={reference}")
        assert paid.id not in alice.read("/payments?reference=nothing")
        other = alice.read("/payments?status=FAILED&method=card")
        assert paid.id not in other
        assert "<summary>Filter · Status: FAILED · Method: card</summary>" in other
        page = alice.read(f"/payments/{paid.id}")
        assert f'href="/payments/{paid.id}/raw"' in page
        raw = alice.read(f"/payments/{paid.id}/raw")
    for table in ("payments", "payment_events", "outbox"):
        assert f"<code>{table}</code>" in raw
    assert "&#34;event_type&#34;: " in raw
    assert "<script>alert" not in raw
    assert "COMPLETED" in page
    assert "Was to be paid by" in page
    assert paid.provider_reference in page
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page


def test_a_filter_that_cannot_be_read_is_named(console: RunningConsole) -> None:
    with console.operator() as alice:
        for query, said in (
            ("from=soon", "from: write a day as YYYY-MM-DD"),
            ("least=12.50", "least: choose a currency"),
            ("least=x&currency=USD", "least: "),
            ("most=99999999999999999999&currency=USD", "most: "),
            ("metadata=x", "metadata: write KEY=VALUE"),
            ("status=GONE", "status: GONE is not one"),
        ):
            assert said in alice.read(f"/payments?{query}", 400)


def test_what_does_not_exist_is_said_in_the_same_design(console: RunningConsole) -> None:
    missing = "00000000-0000-4000-8000-000000000000"
    with console.operator() as alice:
        assert "PAYMENT_NOT_FOUND" in alice.read(f"/payments/{missing}", 404)
        assert "INVALID_FIELD" in alice.read("/payments/x", 400)
        for path in ("/nothing", f"/payments/{missing}/nothing", "/refunds/x/nothing"):
            assert "There is no such page" in alice.read(path, 404)


def test_the_configuration_shows_no_secret(console: RunningConsole) -> None:
    with console.operator() as alice:
        page = alice.read("/configuration")
    assert "console.users" in page
    assert "scrypt" not in page


def test_a_payment_whose_customer_was_forgotten_opens_without_the_personal_data(
    console: RunningConsole,
) -> None:
    with console.daemon.client() as client:
        payment = client.initiate(
            scenario="decline",
            customer=pb.Customer(id="forgotten-1"),
            metadata={"note": "Ada's birthday"},
        )
    with console.operator() as alice, console.daemon.client("operator") as operator:
        paths = (f"/payments/{payment.id}", f"/payments/{payment.id}/raw")
        assert all("birthday" in alice.read(path) for path in paths)
        # Else the customer cannot be forgotten yet.
        wait_until_published(console.daemon.place)
        operator.call("ForgetCustomer", pb.ForgetCustomerRequest(customer_id="forgotten-1"))
        page, rows = map(alice.read, paths)
    assert "birthday" not in page + rows
    assert "The personal data of the customer was erased." in page

"""Each action of the console is confirmed first, and the audit trail names the operator."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from support.console import RunningConsole, fields_of
from support.daemon import rows
from support.dead_letter import give_up
from support.waiting import wait_until

ALICE = ("operator:console/alice", "console/alice")
BOB = ("operator:console/bob", "console/bob")


def start(console: RunningConsole, scenario: str, *statuses: str) -> Any:
    with console.daemon.client() as client:
        payment = client.initiate(scenario=scenario)
        return client.wait_for(payment.id, *statuses) if statuses else payment


def trail(console: RunningConsole, payment_id: str) -> list[tuple[str, str, str]]:
    """Actor, certificate and type of each audit row."""
    found = rows(
        console.daemon.place,
        "SELECT actor, certificate, event_type FROM payment_events WHERE payment_id = $1"
        " ORDER BY version",
        uuid.UUID(payment_id),
    )
    return [(row["actor"], row["certificate"], row["event_type"]) for row in found]


def by(console: RunningConsole, payment_id: str) -> list[tuple[str, str]]:
    return [(actor, certificate) for actor, certificate, _ in trail(console, payment_id)]


def test_looking_at_an_action_changes_nothing(console: RunningConsole) -> None:
    payment = start(console, "pending")
    before = trail(console, payment.id)
    with console.operator() as alice:
        for name in ("sync", "cancel", "resolve", "attach", "republish", "refund"):
            assert payment.id in alice.read(f"/payments/{payment.id}/{name}")
    assert trail(console, payment.id) == before


def test_a_payment_is_canceled_with_a_reason(console: RunningConsole) -> None:
    payment = start(console, "pending")
    with console.operator() as alice:
        answer = alice.send(f"/payments/{payment.id}/cancel", reason="she called")
        assert answer.headers["location"] == f"/payments/{payment.id}?done=cancel"
        assert "CANCEL" in alice.read(answer.headers["location"])
        # What payd refuses is said on the same page.
        again = alice.send(f"/payments/{start(console, 'decline').id}/cancel", reason="x")
        assert again.status_code == 409
        assert "PAYMENT_NOT_CANCELABLE" in again.text
    assert ALICE in by(console, payment.id)


def test_attention_is_resolved_for_the_version_that_was_looked_at(
    console: RunningConsole,
) -> None:
    payment = start(console, "underpay", "EXPIRED")
    with console.operator() as alice:
        queue = alice.read("/attention?reason=UNDERPAID")
        assert payment.id in queue
        page = f"/payments/{payment.id}/resolve?version={payment.version}"
        assert page in queue
        assert "too little" in queue
        assert "less than was due" in queue
        asked = alice.read(page)
        assert 'type="checkbox" name="reasons" value="UNDERPAID" checked' in asked
        fields = {**fields_of(asked), "reasons": "", "note": "x"}
        none = alice.client.post(page.partition("?")[0], data=fields)
        assert (none.status_code, "Choose at least one." in none.text) == (400, True)
        older = f"/payments/{payment.id}/resolve?version={payment.version - 1}"
        assert "VERSION_CHANGED" in alice.send(older, note="too old").text
        assert "NOTE_REQUIRED" in alice.send(page, note=" ").text
        assert alice.send(page, note="the rest came by post").status_code == 303
        assert payment.id not in alice.read("/attention")
        shown = alice.read(f"/payments/{payment.id}")
    assert "the rest came by post" in shown
    assert ALICE in by(console, payment.id)


def test_a_refund_shows_amount_and_destination_once_more_and_is_made_once(
    console: RunningConsole,
) -> None:
    payment = start(console, "complete", "COMPLETED")
    form = f"/payments/{payment.id}/refund"
    with console.operator() as alice:
        assert "149.00 USD can be refunded" in alice.read(form)
        wrong = alice.send(form, f"{form}/review", amount="x")
        assert wrong.status_code == 400
        looked = alice.send(form, f"{form}/review", amount="12.50", reason="too slow")
        assert "12.50 USD" in looked.text
        assert "back the way it came" in looked.text
        assert ALICE not in by(console, payment.id)
        for _ in range(2):
            sent = alice.client.post(form, data=fields_of(looked.text))
            assert sent.headers["location"] == f"/payments/{payment.id}?done=refund"
        page = alice.read(f"/payments/{payment.id}")
        assert page.count("12.50 USD</strong>") == 1
        assert "too slow" in page
        too_much = alice.send(form, f"{form}/review", amount="149.00")
        refused = alice.client.post(form, data=fields_of(too_much.text))
        assert refused.status_code == 409
        assert "REFUND_EXCEEDS_PAID" in refused.text
    assert ALICE in by(console, payment.id)


def test_all_that_is_left_is_what_the_second_look_showed(console: RunningConsole) -> None:
    payment = start(console, "complete", "COMPLETED")
    form = f"/payments/{payment.id}/refund"
    with console.operator() as alice:
        large = alice.send(form, f"{form}/review", amount="120")
        alice.client.post(form, data=fields_of(large.text))
        looked = alice.send(form, f"{form}/review", amount="")
        assert "All that is left: 29.00 USD" in looked.text
        page = alice.read(f"/payments/{payment.id}")
        refund = page.partition('href="/refunds/')[2].partition("/")[0]
        assert alice.send(f"/refunds/{refund}/withdraw", note="not now").status_code == 303
        for _ in range(2):
            assert alice.client.post(form, data=fields_of(looked.text)).status_code == 303
    with console.daemon.client() as client:
        made = [one.amount.minor_units for one in client.get(payment.id).refunds]
    assert sorted(made) == [2900, 12000]


def test_a_refund_page_shows_what_is_under_way_and_what_is_left(console: RunningConsole) -> None:
    payment = start(console, "complete", "COMPLETED")
    form = f"/payments/{payment.id}/refund"
    with console.operator() as alice:
        for amount, reason in (("9.00", "one item"), ("120", "all others")):
            looked = alice.send(form, f"{form}/review", amount=amount, reason=reason)
            alice.client.post(form, data=fields_of(looked.text))
        review = alice.send(form, f"{form}/review", amount="5").text
        for page in (alice.read(form), review):
            for label, amount in (
                ("Received", "149.00 USD"),
                ("Refunded", "9.00 USD"),
                ("Waits for approval", "120.00 USD"),
                ("Left to refund", "20.00 USD"),
            ):
                assert f"<dt>{label}</dt><dd>{amount}</dd>" in page
            assert "Refunds under way" in page
            assert "all others" in page
            assert "console/alice" in page
            assert "one item" not in page


def test_a_payment_with_nothing_left_offers_no_refund(console: RunningConsole) -> None:
    payment = start(console, "complete", "COMPLETED")
    form = f"/payments/{payment.id}/refund"
    with console.operator() as alice:
        assert f'href="{form}"' in alice.read(f"/payments/{payment.id}")
        looked = alice.send(form, f"{form}/review", amount="")
        alice.client.post(form, data=fields_of(looked.text))
        assert f'href="{form}"' not in alice.read(f"/payments/{payment.id}")


def test_nothing_left_is_said_before_the_second_look(console: RunningConsole) -> None:
    form = f"/payments/{start(console, 'decline').id}/refund"
    with console.operator() as alice:
        looked = alice.send(form, f"{form}/review", amount="")
    assert looked.status_code == 400
    assert "The amount must be more than 0." in looked.text


def test_a_large_refund_needs_two_operators_of_the_console(console: RunningConsole) -> None:
    payment = start(console, "complete", "COMPLETED")
    form = f"/payments/{payment.id}/refund"
    with console.operator() as alice, console.operator("bob") as bob:
        looked = alice.send(form, f"{form}/review", amount="")
        assert "All that is left: 149.00 USD" in looked.text
        assert alice.client.post(form, data=fields_of(looked.text)).status_code == 303
        page = alice.read(f"/payments/{payment.id}")
        refund = page.partition('href="/refunds/')[2].partition("/")[0]
        approve = f"/refunds/{refund}/approve"
        # The operator who may not approve is offered no way to it, and is shown who may.
        for path in (f"/payments/{payment.id}", "/refunds?status=AWAITING_APPROVAL", "/", approve):
            shown = alice.read(path)
            assert "You requested this refund, so another operator has to approve it." in shown
            assert "In the console: bob. On the command line: payd refunds approve" in shown
            assert f'href="{approve}"' not in shown
            assert f'action="{approve}"' not in shown
        forced = alice.client.post(approve, data={**fields_of(page), "note": "mine"})
        assert "APPROVER_IS_REQUESTER" in forced.text
        for path in (f"/payments/{payment.id}", "/refunds?status=AWAITING_APPROVAL", "/"):
            shown = bob.read(path)
            assert "Requested by console/alice. Any other operator may approve it." in shown
            assert f'href="{approve}"' in shown
            assert f'href="/payments/{payment.id}' in shown
            assert "back the way it came" in shown
        assert bob.send(approve, note="as agreed").status_code == 303
    assert {ALICE, BOB} <= set(by(console, payment.id))
    with console.daemon.client() as client:
        assert client.get(payment.id).refunded.minor_units == 14900


def test_a_refund_that_waits_is_withdrawn_with_a_note(console: RunningConsole) -> None:
    payment = start(console, "complete", "COMPLETED")
    form = f"/payments/{payment.id}/refund"
    with console.operator() as alice:
        looked = alice.send(form, f"{form}/review", amount="120")
        alice.client.post(form, data=fields_of(looked.text))
        page = alice.read(f"/payments/{payment.id}")
        refund = page.partition('href="/refunds/')[2].partition("/")[0]
        refused = alice.send(f"/refunds/{refund}/settle", outcome="FAILED", reference="", note="x")
        assert "NOT_REFUNDABLE" in refused.text
        assert alice.send(f"/refunds/{refund}/withdraw", note="not now").status_code == 303
    kinds = [kind for actor, _, kind in trail(console, payment.id) if actor == ALICE[0]]
    assert len(kinds) >= 2


def test_a_receipt_is_attached_to_the_payment_it_was_meant_for(console: RunningConsole) -> None:
    payment, receipt = start(console, "pending"), f"wire-{uuid.uuid4()}"
    with console.operator() as alice:
        asked = alice.read(f"/payments/{payment.id}/attach")
        assert "No receipt of this provider waits for a payment." in asked
    rows(
        console.daemon.place,
        "INSERT INTO receipts (provider, id, asset, amount, state, time, details) "
        "VALUES ('mock', $1, 'USD', 14900, 'CONFIRMED', $2, $3)",
        receipt,
        datetime.now(UTC) - timedelta(hours=1),
        json.dumps({"sender": "<b>Ann</b>"}),
    )
    with console.operator() as alice:
        listed = alice.read("/receipts")
        assert receipt in listed
        assert "&lt;b&gt;Ann" in listed
        assert f'<option value="{receipt}">149.00 USD' in alice.read(
            f"/payments/{payment.id}/attach"
        )
        led = alice.client.get("/attach", params={"receipt": receipt, "payment": payment.id})
        asked = led.headers["location"]
        assert f'<option value="{receipt}" selected>149.00 USD' in alice.read(asked)
        assert alice.send(asked, receipt=receipt, note="she wrote").status_code == 303
        assert receipt not in alice.read("/receipts")
        assert receipt in alice.read(f"/payments/{payment.id}")
    assert trail(console, payment.id)[-1][:2] == ALICE


def published_event(console: RunningConsole, payment_id: str) -> str:
    """Id of the event that says that the payment failed, once the stream has it."""
    query = (
        "SELECT event_id FROM outbox"
        " WHERE payment_id = $1 AND subject = 'payment.failed' AND publish_time IS NOT NULL"
    )
    find = partial(rows, console.daemon.place, query, uuid.UUID(payment_id))
    wait_until(lambda: bool(find()), "published")
    return str(find()[0]["event_id"])


def test_what_changes_no_payment_is_logged_with_the_operator(console: RunningConsole) -> None:
    payment = start(console, "decline")
    published = "SELECT 1 FROM outbox WHERE payment_id = $1 AND publish_time IS NOT NULL"
    wait_until(
        lambda: bool(rows(console.daemon.place, published, uuid.UUID(payment.id))), "published"
    )
    before = len(console.daemon.lines)
    with console.operator() as alice:
        assert alice.send(f"/payments/{payment.id}/republish").status_code == 303
        assert alice.send(f"/payments/{payment.id}/sync").status_code == 303
    assert console.daemon.wait_for_line("events_republished", before)["operator"] == ALICE[0]
    calls = {
        line["method"]: line["actor"]
        for line in console.daemon.lines[before:]
        if line.get("method") in ("SyncPayment", "RepublishEvents")
    }
    assert calls == {"SyncPayment": ALICE[0], "RepublishEvents": ALICE[0]}


def test_a_dead_letter_is_looked_at_and_put_back_with_the_operators_name(
    console: RunningConsole,
) -> None:
    payment = start(console, "decline")
    event, before = published_event(console, payment.id), len(console.daemon.lines)
    sequence = give_up(console.daemon.place.nats, payment.id, event, b'{"reason":"<i>x</i>"}')
    page = f"/dead-letters/{sequence}/replay"
    with console.operator() as alice:
        assert page in alice.read("/dead-letters")
        looked = alice.read(page)
        for fact in (
            event,
            f'href="/payments/{payment.id}"',
            "no such user",
            "trail keeps your name",
            "21 bytes",
            "<dt>Age",
        ):
            assert fact in looked
        assert "&lt;i&gt;x" in looked
        assert alice.send(page).headers["location"] == "/dead-letters?done=replay"
        # It is gone: for a second click as for a page that was open.
        for path in (page, "/dead-letters/99999/replay", "/dead-letters/0/replay"):
            assert "This dead letter no longer exists" in alice.read(path, 404)
        again = alice.client.post(page, data=fields_of(looked))
        assert (again.status_code, "no longer exists" in again.text) == (404, True)
        assert f"published again: payment.failed ({event})" in alice.read(f"/payments/{payment.id}")
    assert trail(console, payment.id)[-1] == (*ALICE, "events_republished")
    line = console.daemon.wait_for_line("dead_letters_replayed", before)
    assert (line["operator"], line["sequences"]) == (ALICE[0], [sequence])


def test_a_dead_letter_of_no_published_event_is_not_known(console: RunningConsole) -> None:
    payment = start(console, "decline")
    before = trail(console, payment.id)
    sequence = give_up(console.daemon.place.nats, payment.id, str(uuid.uuid4()), b"{}")
    page = f"/dead-letters/{sequence}/replay"
    with console.operator() as alice:
        looked = alice.read(page)
        assert "Not known to payd" in looked
        assert payment.id not in looked
        assert alice.send(page).headers["location"] == "/dead-letters?done=replay"
    assert trail(console, payment.id) == before


@pytest.mark.parametrize("path", ["/payments/{}/cancel", "/payments/{}/refund"])
def test_an_action_without_the_forms_token_does_nothing(console: RunningConsole, path: str) -> None:
    payment = start(console, "pending")
    before = trail(console, payment.id)
    with console.operator() as alice:
        answer = alice.client.post(path.format(payment.id), data={"reason": "x"})
    assert answer.status_code == 403
    assert trail(console, payment.id) == before

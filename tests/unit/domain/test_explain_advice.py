"""What an operator is advised where the situations of explained.txt do not come."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest
from unit.domain.builders import (
    DUE,
    NOW,
    TERMS,
    a_dispute,
    a_payment,
    a_receipt,
    a_refund,
    a_report,
    a_snapshot,
    after,
    at,
    refunded,
)

from payd.domain.actors import provider_actor
from payd.domain.attention import Attention, AttentionRecord
from payd.domain.decide import EventType, Rules
from payd.domain.dispute import DisputeStatus
from payd.domain.evidence import (
    AttentionResolved,
    Conflict,
    ProviderStatus,
    ReceiptState,
    Unanswered,
)
from payd.domain.explain import explain
from payd.domain.explain.main_app import main_app_knows
from payd.domain.explain.money_back import (
    first_amount,
    held_by_dispute,
    nothing_more,
    still_owed,
    taken_back,
)
from payd.domain.explain.reasons import attention_changes
from payd.domain.explain.reported import contents
from payd.domain.explain.said import Move
from payd.domain.explain.transfers import how_to_send
from payd.domain.explain.words import in_asset, memo_in_words
from payd.domain.explanation import Actor, Explanation, WaitingFor
from payd.domain.history import Change, Circumstances, History, StoredEvent, StoredReport
from payd.domain.next_action import CryptoTransfer, Show, ShowField, ShowKind
from payd.domain.outcome import Asking, Failure
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundState, RefundStatus, RefundTerms
from payd.domain.refund_reports import SETTLED

TRANSFER = CryptoTransfer(
    currency="USDC",
    chain_id=42431,
    token_address="0xt",
    receiver_address="0xr",
    amount_base_units=1,
    decimals=6,
    memo="0xm",
    calldata="",
    payment_uri="",
)


def history(payment: Payment, **stored: Any) -> History:
    change = Change(
        payment=payment,
        audit_event="facts_changed",
        actor=provider_actor("mock"),
        time=payment.update_time,
        first_time=payment.update_time,
    )
    return History(changes=(change,), **stored)


def explained(payment: Payment, around: Circumstances | None = None, **stored: Any) -> Explanation:
    return explain(history(payment, **stored), around or Circumstances(now=at(3)))


def advised(explanation: Explanation) -> str:
    """All advice as one text."""
    return " ".join(f"{one.text} {one.command}".strip() for one in explanation.advice)


def flagged(reason: Attention, status: Status = Status.PENDING, **fields: Any) -> Payment:
    """A payment with an open reason."""
    record = AttentionRecord(reason=reason, since=NOW, facts=frozenset({"f"}), published=True)
    return a_payment(status, attention_records=(record,), **fields)


# -- attention -----------------------------------------------------------------------------------


def test_an_object_that_payd_can_find_is_found_by_a_sync() -> None:
    unanswered = after(a_payment(), Unanswered(), minutes=31)
    text = advised(explained(unanswered, Circumstances(now=at(32))))
    assert (
        f"If it is there, payd takes it over when it asks: payd payments sync {unanswered.id}"
        in text
    )
    assert (
        "If it is not there, no money can come, and payd needs nothing: the payment stays CREATING,"
        " and expires when mock says so. To take it off the list:"
    ) in text
    unborn = a_payment(Status.CANCELING, asking=Asking.UNKNOWN, provider_reference=None)
    text = advised(explained(after(unborn, Unanswered(), minutes=31), Circumstances(now=at(32))))
    assert "stays CANCELING, and is canceled when mock says so" in text


def test_the_rest_of_the_money_completes_a_payment_only_while_it_may() -> None:
    def rest(status: Status, **fields: Any) -> str:
        part = {"snapshot_received": DUE, "snapshot_confirmed": 400, **fields}
        return advised(explained(flagged(Attention.UNDERPAID, status, close_time=NOW, **part)))

    end = "When it is final by 2026-01-02 12:00:00 UTC, it completes the payment."
    assert end in rest(Status.EXPIRED)
    for text in (rest(Status.CANCELED), rest(Status.EXPIRED, snapshot_received=DUE - 1)):
        assert "When it is final, the payment stays" in text


def test_the_rest_is_taken_while_late_money_completes_the_payment() -> None:
    part = {"close_time": NOW, "snapshot_received": 400, "snapshot_confirmed": 400}
    payment = flagged(Attention.UNDERPAID, Status.EXPIRED, **part)
    end = payment.late_end(Rules().late_window)
    in_time, late = (Circumstances(now=time) for time in (end, end + timedelta(minutes=1)))
    assert "it still completes the payment; later" in advised(explained(payment, in_time))
    assert (
        "payment.canceled and payment.failed. The payment no longer takes the rest. Send"
        in advised(explained(payment, late))
    )
    holds = Circumstances(now=at(31), rules=Rules(late_payments_complete=False))
    canceled = flagged(Attention.UNDERPAID, Status.CANCELED, **part)
    for found in (explained(payment, holds), explained(canceled, in_time)):
        assert "The payment no longer takes the rest." in advised(found)


def test_a_part_of_the_money_stays_while_a_dispute_is_open() -> None:
    part = {"close_time": NOW, "snapshot_received": 400, "snapshot_confirmed": 400}
    payment = flagged(Attention.UNDERPAID, Status.EXPIRED, **part)
    assert "Or deliver all the same" in advised(explained(payment))
    text = advised(explained(after(payment, a_dispute())))
    assert "Do not send 4.00 USD back while dispute dp_1 is open" in text
    assert "deliver all the same" not in text


def test_a_stuck_payment_is_closed_at_the_provider_only_where_that_can_be_done() -> None:
    payment = flagged(Attention.STUCK)
    close = "If it is not paid there, close it there"
    assert close in advised(explained(payment))
    on_a_chain = explained(payment, Circumstances(now=at(3), can_close=False))
    assert any(one.text.endswith(" let the customer pay again.") for one in on_a_chain.advice)


def test_an_outcome_that_only_a_report_can_tell_waits_for_the_provider() -> None:
    around = Circumstances(now=at(31), can_look_up=False)
    only = "mock has to report the payment, if it has it: payd cannot look it up there."
    for payment in (
        a_payment(asking=Asking.UNKNOWN),
        flagged(
            Attention.CONFLICTING_EVIDENCE,
            Status.CANCELING,
            asking=Asking.UNKNOWN,
            provider_reference=None,
        ),
    ):
        assert explained(payment, around).waiting_for == WaitingFor(what=only, actor=Actor.PROVIDER)


def test_money_of_another_amount_is_refunded_at_the_provider() -> None:
    wrong = a_snapshot(ProviderStatus.PAID, due=1000, received=1000, confirmed=1000)
    text = advised(explained(after(a_payment(Status.PENDING), wrong)))
    assert "ref asks for 10.00 USD and ref brought 10.00 USD at mock, but" in text
    assert "Cancel it: payd then closes ref" in text
    assert "The customer has paid ref. Refund it in the dashboard of mock" in text


def test_what_was_paid_wrongly_is_to_be_refunded_only_until_a_person_has_resolved_it() -> None:
    wrong = a_snapshot(ProviderStatus.PAID, due=1000, received=1000, confirmed=1000)
    canceling = a_payment(Status.CANCELING, provider_reference="ref")
    canceled = after(canceling, wrong)
    assert canceled.status is Status.CANCELED
    assert "which has to be refunded there" in explained(canceled).summary
    resolved = AttentionResolved(reasons=canceled.attention, by="operator:eve", note="refunded")
    summary = explained(after(canceled, resolved, minutes=4)).summary
    assert summary.endswith(" without money that counts.")


def test_only_what_was_not_seen_yet_is_still_due_beside_a_wrong_token() -> None:
    def said(minutes: int = 3, **fields: Any) -> str:
        payment = flagged(Attention.WRONG_TOKEN, crypto=TERMS, **fields)
        return advised(explained(payment, Circumstances(now=at(minutes))))

    assert "still due" in said()
    assert "still due" not in said(snapshot_received=a_payment(crypto=TERMS).due)
    assert "still due" not in said(minutes=31)


def test_a_refund_is_sent_again_when_its_own_check_is_due() -> None:
    unsent = a_refund(asking=Asking.NOT_ATTEMPTED, next_check_time=at(9))
    pending = a_refund(RefundStatus.PENDING, id=UUID(int=8), next_check_time=at(5))
    text = advised(explained(refunded(pending, unsent)))
    assert "payd sends the refund again at 2026-01-01 12:09:00 UTC." in text


def test_money_that_vanished_after_the_close_is_not_sent_back() -> None:
    text = advised(explained(flagged(Attention.PAID_AFTER_CLOSE, Status.CANCELED)))
    assert "was undone again (f). There is nothing to send back." in text


def test_a_wrong_token_is_sent_back_from_the_account_that_received_it() -> None:
    payment = flagged(Attention.WRONG_TOKEN, crypto=TERMS, next_action=TRANSFER)
    foreign = a_receipt("r9", 5_000_000, asset="0xEF", details={})
    tokens = Circumstances(now=at(3), tokens={"0xef": ("USDT", 6)})
    text = advised(explained(payment, tokens, unmatched=(foreign,)))
    assert "is still due by 2026-01-01 12:30:00 UTC. Send 5.000000 USDT back to the sender" in text
    assert "from 0xr (receipt r9)" in text


def test_a_wrong_token_without_a_receipt_is_sent_back_too() -> None:
    text = advised(explained(flagged(Attention.WRONG_TOKEN, Status.COMPLETED)))
    assert "(f). Send it back to the customer, from the account that received it." in text
    assert "still due" not in text


@pytest.mark.parametrize(
    ("memo", "written"),
    [
        ("0x" + b"81H4".hex(), "81H4 (0x38314834)"),
        ("0x" + b"81H4".ljust(32, b"\0").hex(), f"81H4 (0x{'38314834':0<64})"),
        ("0x" + b"X1X".hex(), "X1X (0x583158)"),
        ("0x0a", "0x0a"),
        ("0xff", "0xff"),
        ("0x00", "0x00"),
        ("0xm", "0xm"),
    ],
)
def test_a_memo_is_written_as_text_where_it_is_text(memo: str, written: str) -> None:
    assert memo_in_words(memo) == written


def test_a_memo_of_no_payment_is_shown() -> None:
    stray = a_receipt("r9", DUE, details={"memo": "0xm"})
    text = advised(explained(a_payment(Status.PENDING), unmatched=(stray,)))
    assert "it carried the memo 0xm, which payd knows of no payment" in text


def test_an_end_of_external_refunds_without_a_change_of_them_is_said() -> None:
    record = AttentionRecord(
        reason=Attention.REFUNDED_EXTERNALLY, since=NOW, facts=frozenset({"f"})
    )
    ended = attrs.evolve(record, resolved_time=at(1), resolved_by="payd")
    before = refunded(a_refund(RefundStatus.PENDING), attention_records=(record,))
    now = refunded(a_refund(RefundStatus.FAILED), attention_records=(ended,))
    change = history(now).changes[0]
    [said] = attention_changes(Move(before=before, change=change))
    assert said.what == (
        "REFUNDED_EXTERNALLY is over: no refund made at the provider counts any more."
    )


def test_the_end_of_a_reason_that_facts_end_is_said() -> None:
    disputed = after(refunded(), a_dispute())
    closed = after(disputed, a_dispute(DisputeStatus.WON, minutes=2), minutes=2)
    change = history(closed).changes[0]
    said = [one.what for one in attention_changes(Move(before=disputed, change=change))]
    assert said == ["DISPUTED is over: no dispute is open any more."]


def test_a_reason_that_begins_again_names_its_new_facts() -> None:
    old = AttentionRecord(
        reason=Attention.CONFLICTING_EVIDENCE,
        since=NOW,
        facts=frozenset({"one"}),
        resolved_time=at(1),
        resolved_by="operator:eve",
    )
    new = attrs.evolve(old, facts=frozenset({"one", "two"}), resolved_time=None, resolved_by="")
    change = history(refunded(attention_records=(new,))).changes[0]
    [said] = attention_changes(Move(before=refunded(attention_records=(old,)), change=change))
    assert said.what == "CONFLICTING_EVIDENCE: what payd knows does not agree: two."


# -- bounds --------------------------------------------------------------------------------------


def test_one_minor_unit_that_is_not_final_is_waited_for() -> None:
    part = {"close_time": NOW, "snapshot_received": 401, "snapshot_confirmed": 400}
    for reasons in (("UNDERPAID",), ("UNDERPAID", "PAID_AFTER_CLOSE")):
        records = tuple(
            AttentionRecord(reason=Attention(name), since=NOW, facts=frozenset({"f"}))
            for name in reasons
        )
        found = explained(a_payment(Status.EXPIRED, attention_records=records, **part))
        assert found.waiting_for.what == (
            "mock has to report whether 0.01 USD that was seen becomes final or vanishes."
        )
        assert "0.01 USD more was seen. There is nothing to do until it is final" in advised(found)
        assert "attention resolve" not in advised(found)
        assert "a person has to look" not in found.summary
    late = flagged(Attention.PAID_AFTER_CLOSE, Status.CANCELED, close_time=NOW, snapshot_received=1)
    text = advised(explained(late))
    assert "0.01 USD was seen, and is not final yet, for a payment that is CANCELED (f)." in text
    assert "There is nothing to do until it is final." in text


def test_money_that_was_seen_and_comes_too_late_does_not_complete_the_payment() -> None:
    records = tuple(
        AttentionRecord(reason=reason, since=NOW, facts=frozenset({"f"}))
        for reason in (Attention.UNDERPAID, Attention.PAID_AFTER_CLOSE)
    )
    part = {"close_time": NOW, "snapshot_received": DUE, "snapshot_confirmed": 400}
    text = advised(explained(a_payment(Status.EXPIRED, attention_records=records, **part)))
    assert "When it is final, the payment stays EXPIRED; explain it again then." in text


def test_the_moment_of_the_expiry_is_after_the_time_to_pay() -> None:
    def said(payment: Payment, **fields: Any) -> Explanation:
        return explained(payment, Circumstances(now=at(30), **fields))

    unpaid = said(a_payment(Status.PENDING))
    assert unpaid.summary.startswith("The customer had not paid 5.00 USD by 2026")
    assert unpaid.waiting_for.what.startswith("The time to pay ended")
    assert "payd cancel" not in advised(unpaid)

    part = {"snapshot_received": 400, "snapshot_confirmed": 400}
    partial = said(a_payment(Status.PROCESSING, **part))
    assert partial.summary.endswith("and the time to pay ended at 2026-01-01 12:30:00 UTC.")
    assert "Tell the customer" not in advised(partial)
    assert "still due" not in advised(said(flagged(Attention.WRONG_TOKEN)))

    unknown = a_payment(asking=Asking.UNKNOWN)
    assert "payd cannot look it up there" in said(unknown, can_look_up=False).summary
    assert said(unknown).waiting_for.what == (
        f"payd has to find out whether mock has the payment: it looks for the operation"
        f" payd:{unknown.id}:create:v1 there."
    )


def test_the_last_moment_of_the_late_window_is_in_time() -> None:
    expired = a_payment(Status.EXPIRED, close_time=at(30))
    end = expired.late_end(Rules().late_window)
    found = explained(expired, Circumstances(now=end))
    assert "arrives by 2026-01-02 12:30:00 UTC still completes it." in found.waiting_for.what
    assert "Until 2026-01-02 12:30:00 UTC money that was already under way" in advised(found)


def test_an_answer_is_waited_for_until_its_deadline() -> None:
    asked = a_payment(asking=Asking.ASKING, ask_deadline=at(3))
    found = explained(asked)
    assert "payd is asking" not in found.summary
    assert "has to answer payd's request" not in found.waiting_for.what
    sent = refunded(a_refund(asking=Asking.ASKING, ask_deadline=at(3)))
    assert "is being sent" not in explained(sent).summary


def test_only_an_unknown_outcome_that_is_over_cannot_be_found_out() -> None:
    def said(minutes: int, **fields: Any) -> Explanation:
        around = Circumstances(now=at(minutes), can_look_up=False)
        return explained(a_payment(**fields), around)

    assert "payd keeps asking" in said(3, asking=Asking.UNKNOWN).summary
    for fields in ({}, {"asking": Asking.UNKNOWN, "provider_reference": "ref"}):
        assert said(31, **fields).next_look_time is not None


def test_a_check_without_news_is_counted_once() -> None:
    unknown = a_payment(asking=Asking.UNKNOWN, checks=1)
    assert "there; 1 status check brought nothing." in explained(unknown).waiting_for.what


def test_a_note_about_another_reason_does_not_say_what_became_of_the_request() -> None:
    other = AttentionRecord(
        reason=Attention.STUCK,
        since=NOW,
        resolved_time=at(1),
        resolved_by="operator:eve",
        note="I looked.",
    )
    unknown = a_payment(asking=Asking.UNKNOWN, attention_records=(other,))
    for around in (Circumstances(now=at(3)), Circumstances(now=at(31), can_look_up=False)):
        found = explained(unknown, around)
        assert "I looked." not in found.summary + found.waiting_for.what


def test_times_that_an_older_version_did_not_store_are_left_out() -> None:
    completed = a_payment(Status.COMPLETED, complete_time=None)
    assert explained(completed).summary == "Paid: 5.00 USD is confirmed."
    expired = a_payment(Status.EXPIRED, close_time=None)
    assert explained(expired).summary == "Expired without money."


# -- money ---------------------------------------------------------------------------------------


def life(*payments: Payment) -> History:
    """One change a minute."""
    changes = (history(one).changes[0] for one in payments)
    return History(changes=tuple(attrs.evolve(one, time=at(n)) for n, one in enumerate(changes)))


def test_money_after_the_close_differs_from_money_before_it() -> None:
    def canceled(received: int, confirmed: int = 0) -> Payment:
        part = {"snapshot_received": received, "snapshot_confirmed": confirmed}
        return a_payment(Status.CANCELED, **part)

    def said(*payments: Payment) -> str:
        return explain(life(*payments), Circumstances(now=at(9))).summary

    assert said(canceled(0), canceled(1), canceled(300, 100)).endswith(
        " without money; 2.00 USD was seen afterwards, first at 2026-01-01 12:01:00 UTC, and is"
        " not final yet; 1.00 USD is final."
    )
    assert said(canceled(1, 1), canceled(2, 2)).endswith(" with 0.02 of 5.00 USD confirmed.")


def test_the_smallest_transfer_that_was_undone_is_said() -> None:
    seen = a_payment(Status.PROCESSING, snapshot_received=1)
    found = explain(life(seen, a_payment(Status.PENDING)), Circumstances(now=at(3)))
    assert "0.01 USD was seen, and was undone at 2026-01-01 12:01:00 UTC" in found.summary


def test_the_rest_is_not_asked_for_while_money_is_on_its_way() -> None:
    missing = "Tell the customer that"
    for fields in (
        {"snapshot_received": DUE, "snapshot_confirmed": 400},
        {
            "snapshot_received": 400,
            "snapshot_confirmed": 400,
            "provider_status": ProviderStatus.PROCESSING,
        },
    ):
        assert missing not in advised(explained(a_payment(Status.PROCESSING, **fields)))
    cent = a_payment(Status.PROCESSING, snapshot_received=1, snapshot_confirmed=1)
    assert missing in advised(explained(cent))


def test_money_on_its_way_without_an_amount_waits_for_the_provider() -> None:
    moving = a_payment(Status.PROCESSING, provider_status=ProviderStatus.PROCESSING)
    assert explained(moving).waiting_for.actor is Actor.PROVIDER


def test_money_that_came_while_canceling_is_refunded_where_that_can_be_done() -> None:
    paying = a_payment(Status.PROCESSING, snapshot_received=DUE)
    past = life(a_payment(Status.CANCELING), paying)
    for terms, where in ((RefundTerms(), "with `payd refund`"), (None, "at mock")):
        found = explain(past, Circumstances(now=at(3), refund_terms=terms))
        assert f"then refund it {where}." in advised(found)


def test_a_receipt_of_no_payment_says_what_is_missing_then() -> None:
    part = a_payment(Status.PROCESSING, snapshot_received=200, snapshot_confirmed=200)
    found = explained(part, unmatched=(a_receipt("r9", 299),))
    assert advised(found).startswith(
        f"Receipt r9 of 2.99 USD, moved at 2026-01-01 12:01:00 UTC, belongs to no payment: it"
        f" carried no memo or reference of a payment. It is shown here because the amount fits. Ask"
        f" the customer: the amount alone is no proof. If it was meant for this one, attach it;"
        f" 0.01 USD is missing then. If not, leave it. payd receipts attach r9 {part.id}"
    )
    likely = a_receipt("r9", 300, details={"likely_payment": str(part.id)})
    text = advised(explained(part, unmatched=(likely,)))
    assert "belongs to no payment: no payment has its memo. It differs" in text
    assert "nothing is missing then." in text


def test_the_smallest_surplus_is_sent_back() -> None:
    more = flagged(
        Attention.OVERPAID,
        Status.COMPLETED,
        snapshot_received=DUE + 1,
        snapshot_confirmed=DUE + 1,
    )
    assert "Send the surplus of 0.01 USD back." in advised(explained(more))


def test_where_a_customer_wants_a_refund_has_to_be_named_where_the_provider_needs_it() -> None:
    more = flagged(
        Attention.OVERPAID,
        Status.COMPLETED,
        snapshot_received=600,
        snapshot_confirmed=600,
    )
    around = Circumstances(now=at(3), refund_terms=RefundTerms(needs_destination=True))
    first = explained(more, around).advice[0]
    assert first.text.endswith("back. ADDRESS is where the customer wants it.")
    assert first.command == (
        f"payd refund {more.id} --amount 1.00 --reason 'overpaid' --to ADDRESS"
    )


def test_no_refund_is_advised_after_the_time_in_which_the_provider_refunds() -> None:
    more = flagged(
        Attention.OVERPAID, Status.COMPLETED, snapshot_received=600, snapshot_confirmed=600
    )
    terms = RefundTerms(window=timedelta(days=1))
    text = advised(explained(more, Circumstances(now=at(3), refund_terms=terms)))
    assert f"payd refund {more.id}" in text
    text = advised(explained(more, Circumstances(now=at(3000), refund_terms=terms)))
    assert "payd cannot refund it (the provider refunds up to 1 day" in text


def test_a_part_of_the_money_that_all_went_back_is_not_sent_again() -> None:
    back = a_refund(RefundStatus.SUCCEEDED, amount=400)
    part = {"snapshot_received": 400, "snapshot_confirmed": 400, "refunds": (back,)}
    text = advised(explained(flagged(Attention.UNDERPAID, Status.EXPIRED, **part)))
    assert (
        f"The main app has been sent no payment.attention, payment.canceled and payment.failed."
        f" Refund {back.id} of 4.00 USD took back 4.00 USD of the 4.00 USD"
        f" that was paid. Nothing more has to be sent. There is nothing to deliver."
    ) in text


def test_a_late_payment_is_delivered_only_after_the_main_app_learned_that_it_ended() -> None:
    def has_to_deliver(subject: str, **fields: Any) -> bool:
        event = StoredEvent(
            event_id=UUID(int=1), subject=subject, create_time=NOW, publish_time=NOW
        )
        payment = a_payment(Status.COMPLETED, **fields)
        return "Make sure that it delivers" in advised(explained(payment, events=(event,)))

    assert has_to_deliver("payment.canceled", late=True)
    assert not has_to_deliver("payment.completed", late=True)
    assert not has_to_deliver("payment.canceled")


def test_an_object_of_another_amount_that_is_not_known_is_closed_all_the_same() -> None:
    wrong = flagged(Attention.AMOUNT_MISMATCH, Status.CREATING)
    assert "payd then closes the object at mock" in advised(explained(wrong))


def test_a_token_that_payd_does_not_know_is_said_and_sent_from_where_it_came() -> None:
    foreign = a_receipt("r9", 5, asset="0xEF", details={"receiver": "0xb"})
    payment = flagged(Attention.WRONG_TOKEN, crypto=TERMS, next_action=TRANSFER)
    unknown = " payd does not know the name and decimals of that token."
    text = advised(explained(payment, unmatched=(foreign,)))
    assert f"Send 5 base units of 0xEF back to the sender, from 0xb (receipt r9).{unknown}" in text
    known = Circumstances(now=at(3), tokens={"0xef": ("USDT", 6)})
    text = advised(explained(payment, known, unmatched=(foreign,)))
    assert "Send 0.000005 USDT back to the sender, from 0xb (receipt r9). " in text
    assert unknown not in text
    cent = flagged(Attention.WRONG_TOKEN, snapshot_received=DUE - 1)
    assert "0.01 USD is still due" in advised(explained(cent))


def test_all_that_contradicts_is_listed() -> None:
    def report(number: int, event: str, readable: bool = True) -> StoredReport:
        facts = (Conflict(detail=f"c{number}"),) if readable else ()
        return StoredReport(id=number, event_id=event, receive_time=NOW, facts=facts)

    found = [report(1, "a"), report(2, "a"), report(3, "a", readable=False)]
    found += [report(4, "b"), report(5, "b")]
    reports = {one.id: one for one in found}
    text = advised(explained(flagged(Attention.CONFLICTING_EVIDENCE), reports=reports))
    assert "it says a contradiction (c2). payd counts the first only. Report b came twice." in text


def test_the_smallest_amount_that_was_taken_back_too_much_is_claimed() -> None:
    too_much = a_refund(RefundStatus.SUCCEEDED, amount=DUE + 1)
    record = AttentionRecord(
        reason=Attention.CONFLICTING_EVIDENCE, since=NOW, facts=frozenset({"f"})
    )
    text = advised(explained(refunded(too_much, attention_records=(record,))))
    assert "If they are right, 0.01 USD too much was given back" in text


def test_instructions_without_a_memo_name_none() -> None:
    plain = attrs.evolve(TRANSFER, memo="")
    found = explained(a_payment(Status.PENDING, crypto=TERMS, next_action=plain))
    assert " to 0xr, by 2026-01-01 12:30:00 UTC; otherwise" in found.waiting_for.what


def test_several_events_that_wait_are_named() -> None:
    events = tuple(
        StoredEvent(event_id=UUID(int=n), subject=subject, create_time=NOW)
        for n, subject in enumerate(("payment.completed", "payment.refunded"))
    )
    found = explained(refunded(), events=events)
    assert found.waiting_for.what == (
        "payd has to publish payment.completed and payment.refunded, which wait in the outbox since"
        " 2026-01-01 12:00:00 UTC."
    )


# -- disputes ------------------------------------------------------------------------------------


def test_a_dispute_without_a_time_to_answer_has_to_be_answered() -> None:
    found = explained(after(refunded(), a_dispute()))
    assert found.summary.endswith(
        "disputes 5.00 USD, to be answered; a person has to look at DISPUTED."
    )
    assert found.waiting_for.what == ("A person has to answer dispute dp_1 at mock, or it is lost.")
    assert "Answer dp_1 in the dashboard of mock, or the bank" in advised(found)


def test_an_inquiry_without_a_time_to_answer_may_be_answered() -> None:
    found = explained(after(refunded(), a_dispute(DisputeStatus.INQUIRY)))
    assert found.advice[0].text.startswith("Answer inquiry dp_1 in the dashboard of mock. That")


def test_nothing_is_sent_back_while_disputes_are_open() -> None:
    disputes = (a_dispute(), a_dispute(id="dp_2"))
    part = {"snapshot_received": 400, "snapshot_confirmed": 400, "disputes": disputes}
    payment = flagged(Attention.UNDERPAID, Status.EXPIRED, **part)
    assert "while dispute dp_1 and dispute dp_2 are open" in held_by_dispute(payment, 400)
    unknown = flagged(Attention.DISPUTED, Status.COMPLETED)
    assert "back while the dispute is open" in held_by_dispute(unknown, 400)


def test_what_a_lost_dispute_gave_whole_is_not_sent_again() -> None:
    lost = after(refunded(), a_dispute(DisputeStatus.LOST))
    assert held_by_dispute(lost, DUE) == (
        "Do not send 5.00 USD back in another way: dispute dp_1 gave 5.00 USD to the customer."
    )
    assert held_by_dispute(lost, DUE + 1).startswith("Compare first: dispute dp_1 gave 5.00 USD")


# -- refunds -------------------------------------------------------------------------------------


def test_what_is_owed_is_what_later_refunds_did_not_bring() -> None:
    failed = a_refund(RefundStatus.FAILED)
    at_once = a_refund(RefundStatus.SUCCEEDED, id=UUID(int=7), amount=30)
    later = a_refund(RefundStatus.SUCCEEDED, id=UUID(int=8), amount=60, create_time=at(1))
    payment = refunded(failed, at_once, later)
    assert still_owed(payment, [failed]) == 40
    assert still_owed(payment, []) == 0


def test_several_refunds_that_are_on_their_way_are_named() -> None:
    pending = (
        a_refund(RefundStatus.PENDING),
        a_refund(RefundStatus.PENDING, id=UUID(int=8), amount=200),
    )
    assert nothing_more(refunded(*pending)) == (
        f"Refunds {pending[0].id} of 1.00 USD and {pending[1].id} of 2.00 USD send it back, and"
        f" have not succeeded yet. Do not refund it again."
    )


def test_a_refund_of_all_the_money_is_sent_by_a_person() -> None:
    whole = a_refund(RefundStatus.AWAITING_TRANSFER, amount=DUE, next_action=TRANSFER)
    found = explained(refunded(whole))
    assert found.waiting_for.what.startswith(f"A person has to send refund {whole.id}: transfer")
    assert "Transfer 5.00 USD" in advised(found)


def test_a_refund_that_is_due_is_about_to_be_sent() -> None:
    unsent = a_refund(asking=Asking.NOT_ATTEMPTED, next_check_time=at(2))
    assert (
        "payd is about to send the refund. Do not send 1.00 USD back in another way meanwhile"
    ) in advised(explained(refunded(unsent)))


def test_two_withdrawn_refunds_are_not_both_made_again() -> None:
    withdrawn = (
        a_refund(RefundStatus.CANCELED),
        a_refund(RefundStatus.CANCELED, id=UUID(int=8)),
    )
    text = advised(explained(refunded(*withdrawn)))
    assert text.count("payd refund ") == 1
    assert "Request no other refund besides the one above" in text


@pytest.mark.parametrize(
    ("requester", "text"),
    [
        ("console/dev/two", "in the console as another operator than dev/two"),
        ("other/dev", "not with the certificate other/dev"),
        ("console", "not with the certificate console"),
    ],
)
def test_a_refund_is_approved_by_another_person(requester: str, text: str) -> None:
    waiting = a_refund(RefundStatus.AWAITING_APPROVAL, requester=requester)
    assert text in advised(explained(refunded(waiting)))


def test_a_stuck_refund_can_be_settled_from_a_time_on() -> None:
    stuck = a_refund(asking=Asking.UNKNOWN)
    record = AttentionRecord(reason=Attention.STUCK, since=NOW, facts=frozenset({"f"}))
    payment = refunded(stuck, attention_records=(record,), provider_reference=None)
    text = advised(explained(payment, Circumstances(now=at(60))))
    assert "Open the payment in the dashboard of mock" in text
    assert "payd takes that from" not in text


def test_the_event_about_another_refund_says_nothing_about_this_one() -> None:
    failed = a_refund(
        RefundStatus.FAILED,
        asking=Asking.UNKNOWN,
        failure=Failure(code=SETTLED, message="Never sent."),
    )
    external = a_refund(
        RefundStatus.SUCCEEDED, id=UUID(int=8), external=True, create_time=NOW - timedelta(days=1)
    )
    record = AttentionRecord(
        reason=Attention.REFUNDED_EXTERNALLY, since=NOW, facts=frozenset({"f"})
    )
    events = tuple(
        StoredEvent(
            event_id=UUID(int=n), subject=subject, about="other", create_time=NOW, publish_time=NOW
        )
        for n, subject in enumerate(("payment.refund_failed", "payment.refunded"))
    )
    text = advised(
        explained(refunded(failed, external, attention_records=(record,)), events=events)
    )
    assert "The main app has been sent no payment.refund_failed." in text
    assert "The main app has been sent no payment.refunded." in text


def test_an_external_refund_that_is_on_its_way_is_said() -> None:
    external = a_refund(RefundStatus.PENDING, external=True)
    record = AttentionRecord(
        reason=Attention.REFUNDED_EXTERNALLY, since=NOW, facts=frozenset({"f"})
    )
    text = advised(explained(refunded(external, attention_records=(record,))))
    assert (
        "(f). It is on its way; payd sends payment.refunded when it succeeds. Find out in the"
        " dashboard of mock who refunded it, and why."
    ) in text


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (TRANSFER, "transfer 1.00 USD (token 0xt) at mock (chain 42431) to 0xr with the memo 0xm"),
        (
            Show(
                kind=ShowKind.BANK_TRANSFER,
                fields=(ShowField(label="IBAN", value="DE02"), ShowField(label="text", value="R9")),
            ),
            "send 1.00 USD with IBAN DE02 and text R9",
        ),
        (
            Show(kind=ShowKind.TEXT, payload="Send it."),
            "send 1.00 USD to 0xd as its instructions say",
        ),
        (
            attrs.evolve(TRANSFER, memo=""),
            "transfer 1.00 USD (token 0xt) at mock (chain 42431) to 0xr",
        ),
    ],
)
def test_what_a_person_has_to_send_is_said(action: Any, text: str) -> None:
    refund = a_refund(RefundStatus.AWAITING_TRANSFER, next_action=action, destination="0xd")
    assert how_to_send(refunded(refund), refund) == text


def test_a_refund_without_a_destination_is_sent_as_its_instructions_say() -> None:
    action = Show(kind=ShowKind.TEXT, payload="Send it.")
    refund = a_refund(RefundStatus.AWAITING_TRANSFER, next_action=action)
    assert how_to_send(refunded(refund), refund) == "send 1.00 USD as its instructions say"


def test_a_refund_that_failed_without_a_reason_is_said() -> None:
    failed = a_refund(RefundStatus.FAILED, failure=None)
    assert "the refund of 1.00 USD failed, so the customer does not have it" in (
        explained(refunded(failed)).summary
    )


def test_only_a_later_refund_makes_up_for_a_failed_one() -> None:
    failed = tuple(
        a_refund(RefundStatus.FAILED, id=UUID(int=number), create_time=at(number))
        for number in (1, 2)
    )
    at_once = a_refund(RefundStatus.SUCCEEDED, id=UUID(int=3), create_time=at(1))
    later = a_refund(RefundStatus.SUCCEEDED, id=UUID(int=4), create_time=at(3))
    record = AttentionRecord(reason=Attention.REFUND_FAILED, since=NOW, facts=frozenset({"f"}))
    text = advised(explained(refunded(*failed, at_once, later, attention_records=(record,))))
    assert (
        f" Afterwards refund {later.id} of 1.00 USD has succeeded. Do not refund it again."
    ) in text


def test_a_refund_that_an_operator_settled_or_withdrew_has_not_failed() -> None:
    settled = a_refund(
        RefundStatus.FAILED,
        asking=Asking.UNKNOWN,
        failure=Failure(code=SETTLED, message="Never sent."),
    )
    record = AttentionRecord(reason=Attention.REFUND_FAILED, since=NOW, facts=frozenset({"f"}))
    for refund in (settled, a_refund(RefundStatus.CANCELED)):
        text = advised(explained(refunded(refund, attention_records=(record,))))
        assert "As payd has it now, no refund of this payment has failed" in text


def test_a_refund_in_approval_has_no_size_where_the_provider_refunds_nothing() -> None:
    waiting = refunded(a_refund(RefundStatus.AWAITING_APPROVAL))
    text = advised(explained(waiting, Circumstances(now=at(3), refund_terms=None)))
    assert "not with the certificate main-app. payd refunds approve" in text


def test_a_refund_that_an_operator_of_the_console_requested_needs_another_one() -> None:
    waiting = refunded(a_refund(RefundStatus.AWAITING_APPROVAL, requester="console/dev"))
    text = advised(explained(waiting, Circumstances(now=at(3), refund_terms=None)))
    assert "; in the console as another operator than dev. payd refunds approve" in text


def test_a_refund_that_is_being_sent_is_said() -> None:
    sending = a_refund(asking=Asking.ASKING, ask_deadline=at(4))
    assert "a refund of 1.00 USD is being sent" in explained(refunded(sending)).summary


def test_a_settlement_that_is_too_early_is_dated() -> None:
    stuck = a_refund(asking=Asking.UNKNOWN)
    record = AttentionRecord(reason=Attention.STUCK, since=NOW, facts=frozenset({"f"}))
    payment = refunded(stuck, attention_records=(record,))
    assert "payd takes that from 2026-01-01 13:00:00 UTC on." in advised(explained(payment))


def test_a_refund_that_a_later_one_made_up_for_is_not_mentioned() -> None:
    failed = a_refund(RefundStatus.FAILED, failure=Failure(code="no", message="No."))
    again = a_refund(RefundStatus.SUCCEEDED, id=UUID(int=8), create_time=at(1))
    assert "failed" in explained(refunded(failed)).summary
    assert "failed" not in explained(refunded(failed, again)).summary


def test_the_amount_of_an_event_whose_change_is_left_out_is_that_of_the_refund() -> None:
    refund = a_refund(RefundStatus.SUCCEEDED)
    other = a_refund(RefundStatus.SUCCEEDED, id=UUID(int=8), amount=200)
    assert first_amount(history(refunded(other)), refund) == 100


def test_money_that_nothing_explains_was_taken_back_by_something_unknown() -> None:
    assert taken_back(refunded()).startswith("something that payd no longer knows took back")


def failed_again(**fields: Any) -> Payment:
    """A payment whose refund of all the money has failed."""
    failed = a_refund(RefundStatus.FAILED, amount=DUE)
    record = AttentionRecord(reason=Attention.REFUND_FAILED, since=NOW, facts=frozenset({"f"}))
    return refunded(failed, *fields.pop("later", ()), attention_records=(record,), **fields)


def test_a_failed_refund_is_not_made_again_where_nothing_is_left() -> None:
    before = a_refund(
        RefundStatus.SUCCEEDED, id=UUID(int=8), amount=DUE, create_time=NOW - timedelta(days=1)
    )
    text = advised(explained(failed_again(later=(before,))))
    assert "took back 5.00 USD of the 5.00 USD that was paid. Nothing more has to be sent." in text
    assert "payd refund " not in text


def test_a_failed_refund_that_is_not_known_is_not_made_again() -> None:
    record = AttentionRecord(reason=Attention.REFUND_FAILED, since=NOW, facts=frozenset({"f"}))
    text = advised(explained(refunded(attention_records=(record,))))
    assert (
        " (f). As payd has it now, no refund of this payment has failed: refund nothing again."
    ) in text


def test_a_canceled_refund_is_not_made_again_where_nothing_is_left() -> None:
    before = a_refund(
        RefundStatus.SUCCEEDED, id=UUID(int=8), amount=DUE, create_time=NOW - timedelta(days=1)
    )
    text = advised(explained(refunded(a_refund(RefundStatus.CANCELED), before)))
    assert "GetRefund shows it as CANCELED. Refund " in text
    assert "Nothing more has to be sent." in text


def test_a_person_sends_no_refund_while_a_dispute_is_open() -> None:
    waiting = a_refund(RefundStatus.AWAITING_TRANSFER, next_action=TRANSFER)
    text = advised(explained(after(refunded(waiting), a_dispute())))
    assert "Do not send 1.00 USD back while dispute dp_1 is open" in text
    assert "Transfer " not in text


def test_two_refunds_that_failed_on_a_rail_without_refunds_are_sent_by_hand_once() -> None:
    around = Circumstances(now=at(3), refund_terms=None, can_close=False)
    text = advised(explained(failed_again(), around))
    assert "refund 5.00 USD again. payd cannot refund at mock: do it by a transfer" in text


def test_no_refund_is_looked_up_by_a_key_that_its_object_does_not_carry() -> None:
    stuck = a_refund(asking=Asking.UNKNOWN)
    record = AttentionRecord(reason=Attention.STUCK, since=NOW, facts=frozenset({"f"}))
    text = advised(explained(refunded(stuck, attention_records=(record,))))
    assert "Open ref in the dashboard of mock and look at its refunds" in text
    assert f"carries payd's id of it, {stuck.id}" in text
    assert ":refund:v1" not in text


# -- reports and events --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fact", "text"),
    [
        (a_snapshot(), "OPEN with 0.00 USD received and 0.00 USD final"),
        (a_report(RefundState.PENDING), "refund re_1 of 1.00 USD as PENDING"),
        (a_dispute(), "dispute dp_1 of 5.00 USD as NEEDS_RESPONSE"),
        (Conflict(detail="test money"), "a contradiction (test money)"),
        (Conflict(), "a contradiction"),
        ((a_receipt(state=ReceiptState.SEEN),), "receipt r1 of 5.00 USD as SEEN"),
        ((), "no receipts"),
    ],
)
def test_what_a_report_says_is_said(fact: Any, text: str) -> None:
    report = StoredReport(id=1, event_id="evt_1", receive_time=NOW, facts=(fact,))
    assert contents(a_payment(), report) == text
    summary = explained(a_payment(Status.PENDING), waiting=(report,)).summary
    assert f"mock has reported {text} (report evt_1); payd has not processed that yet" in summary


def test_a_report_that_payd_cannot_read_is_named() -> None:
    unread = StoredReport(id=1, event_id="evt_1", receive_time=NOW)
    found = explained(a_payment(Status.PENDING), waiting=(unread, unread))
    assert "mock has sent report evt_1, with 1 more; payd has not processed" in found.summary
    assert "the report evt_1 of mock, received at" in found.waiting_for.what
    assert "payd cancel" not in advised(found)


@pytest.mark.parametrize(
    ("published", "text"),
    [
        (NOW, "The main app knows it from payment.refunded."),
        (None, "The main app does not know it yet: payment.refunded waits for NATS."),
    ],
)
def test_what_the_main_app_knows_is_said(published: Any, text: str) -> None:
    event = StoredEvent(
        event_id=UUID(int=1), subject="payment.refunded", create_time=NOW, publish_time=published
    )
    known = history(refunded(), events=(event,))
    assert main_app_knows(known, EventType.REFUNDED) == text
    assert main_app_knows(known, EventType.FAILED) == (
        "The main app has been sent no payment.failed."
    )


# -- closed and cut off --------------------------------------------------------------------------


def test_late_money_on_a_rail_that_cannot_close_is_said() -> None:
    expired = a_payment(Status.EXPIRED, close_time=at(30))
    around = Circumstances(now=at(31), can_close=False, rules=Rules())
    what = explained(expired, around).waiting_for.what
    assert what.startswith("The customer should no longer pay it; money that moves by")


def test_a_payment_that_needs_a_provider_that_is_not_enabled_waits_for_an_operator() -> None:
    found = explained(a_payment(Status.PENDING), Circumstances(now=at(3), is_enabled=False))
    assert found.waiting_for.actor is Actor.OPERATOR
    assert found.next_look_time is None
    assert found.summary.startswith("payd cannot tell how this payment stands, because mock is not")
    done = explained(a_payment(Status.COMPLETED), Circumstances(now=at(3), is_enabled=False))
    assert done.waiting_for.actor is Actor.NOBODY


def test_money_that_can_come_while_its_provider_is_not_enabled_is_said() -> None:
    around = Circumstances(now=at(3), is_enabled=False)
    can_pay = "The customer can still pay at mock meanwhile."
    assert can_pay in advised(explained(a_payment(Status.PENDING), around))
    refunding = refunded(a_refund(RefundStatus.PENDING))
    for payment in (a_payment(asking=Asking.UNKNOWN), refunding):
        text = advised(explained(payment, around))
        assert "Enable mock and restart payd. To see" in text
        assert can_pay not in text


def test_a_check_that_is_due_does_not_lie_in_the_past() -> None:
    due = a_payment(Status.PENDING, next_check_time=at(2))
    found = explained(due, Circumstances(now=at(31)))
    assert found.next_look_time == at(31)
    assert "payd is about to ask mock. To ask now:" in advised(found)


def test_the_rest_is_asked_for_only_while_it_can_be_paid() -> None:
    part = a_payment(Status.PROCESSING, snapshot_received=400, snapshot_confirmed=400)
    missing = "Tell the customer that"
    assert missing in advised(explained(part))
    waiting = StoredReport(id=1, event_id="evt_1", receive_time=NOW)
    assert missing not in advised(explained(part, waiting=(waiting,)))
    for around in (Circumstances(now=at(31)), Circumstances(now=at(3), is_enabled=False)):
        assert missing not in advised(explained(part, around))


def test_a_failure_without_a_reason_is_said() -> None:
    assert explained(a_payment(Status.FAILED)).summary.endswith("without money.")


def test_a_closing_that_was_asked_for_again_is_counted() -> None:
    for checks, text in ((1, "requested and once since"), (3, "requested and 3 times since")):
        canceling = a_payment(Status.CANCELING, checks=checks)
        assert text in explained(canceling).waiting_for.what


def test_an_amount_of_a_known_token_has_its_name() -> None:
    assert in_asset(a_payment(), "0xEF", 1_500_000, {"0xef": ("USDT", 6)}) == "1.500000 USDT"

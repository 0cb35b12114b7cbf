"""What a signed webhook must be to be taken, and what is kept of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe_provider.webhooks import CHARGE_EVENTS, DISPUTE_EVENTS, EVENTS
from unit.stripe.builders import (
    CHARGE_ID,
    INTENT_ID,
    PAYMENT_ID,
    PERSONAL,
    REFUND_ID,
    SECOND,
    SESSION_ID,
    a_charge,
    a_completed,
    a_dispute,
    a_refund,
    a_session,
    an_event,
    deliver,
    read,
    refusal,
)

from payd.plugins import ProviderEvent, WebhookRefused
from payd.providers.validation import is_event, is_json

#: All whose objects are read.
KINDS = (*EVENTS, *CHARGE_EVENTS)
Event = dict[str, Any]
Path = tuple[str, ...]

FRAME = '{"object":"event","id":"evt_1","type":"a.b","created":1,"livemode":false%s}'


def an_event_of(kind: str) -> Event:
    """Any of those that are read, complete."""
    if kind.startswith("checkout"):
        subject = a_session(status="complete", payment_status="paid", payment_intent=INTENT_ID)
    else:
        subject = a_dispute() if kind in DISPUTE_EVENTS else a_refund()
        subject = a_charge() if kind == "charge.refunded" else subject
    return an_event(kind, subject)


def changed(event: Event, path: Path, value: object) -> Event:
    """With this value at the end of the path."""
    copy: Event = json.loads(json.dumps(event))
    place = copy
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return copy


def without(event: Event, path: Path) -> Event:
    copy = changed(event, path, None)
    place = copy
    for name in path[:-1]:
        place = place[name]
    del place[path[-1]]
    return copy


# -- the text ----------------------------------------------------------------------------------

NOT_JSON: dict[str, bytes] = {
    "nothing": b"",
    "a blank": b" ",
    "words": b"not json",
    "an open brace": b"{",
    "two values": b"{}{}",
    "a comma too much": (FRAME % ",").encode(),
    "single quotes": (FRAME % "").replace('"', "'").encode(),
    "a comment": b"// event\n{}",
    "NaN": (FRAME % ',"x":NaN').encode(),
    "Infinity": (FRAME % ',"x":Infinity').encode(),
    "-Infinity": (FRAME % ',"x":[-Infinity]').encode(),
    "a key twice": (FRAME % ',"id":"evt_2"').encode(),
    "the same key twice": (FRAME % ',"id":"evt_1"').encode(),
    "a key twice, escaped": (FRAME % ',"\\u0069d":"evt_2"').encode(),
    "a key twice, deep": (FRAME % ',"x":[{"a":1,"a":2}]').encode(),
    "100,000 arrays": b"[" * 100_000 + b"]" * 100_000,
    "100,000 objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "100,000 arrays in an event": (FRAME % (',"x":' + "[" * 100_000 + "]" * 100_000)).encode(),
    "5,000 digits": (FRAME % (',"x":' + "9" * 5000)).encode(),
    "UTF-16": (FRAME % "").encode("utf-16"),
    "UTF-16 without a mark": (FRAME % "").encode("utf-16-le"),
    "UTF-32": (FRAME % "").encode("utf-32"),
    "a byte order mark": b"\xef\xbb\xbf" + (FRAME % "").encode(),
    "Latin-1": (FRAME % ',"x":"\xe9"').encode("latin-1"),
    "half a character": (FRAME % ',"x":"\xe9"').encode()[:-3] + b'"}',
    "an encoded surrogate": (FRAME % ',"x":"?"').encode().replace(b"?", b"\xed\xa0\x80"),
    "an overlong slash": (FRAME % ',"x":"?"').encode().replace(b"?", b"\xc0\xaf"),
    "a raw line break in a text": (FRAME % ',"x":"\n"').encode(),
    "NUL": b"\x00",
    "gzip": b"\x1f\x8b\x08\x00",
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=list(NOT_JSON))
def test_what_a_careful_reader_would_not_call_json_is_malformed(body: bytes) -> None:
    assert refusal(body) == "malformed"


@pytest.mark.parametrize("body", ["[]", "null", "true", "1", '"event"', '[{"object":"event"}]'])
def test_what_is_no_object_is_malformed(body: str) -> None:
    assert refusal(body) == "malformed"


def test_the_frame_of_these_tests_is_itself_taken() -> None:
    assert deliver(FRAME % "").type == "a.b"
    assert deliver(FRAME % ',"x":[1e999, "\\ud800", {"a":{"a":1}}]').type == "a.b"


# -- the frame ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["v2.core.event", "Event", "list", "", None, 1, [], {}, True])
def test_only_events_of_api_v1_are_supported(kind: object) -> None:
    assert refusal(json.dumps(a_completed(object=kind))) == "unsupported"


def test_a_thin_event_is_unsupported() -> None:
    thin = {
        "id": "evt_test_65",
        "object": "v2.core.event",
        "type": "v1.billing.meter.error_report_triggered",
        "created": "2026-10-01T12:00:00.000Z",
        "livemode": False,
        "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/x"},
    }
    with pytest.raises(WebhookRefused, match="payload style to Snapshot") as refused:
        deliver(json.dumps(thin))
    assert refused.value.reason == "unsupported"
    del thin["object"]
    assert refusal(json.dumps(thin)) == "unsupported"


WRONG: tuple[object, ...] = (None, True, 1.5, -1.0, [], ["x"], {}, {"x": 1}, -(2**70))
BAD_TEXT = (
    *("", " ", "a b", "a-b", "é", "\ud800", "evt\udfff", "\x00", "x\n"),
    *("١", "x" * 256),  # noqa: RUF001
)
BAD_AMOUNT = ("1", 1.0, 1e300, -1, 2**63, 10**30, False)
BAD_FLAG = (0, 1, "true", "false")
BAD_CURRENCY = ("USD", "us", "usdx", "us1", "")

_ID, _AMOUNT = (*WRONG, *BAD_TEXT, 7), (*WRONG, *BAD_AMOUNT)
_FLAG: tuple[object, ...] = (*BAD_FLAG, None, [], {})
_REFERENCE = (*(one for one in _ID if one is not None), {"id": None}, {"id": 5})
_NO_MAPPING: tuple[object, ...] = (0, 5, 1.5, True, False, "", "x", [], ["payment_id"])
_WORD_OR_NONE: tuple[object, ...] = (7, 1.5, True, [], {}, ["x"], "", "a b", "Failed", "x" * 51)
_OBJECT = ("data", "object")

FIELDS: dict[str, dict[Path, tuple[object, ...]]] = {
    "checkout.session.completed": {
        ("id",): _ID,
        ("type",): (*_ID, "Charge.Refunded", "a" * 101),
        ("created",): (*_AMOUNT, 4_102_444_801),
        ("livemode",): _FLAG,
        ("account",): _REFERENCE,
        ("data",): (*WRONG, "x", 0),
        _OBJECT: (*WRONG, "x", 0),
        (*_OBJECT, "id"): _ID,
        (*_OBJECT, "mode"): (*_ID, "Payment"),
        (*_OBJECT, "status"): (*_ID, "Complete"),
        (*_OBJECT, "payment_status"): _ID,
        (*_OBJECT, "amount_total"): _AMOUNT,
        (*_OBJECT, "currency"): WRONG + BAD_CURRENCY,
        (*_OBJECT, "livemode"): _FLAG,
        (*_OBJECT, "payment_intent"): _REFERENCE,
        (*_OBJECT, "metadata"): _NO_MAPPING,
        (*_OBJECT, "client_reference_id"): (7, 1.5, True, [], {}, ["x"]),
    },
    "charge.refunded": {
        (*_OBJECT, "id"): _ID,
        (*_OBJECT, "payment_intent"): _REFERENCE,
        (*_OBJECT, "amount_refunded"): _AMOUNT,
        (*_OBJECT, "currency"): WRONG + BAD_CURRENCY,
        (*_OBJECT, "metadata"): _NO_MAPPING,
    },
    "refund.created": {
        (*_OBJECT, "id"): _ID,
        (*_OBJECT, "charge"): _REFERENCE,
        (*_OBJECT, "payment_intent"): _REFERENCE,
        (*_OBJECT, "amount"): _AMOUNT,
        (*_OBJECT, "currency"): WRONG + BAD_CURRENCY,
        (*_OBJECT, "created"): _AMOUNT,
        (*_OBJECT, "status"): _WORD_OR_NONE,
        (*_OBJECT, "failure_reason"): _WORD_OR_NONE,
        (*_OBJECT, "metadata"): _NO_MAPPING,
    },
    "charge.dispute.created": {
        (*_OBJECT, "id"): _ID,
        (*_OBJECT, "charge"): _REFERENCE,
        (*_OBJECT, "payment_intent"): _REFERENCE,
        (*_OBJECT, "amount"): _AMOUNT,
        (*_OBJECT, "currency"): WRONG + BAD_CURRENCY,
        (*_OBJECT, "created"): _AMOUNT,
        (*_OBJECT, "status"): (*_ID, "Lost"),
        (*_OBJECT, "reason"): _WORD_OR_NONE,
        (*_OBJECT, "evidence_details"): (5, "x", True, ["due_by"]),
        (*_OBJECT, "evidence_details", "due_by"): tuple(v for v in _AMOUNT if v is not None),
        (*_OBJECT, "balance_transactions"): (5, "x", True, {"a": 1}, [1], [{}], [{"amount": "1"}]),
    },
}
CASES = [
    pytest.param(kind, path, value, id=ascii(f"{kind} {'.'.join(path)}={str(value)[:20]}"))
    for kind, fields in FIELDS.items()
    for path, values in fields.items()
    for value in values
]


@pytest.mark.parametrize(("kind", "path", "value"), CASES)
def test_a_field_of_another_form_is_malformed(kind: str, path: Path, value: object) -> None:
    assert refusal(json.dumps(changed(an_event_of(kind), path, value))) == "malformed"


#: Those whose absence Stripe's own descriptions allow.
OPTIONAL = {
    "account",
    "balance_transactions",
    "charge",
    "client_reference_id",
    "due_by",
    "evidence_details",
    "failure_reason",
    "metadata",
    "payment_intent",
    "reason",
}
#: It may be missing in a very old refund.
OPTIONAL_OF_REFUND = {"status"}
MISSING = [
    pytest.param(kind, path, id=f"{kind} {'.'.join(path)}")
    for kind, fields in FIELDS.items()
    for path in fields
    if path[-1] not in OPTIONAL
    and not (kind == "refund.created" and path[-1] in OPTIONAL_OF_REFUND)
]


@pytest.mark.parametrize(("kind", "path"), MISSING)
def test_a_missing_field_is_malformed(kind: str, path: Path) -> None:
    assert refusal(json.dumps(without(an_event_of(kind), path))) == "malformed"


@pytest.mark.parametrize("amount", [0, 1, 2**63 - 1])
def test_every_amount_that_can_be_stored_is_taken(amount: int) -> None:
    event = changed(an_event_of(EVENTS[0]), (*_OBJECT, "amount_total"), amount)
    assert deliver(json.dumps(event)).content["object"]["amount_total"] == amount


def test_an_event_of_another_type_needs_only_its_frame() -> None:
    several: tuple[object, ...] = (None, [], "x", {"object": None}, {"object": {"id": 5}})
    for data in several:
        delivered = deliver(json.dumps(an_event("plan.created", {}) | {"data": data}))
        assert delivered.content == {"created": SECOND, "livemode": False, "account": None}


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)


@given(value=_JSON)
def test_any_signed_json_is_taken_or_refused(value: object) -> None:
    refusal(json.dumps(value))


@given(body=st.binary(max_size=300))
def test_any_signed_bytes_are_taken_or_refused(body: bytes) -> None:
    refusal(body)


@given(data=st.data(), kind=st.sampled_from(KINDS), value=_JSON)
def test_any_value_in_any_field_is_taken_as_storable_or_refused(
    data: st.DataObject, kind: str, value: object
) -> None:
    event = an_event_of(kind)
    frames = [(name,) for name in event]
    fields = [(*_OBJECT, name) for name in event["data"]["object"]]
    body = json.dumps(changed(event, data.draw(st.sampled_from(frames + fields)), value))
    if refusal(body) is None:
        assert is_event(deliver(body))


# -- what is kept ------------------------------------------------------------------------------


def with_personal_data(event: Event) -> Event:
    """Wherever Stripe puts it, and in places where it should not be."""
    mail, name, street, phone, card = PERSONAL
    person = {"email": mail, "name": name, "phone": phone, "address": {"line1": street}}
    subject = event["data"]["object"]
    subject |= {"customer_details": person, "billing_details": person, "shipping": person}
    subject |= {"customer_email": mail, "receipt_email": mail, "description": f"{name} {card}"}
    subject |= {"payment_method_details": {"card": {"number": card}}, "evidence": person}
    subject["metadata"] = (subject.get("metadata") or {}) | {"email": mail, "note": card}
    return event | {"customer": person, "request": {"id": mail, "idempotency_key": street}}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_personal_is_kept(kind: str) -> None:
    kept = deliver(json.dumps(with_personal_data(an_event_of(kind))))
    text = json.dumps(kept.content)
    assert not [word for word in PERSONAL if word in text]
    assert kept == deliver(json.dumps(an_event_of(kind)))


DELIVERY: dict[str, Callable[[Event], Event]] = {
    "pending_webhooks": lambda event: event | {"pending_webhooks": 3},
    "api_version": lambda event: event | {"api_version": "2020-08-27"},
    "request": lambda event: event | {"request": {"id": "req_1", "idempotency_key": "k"}},
    "no request": lambda event: event | {"request": None},
    "an unknown field": lambda event: event | {"context": {"x": [1.5, "\ud800"]}},
    "the order": lambda event: dict(reversed(event.items())),
    "previous_attributes": lambda event: changed(event, ("data", "previous_attributes"), {"a": 1}),
    "customer_details": lambda event: changed(event, (*_OBJECT, "customer_details"), None),
    "the expanded intent": lambda event: changed(
        event, (*_OBJECT, "payment_intent"), {"id": INTENT_ID, "status": "succeeded"}
    ),
}


@pytest.mark.parametrize("change", DELIVERY.values(), ids=list(DELIVERY))
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_same_however_it_is_delivered(
    kind: str, change: Callable[[Event], Event]
) -> None:
    event = an_event_of(kind)
    kept = deliver(json.dumps(event))
    assert deliver(json.dumps(change(event), indent=2)) == kept
    assert read(change(event)) == kept


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_survives_being_stored_as_json(kind: str) -> None:
    kept = deliver(json.dumps(an_event_of(kind)))
    assert is_json(kept.content)
    assert is_event(kept)
    assert json.loads(json.dumps(kept.content)) == kept.content


def test_of_a_session_these_fields_are_kept() -> None:
    assert deliver(json.dumps(a_completed())) == ProviderEvent(
        id="evt_1",
        type="checkout.session.completed",
        content={
            "created": SECOND,
            "livemode": False,
            "account": None,
            "object": {
                "id": SESSION_ID,
                "status": "complete",
                "payment_status": "paid",
                "amount_total": 2000,
                "currency": "usd",
                "livemode": False,
                "client_reference_id": str(PAYMENT_ID),
                "metadata": {"payment_id": str(PAYMENT_ID)},
                "payment_intent": INTENT_ID,
            },
        },
    )


def test_of_a_refund_a_charge_and_a_dispute_these_fields_are_kept() -> None:
    assert read(an_event_of("refund.failed")).content["object"] == {
        "id": "re_1",
        "charge": CHARGE_ID,
        "payment_intent": INTENT_ID,
        "amount": 500,
        "currency": "usd",
        "created": SECOND,
        "status": "succeeded",
        "failure_reason": None,
        "payment_id": str(PAYMENT_ID),
        "refund_id": str(REFUND_ID),
    }
    # As version 0.1 kept it: the same event must not come with other contents.
    assert read(an_event_of("charge.refunded")).content["object"] == {
        "id": CHARGE_ID,
        "payment_intent": INTENT_ID,
        "amount_refunded": 1000,
        "currency": "usd",
        "payment_id": str(PAYMENT_ID),
    }
    assert read(an_event_of("charge.dispute.created")).content["object"] == {
        "id": "dp_1Pgc71B7WZ01zgkWMevJiAUx",
        "charge": CHARGE_ID,
        "payment_intent": INTENT_ID,
        "amount": 1000,
        "currency": "usd",
        "created": 1234567890,
        "status": "warning_needs_response",
        "reason": "general",
        "due_by": 1723679999,
        "withdrawn": False,
    }

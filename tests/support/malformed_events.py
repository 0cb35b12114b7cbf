"""Malformed webhook events, correctly signed: invalid JSON, or another shape than payd reads."""

import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

Event = dict[str, Any]
Path = tuple[str, ...]

_NOT_TEXT: Sequence[Any] = (5, 1.5, True, [], {}, ["x"], {"x": 1})
_BAD_TEXT: Sequence[Any] = (
    "",
    "a b",
    "x" * 300,
    "\ud800",
    "evt\udfff",
    "\u0661",
    "x\x00",
    "évt",
    "x\n",
    "-",
)
_NOT_AN_AMOUNT: Sequence[Any] = (
    None,
    "5",
    1.5,
    5.0,
    1e300,
    True,
    False,
    [],
    {},
    -1,
    2**63,
    10**40,
    -(10**40),
)
_NOT_A_FLAG: Sequence[Any] = (None, 0, 1, "true", "", [], {})
_NOT_AN_OBJECT: Sequence[Any] = (None, 0, 5, "x", "", True, [], [{}], [["id", "x"]])
_TEXT: Sequence[Any] = (None, *_NOT_TEXT, *_BAD_TEXT)
#: Values that may be an id, an expanded object, or missing.
_REFERENCE: Sequence[Any] = (5, 1.5, True, [], {}, ["x"], {"id": None}, {"id": 5}, *_BAD_TEXT)
_METADATA: Sequence[Any] = (5, 1.5, True, "x", ["x"], [["payment_id", "x"]])

#: Fields that payd reads, with values that must be refused.
_OF_EVENT: dict[Path, Sequence[Any]] = {
    ("id",): _TEXT,
    ("object",): (*_TEXT, "Event", "v2.core.event", "list"),
    ("type",): (*_TEXT, "Charge.Refunded", "charge.refunded ", "charge/refunded"),
    ("created",): (*_NOT_AN_AMOUNT, 4_102_444_801),
    ("livemode",): _NOT_A_FLAG,
    ("account",): (*_NOT_TEXT, *_BAD_TEXT),
    ("data",): _NOT_AN_OBJECT,
    ("data", "object"): _NOT_AN_OBJECT,
    ("data", "object", "id"): _TEXT,
    ("data", "object", "currency"): (*_TEXT, "USD", "us", "usdx"),
    ("data", "object", "payment_intent"): _REFERENCE,
}
_OF_KIND: dict[str, dict[Path, Sequence[Any]]] = {
    "checkout.session": {
        ("data", "object", "mode"): _TEXT,
        ("data", "object", "status"): _TEXT,
        ("data", "object", "payment_status"): _TEXT,
        ("data", "object", "amount_total"): _NOT_AN_AMOUNT,
        ("data", "object", "livemode"): _NOT_A_FLAG,
        ("data", "object", "metadata"): _METADATA,
    },
    "charge": {
        ("data", "object", "amount_refunded"): _NOT_AN_AMOUNT,
        ("data", "object", "metadata"): _METADATA,
    },
    "refund": {
        ("data", "object", "charge"): _REFERENCE,
        ("data", "object", "amount"): _NOT_AN_AMOUNT,
        ("data", "object", "created"): _NOT_AN_AMOUNT,
        ("data", "object", "status"): (*_NOT_TEXT, *_BAD_TEXT),
        ("data", "object", "metadata"): _METADATA,
    },
    "dispute": {
        ("data", "object", "charge"): _REFERENCE,
        ("data", "object", "amount"): _NOT_AN_AMOUNT,
        ("data", "object", "created"): _NOT_AN_AMOUNT,
        ("data", "object", "status"): _TEXT,
        ("data", "object", "evidence_details"): (5, "x", True, ["due_by"]),
        ("data", "object", "balance_transactions"): (5, "x", True, [5], [{}], [{"amount": "5"}]),
    },
}
#: Optional fields.
_OPTIONAL = {
    "account",
    "balance_transactions",
    "charge",
    "evidence_details",
    "metadata",
    "payment_intent",
}


def malformed(event: Event, seeded: random.Random) -> tuple[bytes, str]:
    """One malformed event, with a description of the mistake."""
    fields = _OF_EVENT | _OF_KIND[event["data"]["object"]["object"]]
    match seeded.randrange(10):
        case 0 | 1:
            name, write = seeded.choice(_TEXTS)
            return write(json.dumps(event), seeded), name
        case 2:
            path = seeded.choice([p for p in fields if not _is_optional(event, p)])
            return _dumped(_without(event, path)), f"no {'.'.join(path)}"
        case 3:
            name, value = seeded.choice(_TOPS)
            return _dumped(value), name
        case _:
            path = seeded.choice(list(fields))
            value = seeded.choice(fields[path])
            return _dumped(_with(event, path, value)), f"{'.'.join(path)} is {str(value)[:40]!a}"


def _is_optional(event: Event, path: Path) -> bool:
    """Whether payd reads the event without this field; very old refunds have no status."""
    is_refund = event["data"]["object"]["object"] == "refund"
    return path[-1] in _OPTIONAL or (is_refund and path[-1] == "status")


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def _with(event: Event, path: Path, value: Any) -> Event:
    changed = copy.deepcopy(event)
    _parent(changed, path)[path[-1]] = value
    return changed


def _without(event: Event, path: Path) -> Event:
    changed = copy.deepcopy(event)
    del _parent(changed, path)[path[-1]]
    return changed


def _parent(event: Event, path: Path) -> Event:
    for name in path[:-1]:
        event = event[name]
    return event


def _inside(text: str, value: str) -> str:
    """Add one member to the event's JSON, with the name and value as given."""
    return f'{text[:-1]}, "more": {value}}}'


def _deep(opening: str, closing: str, depth: int) -> Callable[[str, random.Random], bytes]:
    nested = opening * depth + "0" + closing * depth
    return lambda text, _: _inside(text, nested).encode()


def _twice(text: str, seeded: random.Random) -> bytes:
    """Repeat a member, so that two parsers could read two different events."""
    name = seeded.choice(('"id": "evt_0"', '"livemode": true', '"type": "charge.refunded"'))
    return f"{{{name}, {text[1:]}".encode()


def _twice_inside(text: str, seeded: random.Random) -> bytes:
    return text.replace('"metadata": {', '"currency": "eur", "metadata": {', 1).encode()


def _cut(text: str, seeded: random.Random) -> bytes:
    return text[: seeded.randrange(len(text))].encode()


_TEXTS: Sequence[tuple[str, Callable[[str, random.Random], bytes]]] = (
    ("no body", lambda text, _: b""),
    ("a space", lambda text, _: b" "),
    ("not JSON", lambda text, seeded: seeded.randbytes(seeded.randint(1, 200)) + b"!"),
    ("cut short", _cut),
    ("single quotes", lambda text, _: text.replace('"', "'").encode()),
    ("a comma at the end", lambda text, _: f"{text[:-1]},}}".encode()),
    ("a comment", lambda text, _: f"{text} // paid".encode()),
    ("two events", lambda text, _: f"{text}{text}".encode()),
    ("a form", lambda text, _: b"id=evt_1&object=event"),
    ("NaN", lambda text, _: _inside(text, "NaN").encode()),
    ("Infinity", lambda text, _: _inside(text, "-Infinity").encode()),
    ("an amount that is NaN", lambda text, _: text.replace("1234567890", "NaN").encode()),
    ("a key twice", _twice),
    ("a key twice, deeper", _twice_inside),
    ("100,000 arrays deep", _deep("[", "]", 100_000)),
    ("100,000 arrays, never closed", lambda text, _: b"[" * 100_000),
    ("20,000 objects deep", _deep('{"a":', "}", 20_000)),
    ("5,000 digits", lambda text, _: _inside(text, "7" * 5000).encode()),
    ("a created of 5,000 digits", lambda text, _: _created(text, "7" * 5000)),
    ("a negative created of 5,000 digits", lambda text, _: _created(text, "-" + "7" * 5000)),
    ("a created like a float", lambda text, _: _created(text, "1e9")),
    ("a leading zero", lambda text, _: _created(text, "01234567890")),
    ("other digits", lambda text, _: _created(text, "\u0661\u0662")),
    ("a raw line end in text", lambda text, _: text.replace('"event"', '"event\n"').encode()),
    ("a raw zero", lambda text, _: text.replace('"event"', '"event\x00"').encode()),
    ("a raw surrogate", lambda text, _: text.encode().replace(b'"event"', b'"\xed\xa0\x80"')),
    (
        "bytes that are no UTF-8",
        lambda text, _: _inside(text, '"?"').encode().replace(b"?", b"\xff"),
    ),
    ("an overlong form", lambda text, _: _inside(text, '"?"').encode().replace(b"?", b"\xc0\xaf")),
    ("a mark", lambda text, _: text.encode("utf-8-sig")),
    ("UTF-16", lambda text, _: text.encode("utf-16")),
    ("UTF-16, big-endian", lambda text, _: text.encode("utf-16-be")),
    ("UTF-32", lambda text, _: text.encode("utf-32")),
    ("EBCDIC", lambda text, _: text.encode("cp037")),
    ("more than is read", lambda text, _: _inside(text, f'"{"x" * 300_000}"').encode()),
)
_THIN = {
    "id": "evt_test_65R9Ijk8dKEYZcXeRWn16R9A7j1FSQ3w3TGDPLLGSM4CW0",
    "object": "v2.core.event",
    "type": "v1.billing.meter.error_report_triggered",
    "livemode": False,
    "created": "2024-09-17T06:20:52.246Z",
    "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1"},
}
#: Bodies that are not an event at all.
_TOPS: Sequence[tuple[str, Any]] = (
    ("a thin event", _THIN),
    ("a thin event that calls itself another", _THIN | {"object": "event"}),
    ("a thin event's list", [_THIN]),
    ("null", None),
    ("true", True),
    ("a number", 17),
    ("a text", "evt_1"),
    ("an empty object", {}),
    ("an empty array", []),
    ("an array of events", [{"object": "event", "id": "evt_1", "type": "charge.refunded"}]),
    ("only what it is", {"object": "event"}),
    ("a bare session", {"object": "checkout.session", "id": "cs_test_1"}),
)


def _created(text: str, written: str) -> bytes:
    """The id of the event itself: the first member with that name."""
    before, name, after = text.partition('"created": ')
    return f"{before}{name}{written}{after.lstrip('0123456789')}".encode()

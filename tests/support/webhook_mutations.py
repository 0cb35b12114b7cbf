"""Webhooks that must be refused: valid ones of Stripe's shapes, changed in every known way.

Pure: the same seed and time give the same webhooks.
"""

import hashlib
import hmac
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import stripe

from support.cards import WEBHOOK_SECRET
from support.malformed_events import malformed

FIXTURES = Path(__file__).parents[1] / "fixtures/stripe"
TOLERANCE_S = 300
PAYMENT_ID = "3f0c8e8e-6f0e-4c0b-9d53-0f0e6a1c2b77"

Event = dict[str, Any]
#: Body, headers, and a description of the change.
Mutation = tuple[bytes, Mapping[bytes, bytes], str]
#: Seconds for which a corpus may be sent.
_SOON = 3_600


def good_events(now: int) -> list[Event]:
    """Return one event of each kind that the provider reads, about an unknown payment."""
    session = _fixture("checkout.session") | {
        "amount_total": 4900,
        "client_reference_id": PAYMENT_ID,
        "currency": "usd",
        "metadata": {"payment_id": PAYMENT_ID},
        "mode": "payment",
        "payment_intent": "pi_1PgafyB7WZ01zgkWSjxsAJo3",
        "payment_status": "paid",
        "status": "complete",
    }
    objects = {
        "checkout.session.completed": session,
        "checkout.session.expired": session | {"status": "expired", "payment_status": "unpaid"},
        "checkout.session.async_payment_failed": session | {"payment_status": "unpaid"},
        "charge.refunded": _fixture("charge") | {"amount_refunded": 100},
        "refund.created": _fixture("refund"),
        "charge.dispute.created": _fixture("dispute"),
    }
    frame = _fixture("event") | {"api_version": stripe.api_version, "created": now}
    return [
        frame | {"id": f"evt_{n}", "type": kind, "data": {"object": one}}
        for n, (kind, one) in enumerate(objects.items())
    ]


def mutated(seed: int, count: int, now: int) -> Iterator[Mutation]:
    """Return webhooks that must be refused at `now` and for most of the following hour."""
    seeded = random.Random(seed)
    events = good_events(now)
    made = 0
    while made < count:
        event = seeded.choice(events)
        if seeded.random() < 0.5:
            body, what = malformed(event, seeded)
            header: bytes | None = signature(body, now)
        else:
            body, header, what = _unsigned(written(event), seeded, now)
            if is_signed(body, header, now):
                continue
        made += 1
        yield body, _headers(header), what


def written(event: Event) -> bytes:
    """Serialize as Stripe does."""
    return json.dumps(event, indent=2).encode()


def signed_headers(body: bytes, now: int) -> Mapping[bytes, bytes]:
    """Return the headers of a valid webhook."""
    return _headers(signature(body, now))


def signature(body: bytes, now: int, secret: str = WEBHOOK_SECRET) -> bytes:
    """Sign like an honest sender; with the SDK if it can read the body."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return f"t={now},v1={_hmac(body, str(now), secret)}".encode()
    made: str = stripe.WebhookSignature.generate_signature_header(text, secret, now)
    return made.encode()


def is_signed(body: bytes, header: bytes | None, now: int) -> bool:
    """Whether body, time and one signature are unchanged, whatever else was changed."""
    parts = [part.partition(b"=") for part in (header or b"").split(b",")]
    times = [value for name, _, value in parts if name == b"t"]
    if len(times) != 1 or not (times[0].isdigit() and len(times[0]) <= 12):
        return False
    time = int(times[0])
    wanted = _hmac(body, str(time), WEBHOOK_SECRET).encode()
    is_there = any(name == b"v1" and value == wanted for name, _, value in parts)
    # A time in the future would become valid during the run: sending them all takes minutes.
    return is_there and -2 * TOLERANCE_S < time - now < _SOON


def _hmac(body: bytes, time: str, secret: str) -> str:
    return hmac.new(secret.encode(), f"{time}.".encode() + body, hashlib.sha256).hexdigest()


def _headers(header: bytes | None) -> Mapping[bytes, bytes]:
    given = {} if header is None else {b"stripe-signature": header}
    return {b"content-type": b"application/json; charset=utf-8", **given}


def _fixture(name: str) -> Event:
    read: Event = json.loads((FIXTURES / f"{name}.json").read_text())
    return read


# -- changes that are possible without the secret -----------------------------------------------


def _unsigned(body: bytes, seeded: random.Random, now: int) -> tuple[bytes, bytes | None, str]:
    """Change the bytes under the signature, or the signature over the bytes."""
    header = signature(body, now)
    if seeded.random() < 0.5:
        name, change = seeded.choice(_BODIES)
        return change(body, seeded), header, name
    name, make = seeded.choice(_HEADERS)
    return body, make(body, header, seeded, now), name


def _flipped(body: bytes, seeded: random.Random) -> bytes:
    changed = bytearray(body)
    for _ in range(seeded.randint(1, 4)):
        changed[seeded.randrange(len(changed))] = seeded.randrange(256)
    return bytes(changed)


def _swapped(body: bytes, seeded: random.Random) -> bytes:
    one, other = sorted(seeded.sample(range(len(body)), 2))
    middle = body[one + 1 : other]
    return body[:one] + body[other : other + 1] + middle + body[one : one + 1] + body[other + 1 :]


def _extended(body: bytes, seeded: random.Random) -> bytes:
    more = seeded.choice((b" ", b"\n", b"\x00", b"{}", seeded.randbytes(seeded.randint(1, 64))))
    return body + more if seeded.random() < 0.5 else more + body


def _dearer(body: bytes, seeded: random.Random) -> bytes:
    """The change that would mark a payment as paid."""
    return body.replace(b"4900", str(seeded.randint(1, 4899)).encode())


_BODIES: Sequence[tuple[str, Callable[[bytes, random.Random], bytes]]] = (
    ("bytes changed", _flipped),
    ("bytes swapped", _swapped),
    ("truncated", lambda body, seeded: body[: seeded.randrange(len(body))]),
    ("extended", _extended),
    ("another amount", _dearer),
    ("written without spaces", lambda body, _: json.dumps(json.loads(body)).encode()),
    ("UTF-16", lambda body, _: body.decode().encode("utf-16")),
    ("UTF-16 without a mark", lambda body, _: body.decode().encode("utf-16-le")),
    ("a byte order mark", lambda body, _: b"\xef\xbb\xbf" + body),
    ("other line ends", lambda body, _: body.replace(b"\n", b"\r\n")),
)


def _at(time: int) -> "_Maker":
    return lambda body, header, seeded, now: signature(body, now + time)


def _stamped(write: Callable[[int], str], *, honest: bool = False) -> "_Maker":
    """Write the time in this form; sign it as written, or as Stripe would."""

    def make(body: bytes, header: bytes, seeded: random.Random, now: int) -> bytes:
        text = write(now)
        return f"t={text},v1={_hmac(body, str(now) if honest else text, WEBHOOK_SECRET)}".encode()

    return make


def _rewritten(write: Callable[[bytes, bytes], bytes | None]) -> "_Maker":
    """Build headers from the time and the signature of the valid header."""

    def make(body: bytes, header: bytes, seeded: random.Random, now: int) -> bytes | None:
        time, _, made = header.removeprefix(b"t=").partition(b",v1=")
        return write(time, made)

    return make


def _noisy(body: bytes, header: bytes, seeded: random.Random, now: int) -> bytes:
    changed = bytearray(header)
    for _ in range(seeded.randint(1, 3)):
        # Only characters that HTTP allows.
        changed[seeded.randrange(len(changed))] = seeded.choice(range(0x21, 0x7F))
    return bytes(changed)


_Maker = Callable[[bytes, bytes, random.Random, int], bytes | None]
_OTHER_DIGITS = str.maketrans("0123456789", "".join(map(chr, range(0x0660, 0x066A))))
_WIDE_DIGITS = str.maketrans("0123456789", "".join(map(chr, range(0xFF10, 0xFF1A))))
_OLD = TOLERANCE_S * 2
_HEADERS: Sequence[tuple[str, _Maker]] = (
    ("no header", _rewritten(lambda t, v: None)),
    ("an empty header", _rewritten(lambda t, v: b"")),
    ("noise in the header", _noisy),
    ("too old", _at(-_OLD)),
    ("a day old", _at(-86_400)),
    ("from the future", _at(2 * _SOON)),
    ("from far in the future", _at(10**9)),
    ("a negative time", _stamped(lambda now: str(-now))),
    ("time zero", _stamped(lambda now: "0")),
    ("a huge time", _stamped(lambda now: "9" * 400)),
    ("a time of 5,000 digits", _stamped(lambda now: f"{now}" + "0" * 5000)),
    ("a time with a fraction", _stamped(lambda now: f"{now}.0")),
    ("a time in words", _stamped(lambda now: "now")),
    ("a time with a sign", _stamped(lambda now: f"+{now}", honest=True)),
    ("a time with a gap", _stamped(lambda now: f" {now}", honest=True)),
    ("a time with underscores", _stamped(lambda now: f"{now:_}", honest=True)),
    ("Arabic digits", _stamped(lambda now: str(now).translate(_OTHER_DIGITS), honest=True)),
    ("wide digits", _stamped(lambda now: str(now).translate(_WIDE_DIGITS), honest=True)),
    ("an empty time", _stamped(lambda now: "")),
    ("two times", _rewritten(lambda t, v: b"t=%b,t=%b,v1=%b" % (t, t, v))),
    ("an old time, too", _rewritten(lambda t, v: b"t=1,t=%b,v1=%b" % (t, v))),
    ("no time", _rewritten(lambda t, v: b"v1=" + v)),
    ("another time", _rewritten(lambda t, v: b"t=%d,v1=%b" % (int(t) + 1, v))),
    ("no signature", _rewritten(lambda t, v: b"t=" + t)),
    ("v0 only", _rewritten(lambda t, v: b"t=%b,v0=%b" % (t, v))),
    ("v2", _rewritten(lambda t, v: b"t=%b,v2=%b" % (t, v))),
    ("the scheme in capitals", _rewritten(lambda t, v: b"t=%b,V1=%b" % (t, v))),
    ("names in capitals", _rewritten(lambda t, v: b"T=%b,V1=%b" % (t, v))),
    ("the signature in capitals", _rewritten(lambda t, v: b"t=%b,v1=%b" % (t, v.upper()))),
    ("a short signature", _rewritten(lambda t, v: b"t=%b,v1=%b" % (t, v[:-1]))),
    ("a long signature", _rewritten(lambda t, v: b"t=%b,v1=%b0" % (t, v))),
    ("an empty signature", _rewritten(lambda t, v: b"t=%b,v1=" % t)),
    ("a gap in the header", _rewritten(lambda t, v: b"t=%b, v1=%b" % (t, v))),
    ("semicolons", _rewritten(lambda t, v: b"t=%b;v1=%b" % (t, v))),
    ("bytes beyond ASCII", _rewritten(lambda t, v: b"t=%b,v1=%b,v1=\xff\xfe" % (t, v[::-1]))),
    ("a thousand signatures", _rewritten(lambda t, v: b"t=%b" % t + b",v1=00" * 1000)),
    ("another secret", lambda body, header, seeded, now: signature(body, now, "whsec_other")),
    ("an empty secret", lambda body, header, seeded, now: signature(body, now, "")),
    ("a body never sent", lambda body, header, seeded, now: signature(body + b" ", now)),
)

"""Verification of webhooks: accepts what the SDK would, or less."""

import json
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st
from stripe_provider.webhooks import verify
from unit.stripe.builders import (
    NOW,
    SECOND,
    SECRET,
    TOLERANCE_S,
    a_completed,
    deliver,
    header_of,
    refusal,
)

from payd.plugins import WebhookRefused, WebhookRequest

BODY = json.dumps(a_completed())
SMALL = '{"object":"event","id":"evt_1","type":"a.b","created":1,"livemode":false}'
OTHER = "whsec_two"

_KEYS = st.text(st.characters(codec="utf-8"), max_size=8)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | _KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)
_EXTRA = st.dictionaries(_KEYS, _VALUES, max_size=4)
_SECRETS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(
    lambda text: bool(text.strip())
)


def sdk_takes(body: str, header: str, secret: str, now: datetime = NOW) -> bool:
    """What the SDK says at that time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stripe._webhook.time", SimpleNamespace(time=now.timestamp))
        try:
            stripe.WebhookSignature.verify_header(body, header, secret, TOLERANCE_S)
        except stripe.SignatureVerificationError:
            return False
    return True


def signature_of(header: str) -> str:
    return header.partition("v1=")[2]


@given(extra=_EXTRA, secret=_SECRETS, wanted=_SECRETS, is_ascii=st.booleans())
def test_it_takes_exactly_the_bodies_that_the_sdk_takes(
    extra: dict[str, object], secret: str, wanted: str, is_ascii: bool
) -> None:
    body = json.dumps(extra | json.loads(SMALL), ensure_ascii=is_ascii)
    for signer in (secret, wanted):
        header = header_of(body, signer)
        is_taken = refusal(body, header, secrets=(wanted,)) is None
        assert is_taken is sdk_takes(body, header, wanted)


@given(age_s=st.integers(min_value=-TOLERANCE_S, max_value=3 * TOLERANCE_S))
def test_its_age_counts_as_with_the_sdk(age_s: int) -> None:
    header = header_of(SMALL, time=SECOND - age_s)
    assert (refusal(SMALL, header) is None) is sdk_takes(SMALL, header, SECRET)


@pytest.mark.parametrize(
    ("age_s", "reason"),
    [
        (-301, "from_the_future"),
        (-300, None),
        (0, None),
        (300, None),
        (301, "too_old"),
        (10**9, "too_old"),
        (-(10**11), "from_the_future"),
    ],
)
def test_it_is_recent_by_300_seconds_both_ways(age_s: int, reason: str | None) -> None:
    assert refusal(SMALL, header_of(SMALL, time=SECOND - age_s)) == reason


@pytest.mark.parametrize(
    ("now_us", "age_s", "reason"),
    [(1, 300, "too_old"), (1, 299, None), (-1, -300, "from_the_future"), (-1, -299, None)],
)
def test_a_microsecond_over_the_border_is_over_it(
    now_us: int, age_s: int, reason: str | None
) -> None:
    now = NOW + timedelta(microseconds=now_us)
    assert refusal(SMALL, header_of(SMALL, time=SECOND - age_s), now=now) == reason


@pytest.mark.parametrize("hours", [-12, -5.5, 0, 9, 14])
@pytest.mark.parametrize(("age_s", "is_taken"), [(300, True), (301, False)])
def test_our_time_zone_changes_nothing(hours: float, age_s: int, is_taken: bool) -> None:
    now = NOW.astimezone(timezone(timedelta(hours=hours)))
    header = header_of(SMALL, time=SECOND - age_s)
    assert (refusal(SMALL, header, now=now) is None) is is_taken


def test_the_operators_tolerance_is_used() -> None:
    request = WebhookRequest(
        body=SMALL.encode(), headers={"stripe-signature": header_of(SMALL, time=SECOND - 11)}
    )
    assert verify(request, (SECRET,), NOW, 11).id == "evt_1"
    with pytest.raises(WebhookRefused, match="too long ago"):
        verify(request, (SECRET,), NOW, 10)


@given(place=st.integers(min_value=0, max_value=len(BODY) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_of_the_body_is_refused(place: int, bit: int) -> None:
    raw = bytearray(BODY.encode())
    raw[place] ^= 1 << bit
    assert refusal(bytes(raw), header_of(BODY)) == "signature"


@pytest.mark.parametrize("place", range(len(header_of(BODY))))
def test_a_changed_character_of_the_header_is_refused(place: int) -> None:
    header = header_of(BODY)
    for other in "0z=,t\x00é":
        if other != header[place]:
            changed = f"{header[:place]}{other}{header[place + 1 :]}"
            assert refusal(BODY, changed) is not None, changed


@pytest.mark.parametrize("added", [" ", "\n", "\x00", "\ufeff"])
def test_a_byte_more_or_less_is_refused(added: str) -> None:
    header = header_of(BODY)
    for body in (BODY + added, added + BODY, BODY[:-1], BODY[1:]):
        assert refusal(body, header) == "signature"


SIGNED = signature_of(header_of(BODY))


@pytest.mark.parametrize(
    "header",
    [
        "",
        ",",
        "=",
        "t",
        "t=",
        "nonsense",
        f"v1={SIGNED}",
        f"t=,v1={SIGNED}",
        f"t={SECOND}",
        f"t={SECOND},",
        f"t={SECOND},v1=",
        f"t={SECOND},v1",
        f"t={SECOND},v0={SIGNED}",
        f"t={SECOND},v2={SIGNED}",
        f"t={SECOND},V1={SIGNED}",
        f"T={SECOND},v1={SIGNED}",
        f"t={SECOND},t={SECOND},v1={SIGNED}",
        f"t={SECOND},t=1,v1={SIGNED}",
        f"t=1,t={SECOND},v1={SIGNED}",
        f"t={SECOND};v1={SIGNED}",
        f"t={SECOND}.0,v1={SIGNED}",
        f"t=+{SECOND},v1={SIGNED}",
        f"t=-{SECOND},v1={SIGNED}",
        f"t= {SECOND},v1={SIGNED}",
        f"t={SECOND}\n,v1={SIGNED}",
        f"t={str(SECOND)[:4]}_{str(SECOND)[4:]},v1={SIGNED}",
        f"t={'9' * 5000},v1={SIGNED}",
        f"t=nan,v1={SIGNED}",
        f"t={SECOND},v1={SIGNED.upper()}",
        f"t={SECOND},v1={SIGNED[:-1]}",
        f"t={SECOND},v1={SIGNED}0",
        f"t={SECOND},v1={SIGNED} ",
        f"t={SECOND},v1={SIGNED},x=é",
        f"t={SECOND},v1={SIGNED}\ud800",
        "t=" + "".join(chr(0x660 + int(digit)) for digit in str(SECOND)) + f",v1={SIGNED}",
    ],
    ids=ascii,
)
def test_a_header_that_is_not_stripes_is_refused(header: str) -> None:
    assert refusal(BODY, header) == "signature"


def test_a_missing_header_is_refused() -> None:
    request = WebhookRequest(body=BODY.encode(), headers={})
    with pytest.raises(WebhookRefused) as refused:
        verify(request, (SECRET,), NOW, TOLERANCE_S)
    assert refused.value.reason == "signature"


@given(header=st.text(max_size=120))
def test_no_header_is_anything_but_refused(header: str) -> None:
    assert refusal(BODY, header) == "signature"


def test_a_time_that_was_exchanged_is_refused() -> None:
    assert refusal(BODY, f"t={SECOND + 1},v1={SIGNED}") == "signature"


def test_a_leading_zero_is_another_time() -> None:
    # The SDK reads the number and signs that; the number is the same.
    assert deliver(BODY, f"t=0{SECOND},v1={SIGNED}").id == "evt_1"


# -- secrets -----------------------------------------------------------------------------------


def test_another_secret_is_refused() -> None:
    assert refusal(BODY, header_of(BODY, OTHER)) == "signature"


@pytest.mark.parametrize("secrets", [(SECRET, OTHER), (OTHER, SECRET), (OTHER, "x", SECRET)])
def test_while_a_secret_is_rolled_either_one_fits(secrets: tuple[str, ...]) -> None:
    for signer in secrets:
        assert refusal(BODY, header_of(BODY, signer), secrets=secrets) is None


@pytest.mark.parametrize(
    "values",
    [
        ("0" * 64, SIGNED),
        (SIGNED, "0" * 64),
        ("", SIGNED),
        ("x", "0" * 64, SIGNED, "y"),
        (signature_of(header_of(BODY, OTHER)), SIGNED),
    ],
)
def test_one_of_several_signatures_must_fit(values: tuple[str, ...]) -> None:
    header = f"t={SECOND}," + ",".join(f"v1={value}" for value in values)
    assert refusal(BODY, header) is None
    assert sdk_takes(BODY, header, SECRET)


def test_other_schemes_beside_it_are_ignored() -> None:
    assert refusal(BODY, f"v0={'1' * 64},t={SECOND},v1={SIGNED},v2=,scheme") is None


def test_two_signatures_that_both_fit_nothing_are_refused() -> None:
    assert refusal(BODY, f"t={SECOND},v1={'0' * 64},v1={'1' * 64}") == "signature"


def test_without_a_secret_everything_is_refused() -> None:
    assert refusal(BODY, header_of(BODY), secrets=()) == "signature"
    assert refusal(BODY, header_of(BODY, ""), secrets=()) == "signature"


@pytest.mark.parametrize("empty", ["", " ", "\n"])
def test_an_empty_secret_fits_nothing(empty: str) -> None:
    header = header_of(BODY, empty)
    assert not sdk_takes(BODY, header, empty)
    assert refusal(BODY, header, secrets=(empty,)) == "signature"


@given(body=st.binary(max_size=200))
def test_what_is_not_signed_is_never_read(body: bytes) -> None:
    assert refusal(body, header_of(BODY)) == "signature"


def test_a_refusal_does_not_show_the_expected_signature() -> None:
    with pytest.raises(WebhookRefused) as refused:
        deliver(BODY, f"t={SECOND},v1={'0' * 64}")
    assert SIGNED not in str(refused.value) + repr(refused.value)
    assert SECRET not in str(refused.value) + repr(refused.value)

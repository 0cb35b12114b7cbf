"""The stand-in's objects have the fields, and the types, of Stripe's own examples."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin

import pytest
import stripe
from integration.stripe.stand_in import SDK_WARNING, Rig, open_rig

pytestmark = pytest.mark.filterwarnings(SDK_WARNING)

FIXTURES = Path(__file__).parents[2] / "fixtures" / "stripe"
KINDS = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


def fixture(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return loaded


def kinds_of(annotation: Any) -> set[str]:
    """The JSON types that the SDK documents for a field."""
    if annotation in KINDS:
        return {KINDS[annotation]}
    origin = get_origin(annotation)
    if origin is Union:
        return {kind for one in get_args(annotation) for kind in kinds_of(one)}
    if origin is Literal:
        return {KINDS[type(value)] for value in get_args(annotation)}
    if origin in KINDS:
        return {KINDS[origin]}
    known = isinstance(annotation, ForwardRef) or issubclass(
        origin or annotation, stripe.StripeObject
    )
    assert known, annotation
    return {"object"}


def values_of(annotation: Any) -> set[Any]:
    """The words that the SDK documents for a field; none when it may be any."""
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    if get_origin(annotation) is Union:
        return {value for one in get_args(annotation) for value in values_of(one)}
    return set()


def class_of(annotation: Any) -> type | None:
    """What the SDK makes of an object."""
    candidates = get_args(annotation) if get_origin(annotation) is Union else (annotation,)
    for one in candidates:
        if isinstance(one, type) and issubclass(one, stripe.StripeObject):
            return one
    return None


def check(ours: dict[str, Any], theirs: dict[str, Any], documented: type | None, at: str) -> None:
    """Each field has the name and the type of theirs; null only where Stripe says so."""
    notes: dict[str, Any] = getattr(documented, "__annotations__", {})
    for name, value in ours.items():
        where, kind = f"{at}.{name}", KINDS[type(value)]
        # An example shows one of several variants; the SDK knows all.
        assert name in theirs or name in notes, where
        allowed = kinds_of(notes[name]) if name in notes else set()
        if (example := theirs.get(name)) is not None:
            nullable = {"null"} & allowed
            assert kind in {KINDS[type(example)], *nullable}, (where, kind)
        elif allowed:
            assert kind in allowed, (where, kind)
        if isinstance(value, str) and (words := values_of(notes.get(name))):
            assert value in words, (where, value)
        if isinstance(value, dict) and name not in ("metadata", "payment_method"):
            inner = example if isinstance(example, dict) else {}
            if inner or class_of(notes.get(name)):
                check(value, inner, class_of(notes.get(name)), where)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with open_rig() as rig:
        yield rig


async def stored(rig: Rig, session: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The session, its payment intent and its charge."""
    expand = {"expand": ["payment_intent.latest_charge"]}
    found = (await rig.sessions.retrieve_async(session.id, expand)).to_dict()
    intent = found["payment_intent"]
    charge = intent["latest_charge"]
    return (
        {**found, "payment_intent": intent["id"]},
        {**intent, "latest_charge": charge["id"]},
        charge,
    )


def check_session(session: dict[str, Any]) -> None:
    theirs = fixture("checkout.session")
    assert set(session) == set(theirs)
    check(session, theirs, stripe.checkout.Session, "session")


async def test_an_open_session(rig: Rig) -> None:
    check_session((await rig.create()).to_dict())
    check_session((await rig.create(payment_method_types=None, cancel_url=None)).to_dict())


async def test_an_expired_session(rig: Rig) -> None:
    session = await rig.create()

    check_session((await rig.sessions.expire_async(session.id)).to_dict())


@pytest.mark.parametrize(
    "deeds",
    [
        ("pay",),
        ("pay_async",),
        ("pay_async", "async_succeed"),
        ("pay_async", "async_fail"),
        ("decline",),
        ("decline", "expire"),
        ("decline", "pay"),
        ("pay", "refund"),
        ("pay", "dispute"),
    ],
)
async def test_what_a_payment_leaves(rig: Rig, deeds: tuple[str, ...]) -> None:
    session = await rig.create()
    for deed in deeds:
        await rig.act(session, deed)

    found, intent, charge = await stored(rig, session)

    check_session(found)
    check(intent, fixture("payment_intent"), stripe.PaymentIntent, "payment_intent")
    assert set(fixture("payment_intent")) == set(intent)
    check(charge, fixture("charge"), stripe.Charge, "charge")
    # Only there when they are asked for.
    assert set(fixture("charge")) - set(charge) == {"refunds"}


async def test_a_dispute(rig: Rig) -> None:
    session = await rig.create()
    await rig.act(session, "pay")

    for dispute in (await rig.act(session, "dispute"), await rig.act(session, "close_dispute")):
        check(dispute, fixture("dispute"), stripe.Dispute, "dispute")
        assert set(dispute) == set(fixture("dispute"))


async def test_events(rig: Rig) -> None:
    session = await rig.create()
    for deed in ("decline", "pay", "refund"):
        await rig.act(session, deed)
    await rig.sessions.expire_async((await rig.create()).id)

    events = await rig.client.v1.events.list_async()
    webhooks = await rig.receiver.until(4)

    theirs = {**fixture("event"), "data": {}}
    for event in (*(event.to_dict() for event in events.data), *webhooks):
        assert set(event) == set(theirs)
        check({**event, "data": {}}, theirs, stripe.Event, "event")
        assert set(event["data"]) <= {"object", "previous_attributes"}
    assert len(events.data) == 5


async def test_lists_and_the_balance(rig: Rig) -> None:
    await rig.create()

    page = (await rig.sessions.list_async()).to_dict()
    balance = (await rig.client.v1.balance.retrieve_async()).to_dict()

    assert {name: type(value) for name, value in page.items()} == {
        "object": str,
        "url": str,
        "has_more": bool,
        "data": list,
    }
    assert balance["object"] == "balance"
    assert set(balance["available"][0]) == {"amount", "currency", "source_types"}

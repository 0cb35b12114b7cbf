"""Webhooks: only authentic, recent ones are accepted, in any order, any number of times."""

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import attrs
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from payd.plugins import (
    Observation,
    ProviderEvent,
    ProviderStatus,
    Snapshot,
    SupportsWebhooks,
    WebhookRefused,
    WebhookRequest,
)
from payd.plugins.testing.bench import Bench
from payd.plugins.testing.operations import due, names
from payd.plugins.testing.registry import Failed, Level, check, supports
from payd.plugins.testing.remote import CannotHappen, NotScripted
from payd.providers import validation
from payd.providers.calls import PluginFailed, guarded

_OLD = timedelta(hours=2)
_SOON = timedelta(hours=2)
#: Between two deliveries of one event.
_AGAIN = timedelta(minutes=17)


def verified(
    bench: Bench,
    request: WebhookRequest,
    secrets: dict[str, tuple[str, ...]] | None = None,
    now: datetime | None = None,
) -> tuple[ProviderEvent, ...]:
    """Verify a webhook and return its events. Raises WebhookRefused, and Failed as payd refuses."""
    assert isinstance(bench.provider, SupportsWebhooks)
    now = bench.clock.now() if now is None else now
    returned = bench.provider.verify(request, secrets or bench.secrets, now)
    try:
        events = validation.events_of(returned)
    except validation.InvalidBatch as error:
        raise Failed(str(error)) from None
    if events is None:
        raise Failed(f"verify returned {returned!r}, not events that payd can store")
    return events


def _refused(
    bench: Bench,
    request: WebhookRequest,
    what: str,
    secrets: Mapping[str, tuple[str, ...]] | None = None,
) -> None:
    provider = bench.provider
    assert isinstance(provider, SupportsWebhooks)
    try:
        guarded(lambda: provider.verify(request, secrets or bench.secrets, bench.clock.now()))
    except PluginFailed as error:
        if isinstance(error.__cause__, WebhookRefused):
            return
        raise Failed(f"verify of {what} raised {error}, not WebhookRefused") from error
    raise Failed(f"verify accepted {what}")


async def _authentic(bench: Bench) -> WebhookRequest:
    _, ref, _ = await bench.paid()
    return bench.remote.webhook(ref, bench.clock.now())


@check(
    Level.WEBHOOKS,
    "A refused webhook is delivered again and again while the customer waits.",
    supports(SupportsWebhooks),
)
async def an_authentic_webhook_is_accepted(bench: Bench) -> None:
    request = await _authentic(bench)
    events = verified(bench, request)
    if not events:
        raise Failed("verify returned no event for the webhook of a paid object")
    if not all(event.id and event.type for event in events):
        raise Failed("the event has no id or no type")
    if verified(bench, request) != events:
        raise Failed("verify returned different events for the same webhook")


@check(
    Level.WEBHOOKS,
    "A webhook is delivered again for days; under one id payd keeps one content.",
    supports(SupportsWebhooks),
)
async def an_event_delivered_again_is_the_same(bench: Bench) -> None:
    _, ref, _ = await bench.paid()
    now = bench.clock.now()
    first = verified(bench, bench.remote.webhook(ref, now), now=now)
    later = now + _AGAIN
    again = verified(bench, bench.remote.webhook(ref, later), now=later)
    if {one.id for one in again} != {one.id for one in first}:
        raise Failed(
            f"delivered again {_AGAIN} later, the events have the ids"
            f" {sorted(one.id for one in again)}, not {sorted(one.id for one in first)}"
        )
    if again != first:
        raise Failed(
            f"delivered again {_AGAIN} later, the event {first[0].id} has another content: keep"
            " nothing of the delivery in it, such as verify's `now`"
        )


@check(
    Level.WEBHOOKS,
    "Anyone can send webhooks; a forged one would give the service away.",
    supports(SupportsWebhooks),
)
async def one_changed_byte_is_refused(bench: Bench) -> None:
    request = await _authentic(bench)
    size = len(request.body)
    for position in {0, 1, size // 3, size // 2, size - 2, size - 1}:
        body = bytearray(request.body)
        body[position] ^= 1
        forged = attrs.evolve(request, body=bytes(body))
        _refused(bench, forged, f"a webhook with byte {position} changed")
    _refused(bench, attrs.evolve(request, body=request.body + b" "), "a webhook with a space added")


@check(
    Level.WEBHOOKS, "Without a signature, anyone could have sent it.", supports(SupportsWebhooks)
)
async def without_its_signature_it_is_refused(bench: Bench) -> None:
    request = await _authentic(bench)
    for name in bench.remote.signature_headers():
        rest = {key: value for key, value in request.headers.items() if key != name}
        _refused(bench, attrs.evolve(request, headers=rest), f"a webhook without {name}")
        for value in ("", "x", "t=1,v1=", "\u00ff" * 20, "0" * 5000):
            changed = {**request.headers, name: value}
            _refused(
                bench,
                attrs.evolve(request, headers=changed),
                f"a webhook with {name}: {value[:20]!r}",
            )


@check(Level.WEBHOOKS, "A recorded webhook could be replayed for ever.", supports(SupportsWebhooks))
async def an_old_webhook_is_refused(bench: Bench) -> None:
    _, ref, _ = await bench.paid()
    old = bench.remote.webhook(ref, bench.clock.now() - _OLD)
    _refused(bench, old, f"a webhook signed {_OLD} ago")


@check(
    Level.WEBHOOKS,
    "A recorded webhook could be replayed for ever with the time of a newer one.",
    supports(SupportsWebhooks),
)
async def a_recorded_signature_fits_no_other_webhook(bench: Bench) -> None:
    _, recorded, _ = await bench.paid()
    _, newer, _ = await bench.paid()
    old = bench.remote.webhook(recorded, bench.clock.now() - _OLD)
    new = bench.remote.webhook(newer, bench.clock.now())
    differing = [name for name, value in new.headers.items() if old.headers.get(name) != value]
    for number in range(1, len(differing) + 1):
        for chosen in itertools.combinations(differing, number):
            mixed = {**old.headers, **{name: new.headers[name] for name in chosen}}
            what = f"a webhook signed {_OLD} ago with {', '.join(chosen)} of a newer one"
            _refused(bench, attrs.evolve(old, headers=mixed), what)


@check(
    Level.WEBHOOKS,
    "A part reported as the whole would give the service away.",
    supports(SupportsWebhooks),
)
async def a_webhook_of_a_partial_payment_reports_the_part(bench: Bench) -> None:
    operation, ref, _ = await bench.opened()
    part = due(operation) // 2
    await bench.pay(ref, part)
    request = bench.remote.webhook(ref, bench.clock.now())
    for observation in _translate(bench, verified(bench, request)):
        fact = observation.fact
        if isinstance(fact, Snapshot) and (
            fact.status is ProviderStatus.PAID or fact.received != part
        ):
            raise Failed(
                f"{part} of {due(operation)} was paid, but the webhook reports"
                f" received {fact.received}, status {fact.status.value}"
            )


@check(
    Level.WEBHOOKS,
    "A webhook with a future time could be replayed later.",
    supports(SupportsWebhooks),
)
async def a_webhook_from_the_future_is_refused(bench: Bench) -> None:
    _, ref, _ = await bench.paid()
    early = bench.remote.webhook(ref, bench.clock.now() + _SOON)
    _refused(bench, early, f"a webhook signed {_SOON} in the future")


@check(
    Level.WEBHOOKS,
    "During a rotation, webhooks are signed with either secret.",
    supports(SupportsWebhooks),
)
async def both_secrets_are_accepted_during_rotation(bench: Bench) -> None:
    request = await _authentic(bench)
    name = bench.remote.secret_name()
    mine = bench.secrets[name]
    for values in (("another-secret", *mine), (*mine, "another-secret")):
        verified(bench, request, {**bench.secrets, name: values})
    _refused(
        bench,
        request,
        "a webhook signed with another secret",
        secrets={**bench.secrets, name: ("another",)},
    )


#: What a header can hold. Hypothesis takes a second to prepare all of Unicode.
_IN_HEADERS = [chr(code) for code in range(256)]


@check(
    Level.WEBHOOKS,
    "The webhook port is public; whatever arrives there must at most be refused.",
    supports(SupportsWebhooks),
)
async def garbage_is_refused(bench: Bench) -> None:
    known = await _authentic(bench)

    @settings(
        max_examples=60,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        # What fails is not shown, so it need not be made shorter.
        phases=[Phase.generate],
    )
    @given(
        body=st.one_of(
            st.binary(max_size=200), st.sampled_from([b"", b"{}", b"[]", b"null", b"[" * 9000])
        ),
        headers=st.dictionaries(
            st.sampled_from([*known.headers, "x-other"]),
            st.text(st.sampled_from(_IN_HEADERS), max_size=40),
            max_size=3,
        ),
    )
    def refused(body: bytes, headers: dict[str, str]) -> None:
        _refused(bench, WebhookRequest(body=body, headers=headers), "garbage")

    refused()


@check(
    Level.WEBHOOKS,
    "payd verifies a webhook during the HTTP request, so it must not wait for another server.",
    supports(SupportsWebhooks),
)
async def verifying_a_webhook_sends_no_request(bench: Bench) -> None:
    request = await _authentic(bench)
    before = await bench.remote.requests()
    for _ in range(3):
        _translate(bench, verified(bench, request))
    if (after := await bench.remote.requests()) != before:
        raise Failed(f"verify and translate sent {after - before} requests")


@check(
    Level.WEBHOOKS,
    "payd may translate an event again, and must get the same.",
    supports(SupportsWebhooks),
)
async def an_event_means_the_same_every_time(bench: Bench) -> None:
    events = verified(bench, await _authentic(bench))
    meanings = [_translate(bench, events) for _ in range(3)]
    if any(meaning != meanings[0] for meaning in meanings):
        raise Failed("translate returned different observations for the same event")
    if not meanings[0]:
        raise Failed("translate returned nothing for the webhook of a paid object")


@check(
    Level.WEBHOOKS, "payd finds the payment by the event's reference.", supports(SupportsWebhooks)
)
async def an_event_names_its_payment(bench: Bench) -> None:
    operation, ref, created = await bench.paid()
    events = verified(bench, bench.remote.webhook(ref, bench.clock.now()))
    known = names(operation, created)
    for observation in _translate(bench, events):
        if observation.reference not in known:
            raise Failed(f"the reference {observation.reference!r} is none of {sorted(known)}")
        if isinstance(observation.fact, Snapshot) and observation.fact.received != due(operation):
            raise Failed(
                f"the webhook reports {observation.fact.received}, but {due(operation)} were paid"
            )


@check(
    Level.WEBHOOKS,
    "The provider's account may also be used outside payd.",
    supports(SupportsWebhooks),
)
async def foreign_objects_are_ignored(bench: Bench) -> None:
    operation, _, created = await bench.opened()
    events = verified(bench, bench.remote.foreign_webhook(bench.clock.now()))
    known = names(operation, created)
    if any(one.reference in known for one in _translate(bench, events)):
        raise Failed("the webhook of a foreign object was assigned to a payment")


@check(
    Level.WEBHOOKS,
    "Webhooks arrive late, twice and in any order; the payment must end the same.",
    supports(SupportsWebhooks),
)
async def every_order_of_reports_gives_the_same_result(bench: Bench) -> None:
    operation, ref, _ = await bench.opened()
    requests: list[WebhookRequest] = []
    left = due(operation)
    # Some remote sides send no webhook for an open object, or accept no partial payments.
    with contextlib.suppress(NotScripted):
        requests.append(bench.remote.webhook(ref, bench.clock.now()))
    with contextlib.suppress(NotScripted, CannotHappen):
        for part in (due(operation) // 2, due(operation) // 4):
            await bench.pay(ref, part)
            left -= part
            requests.append(bench.remote.webhook(ref, bench.clock.now()))
    await bench.pay(ref, left)
    requests.append(bench.remote.webhook(ref, bench.clock.now()))
    reports: list[Observation] = []
    for request in requests:
        reports += _translate(bench, verified(bench, request))
    looked = (await bench.found(ref)).snapshot
    facts = [*(report.fact for report in reports), looked]
    outcomes = {
        _latest([fact for fact in order if isinstance(fact, Snapshot)])
        for order in itertools.permutations([*facts, facts[0]])
    }
    if len(outcomes) > 1:
        raise Failed(f"the result depends on the order of the reports: {outcomes}")
    if outcomes != {(ProviderStatus.PAID.value, due(operation), due(operation))}:
        raise Failed(f"the reports result in {outcomes}, but {due(operation)} were paid")


def _latest(snapshots: Sequence[Snapshot]) -> tuple[str, int, int]:
    """Combine snapshots as payd does: the newest status and the largest totals."""
    newest = max(snapshots, key=lambda one: (one.as_of, one.received))
    return (
        newest.status.value,
        max(one.received for one in snapshots),
        max(one.confirmed for one in snapshots),
    )


def _translate(bench: Bench, events: Sequence[ProviderEvent]) -> tuple[Observation, ...]:
    return tuple(one for event in events for one in bench.translated(event))

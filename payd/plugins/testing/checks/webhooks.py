"""What comes in unasked: only the remote side's own, recent words; in any order, any number of times."""

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from datetime import timedelta

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payd.plugins import (
    Observation,
    ProviderEvent,
    ProviderManifest,
    ProviderStatus,
    Snapshot,
    SupportsWebhooks,
    WebhookRefused,
    WebhookRequest,
)
from payd.plugins.testing.bench import Bench, due, names
from payd.plugins.testing.registry import Failed, Level, check
from payd.plugins.testing.remote import CannotHappen, NotScripted
from payd.providers import validation
from payd.providers.calls import PluginFailed, guarded

_OLD = timedelta(hours=2)
_SOON = timedelta(hours=2)


def _takes_webhooks(_manifest: ProviderManifest, provider: object) -> bool:
    return isinstance(provider, SupportsWebhooks)


def verified(
    bench: Bench, request: WebhookRequest, secrets: dict[str, tuple[str, ...]] | None = None
) -> ProviderEvent:
    """The event; raises WebhookRefused."""
    assert isinstance(bench.provider, SupportsWebhooks)
    event = bench.provider.verify(request, secrets or bench.secrets, bench.clock.now())
    return bench.expect(ProviderEvent, event, "verify")


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
        raise Failed(f"{what} raised {error}, not WebhookRefused") from error
    raise Failed(f"{what} was taken for authentic")


async def _authentic(bench: Bench) -> WebhookRequest:
    _, ref, _ = await bench.paid()
    return bench.remote.webhook(ref, bench.clock.now())


@check(
    Level.WEBHOOKS,
    "What is refused comes again and again, and the customer waits.",
    _takes_webhooks,
)
async def an_authentic_webhook_is_taken(bench: Bench) -> None:
    request = await _authentic(bench)
    event = verified(bench, request)
    if not event.id or not event.type:
        raise Failed("the event has no id, or no type")
    if verified(bench, request) != event:
        raise Failed("the same webhook, verified twice, gives two events")


@check(
    Level.WEBHOOKS,
    "Anybody can send webhooks; one byte more would be a free subscription.",
    _takes_webhooks,
)
async def one_changed_byte_is_refused(bench: Bench) -> None:
    request = await _authentic(bench)
    size = len(request.body)
    for position in {0, 1, size // 3, size // 2, size - 2, size - 1}:
        body = bytearray(request.body)
        body[position] ^= 1
        _refused(bench, attrs.evolve(request, body=bytes(body)), f"with byte {position} changed it")
    _refused(bench, attrs.evolve(request, body=request.body + b" "), "with a space more it")


@check(Level.WEBHOOKS, "Without a signature it is anybody's word.", _takes_webhooks)
async def without_its_signature_it_is_refused(bench: Bench) -> None:
    request = await _authentic(bench)
    for name in bench.remote.signature_headers():
        rest = {key: value for key, value in request.headers.items() if key != name}
        _refused(bench, attrs.evolve(request, headers=rest), f"without {name} it")
        for value in ("", "x", "t=1,v1=", "\u00ff" * 20, "0" * 5000):
            changed = {**request.headers, name: value}
            _refused(
                bench, attrs.evolve(request, headers=changed), f"with {name}: {value[:20]!r} it"
            )


@check(Level.WEBHOOKS, "A recorded webhook can be sent again for ever.", _takes_webhooks)
async def a_webhook_of_long_ago_is_refused(bench: Bench) -> None:
    _, ref, _ = await bench.paid()
    old = bench.remote.webhook(ref, bench.clock.now() - _OLD)
    _refused(bench, old, f"{_OLD} old it")


@check(
    Level.WEBHOOKS,
    "Who has recorded one webhook could send it for ever, with a newer time of another one.",
    _takes_webhooks,
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
            what = f"{_OLD} old, with {', '.join(chosen)} of another it"
            _refused(bench, attrs.evolve(old, headers=mixed), what)


@check(
    Level.WEBHOOKS, "A part that is taken for all of it gives the service away.", _takes_webhooks
)
async def a_webhook_of_a_part_tells_the_part(bench: Bench) -> None:
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
                f"{part} of {due(operation)} came, it tells {fact.received}, {fact.status.value}"
            )


@check(Level.WEBHOOKS, "A time in the future would make it valid for ever.", _takes_webhooks)
async def a_webhook_from_the_future_is_refused(bench: Bench) -> None:
    _, ref, _ = await bench.paid()
    early = bench.remote.webhook(ref, bench.clock.now() + _SOON)
    _refused(bench, early, f"{_SOON} ahead it")


@check(Level.WEBHOOKS, "While a secret is replaced, webhooks come with either.", _takes_webhooks)
async def both_secrets_count_while_one_is_replaced(bench: Bench) -> None:
    request = await _authentic(bench)
    name = bench.remote.secret_name()
    mine = bench.secrets[name]
    for values in (("another-secret", *mine), (*mine, "another-secret")):
        verified(bench, request, {**bench.secrets, name: values})
    _refused(
        bench, request, "with another secret it", secrets={**bench.secrets, name: ("another",)}
    )


@check(
    Level.WEBHOOKS,
    "The port is open to the world: nothing sent there may be more than refused.",
    _takes_webhooks,
)
async def rubbish_is_refused_and_nothing_else(bench: Bench) -> None:
    known = await _authentic(bench)

    @settings(
        max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(
        body=st.one_of(
            st.binary(max_size=200), st.sampled_from([b"", b"{}", b"[]", b"null", b"[" * 9000])
        ),
        headers=st.dictionaries(
            st.sampled_from([*known.headers, "x-other"]), st.text(max_size=40), max_size=3
        ),
    )
    def refused(body: bytes, headers: dict[str, str]) -> None:
        _refused(bench, WebhookRequest(body=body, headers=headers), "rubbish")

    refused()


@check(
    Level.WEBHOOKS,
    "A webhook is read in the request: it must not wait, and not be felt elsewhere.",
    _takes_webhooks,
)
async def reading_a_webhook_asks_nobody(bench: Bench) -> None:
    request = await _authentic(bench)
    before = await bench.remote.requests()
    for _ in range(3):
        _translate(bench, verified(bench, request))
    if (after := await bench.remote.requests()) != before:
        raise Failed(f"verify and translate sent {after - before} requests")


@check(Level.WEBHOOKS, "The inbox knows a repetition by its id.", _takes_webhooks)
async def an_event_means_the_same_every_time(bench: Bench) -> None:
    event = verified(bench, await _authentic(bench))
    meanings = [_translate(bench, event) for _ in range(3)]
    if any(meaning != meanings[0] for meaning in meanings):
        raise Failed("translate gives something else each time")
    if not meanings[0]:
        raise Failed("a paid object's webhook says nothing about it")


@check(Level.WEBHOOKS, "It must find its payment by a name that payd knows.", _takes_webhooks)
async def an_event_names_its_payment(bench: Bench) -> None:
    operation, ref, created = await bench.paid()
    event = verified(bench, bench.remote.webhook(ref, bench.clock.now()))
    known = names(operation, created)
    for observation in _translate(bench, event):
        if observation.reference not in known:
            raise Failed(f"it names {observation.reference!r}, payd knows {sorted(known)}")
        if isinstance(observation.fact, Snapshot) and observation.fact.received != due(operation):
            raise Failed(f"it tells of {observation.fact.received}, {due(operation)} were paid")


@check(Level.WEBHOOKS, "An account may have other uses than payd.", _takes_webhooks)
async def what_is_none_of_payds_moves_nothing(bench: Bench) -> None:
    operation, _, created = await bench.opened()
    event = verified(bench, bench.remote.foreign_webhook(bench.clock.now()))
    known = names(operation, created)
    if any(one.reference in known for one in _translate(bench, event)):
        raise Failed("a foreign object's webhook was taken for a payment's")


@check(
    Level.WEBHOOKS,
    "Webhooks come late, twice, and in any order; the payment must end the same.",
    _takes_webhooks,
)
async def every_order_of_reports_gives_the_same_facts(bench: Bench) -> None:
    operation, ref, _ = await bench.opened()
    requests: list[WebhookRequest] = []
    left = due(operation)
    # Not everybody tells of an object that is only open, nor takes it in parts.
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
        raise Failed(f"depending on their order the reports say {outcomes}")
    if outcomes != {(ProviderStatus.PAID.value, due(operation), due(operation))}:
        raise Failed(f"all reports together say {outcomes}, {due(operation)} were paid")


def _latest(snapshots: Sequence[Snapshot]) -> tuple[str, int, int]:
    """As payd folds them: the newest status, the largest totals."""
    newest = max(snapshots, key=lambda one: (one.as_of, one.received))
    return (
        newest.status.value,
        max(one.received for one in snapshots),
        max(one.confirmed for one in snapshots),
    )


def _translate(bench: Bench, event: ProviderEvent) -> tuple[Observation, ...]:
    assert isinstance(bench.provider, SupportsWebhooks)
    said = bench.provider.translate(event)
    if not validation.is_observations(said):
        raise Failed(f"translate gave no observations that payd can settle: {said!r}")
    return tuple(said)

"""What every provider does: create once, tell the truth when looked at, close, and keep its word."""

import ast
import contextlib
import importlib.util
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import attrs
import trio
from pydantic import ValidationError

from payd.plugins import (
    Absent,
    Cancel,
    CryptoTransfer,
    Found,
    IdempotencyConflict,
    Lookup,
    Misconfigured,
    ProviderManifest,
    ProviderStatus,
    Redirect,
    SupportsAudit,
    SupportsWebhooks,
    WebhookRefused,
)
from payd.plugins.testing.bench import Bench, asset, due
from payd.plugins.testing.checks.standing import looked, stands
from payd.plugins.testing.registry import Failed, Level, check
from payd.plugins.testing.remote import CannotHappen, Fault, NotScripted
from payd.providers.manifests import misfit, wrong_in_manifest, wrong_in_methods

#: Before any object has expired.
_LATER = timedelta(minutes=10)
#: A busy machine holds everybody now and then; who blocks does so every time.
_HELD_LOOKS = 3


def _closes(manifest: ProviderManifest, _provider: object) -> bool:
    return manifest.capabilities.cancel is Cancel.CLOSES


def _stays_open(manifest: ProviderManifest, _provider: object) -> bool:
    return manifest.capabilities.cancel is Cancel.NOT_CLOSABLE


def _looks_up(manifest: ProviderManifest, _provider: object) -> bool:
    return manifest.capabilities.lookup is not Lookup.NONE


def _proves_absence(manifest: ProviderManifest, _provider: object) -> bool:
    return manifest.capabilities.lookup is Lookup.INCLUDING_ABSENCE


@check(Level.BASIC, "payd refuses a plugin whose manifest it cannot read, and names it.")
async def the_manifest_is_sound(bench: Bench) -> None:
    manifest = bench.manifest
    why = misfit(manifest) or wrong_in_manifest(manifest) or wrong_in_methods(bench.methods)
    if why is not None:
        raise Failed(why)


@check(Level.BASIC, "payd may change whatever is not its plugin interface, at any time.")
async def it_imports_nothing_of_payd_but_the_interface(bench: Bench) -> None:
    package = bench.manifest.factory.__module__.partition(".")[0]
    for path, module in _imports(package):
        if module.split(".")[0] == "payd" and module.split(".")[:2] != ["payd", "plugins"]:
            raise Failed(f"{path} imports {module}")


@check(
    Level.BASIC, "Operators are offered `payd NAME audit` where the manifest announces an audit."
)
async def an_audit_is_announced(bench: Bench) -> None:
    announced = bench.manifest.capabilities.audit
    if isinstance(bench.provider, SupportsAudit) != announced:
        raise Failed(f"Capabilities.audit is {announced}, but the provider says otherwise")


@check(Level.BASIC, "A misspelt setting must stop the start, not be ignored in production.")
async def an_unknown_setting_is_refused(bench: Bench) -> None:
    try:
        bench.manifest.config_model.model_validate({**bench.remote.settings, "no_such_setting": 1})
    except ValidationError:
        return
    raise Failed("the configuration model takes a setting that does not exist")


@check(
    Level.BASIC,
    "The same operation is sent again after every crash: a second object is a second charge.",
)
async def the_same_operation_twice_is_one_object(bench: Bench) -> None:
    operation, _, first = await bench.opened()
    second = await bench.create(operation)
    if second.reference != first.reference:
        raise Failed(f"it answered {first.reference} and then {second.reference}")
    if (number := await bench.objects(operation.payment_id)) != 1:
        raise Failed(f"the remote side has {number} objects")


@check(Level.BASIC, "Several daemons may send one operation at once.")
async def the_same_operation_many_times_at_once_is_one_object(bench: Bench) -> None:
    operation = bench.operation()
    references: set[str] = set()

    async def create() -> None:
        references.add((await bench.create(operation)).reference)

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(create)
    if len(references) != 1:
        raise Failed(f"ten at once gave {len(references)} references")
    if (number := await bench.objects(operation.payment_id)) != 1:
        raise Failed(f"the remote side has {number} objects")


@check(Level.BASIC, "Recovery may come hours later; within its window the id is one object.")
async def the_same_operation_later_is_one_object(bench: Bench) -> None:
    operation, _, first = await bench.opened()
    by = min(bench.manifest.capabilities.idempotency_window, _LATER)
    bench.clock.advance(by)
    await bench.remote.later(by)
    second = await bench.create(operation)
    if second.reference != first.reference or await bench.objects(operation.payment_id) != 1:
        raise Failed(f"it answered {first.reference} and {by} later {second.reference}")


@check(Level.BASIC, "An operation id that means two things is a defect that must be seen.")
async def the_same_operation_with_other_parameters_is_a_conflict(bench: Bench) -> None:
    _remembering(bench)
    operation, _, _ = await bench.opened()
    other = bench.operation(
        minor_units=operation.amount.minor_units - 100,
        operation_id=operation.operation_id,
        payment_id=operation.payment_id,
    )
    error = await bench.raised(bench.provider.create, other)
    if not isinstance(error, IdempotencyConflict):
        raise Failed(
            f"another amount under the same operation id gave {error!r}, not IdempotencyConflict"
        )


@check(Level.BASIC, "What the customer is shown is all that he can pay with.")
async def the_answer_says_what_the_customer_has_to_do(bench: Bench) -> None:
    operation, _, created = await bench.opened()
    if not created.reference:
        raise Failed("the object has no reference")
    match created.next_action:
        case Redirect(url=url):
            if not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
                raise Failed(f"it sends the customer to {url!r}")
        case CryptoTransfer() as transfer:
            if transfer.amount_base_units != due(operation):
                raise Failed(f"it asks for {transfer.amount_base_units}, due is {due(operation)}")
            if transfer.token_address.lower() != asset(operation).lower():
                raise Failed("it asks for another token than is due")
        case None:
            raise Failed("there is nothing that the customer could do")
        case action:
            raise Failed(f"a next action that is none: {action!r}")


@check(Level.BASIC, "A look decides whether a customer has paid.")
async def an_open_object_is_found_open(bench: Bench) -> None:
    operation, ref, created = await bench.opened()
    found = await bench.found(ref)
    stands(found.snapshot, operation, ProviderStatus.OPEN, received=0)
    if found.created.reference != created.reference:
        raise Failed(f"it was {created.reference}, and is found as {found.created.reference}")


@check(
    Level.BASIC, "When the answer to create was lost, this look is the only way back.", _looks_up
)
async def an_object_is_found_without_its_reference(bench: Bench) -> None:
    _remembering(bench)
    operation, _, created = await bench.opened()
    found = await bench.found(bench.ref(operation))
    if found.created.reference != created.reference:
        raise Failed(f"it was {created.reference}, and is found as {found.created.reference}")


@check(Level.BASIC, "An object that is said to be absent is sent again.", _proves_absence)
async def what_was_never_created_is_absent(bench: Bench) -> None:
    await bench.opened()
    said = await bench.fetch(bench.ref(bench.operation()))
    if not isinstance(said, Absent):
        raise Failed(f"of an operation that was never sent it says {said!r}")


@check(Level.BASIC, "payd looks often, and in several daemons.")
async def a_look_changes_nothing(bench: Bench) -> None:
    operation, ref, _ = await bench.opened()
    looks = [await bench.found(ref) for _ in range(3)]
    stands = {_facts(found) for found in looks}
    if len(stands) != 1:
        raise Failed(f"three looks in a row differ: {stands}")
    if (number := await bench.objects(operation.payment_id)) != 1:
        raise Failed(f"after looking, the remote side has {number} objects")


@check(Level.BASIC, "payd tells its caller CANCELED only when nobody can pay any more.", _closes)
async def an_open_object_is_closed_and_stays_closed(bench: Bench) -> None:
    operation, ref, _ = await bench.opened()
    first = await bench.cancel(ref)
    stands(first, operation, ProviderStatus.CANCELED, ProviderStatus.EXPIRED, received=0)
    again = await bench.cancel(ref)
    if again.status is not first.status:
        raise Failed(f"canceled twice it is {first.status.value}, then {again.status.value}")
    found = await bench.found(ref)
    if found.snapshot.status is not first.status:
        raise Failed(f"after its cancel a look finds it {found.snapshot.status.value}")


@check(Level.BASIC, "The customer may have been first: his money must not be lost.")
async def a_cancel_of_a_paid_object_says_that_it_is_paid(bench: Bench) -> None:
    operation, ref, created = await bench.paid()
    snapshot = await bench.standing(operation, created, await bench.cancel(ref))
    stands(snapshot, operation, ProviderStatus.PAID, received=due(operation))


@check(
    Level.BASIC, "Money that comes late is a customer's all the same: it must be seen.", _stays_open
)
async def what_cannot_be_closed_stays_as_it_is(bench: Bench) -> None:
    operation, ref, created = await bench.opened()
    for _ in range(2):
        snapshot = await bench.cancel(ref)
        if snapshot.status is ProviderStatus.CANCELED:
            raise Failed("the manifest says NOT_CLOSABLE, and cancel says CANCELED")
    await bench.pay(ref, due(operation))
    snapshot = await looked(bench, operation, ref, created)
    stands(snapshot, operation, ProviderStatus.PAID, received=due(operation))


@check(Level.BASIC, "Closing what is closed is asked for after every crash.", _closes)
async def a_cancel_of_an_expired_object_says_so(bench: Bench) -> None:
    operation, ref, _ = await bench.opened()
    await bench.remote.expire(ref)
    await bench.remote.rest()
    snapshot = await bench.cancel(ref)
    stands(snapshot, operation, ProviderStatus.EXPIRED, ProviderStatus.CANCELED, received=0)


@check(Level.BASIC, "Health is asked for every few seconds, and must cost nothing.")
async def health_is_fast_and_free_of_effects(bench: Bench) -> None:
    operation, ref, _ = await bench.opened()
    before = _facts(await bench.found(ref))
    began = trio.current_time()
    for _ in range(3):
        if (said := await bench.in_time(bench.provider.health)) is not None:
            raise Failed(f"health returned {said!r}, not None")
    if trio.current_time() - began > 3:
        raise Failed(f"three times health took {trio.current_time() - began:.1f} s")
    if _facts(await bench.found(ref)) != before or await bench.objects(operation.payment_id) != 1:
        raise Failed("health has changed an object")


@check(
    Level.BASIC, "All of payd runs on one loop: while a provider holds it, no other payment moves."
)
async def no_call_holds_the_loop(bench: Bench) -> None:
    for _ in range(_HELD_LOOKS):
        bench.held.clear()
        _, ref, _ = await bench.opened()
        await bench.fetch(ref)
        await bench.cancel(ref)
        await bench.in_time(bench.provider.health)
        if not bench.held:
            return
    raise Failed(
        f"a call held the loop for {max(bench.held):.1f} s: what blocks belongs into"
        " trio.to_thread.run_sync"
    )


@check(Level.BASIC, "Payments do not wait for one another.")
async def operations_at_once_do_not_mix(bench: Bench) -> None:
    references: dict[int, str] = {}

    async def create(number: int) -> None:
        operation = bench.operation(minor_units=bench.remote.amounts[0] - number)
        created = await bench.create(operation)
        found = await bench.found(bench.ref(operation, created))
        if found.snapshot.due not in (None, due(operation)):
            raise Failed(f"asked for {due(operation)}, its object is for {found.snapshot.due}")
        references[number] = created.reference

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(create, number)
    if len(set(references.values())) != 10:
        raise Failed("different operations share a reference")


@check(Level.BASIC, "Keys are replaced while payd runs: the old one may be refused at once.")
async def a_replaced_key_is_used_at_once(bench: Bench) -> None:
    name = bench.remote.key_name()
    await bench.opened()
    key = bench.secrets[name]
    bench.secrets[name] = ("a-key-that-opens-nothing",)
    error = await bench.raised(bench.provider.create, bench.operation())
    if not isinstance(error, Misconfigured):
        raise Failed(f"its key was replaced by a wrong one, and create gave {error!r}")
    bench.secrets[name] = key
    await bench.opened()


@check(Level.BASIC, "A log is read by many, and kept for long.")
async def no_secret_is_logged_or_told(bench: Bench) -> None:
    told: list[str] = []
    _, ref, _ = await bench.opened()
    for call, argument in (
        (bench.provider.fetch, ref),
        (bench.provider.cancel, attrs.evolve(ref, reference="no-such-object")),
        (bench.provider.fetch, attrs.evolve(ref, reference="no-such-object")),
    ):
        error = await bench.raised(call, argument)
        told.append(f"{error} {error!r}")
    told += [*await _refusals(bench), *bench.log.lines]
    for name, values in bench.secrets.items():
        if any(value and value in line for value in values for line in told):
            raise Failed(f"the credential {name} is in a log line or an error")


async def _refusals(bench: Bench) -> list[str]:
    """What it says where it is refused, and where it refuses."""
    told: list[str] = []
    _, ref, _ = await bench.paid()
    with contextlib.suppress(NotScripted, CannotHappen):
        operation = bench.operation(metadata=bench.remote.metadata(Fault.UNAUTHORIZED))
        await bench.remote.fault(Fault.UNAUTHORIZED)
        told.append(repr(await bench.raised(bench.provider.create, operation)))
        await bench.remote.mend()
    if isinstance(provider := bench.provider, SupportsWebhooks):
        request = bench.remote.webhook(ref, bench.clock.now())
        try:
            forged = attrs.evolve(request, body=request.body + b" ")
            provider.verify(forged, bench.secrets, bench.clock.now())
        except WebhookRefused as error:
            told.append(repr(error))
    return told


def _remembering(bench: Bench) -> None:
    if not bench.remote.remembers:
        raise CannotHappen("creating leaves nothing at the remote side")


def _imports(package: str) -> Iterator[tuple[str, str]]:
    """File and imported module, of all its source files."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return
    folder = Path(spec.origin)
    paths = [folder] if spec.submodule_search_locations is None else folder.parent.rglob("*.py")
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path.name, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield path.name, node.module


def _facts(found: Found) -> tuple[object, ...]:
    """Without the moment of the look."""
    snapshot = found.snapshot
    return (
        found.created.reference,
        snapshot.status,
        snapshot.asset,
        snapshot.received,
        snapshot.confirmed,
        snapshot.refunded,
    )

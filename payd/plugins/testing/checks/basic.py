"""Checks for every provider: create once, report the truth, close, keep secrets."""

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
    Show,
    SupportsAudit,
    SupportsPrepare,
    SupportsWebhooks,
    WebhookRefused,
)
from payd.plugins.testing.bench import Bench
from payd.plugins.testing.checks.standing import looked, stands
from payd.plugins.testing.operations import asset, due
from payd.plugins.testing.registry import CHECKS, Failed, Level, check, supports
from payd.plugins.testing.remote import CannotHappen, Fault, NotScripted
from payd.providers.manifests import misfit, wrong_in_manifest, wrong_in_methods

#: Short enough that no object has expired.
_LATER = timedelta(minutes=10)
#: A busy machine delays any step now and then; a blocking provider is slow in every attempt.
_BLOCKING_ATTEMPTS = 3


def _closes(manifest: ProviderManifest, _provider: object) -> bool:
    return manifest.capabilities.cancel is Cancel.CLOSES


def _stays_open(manifest: ProviderManifest, _provider: object) -> bool:
    return manifest.capabilities.cancel is Cancel.NOT_CLOSABLE


def _looks_up(manifest: ProviderManifest, _provider: object) -> bool:
    return manifest.capabilities.lookup is not Lookup.NONE


def _proves_absence(manifest: ProviderManifest, _provider: object) -> bool:
    return manifest.capabilities.lookup is Lookup.INCLUDING_ABSENCE


@check(Level.BASIC, "payd refuses a plugin with an invalid manifest.")
async def the_manifest_is_valid(bench: Bench) -> None:
    manifest = bench.manifest
    why = misfit(manifest) or wrong_in_manifest(manifest) or wrong_in_methods(bench.methods)
    if why is not None:
        raise Failed(why)
    if unknown := manifest.unproven.keys() - {one.name for one in CHECKS}:
        raise Failed(
            f"its unproven names {', '.join(map(repr, sorted(unknown)))}: `payd plugin checks`"
            " lists the checks"
        )


@check(Level.BASIC, "Everything in payd except payd.plugins may change at any time.")
async def it_imports_nothing_of_payd_but_the_interface(bench: Bench) -> None:
    package = bench.manifest.factory.__module__.partition(".")[0]
    for path, module in _imports(package):
        if module.split(".")[0] == "payd" and module.split(".")[:2] != ["payd", "plugins"]:
            raise Failed(f"{path} imports {module}")


@check(Level.BASIC, "payd offers `payd NAME audit` if the manifest announces an audit.")
async def an_audit_is_announced(bench: Bench) -> None:
    announced = bench.manifest.capabilities.audit
    if isinstance(bench.provider, SupportsAudit) != announced:
        has = "lacks" if announced else "has"
        raise Failed(f"Capabilities.audit is {announced}, but the provider {has} an audit method")


@check(Level.BASIC, "A misspelt setting must stop the start instead of being ignored.")
async def an_unknown_setting_is_refused(bench: Bench) -> None:
    try:
        bench.manifest.config_model.model_validate({**bench.remote.settings, "no_such_setting": 1})
    except ValidationError:
        return
    raise Failed("the configuration model accepts a setting that does not exist")


@check(
    Level.BASIC,
    "payd sends an operation again after a crash; a second object would be a second charge.",
)
async def the_same_operation_twice_is_one_object(bench: Bench) -> None:
    operation, _, first = await bench.opened()
    second = await bench.create(operation)
    if second.reference != first.reference:
        raise Failed(f"create returned {first.reference}, then {second.reference}")
    if (number := await bench.objects(operation.payment_id)) != 1:
        raise Failed(f"the remote side has {number} objects, not 1")


@check(
    Level.BASIC,
    "Two calls that prepare one payment in two ways tell the customer two places to pay to.",
    supports(SupportsPrepare),
)
async def prepare_is_pure(bench: Bench) -> None:
    assert isinstance(bench.provider, SupportsPrepare)
    operation = attrs.evolve(bench.operation(), parameters={})
    first, second = (dict(bench.provider.prepare(operation)) for _ in range(2))
    if first != second:
        raise Failed(
            f"prepare of one operation returned {first!r}, then {second!r}: compute it from the"
            " operation, the settings and the credentials only"
        )


@check(Level.BASIC, "Several daemons may send one operation at the same time.")
async def the_same_operation_concurrently_is_one_object(bench: Bench) -> None:
    operation = bench.operation()
    references: set[str] = set()

    async def create() -> None:
        references.add((await bench.create(operation)).reference)

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(create)
    if len(references) != 1:
        raise Failed(f"ten concurrent calls returned {len(references)} references, not 1")
    if (number := await bench.objects(operation.payment_id)) != 1:
        raise Failed(f"the remote side has {number} objects, not 1")


@check(Level.BASIC, "Recovery may run hours later, within the idempotency window.")
async def the_same_operation_later_is_one_object(bench: Bench) -> None:
    operation, _, first = await bench.opened()
    by = min(bench.manifest.capabilities.idempotency_window, _LATER)
    bench.clock.advance(by)
    await bench.remote.later(by)
    second = await bench.create(operation)
    if second.reference != first.reference or await bench.objects(operation.payment_id) != 1:
        raise Failed(f"create returned {first.reference}, and {by} later {second.reference}")


@check(Level.BASIC, "One operation id with two meanings is a bug that must be visible.")
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
            f"create with another amount and the same operation id raised {error!r},"
            " not IdempotencyConflict"
        )


@check(Level.BASIC, "Without a correct next action the customer cannot pay.")
async def create_returns_what_the_customer_has_to_do(bench: Bench) -> None:
    operation, _, created = await bench.opened()
    if not created.reference:
        raise Failed("Created.reference is empty")
    match created.next_action:
        case Redirect(url=url):
            if not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
                raise Failed(f"the redirect URL {url!r} is neither https nor local")
        case CryptoTransfer() as transfer:
            if transfer.amount_base_units != due(operation):
                raise Failed(
                    f"the transfer is for {transfer.amount_base_units}, due is {due(operation)}"
                )
            if transfer.token_address.lower() != asset(operation).lower():
                raise Failed(
                    f"the transfer is in {transfer.token_address}, due is {asset(operation)}"
                )
        case Show(expire_time=end):
            if end is not None and end <= bench.clock.now():
                raise Failed(f"the instructions were valid until {end}, which has passed")
        case None:
            raise Failed("Created.next_action is None: the customer cannot pay")
        case action:
            raise Failed(f"invalid next action {action!r}")


@check(Level.BASIC, "payd relies on fetch to learn whether a customer has paid.")
async def an_open_object_is_found_open(bench: Bench) -> None:
    operation, ref, created = await bench.opened()
    found = await bench.found(ref)
    stands(found.snapshot, operation, ProviderStatus.OPEN, received=0)
    if found.created.reference != created.reference:
        raise Failed(f"create returned {created.reference}, fetch {found.created.reference}")


@check(
    Level.BASIC, "After a lost response to create, payd finds the object only this way.", _looks_up
)
async def an_object_is_found_without_its_reference(bench: Bench) -> None:
    _remembering(bench)
    operation, _, created = await bench.opened()
    found = await bench.found(bench.ref(operation))
    if found.created.reference != created.reference:
        raise Failed(f"create returned {created.reference}, fetch {found.created.reference}")


@check(Level.BASIC, "payd sends an operation again if its object is absent.", _proves_absence)
async def what_was_never_created_is_absent(bench: Bench) -> None:
    await bench.opened()
    result = await bench.fetch(bench.ref(bench.operation()))
    if not isinstance(result, Absent):
        raise Failed(f"fetch of an operation that was never sent returned {result!r}, not Absent")


@check(Level.BASIC, "payd calls fetch often, from several daemons.")
async def fetch_changes_nothing(bench: Bench) -> None:
    operation, ref, _ = await bench.opened()
    states = {_facts(await bench.found(ref)) for _ in range(3)}
    if len(states) != 1:
        raise Failed(f"three calls of fetch returned different states: {states}")
    if (number := await bench.objects(operation.payment_id)) != 1:
        raise Failed(f"after fetch, the remote side has {number} objects, not 1")


@check(Level.BASIC, "payd reports CANCELED only if the object can no longer be paid.", _closes)
async def an_open_object_is_closed_and_stays_closed(bench: Bench) -> None:
    operation, ref, _ = await bench.opened()
    first = await bench.cancel(ref)
    stands(first, operation, ProviderStatus.CANCELED, ProviderStatus.EXPIRED, received=0)
    again = await bench.cancel(ref)
    if again.status is not first.status:
        raise Failed(f"cancel returned status {first.status.value}, and again {again.status.value}")
    found = await bench.found(ref)
    if found.snapshot.status is not first.status:
        raise Failed(
            f"cancel returned {first.status.value}, then fetch {found.snapshot.status.value}"
        )


@check(Level.BASIC, "A payment may arrive before the cancellation; its money must not be lost.")
async def cancel_of_a_paid_object_reports_that_it_is_paid(bench: Bench) -> None:
    operation, ref, created = await bench.paid()
    snapshot = await bench.standing(operation, created, await bench.cancel(ref))
    stands(snapshot, operation, ProviderStatus.PAID, received=due(operation))


@check(Level.BASIC, "Money that arrives after a cancellation must still be reported.", _stays_open)
async def an_object_that_cannot_be_closed_stays_payable(bench: Bench) -> None:
    operation, ref, created = await bench.opened()
    for _ in range(2):
        snapshot = await bench.cancel(ref)
        if snapshot.status is ProviderStatus.CANCELED:
            raise Failed("the manifest says NOT_CLOSABLE, but cancel returned CANCELED")
    await bench.pay(ref, due(operation))
    snapshot = await looked(bench, operation, ref, created)
    stands(snapshot, operation, ProviderStatus.PAID, received=due(operation))


@check(Level.BASIC, "After a crash, payd may cancel an object that is closed already.", _closes)
async def cancel_of_an_expired_object_reports_that_it_is_closed(bench: Bench) -> None:
    operation, ref, _ = await bench.opened()
    await bench.remote.expire(ref)
    await bench.remote.rest()
    snapshot = await bench.cancel(ref)
    stands(snapshot, operation, ProviderStatus.EXPIRED, ProviderStatus.CANCELED, received=0)


@check(Level.BASIC, "payd calls health every few seconds, so it must be cheap.")
async def health_is_fast_and_free_of_effects(bench: Bench) -> None:
    operation, ref, _ = await bench.opened()
    before = _facts(await bench.found(ref))
    began = trio.current_time()
    for _ in range(3):
        if (result := await bench.in_time(bench.provider.health)) is not None:
            raise Failed(f"health returned {result!r}, not None")
    if trio.current_time() - began > 3:
        raise Failed(f"three calls of health took {trio.current_time() - began:.1f} s")
    if _facts(await bench.found(ref)) != before or await bench.objects(operation.payment_id) != 1:
        raise Failed("health changed an object")


@check(
    Level.BASIC,
    "All providers share one event loop; while one blocks it, every other payment waits.",
)
async def no_call_blocks_the_event_loop(bench: Bench) -> None:
    for _ in range(_BLOCKING_ATTEMPTS):
        bench.blocked_s.clear()
        _, ref, _ = await bench.opened()
        await bench.fetch(ref)
        await bench.cancel(ref)
        await bench.in_time(bench.provider.health)
        if not bench.blocked_s:
            return
    raise Failed(
        f"a call blocked the event loop for {max(bench.blocked_s):.1f} s: run blocking code with"
        " trio.to_thread.run_sync"
    )


@check(Level.BASIC, "payd handles many payments at the same time.")
async def concurrent_operations_do_not_mix(bench: Bench) -> None:
    references: dict[int, str] = {}

    async def create(number: int) -> None:
        operation = bench.operation(minor_units=bench.remote.amounts[0] - number)
        created = await bench.create(operation)
        found = await bench.found(bench.ref(operation, created))
        if found.snapshot.due not in (None, due(operation)):
            raise Failed(f"the object is for {found.snapshot.due}, requested {due(operation)}")
        references[number] = created.reference

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(create, number)
    if len(set(references.values())) != 10:
        raise Failed("different operations share a reference")


@check(Level.BASIC, "Keys are rotated while payd runs; the old one may stop working at once.")
async def a_replaced_key_is_used_at_once(bench: Bench) -> None:
    name = bench.remote.key_name()
    await bench.opened()
    key = bench.secrets[name]
    bench.secrets[name] = ("a-key-that-opens-nothing",)
    error = await bench.raised(bench.provider.create, bench.operation())
    if not isinstance(error, Misconfigured):
        raise Failed(f"with a wrong key, create raised {error!r}, not Misconfigured")
    bench.secrets[name] = key
    await bench.opened()


@check(Level.BASIC, "Many people read logs, and logs are kept for a long time.")
async def no_secret_is_logged_or_raised(bench: Bench) -> None:
    lines: list[str] = []
    _, ref, _ = await bench.opened()
    for call, argument in (
        (bench.provider.fetch, ref),
        (bench.provider.cancel, attrs.evolve(ref, reference="no-such-object")),
        (bench.provider.fetch, attrs.evolve(ref, reference="no-such-object")),
    ):
        error = await bench.raised(call, argument)
        lines.append(f"{error} {error!r}")
    lines += [*await _refusals(bench), *bench.log.lines]
    for name, values in bench.secrets.items():
        if any(value and value in line for value in values for line in lines):
            raise Failed(f"a log line or an error contains the credential {name}")


async def _refusals(bench: Bench) -> list[str]:
    """The texts of its errors, for refused credentials and for a forged webhook."""
    lines: list[str] = []
    _, ref, _ = await bench.paid()
    with contextlib.suppress(NotScripted, CannotHappen):
        operation = bench.operation(metadata=bench.remote.metadata(Fault.UNAUTHORIZED))
        await bench.remote.fault(Fault.UNAUTHORIZED)
        lines.append(repr(await bench.raised(bench.provider.create, operation)))
        await bench.remote.mend()
    if isinstance(provider := bench.provider, SupportsWebhooks):
        request = bench.remote.webhook(ref, bench.clock.now())
        try:
            forged = attrs.evolve(request, body=request.body + b" ")
            provider.verify(forged, bench.secrets, bench.clock.now())
        except WebhookRefused as error:
            lines.append(repr(error))
    return lines


def _remembering(bench: Bench) -> None:
    if not bench.remote.remembers:
        raise CannotHappen("create stores nothing at the remote side")


def _imports(package: str) -> Iterator[tuple[str, str]]:
    """Each file of the package with each module that it imports."""
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
    """The object's state without the time of the fetch."""
    snapshot = found.snapshot
    return (
        found.created.reference,
        snapshot.status,
        snapshot.asset,
        snapshot.received,
        snapshot.confirmed,
        snapshot.refunds,
    )

"""One torture: payments while faults strike, then rest, then the comparison of all sides."""

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.daemon import rows
from support.planted_secrets import WATCH
from support.waiting import PATIENCE_S
from torture.callers import Caller
from torture.checks import History, problems
from torture.evidence import Evidence, gather, open_work
from torture.nemesis import Nemesis
from torture.people import Buyer
from torture.record import Record, status_of
from torture.report import Report
from torture.resources import Sampler
from torture.seats import Seat, wait_until_all_serve
from torture.world import World, running_world

#: How long everything may take to come to rest: unknown outcomes are looked up at intervals.
_REST_S = 240.0
_NUDGE_S = 5.0
_NO_DISK = "full disk (needs root and mount namespaces)"


def torture(
    folder: Path,
    anvil: Path,
    *,
    seconds: float,
    seed: int,
    daemons: int = 2,
    buyers: int = 6,
    pause_s: float = 0.7,
) -> Report:
    """Do all of it; the report has what is wrong."""
    # Else the user of PostgreSQL could not reach its data there.
    folder.chmod(0o755)
    with running_world(folder, anvil, daemons) as world:
        record, sampler = Record(), Sampler(world.seats)
        people = [Buyer(world, record, f"{seed}:{n}", pause_s) for n in range(buyers)]
        nemesis = Nemesis(world, random.Random(seed))
        try:
            nemesis.rage(seconds)
        finally:
            for buyer in people:
                buyer.finish()
        began_s = time.monotonic()
        wait_until_all_serve(world.seats)
        # A buyer may wait for a look at its payment that is due in ten minutes.
        while any(buyer.is_busy for buyer in people) and time.monotonic() < began_s + PATIENCE_S:
            _skip_waits(world)
            time.sleep(_NUDGE_S)
        for buyer in people:
            buyer.give_up()
        left = _come_to_rest(world)
        settle_s = time.monotonic() - began_s
        found = _history(world, record)
        sampler.close()
        messages = [message.headers["ce-id"] for message in found.evidence.stream]
        report_problems = [
            *(f"not at rest: {text}" for text in left),
            *problems(found),
            *record.problems,
            *nemesis.problems,
        ]
    return Report(
        seed=seed,
        seconds=seconds,
        settle_s=settle_s,
        record=record,
        struck=nemesis.struck,
        seats=world.seats,
        samples=sampler.samples,
        ends=Counter((deal.kind, status_of(payment)) for deal, payment in found.answered),
        messages=len(messages),
        repeated_messages=len(messages) - len(set(messages)),
        not_done=() if world.stack.has_disk else (_NO_DISK,),
        problems=[*report_problems, *_of_daemons(world.seats), *WATCH.hits],
    )


def _come_to_rest(world: World) -> Sequence[str]:
    """Wait for what has to end by itself; return what has not. Skip the waits between looks."""
    until = time.monotonic() + _REST_S
    final = 0
    while left := [*open_work(world), *_unread(world, final)]:
        if time.monotonic() > until:
            return left
        final = final or world.chain.head()
        _skip_waits(world)
        time.sleep(_NUDGE_S)
    return ()


def _skip_waits(world: World) -> None:
    """Let recovery look at everything now."""
    rows(world.place, "UPDATE payments SET next_look_time = now() WHERE next_look_time > now()")
    rows(world.place, "UPDATE refunds SET next_look_time = now() WHERE next_look_time > now()")


def _unread(world: World, block: int) -> Sequence[str]:
    """Whether the watch has still to read blocks that were there when the faults ended."""
    found = rows(
        world.place,
        "SELECT (value::jsonb ->> 'block')::bigint AS block FROM provider_cursors"
        " WHERE name = 'watch'",
    )
    is_read = bool(block) and bool(found) and found[0]["block"] >= block
    return () if is_read else (f"the chain is read up to {found}, not to {block}",)


def _history(world: World, record: Record) -> History:
    """Ask payd itself for each payment, and then everybody else."""
    caller = Caller(world, record, threading.Event())
    last: dict[str, Any] = {}
    for deal in record.deals:
        if deal.ids:
            last[deal.id] = caller.get(deal)
    caller.hang_up()
    return History(record=record, evidence=_gathered_at_rest(world), last=last)


def _gathered_at_rest(world: World) -> Evidence:
    """Read everything again if there was an event meanwhile: payments go on to expire."""
    evidence = gather(world)
    while (again := gather(world)).outbox != evidence.outbox:
        evidence = again
    return evidence


def _of_daemons(seats: Sequence[Seat]) -> Sequence[str]:
    """What the daemons themselves say is wrong, each kind once."""
    complaints = Counter[str]()
    first: dict[str, str] = {}
    for seat in seats:
        for complaint in seat.complaints:
            complaints[complaint.event] += 1
            first.setdefault(complaint.event, str(complaint.line)[:2000])
    logged = [f"logged {n} times: {first[event]}" for event, n in complaints.items()]
    return [*(problem for seat in seats for problem in seat.problems), *logged]

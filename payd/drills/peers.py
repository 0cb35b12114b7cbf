"""The drill of peers: daemons of one database are killed and frozen in turn, under load.

They share a port, as several daemons of one host do: the kernel gives each connection to one of
them. A client of a killed daemon connects again; a call to a frozen one waits.
"""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import trio
from payd_client import PaymentClient

from payd.dev.ports import any_free
from payd.drills.invariants import check_invariants
from payd.drills.observed import observe, until_at_rest
from payd.drills.report import DrillReport
from payd.drills.servers import Daemon, Progress, Site, open_site, running
from payd.drills.traffic import Made, Traffic, problems_of

_FROZEN_S = 3.0
_BETWEEN_S = 1.0
_CLIENTS_PER_DAEMON = 2
#: A main app's calls outlive many dead daemons.
_ATTEMPTS_MAX = 1000
_LOOK_S = 0.05
#: How often a payment that met a problem is asked for again, with its key.
_REPEATS = 5
#: Named in the report also where there was none.
_REPEATED = "payments asked for again with their key"


async def drill_peers(
    folder: Path,
    count: int,
    progress: Progress,
    *,
    seconds: float = 60.0,
    seed: int = 1,
    cache: Path | None = None,
) -> DrillReport:
    """Run the drill in an empty folder, with so many daemons."""
    async with open_site(folder, progress, cache=cache) as site:
        port = str(any_free())
        daemons = [site.daemon(f"payd-{n + 1}", GRPC_PORT=port) for n in range(count)]
        progress(f"{count} daemons")
        async with running(*daemons), AsyncExitStack() as exits:
            clients = [
                await exits.enter_async_context(site.client(daemon, attempts_max=_ATTEMPTS_MAX))
                for daemon in daemons * _CLIENTS_PER_DAEMON
            ]
            site.announce(daemons[0])
            seeded = random.Random(seed)  # noqa: S311 - a script, no secret
            drill = _Drill(site, daemons, clients, Traffic(site, seed), seeded)
            progress("kills and freezes")
            await drill.suffer(seconds)
            progress("rest")
            await drill.come_to_rest()
            return await drill.report(f"Peers: {count} daemons, seed {seed}, {seconds:g} s of load")


def is_killed_in(turn: int, daemons: int) -> bool:
    """Whether the daemon of this turn is killed; else it is frozen. Each round it is the other."""
    round_, place = divmod(turn, daemons)
    return (place + round_) % 2 == 0


class _Drill:
    """The steps of one drill, and what they have seen."""

    def __init__(
        self,
        site: Site,
        daemons: Sequence[Daemon],
        clients: Sequence[PaymentClient],
        traffic: Traffic,
        seeded: random.Random,
    ) -> None:
        self._site = site
        self._daemons = daemons
        self._clients = clients
        self._traffic = traffic
        self._random = seeded
        self._began = trio.current_time()
        self._steps: list[tuple[float, str]] = []
        self._counts: Counter[str] = Counter({_REPEATED: 0})
        self._longest_pause_s = 0.0
        self._waiting = 0
        #: Those that are killed or frozen just now.
        self._away: list[Daemon] = []
        self._returned = trio.Event()

    async def suffer(self, seconds: float) -> None:
        """Kill and freeze one daemon after the other while payments are made."""
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_pauses, stop)
            for client in self._clients:
                nursery.start_soon(self._buy, client, stop)
            with trio.move_on_after(seconds):
                await self._break_in_turn(nursery)
            stop.set()

    async def come_to_rest(self) -> None:
        """Ask again for what met a problem, and wait until nothing waits."""
        for _ in range(_REPEATS):
            for made in self._troubled():
                self._counts[_REPEATED] += 1
                made.problem = ""
                await self._traffic.go_through(self._clients[0], made)
        self._waiting = await until_at_rest(self._site.config())
        self._say("at rest")

    async def report(self, title: str) -> DrillReport:
        """Read everything, and check it."""
        made = self._traffic.made
        seen = await observe(self._site, made)
        ends = Counter(
            f"{one.kind.name}: {one.seen.status.value if one.seen else 'never answered'}"
            for one in made
        )
        return DrillReport(
            title=title,
            steps=self._steps,
            counts={
                "payments": len(made),
                **dict(sorted(self._counts.items())),
                "longest time without a new payment, ms": round(self._longest_pause_s * 1000),
                **dict(sorted(ends.items())),
            },
            lists={
                "payments whose callers were not satisfied": problems_of(made),
                "not at rest": [f"{self._waiting} reports or events"] if self._waiting else [],
            },
            invariants=check_invariants(seen),
        )

    async def _buy(self, client: PaymentClient, stop: trio.Event) -> None:
        await self._traffic.until(client, stop, at_once=1)

    async def _break_in_turn(self, nursery: trio.Nursery) -> None:
        """At least one daemon serves at any time."""
        for turn in itertools.count():
            daemon = self._daemons[turn % len(self._daemons)]
            await trio.sleep(_BETWEEN_S * self._random.uniform(0.5, 1.5))
            while daemon in self._away or len(self._away) == len(self._daemons) - 1:
                self._returned = trio.Event()
                await self._returned.wait()
            self._away.append(daemon)
            is_kill = is_killed_in(turn, len(self._daemons))
            nursery.start_soon(self._kill if is_kill else self._freeze, daemon)

    async def _kill(self, daemon: Daemon) -> None:
        daemon.kill()
        self._counts["kills"] += 1
        self._say(f"{daemon.name} killed")
        await daemon.start()
        self._say(f"{daemon.name} serves again")
        self._away.remove(daemon)
        self._returned.set()

    async def _freeze(self, daemon: Daemon) -> None:
        daemon.freeze()
        self._counts["freezes"] += 1
        self._say(f"{daemon.name} frozen")
        await trio.sleep(_FROZEN_S)
        daemon.thaw()
        self._say(f"{daemon.name} goes on")
        self._away.remove(daemon)
        self._returned.set()

    async def _watch_pauses(self, stop: trio.Event) -> None:
        """Measure the longest time in which no payment was answered for the first time."""
        known, since = 0, trio.current_time()
        while not stop.is_set():
            answered = sum(one.payment_id is not None for one in self._traffic.made)
            now = trio.current_time()
            if answered > known:
                known, since = answered, now
            self._longest_pause_s = max(self._longest_pause_s, now - since)
            await trio.sleep(_LOOK_S)

    def _troubled(self) -> Sequence[Made]:
        return [one for one in self._traffic.made if one.problem]

    def _say(self, what: str) -> None:
        self._steps.append((trio.current_time() - self._began, what))

"""The faults: what each breaks, for how long, and how it is mended."""

import datetime as dt
import os
import random
import signal
import uuid
from collections.abc import Callable, Iterator
from functools import partial

import attrs
from support.authority import Authority, replace
from support.relay import Relay
from torture.seats import Seat
from torture.world import World

from payd.adapters.system import CRASH_POINTS
from payd.config import EXIT_BAD_CONFIGURATION

#: Mends what was broken.
Mend = Callable[[], object]
#: Breaks something; returns how to mend it.
Strike = Callable[[random.Random], Mend]

#: Less than what closes payments that are about to be paid, and than Stripe refuses.
_CLOCK_STEPS_S = (-1500, -600, -60, 60, 600)
#: Not 500_failed: Stripe keeps that answer under the key for a day, and says no more than that. A
#: payment with it stays CREATING until it expires, as it must.
_API_FAULTS = (
    "500_before",
    "500_after",
    "timeout_before",
    "timeout_after",
    "slow",
    "429",
    "garbage",
    "reset",
)
_CRASH_POINTS = sorted(CRASH_POINTS)


@attrs.frozen(kw_only=True)
class Fault:
    """One kind of fault of one target. A target has one fault at a time."""

    kind: str
    target: str
    strike: Strike
    #: It is mended after so many seconds, more or less.
    lasts_s: float = 4.0


def faults_of(world: World) -> list[Fault]:
    """Every fault that this machine can do."""
    killed, *_ = world.seats
    found = [
        *(fault for name, relay in world.relays.items() for fault in _of_relay(name, relay)),
        *(fault for seat in world.seats for fault in _of_seat(seat)),
        *_of_killed(killed),
        *_of_servers(world),
        *_of_secrets(world),
        *_of_providers(world),
    ]
    if world.stack.has_disk:
        found.append(Fault(kind="full disk", target="NATS, server", strike=partial(_fill, world)))
    return found


def _of_relay(name: str, relay: Relay) -> Iterator[Fault]:
    def broken_by(act: Callable[[random.Random], object]) -> Strike:
        def strike(seeded: random.Random) -> Mend:
            act(seeded)
            return relay.restore

        return strike

    yield Fault(kind="cut", target=name, strike=broken_by(lambda _: relay.cut()))
    yield Fault(kind="hang", target=name, strike=broken_by(lambda _: relay.hang()), lasts_s=6)
    yield Fault(
        kind="slow",
        target=name,
        strike=broken_by(lambda seeded: relay.slow_down(seeded.uniform(0.02, 0.5))),
    )
    yield Fault(
        kind="lose responses", target=name, strike=broken_by(lambda _: relay.lose_responses())
    )


def _of_seat(seat: Seat) -> Iterator[Fault]:
    def freeze(_: random.Random) -> Mend:
        seat.pause(stop=True)
        return partial(seat.pause, stop=False)

    def step(seeded: random.Random) -> Mend:
        seat.step_clock(seeded.choice(_CLOCK_STEPS_S))
        return partial(seat.step_clock, 0)

    name = f"daemon {seat.name}"
    yield Fault(kind="freeze", target=name, strike=freeze, lasts_s=8)
    yield Fault(kind="clock step", target=f"clock {seat.name}", strike=step)


def _of_killed(seat: Seat) -> Iterator[Fault]:
    def end_by(number: int, seeded: random.Random) -> Mend:
        if seeded.random() < 0.5:
            seat.die_at(seeded.choice(_CRASH_POINTS), seeded.randint(1, 5))
        seat.send(number)
        return int

    name = f"daemon {seat.name}"
    yield Fault(kind="kill", target=name, strike=partial(end_by, signal.SIGKILL), lasts_s=8)
    yield Fault(kind="stop", target=name, strike=partial(end_by, signal.SIGTERM), lasts_s=8)


def _of_servers(world: World) -> Iterator[Fault]:
    stack = world.stack

    def kill(server: str, _: random.Random) -> Mend:
        stack.kill(server)
        return int

    def stop(server: str, _: random.Random) -> Mend:
        stack.stop(server)
        return partial(stack.start, server)

    def freeze(pid: int, _: random.Random) -> Mend:
        os.kill(pid, signal.SIGSTOP)
        return partial(os.kill, pid, signal.SIGCONT)

    for title, server in (("PostgreSQL", "postgres"), ("NATS", "nats"), ("Valkey", "valkey")):
        yield Fault(kind="kill", target=f"{title}, server", strike=partial(kill, server))
    for title, server in (("NATS", "nats"), ("Valkey", "valkey")):
        yield Fault(kind="stop", target=f"{title}, server", strike=partial(stop, server))
    for title, pid in (
        ("Stripe", world.stripe.process.pid),
        ("chain", world.chain.process.pid),
        ("Vault", world.bao.pid),
    ):
        yield Fault(kind="freeze", target=f"{title}, server", strike=partial(freeze, pid))


def _fill(world: World, _: random.Random) -> Mend:
    world.stack.fill_disk()

    def free() -> None:
        world.stack.free_disk()
        # After a failed write nats-server stores nothing in the stream until it is restarted.
        world.stack.stop("nats")
        world.stack.start("nats")

    return free


def _of_secrets(world: World) -> Iterator[Fault]:
    bao, pki = world.bao, world.place.pki

    def seal(_: random.Random) -> Mend:
        bao.seal()
        return bao.unseal

    def revoke(_: random.Random) -> Mend:
        bao.revoke_tokens()
        return int

    def rotate_password(_: random.Random) -> Mend:
        password = f"canary-db-{uuid.uuid4().hex}"
        world.as_superuser(f"ALTER ROLE {world.role} PASSWORD '{password}'")
        bao.write(**(bao.read() | {"db_password": password}))
        return int

    def rotate_webhook_secret(_: random.Random) -> Mend:
        old = bao.read()["stripe_webhook_secret"].partition("\n")[0]
        new = f"whsec_canary{uuid.uuid4().hex}"
        world.stripe.webhooks(secrets=[old, new])
        bao.write(**(bao.read() | {"stripe_webhook_secret": f"{new}\n{old}\n"}))

        def end() -> None:
            world.stripe.webhooks(secrets=[new])
            bao.write(**(bao.read() | {"stripe_webhook_secret": new}))

        return end

    def put_certificate(age: dt.timedelta, _: random.Random) -> Mend:
        certificate, key = Authority.of(pki).server(age=age)
        kept = {name: (pki / name).read_bytes() for name in ("server.key", "server.crt")}
        replace(pki / "server.key", key)
        replace(pki / "server.crt", certificate)
        if not age:
            return int
        for seat in world.seats:
            seat.tolerated.add(EXIT_BAD_CONFIGURATION)

        def put_back() -> None:
            for name, content in kept.items():
                replace(pki / name, content)

        return put_back

    yield Fault(kind="sealed", target="Vault, server", strike=seal)
    yield Fault(kind="revoked tokens", target="Vault, server", strike=revoke)
    yield Fault(kind="rotated", target="database password", strike=rotate_password)
    yield Fault(kind="rotated", target="webhook secret", strike=rotate_webhook_secret)
    yield Fault(
        kind="rotated",
        target="server certificate",
        strike=partial(put_certificate, dt.timedelta()),
    )
    yield Fault(
        kind="expired",
        target="server certificate",
        strike=partial(put_certificate, dt.timedelta(days=10_000)),
    )


def _of_providers(world: World) -> Iterator[Fault]:
    stripe = world.stripe

    def break_api(seeded: random.Random) -> Mend:
        kind = seeded.choice(_API_FAULTS)
        stripe.fault(kind, "/v1/.*", method="*", times=seeded.randint(1, 5), hold_s=5)
        return partial(stripe.http.delete, "/_control/faults")

    def send_webhooks(order: dict[str, object], _: random.Random) -> Mend:
        stripe.webhooks(**order)

        def mend() -> None:
            stripe.webhooks(mode="deliver", duplicates=0)
            stripe.release(shuffle_seed=0, duplicates=1)

        return mend

    def reorganize(_: random.Random) -> Mend:
        world.chain.reorg(1)
        return int

    yield Fault(kind="errors", target="Stripe's API", strike=break_api)
    orders: dict[str, dict[str, object]] = {
        "lost": {"mode": "drop"},
        "late, in any order": {"mode": "hold"},
        "doubled": {"duplicates": 3},
    }
    for kind, order in orders.items():
        strike = partial(send_webhooks, order)
        yield Fault(kind=kind, target="webhooks, sent", strike=strike)
    yield Fault(kind="reorganization", target="chain, server", strike=reorganize)

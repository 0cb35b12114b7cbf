"""Everything that real payments need, running: servers behind relays, stand-ins, chain, daemons."""

import contextlib
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import attrs
from support.cards import SECRET_KEY, WEBHOOK_SECRET, StandIn, stand_in
from support.daemon import Place, rows
from support.forks import run_payd
from support.openbao import OpenBao, running_openbao
from support.relay import Relay, relayed
from support.stack import Stack, running_stack
from support.tempo import Chain, running_chain, tempo_environment
from torture.seats import Seat, wait_until_all_serve

from payd.dev.pki import ensure_pki
from payd.dev.ports import any_free

TESTS = Path(__file__).parents[1]
AUDIT_KEY = {"PAYD_AUDIT_SIGNING_KEY": "5e" * 32}
#: The data of the servers is on a file system of this size, where it can be filled.
DISK_MIB = 1500
#: How far the watch reads back after each interval of it, which minutes do not reach otherwise.
_OFTEN = {
    "PAYD_RECOVERY_INTERVAL_S": "1",
    "PAYD_RECOVERY_SCAN_INTERVAL_S": "5",
    "PAYD_RECOVERY_RECONCILE_INTERVAL_S": "60",
    "PAYD_AUDIT_CHECKPOINT_INTERVAL_S": "10",
    "PAYD_VAULT_READ_INTERVAL_S": "0.5",
    "PAYD_GRPC_TLS_CHECK_INTERVAL_S": "0.5",
    "PAYD_GRPC_MAX_CONNECTION_AGE_S": "20",
    "TEMPO_RESCAN_INTERVAL_S": "30",
}


@attrs.frozen(kw_only=True)
class World:
    """All of it."""

    #: Reaches the servers themselves, past the relays.
    place: Place
    stack: Stack
    bao: OpenBao
    stripe: StandIn
    chain: Chain
    #: In front of each server, by its name.
    relays: Mapping[str, Relay]
    #: The first is killed and stopped; the others are only frozen, so that they grow old.
    seats: tuple[Seat, ...]
    #: The daemons' role at the database.
    role: str
    settings: Mapping[str, str] = attrs.field(repr=False)

    @property
    def grpc(self) -> str:
        """The address of all daemons."""
        return f"127.0.0.1:{self.settings['GRPC_PORT']}"

    def as_superuser(self, sql: str) -> None:
        """The servers of the tests give both roles one password."""
        superuser = self.place.database.replace("//payd:", "//postgres:")
        rows(attrs.evolve(self.place, database=superuser), sql)


def can_fill_disks() -> bool:
    """Whether this user may mount a file system in a namespace of its own."""
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "payd-tests", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@contextlib.contextmanager
def running_world(folder: Path, anvil: Path, daemons: int) -> Iterator[World]:
    """Run everything until the end of the block."""
    with contextlib.ExitStack() as opened:
        enter = opened.enter_context
        disk_mib = DISK_MIB if can_fill_disks() else 0
        stack = enter(running_stack(_new(folder, "stack"), disk_mib=disk_mib))
        pki = _new(folder, "pki")
        ensure_pki(pki, datetime.now(UTC))
        place = Place(
            database=stack.database("torture"),
            nats=stack.nats,
            redis=stack.redis,
            pki=pki,
            data=folder,
            forks=False,
        )
        _migrate(place)
        bao = enter(running_openbao(_new(folder, "bao")))
        stripe = enter(stand_in(_new(folder, "stripe")))
        chain = enter(running_chain(anvil, "--block-time", "1"))
        role = _new_role(place, bao)
        http_port = any_free()
        urls = {
            "PostgreSQL": place.database,
            "NATS": place.nats,
            "Valkey": place.redis,
            "Stripe": stripe.url,
            "chain": chain.url,
            "Vault": bao.addr,
            "webhooks": f"http://127.0.0.1:{http_port}",
        }
        relays = {name: enter(relayed(url)) for name, url in urls.items()}
        stripe.webhooks(url=f"{_at(relays['webhooks'])}/webhooks/stripe")
        settings = _settings(stripe, bao, relays) | {
            "DB_USER": role,
            "GRPC_PORT": str(any_free()),
            "HTTP_PORT": str(http_port),
        }
        # A port of its own for each: the kernel may give the same free one to two processes.
        seats = tuple(
            Seat(f"{n + 1}", place, folder, settings | {"METRICS_PORT": str(any_free())})
            for n in range(daemons)
        )
        for seat in seats:
            seat.open()
            opened.callback(seat.close)
        wait_until_all_serve(seats)
        yield World(
            place=place,
            stack=stack,
            bao=bao,
            stripe=stripe,
            chain=chain,
            relays=relays,
            seats=seats,
            role=role,
            settings=settings,
        )


def _settings(stripe: StandIn, bao: OpenBao, relays: Mapping[str, Relay]) -> dict[str, str]:
    return {
        **stripe.environment,
        **tempo_environment(_at(relays["chain"]), TEMPO_POLL_INTERVAL_S="0.5"),
        **bao.environment(),
        **AUDIT_KEY,
        **_OFTEN,
        "VAULT_ADDR": _at(relays["Vault"]),
        "DB_PORT": str(relays["PostgreSQL"].port),
        "NATS_URL": f"nats://127.0.0.1:{relays['NATS'].port}",
        "REDIS_ADDR": f"127.0.0.1:{relays['Valkey'].port}",
        "STRIPE_API_BASE": _at(relays["Stripe"]),
        "STRIPE_REQUESTS_PER_SECOND": "1000",
        # In Vault.
        **dict.fromkeys(("DB_PASSWORD", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"), ""),
        "PAYD_SHARE_PORTS": "true",
        "PYTHONPATH": str(TESTS),
    }


def _at(relay: Relay) -> str:
    return f"http://127.0.0.1:{relay.port}"


def _new(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


def _migrate(place: Place) -> None:
    done = run_payd("migrate", env=place.environment())
    assert done.returncode == 0, done.stderr


def _new_role(place: Place, bao: OpenBao) -> str:
    """A role whose password can be rotated, as Vault knows it."""
    role = f"r{uuid.uuid4().hex[:12]}"
    superuser = attrs.evolve(place, database=place.database.replace("//payd:", "//postgres:"))
    rows(superuser, f"CREATE ROLE {role} LOGIN PASSWORD 'canary-db-0' IN ROLE payd")
    bao.write(
        db_password="canary-db-0",
        stripe_secret_key=SECRET_KEY,
        stripe_webhook_secret=WEBHOOK_SECRET,
    )
    return role

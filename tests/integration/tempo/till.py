"""A shop that takes tokens: start payments, watch them, compare the ledger with the chain."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from payd_client.proto import payment_pb2 as pb
from support.daemon import (
    Client,
    Daemon,
    Place,
    events,
    operator_of,
    rows,
    wait_until_published,
)
from support.forks import run_payd
from support.tempo import (
    RECEIVER,
    Chain,
    a_token_request,
    due,
    running_with_tokens,
    tempo_environment,
    units,
)
from support.waiting import wait_until
from tempo_provider.companion.anvil import MASTER_ID


@attrs.frozen(kw_only=True)
class Till:
    """A daemon, its client and its chain."""

    place: Place
    chain: Chain
    daemon: Daemon
    client: Client
    settings: Mapping[str, str]

    def start(self, **fields: Any) -> Any:
        """A payment that waits for its money."""
        request = a_token_request(**fields)
        payment = self.client.call("InitiatePayment", request).payment
        assert status(payment) == "PENDING"
        return payment

    def pay(self, payment: Any, amount: int | None = None, **how: Any) -> str:
        """Transfer the amount due as the customer, or another amount; not final yet."""
        asked = due(payment)
        how = {"token": asked.token_address, "memo": asked.memo, **how}
        return self.chain.transfer(amount=units(payment) if amount is None else amount, **how)

    def catch_up(self) -> None:
        """Until everything that is final now was read and settled."""
        self.chain.finalize()
        wait_until_read(self.place, self.chain)

    def newest(self, payment: Any) -> Any:
        """The payment as it stands."""
        return self.client.get(payment.id)

    def subjects(self, payment: Any) -> list[str]:
        """Its events, in their order."""
        wait_until_published(self.place)
        return [one.subject for one in events(self.place) if one.body["id"] == payment.id]

    def body(self, payment: Any, subject: str) -> Mapping[str, Any]:
        """The one event of this subject."""
        [body] = [
            one.body
            for one in events(self.place)
            if one.body["id"] == payment.id and one.subject == subject
        ]
        return body

    def unmatched(self) -> Sequence[Mapping[str, Any]]:
        """`payd receipts list`."""
        listed: Sequence[Mapping[str, Any]] = self.operate("receipts", "list")["receipts"]
        return listed

    def audit(self) -> Mapping[str, Any]:
        """`payd tempo audit`."""
        return self.operate("tempo", "audit", codes=(0, 1))

    def operate(self, *command: str, codes: Sequence[int] = (0,)) -> Any:
        """A command of the operator's on the daemon's host; its JSON."""
        settings = {**self.settings, **operator_of(self.daemon)}
        return operate(self.place, settings, *command, codes=codes)

    def expire(self, payment: Any) -> None:
        """Its time is over now, for payd and for the chain alike."""
        rows(
            self.place,
            "UPDATE payments SET expire_time = now(), next_look_time = now() WHERE id = $1",
            payment.id,
        )
        self.chain.set_next_time(max(self.chain.time(), int(time.time())) + 5)


@contextlib.contextmanager
def open_till(place: Place, chain: Chain, **settings: str) -> Iterator[Till]:
    """Until the end of the block."""
    chain.mine(5)
    with running_with_tokens(place, chain.url, **settings) as (daemon, client):
        wait_until_read(place, chain)
        environment = tempo_environment(chain.url, **settings)
        yield Till(place=place, chain=chain, daemon=daemon, client=client, settings=environment)


def own_addresses(chain: Chain) -> Mapping[str, str]:
    """Settings of a daemon whose payments have addresses of account 0."""
    return {"TEMPO_RECEIVER_ADDRESS": chain.accounts[0], "TEMPO_MASTER_ID": MASTER_ID}


def operate(
    place: Place, settings: Mapping[str, str], *command: str, codes: Sequence[int] = (0,)
) -> Any:
    """A command with --json, where a daemon with these settings runs."""
    done = run_payd(*command, "--json", env=place.environment(**settings))
    assert done.returncode in codes, done.stderr + done.stdout
    return json.loads(done.stdout)


def wait_until_read(place: Place, chain: Chain) -> None:
    """Until the watch is at the final block, and what it stored is settled."""
    wait_until(
        lambda: cursor_block(place) >= chain.final(),
        lambda: f"the watch stands at {cursor_block(place)}",
    )
    wait_until_published(place)


def cursor_block(place: Place) -> int:
    """Where the watch stands; -1 before it begins."""
    found = rows(place, "SELECT value FROM provider_cursors WHERE name = 'watch'")
    return int(json.loads(found[0]["value"])["block"]) if found else -1


def status(payment: Any) -> str:
    """Without its prefix."""
    return pb.PaymentStatus.Name(payment.status).removeprefix("PAYMENT_STATUS_")


def standing(payment: Any) -> tuple[str, int, int, list[str]]:
    """Status, received and confirmed base units, attention."""
    crypto = payment.crypto
    received, confirmed = int(crypto.received_base_units), int(crypto.confirmed_base_units)
    return status(payment), received, confirmed, sorted(payment.attention)


__all__ = [
    "RECEIVER",
    "Till",
    "cursor_block",
    "open_till",
    "operate",
    "own_addresses",
    "standing",
    "status",
]

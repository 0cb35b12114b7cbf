"""Customers of a drill: one who fails is named in the report, and the others go on."""

import subprocess
from typing import Any, cast

import attrs
import trio
from payd_client import CryptoTransfer, PaymentClient
from payd_client.messages import payment_of
from unit.domain.builders import a_payment

from payd.codec.messages import payment_message
from payd.domain.payment import Status
from payd.drills.servers import Site
from payd.drills.traffic import KINDS, Made, Traffic, keeping_problem, problems_of

TRANSFER = CryptoTransfer(
    currency="USDC",
    chain_id=31337,
    token_address="0x01",
    receiver_address="0x02",
    amount_base_units=1,
    decimals=6,
    memo="",
    calldata="",
    payment_uri="",
)
OPEN = attrs.evolve(
    payment_of(payment_message(a_payment(Status.PENDING, provider_reference="0x03"))),
    next_action=TRANSFER,
)
TOKEN = next(kind for kind in KINDS if kind.name == "token, paid")
UNPAID = next(kind for kind in KINDS if kind.name == "token, open")


class FailingWallet:
    """A site whose wallet command fails."""

    added = attrs.make_class("Added", ["wallet_command", "shop"])("tempo pay", "")

    async def payd(self, *arguments: str) -> str:
        await trio.lowlevel.checkpoint()
        raise subprocess.CalledProcessError(1, arguments, stderr=b"Error: no funds\n")


class Desk:
    """A client of a daemon that answers each call with an open payment."""

    async def initiate(self, request: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return OPEN


async def test_a_wallet_command_that_fails_is_the_problem_of_its_payment() -> None:
    traffic = Traffic(cast("Site", FailingWallet()), seed=1)
    failed, other = Made(kind=TOKEN, key="a"), Made(kind=UNPAID, key="b")
    client = cast("PaymentClient", Desk())
    async with trio.open_nursery() as nursery:
        for one in (failed, other):
            nursery.start_soon(traffic.go_through, client, one)
    assert not failed.was_paid
    assert problems_of([failed, other]) == [
        f"{OPEN.id} (token, paid): CalledProcessError: Error: no funds"
    ]


def wait_in_vain() -> None:
    raise trio.TooSlowError


def test_a_wait_in_vain_says_how_long_and_for_what() -> None:
    one = Made(kind=TOKEN, key="a", seen=OPEN)
    with keeping_problem(one):
        wait_in_vain()
    assert problems_of([one]) == ["a (token, paid): waited 180 s in vain; it was PENDING then"]

"""Customers and a main app for drills: payments of every method, and what their client saw."""

import random
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import attrs
import httpx
import trio
from payd_client import (
    CryptoTransfer,
    Customer,
    InitiateRequest,
    Item,
    PaydClientError,
    Payment,
    PaymentClient,
    Redirect,
    RefundRequest,
    Unavailable,
)

from payd.drills.servers import Site

_ITEM = Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")
_POLL_S = 0.2
#: The local chain mines a block each second, and three make one final. A busy machine takes longer.
PATIENCE_S = 180.0


@attrs.frozen(kw_only=True)
class Kind:
    """What a customer and the main app do about one payment."""

    name: str
    method: str
    crypto_currency: str = ""
    #: For the mock, which is its own remote side.
    scenario: str = ""
    #: Whether the customer pays; else the payment stays open.
    is_paid: bool = True
    #: Whether the main app sends half of the money back.
    is_refunded: bool = False
    #: Whether the main app cancels it.
    is_canceled: bool = False


KINDS: Sequence[Kind] = (
    Kind(name="card, paid", method="card"),
    Kind(name="card, open", method="card", is_paid=False),
    Kind(name="card, refunded", method="card", is_refunded=True),
    Kind(name="card, canceled", method="card", is_paid=False, is_canceled=True),
    Kind(name="token, paid", method="crypto", crypto_currency="USDC"),
    Kind(name="token, open", method="crypto", crypto_currency="USDC", is_paid=False),
    Kind(name="mock, paid", method="mock", scenario="complete"),
    Kind(name="mock, open", method="mock", scenario="pending", is_paid=False),
    Kind(name="mock, declined", method="mock", scenario="decline", is_paid=False),
    Kind(name="mock, underpaid", method="mock", scenario="underpay", is_paid=False),
)


@attrs.define(kw_only=True)
class Made:
    """One payment as its client saw it."""

    kind: Kind
    key: str
    payment_id: UUID | None = None
    #: The newest state that an answer had; None as long as no call was answered.
    seen: Payment | None = None
    #: Ids of the refunds that were granted, by their keys.
    refunds: dict[str, UUID] = attrs.field(factory=dict)
    #: Whether the customer has sent the money.
    was_paid: bool = False
    #: What went wrong, in the client's words.
    problem: str = ""


class Traffic:
    """Makes payments on a site, and keeps all that the clients saw."""

    def __init__(self, site: Site, seed: int) -> None:
        self._site = site
        self._random = random.Random(seed)  # noqa: S311 - a script, no secret
        self.made: list[Made] = []

    def kinds(self) -> Sequence[Kind]:
        """The kinds whose companion runs."""
        has_chain = bool(self._site.added.wallet_command)
        has_cards = bool(self._site.added.shop)
        return [
            kind
            for kind in KINDS
            if (kind.method != "crypto" or has_chain) and (kind.method != "card" or has_cards)
        ]

    async def of_every_kind(self, client: PaymentClient, rounds: int = 1) -> Sequence[Made]:
        """Make payments of every kind, all at once; return when each is where it should be."""
        made = [self._new(kind) for kind in self.kinds() for _ in range(rounds)]
        async with trio.open_nursery() as nursery:
            for one in made:
                nursery.start_soon(self.go_through, client, one)
        return made

    async def begin_every_kind(self, client: PaymentClient) -> Sequence[Made]:
        """Start a payment of every kind; `go_through` brings each where it should be."""
        made = [self._new(kind) for kind in self.kinds()]
        async with trio.open_nursery() as nursery:
            for one in made:
                nursery.start_soon(self._begin, client, one)
        return made

    async def until(
        self, client: PaymentClient, stop: trio.Event, *, at_once: int = 4, pause_s: float = 0.1
    ) -> None:
        """Make payments of random kinds until `stop`; faults of the site show in `problem`."""

        async def customer() -> None:
            while not stop.is_set():
                await self.go_through(client, self._new(self._random.choice(self.kinds())))
                await trio.sleep(pause_s * self._random.uniform(0.5, 1.5))

        async with trio.open_nursery() as nursery:
            for _ in range(at_once):
                nursery.start_soon(customer)

    async def go_through(self, client: PaymentClient, one: Made) -> None:
        """Start one payment and act on it as its kind says; keep the first problem.

        It may be called again after a problem: what was done already is not done twice.
        """
        with keeping_problem(one):
            await self._go_through(client, one)

    async def _begin(self, client: PaymentClient, one: Made) -> None:
        with keeping_problem(one):
            await self.start(client, one)

    def _new(self, kind: Kind) -> Made:
        one = Made(kind=kind, key=f"drill-{self._random.getrandbits(64):016x}")
        self.made.append(one)
        return one

    async def _go_through(self, client: PaymentClient, one: Made) -> None:
        kind = one.kind
        await self.start(client, one)
        if kind.is_canceled:
            one.seen = await client.cancel(str(one.payment_id), "drill")
        elif kind.is_paid:
            if not one.was_paid:
                await self.pay(client, one)
            await self.until_completed(client, one)
        if kind.is_refunded:
            await self.refund(client, one)

    async def start(self, client: PaymentClient, one: Made) -> None:
        """Start the payment, or ask again with its key, as a main app does."""
        kind = one.kind
        request = InitiateRequest(
            idempotency_key=one.key,
            customer=Customer(id="drill", email="drill@example.com"),
            items=(_ITEM,),
            method=kind.method,
            crypto_currency=kind.crypto_currency,
            return_url="https://example.com/paid",
            cancel_url="https://example.com/back",
            metadata={"mock_scenario": kind.scenario} if kind.scenario else {},
        )
        one.seen = await client.initiate(request)
        one.payment_id = one.seen.id
        if one.seen.next_action is None and kind.is_paid and not one.was_paid:
            await self._wait(client, one, lambda payment: payment.next_action is not None)

    async def pay(self, client: PaymentClient, one: Made) -> None:
        """Pay as the customer: on the card's page, or from a wallet on the local chain."""
        action = one.seen.next_action if one.seen else None
        if isinstance(action, CryptoTransfer):
            words = self._site.added.wallet_command.split()
            await self._site.payd(*words, str(one.payment_id))
            one.was_paid = True
        elif isinstance(action, Redirect) and one.kind.method == "card":
            await self.pay_card(one)
        elif one.kind.scenario:
            # The mock pays by itself.
            one.was_paid = True

    async def until_completed(self, client: PaymentClient, one: Made) -> None:
        """Wait until the money is confirmed. Raises trio.TooSlowError."""
        await self._wait(client, one, lambda payment: payment.status.value == "COMPLETED")

    async def pay_card(self, one: Made) -> None:
        """Pay on the card's page, which needs no daemon."""
        action = one.seen.next_action if one.seen else None
        if not isinstance(action, Redirect):
            return
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as browser:
            paid = await browser.post(f"{action.url}/pay")
        if paid.is_error:
            raise httpx.HTTPStatusError(
                f"the page answered {paid.status_code}", request=paid.request, response=paid
            )
        one.was_paid = True

    async def refund(self, client: PaymentClient, one: Made) -> None:
        """Send half of the money back."""
        if one.seen is None:
            return
        half = attrs.evolve(one.seen.amount, minor_units=one.seen.amount.minor_units // 2)
        key = f"{one.key}-refund"
        granted = await client.refund(
            RefundRequest(payment_id=one.seen.id, idempotency_key=key, amount=half, reason="drill")
        )
        one.refunds[key] = granted.id
        await self._wait(client, one, lambda payment: payment.refunded.minor_units > 0)

    async def _wait(
        self, client: PaymentClient, one: Made, is_there: Callable[[Payment], bool]
    ) -> None:
        with trio.fail_after(PATIENCE_S):
            while True:
                try:
                    one.seen = await client.get(str(one.payment_id))
                except Unavailable:
                    # The daemon may be down just now: that is what a drill is about.
                    await trio.sleep(_POLL_S)
                    continue
                if is_there(one.seen):
                    return
                await trio.sleep(_POLL_S)


@contextmanager
def keeping_problem(one: Made) -> Iterator[None]:
    """Keep what went wrong in the block; of several problems the first, which led to the others."""
    try:
        yield
    except (PaydClientError, httpx.HTTPError) as error:
        one.problem = one.problem or f"{type(error).__name__}: {error}"
    except trio.TooSlowError:
        status = one.seen.status.value if one.seen else "unknown to its caller"
        one.problem = one.problem or f"waited {PATIENCE_S:g} s in vain; it was {status} then"
    except subprocess.CalledProcessError as error:
        # A command of payd: its own words say more than its exit code.
        said = error.stderr.decode(errors="replace").strip() if error.stderr else ""
        one.problem = one.problem or f"{type(error).__name__}: {said or error}"


def problems_of(made: Iterable[Made]) -> Sequence[str]:
    """What went wrong, payment by payment."""
    return [
        f"{one.payment_id or one.key} ({one.kind.name}): {one.problem}"
        for one in made
        if one.problem
    ]

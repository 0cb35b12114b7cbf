"""Buyers: they start payments, pay them, cancel them and take money back, whatever breaks."""

import random
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from typing import Any

import httpx
from support.cards import a_card_request
from support.daemon import a_request
from support.tempo import ALPHA, Chain, a_token_request, due, units
from torture.callers import Caller, GivenUp
from torture.record import Deal, Record, status_of
from torture.world import World

_CLOSED = ("COMPLETED", "CANCELED", "EXPIRED", "FAILED")
_READY = ("PENDING", "PROCESSING", *_CLOSED)

_ONE_TRANSFER_AT_A_TIME = threading.Lock()


class Buyer:
    """One thread: one payment after the other."""

    def __init__(self, world: World, record: Record, seed: str, pause_s: float) -> None:
        self._world = world
        self._record = record
        self._seeded = random.Random(seed)
        self._pause_s = pause_s
        self._enough, self._over = threading.Event(), threading.Event()
        self._caller = Caller(world, record, self._over)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def finish(self) -> None:
        """Begin no further payment."""
        self._enough.set()

    @property
    def is_busy(self) -> bool:
        """Whether the last payment has not ended."""
        return self._thread.is_alive()

    def give_up(self) -> None:
        """End the last payment, if it has not ended."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._enough.is_set():
            kind, act = self._seeded.choice(_KINDS)
            deal = Deal(key=str(uuid.uuid4()), kind=kind, request=None)
            try:
                act(self, deal)
                deal.is_done = True
            except GivenUp:
                self._record.complain(f"{deal} was given up: {status_of(deal.payment)}")
            except Exception:  # noqa: BLE001 - whatever it is, a caller must not see it
                self._record.complain(f"{deal} met {traceback.format_exc()}")
            self._enough.wait(self._pause_s * self._seeded.uniform(0.5, 1.5))
        self._caller.hang_up()

    def _begin(self, deal: Deal, request: Any) -> Any:
        deal.request = request
        self._record.begin(deal)
        self._caller.initiate(deal)
        return self._caller.until(deal, *_READY)

    # -- without money ---------------------------------------------------------------------

    def pay_mock(self, deal: Deal) -> None:
        """Paid by itself; sometimes the first request to the provider is lost."""
        scenario = self._seeded.choice(("complete", "complete", "timeout_before"))
        deal.request = a_request(scenario, deal.key)
        self._record.begin(deal)
        self._caller.initiate(deal)
        self._caller.get(deal)

    def be_declined(self, deal: Deal) -> None:
        """Refused at once."""
        self._begin(deal, a_request("decline", deal.key))

    def cancel_mock(self, deal: Deal) -> None:
        """Nobody pays it."""
        self._begin(deal, a_request("pending", deal.key))
        self._caller.cancel(deal)

    # -- cards -----------------------------------------------------------------------------

    def pay_by_card(self, deal: Deal) -> None:
        """On the hosted page."""
        self._pay_session(self._begin(deal, a_card_request(deal.key)))

    def pay_and_refund(self, deal: Deal) -> None:
        """Paid, and then two parts go back."""
        self.pay_by_card(deal)
        if status_of(self._caller.until(deal, "COMPLETED", "FAILED")) == "FAILED":
            return
        for amount in (self._seeded.randint(1, 700), self._seeded.randint(1, 700)):
            self._caller.refund(deal, amount, str(uuid.uuid4()))

    def cancel_card(self, deal: Deal) -> None:
        """The customer never comes to the page."""
        self._begin(deal, a_card_request(deal.key))
        self._caller.cancel(deal)

    def pay_while_it_is_canceled(self, deal: Deal) -> None:
        """The customer pays in the moment in which the main app cancels."""
        payment = self._begin(deal, a_card_request(deal.key))
        paying = threading.Thread(target=self._pay_session, args=(payment,))
        paying.start()
        time.sleep(self._seeded.uniform(0, 0.1))
        try:
            self._caller.cancel(deal)
        finally:
            paying.join()

    def _pay_session(self, payment: Any) -> None:
        if status_of(payment) in _CLOSED:
            return
        path = f"/_control/sessions/{payment.provider_reference}/pay"
        while not self._over.is_set():
            try:
                # A session that is paid or closed refuses it.
                if self._world.stripe.http.post(path).status_code < 500:
                    return
            except httpx.HTTPError:
                time.sleep(0.2)

    # -- tokens ----------------------------------------------------------------------------

    def pay_tokens(self, deal: Deal) -> None:
        """The exact amount, in one transfer or in two."""
        payment = self._begin(deal, a_token_request(deal.key))
        first = self._seeded.choice((units(payment), units(payment) // 3))
        self._transfer(due(payment), first)
        if first < units(payment):
            self._transfer(due(payment), units(payment) - first)

    def overpay_tokens(self, deal: Deal) -> None:
        """More than was asked for."""
        payment = self._begin(deal, a_token_request(deal.key, currency="USDT"))
        self._transfer(due(payment), units(payment) + 7)

    def pay_nobody(self, deal: Deal) -> None:
        """Too little, and some more with a memo that payd never gave."""
        payment = self._begin(deal, a_token_request(deal.key))
        self._transfer(due(payment), 5)
        memo = "0x" + self._seeded.randbytes(32).hex()
        self._at_chain(lambda chain: chain.transfer(ALPHA, 3, memo))

    def _transfer(self, asked: Any, amount: int) -> None:
        self._at_chain(lambda chain: chain.transfer(asked.token_address, amount, asked.memo))

    def _at_chain(self, send: Callable[[Chain], str]) -> None:
        """Send it once: whether it arrived is asked of the chain in the end."""
        # The node numbers the transactions of its accounts one by one.
        with _ONE_TRANSFER_AT_A_TIME:
            try:
                send(self._world.chain)
            except (httpx.HTTPError, AssertionError):
                self._record.called("transfer", "lost")


_KINDS: tuple[tuple[str, Callable[[Buyer, Deal], None]], ...] = (
    ("mock", Buyer.pay_mock),
    ("declined", Buyer.be_declined),
    ("mock, canceled", Buyer.cancel_mock),
    ("card", Buyer.pay_by_card),
    ("card, refunded", Buyer.pay_and_refund),
    ("card, canceled", Buyer.cancel_card),
    ("card, paid and canceled at once", Buyer.pay_while_it_is_canceled),
    ("tokens", Buyer.pay_tokens),
    ("tokens, too many", Buyer.overpay_tokens),
    ("tokens, too few", Buyer.pay_nobody),
)

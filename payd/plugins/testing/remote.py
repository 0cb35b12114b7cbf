"""`Remote`: the provider's remote side, scripted by the provider's author for the checks."""

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from payd.plugins import CryptoTransfer, NextAction, PaymentRef, RefundRef, WebhookRequest
from payd.plugins.testing.given import BenchClock


class Fault(enum.Enum):
    """A fault of the remote side or the network.

    Where the provider needs an access token, it holds one when an operation meets the fault.

    Attributes:
        LOST_REQUEST: The connection or the request is lost; nothing was done.
        LOST_ANSWER: The request was done, but its response is lost.
        SERVER_ERROR: A 5xx response or its equivalent: it is unknown whether anything was done.
        GARBAGE: A response that cannot be parsed.
        UNAUTHORIZED: The credentials are refused.
        RATE_LIMITED: Too many requests; nothing was done.
        HANG: No response ever arrives.
        DECLINE: The customer's means of payment is refused permanently.
    """

    LOST_REQUEST = "lost request"
    LOST_ANSWER = "lost answer"
    SERVER_ERROR = "server error"
    GARBAGE = "garbage"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate limited"
    HANG = "hang"
    DECLINE = "decline"


class NotScripted(Exception):
    """The scripted remote side cannot do this. The check is unproven; the text says why."""


class CannotHappen(Exception):
    """This can never happen at this kind of remote side. The check does not apply."""


class RemoteMistake(Exception):
    """The scripted remote side is wrong, so the check says nothing about the provider."""


class Remote:
    """One remote side, created for every check. Override what it can do; the rest is unproven.

    Its coroutines run on trio beside the provider.

    Attributes:
        settings: The provider's settings, as under `providers.NAME` in payd.yaml.
        secrets: Logical credential name → values, newest first.
        amounts: Amounts that the kit uses, in minor units: at least one; the remote side must
            accept all.
        refund_destination: Where to refund to; needed with Sends.INSTRUCTIONS.
        follows_clock: Whether it uses the kit's clock, which only moves when a check moves it.
        remembers: Whether it stores created objects; False if create leaves no trace there, as on a
            chain.
        sends_nothing: Those of `create`, `fetch`, `cancel`, `health` and `watch` that send no
            request, so that they meet no fault: what they say is computed, stored or read before.
        needs_watch: Whether only the provider's watch reports money; then the watch runs during
            every check.
        time_resolution: How exactly it says when money moved: a day where its bookings have no time
            of day.
        events_per_page: Events on one page of a scan, so that a check can go beyond it; at most
            some hundred.
        report_lag: How long after it happened something is reported at the latest; at most 10
            minutes of it are tried.
    """

    settings: Mapping[str, Any] = {}
    secrets: Mapping[str, tuple[str, ...]] = {}
    amounts: tuple[int, ...] = (14_900, 101, 1_234_567, 99_999_999)
    refund_destination: str = ""
    follows_clock: bool = True
    remembers: bool = True
    sends_nothing: Collection[str] = frozenset()
    needs_watch: bool = False
    time_resolution: timedelta = timedelta(0)
    events_per_page: int = 20
    report_lag: timedelta = timedelta(minutes=5)

    async def requests(self) -> int:
        """Return the number of requests received so far, of any kind."""
        raise NotScripted("this remote side does not count requests")

    async def objects(self, payment_id: UUID) -> int:
        """Return the number of payable objects for this payment."""
        raise NotScripted("this remote side does not count objects")

    def metadata(self, fault: Fault | None) -> Mapping[str, str]:
        """Return metadata for an operation that meets this fault; None: for one that stays open."""
        return {}

    async def fault(self, fault: Fault) -> None:
        """Let every request from now on meet this fault."""
        raise NotScripted(f"this remote side cannot produce the fault {fault.value}")

    async def mend(self) -> None:
        """End the fault, and what `forbid` and `refuse_tokens` began."""

    def retry_after_s(self) -> float:
        """Return the delay in seconds that it names under RATE_LIMITED: at most 5, the kit waits.

        Use another one than the provider assumes when none is named.
        """
        raise NotScripted("this remote side does not say when it serves again")

    async def forbid(self) -> None:
        """Refuse every request from now on as forbidden (403): a known key without the right."""
        raise NotScripted("this remote side cannot forbid a request")

    async def expire_token(self) -> None:
        """Let the access token expire that the provider holds, if it holds one."""
        raise NotScripted("this remote side has no access tokens")

    async def refuse_tokens(self) -> None:
        """Refuse every request for an access token from now on; a held one stays valid."""
        raise NotScripted("this remote side has no access tokens")

    async def tokens(self) -> int:
        """Return the number of access tokens that it has issued so far."""
        raise NotScripted("this remote side does not count access tokens")

    def changed_settings(self) -> Mapping[str, Any]:
        """Return `settings` as an operator may change them while payments are under way.

        Change each that could reach a request: an account, a base URL of pages, a time to live.
        """
        raise NotScripted("no other settings are scripted for this remote side")

    async def pay(self, ref: PaymentRef, amount: int) -> None:
        """Let the customer pay an amount, in units of the asset. The payment is final.

        It may raise CannotHappen for a part or an excess, and never for exactly what is due.
        """
        raise NotScripted("this remote side has no customer who pays")

    async def received(self, ref: PaymentRef) -> int:
        """Return what the remote side has received for this object, in units of the asset.

        The kit compares it before and after `pay`, and so knows whose mistake missing money is.
        """
        raise NotScripted("this remote side does not say what it has received")

    async def asks_for(self, ref: PaymentRef) -> int:
        """Return the amount that the object asks the customer for, in units of the asset.

        The kit compares it with what is due before the first payment of each object.
        """
        raise NotScripted("this remote side does not say what an object asks for")

    async def pay_together(self, refs: Sequence[PaymentRef], amounts: Sequence[int]) -> None:
        """Let several objects be paid at once: one event, or one put, reports them all."""
        raise NotScripted("this remote side does not report several payments at once")

    async def pay_unfinal(self, ref: PaymentRef, amount: int) -> None:
        """Let the customer pay an amount that is visible, and not final until `finalize`."""
        raise NotScripted("this remote side does not say how it shows money that is not final")

    async def finalize(self, ref: PaymentRef) -> None:
        """Make final what was paid by `pay_unfinal`."""
        raise NotScripted("this remote side has no money that is not final")

    async def refuse(self, ref: PaymentRef) -> None:
        """Let the customer's payment be refused for good, as by a bank or 3-D Secure.

        Raise CannotHappen where nothing refuses it, or where the customer may always try again.
        """
        raise NotScripted("this remote side has no customer whose payment is refused")

    async def take_back(self, ref: PaymentRef) -> None:
        """Let vanish for good what was paid by `pay_unfinal`, as a reorganised chain does."""
        raise NotScripted("this remote side does not say how money that is not final vanishes")

    async def pay_late(self, ref: PaymentRef, amount: int) -> None:
        """Let the customer pay an amount after the payment's expiry. The payment is final."""
        raise NotScripted("this remote side does not say whether it takes late money")

    async def pay_in_another_asset(self, ref: PaymentRef, amount: int) -> None:
        """Let the customer pay in a currency or token that is not due, in units of it."""
        raise NotScripted("this remote side does not say whether it takes another asset")

    async def hold_reports(self, ref: PaymentRef) -> None:
        """Keep back what is reported of this object from now on, until `release_reports`."""
        raise NotScripted("the reports of this remote side cannot be held back")

    async def release_reports(self) -> None:
        """Report what was kept back; each event keeps the time at which it happened."""
        raise NotScripted("the reports of this remote side cannot be held back")

    async def add_foreign(self, name: str) -> None:
        """Add a paid object of other software on this account, which calls its order `name`."""
        raise NotScripted("nothing else uses this remote side, as far as is scripted")

    async def add_unreadable(self) -> None:
        """Add an entry to what is scanned that misses what the API's documentation promises."""
        raise NotScripted("no entry that cannot be read is scripted for this remote side")

    async def refund(self, ref: PaymentRef, amount: int) -> None:
        """Refund an amount of what was paid, without payd, as in the provider's dashboard."""
        raise NotScripted("this remote side cannot refund")

    async def refunds(self, payment_id: UUID) -> int:
        """Return the number of refunds of this payment, whatever became of them."""
        raise NotScripted("this remote side does not count refunds")

    async def refund_fault(self, ref: PaymentRef, fault: Fault) -> None:
        """Let the refunds of this object meet this fault, until `mend`."""
        await self.fault(fault)

    async def slow_refunds(self, ref: PaymentRef) -> None:
        """Let the refunds of this object be on their way until `end_refund`."""
        raise NotScripted("a refund of this remote side cannot be held up")

    async def end_refund(self, ref: RefundRef, *, failed: bool) -> None:
        """Let a refund arrive; or fail, also after it had arrived."""
        raise NotScripted("a refund of this remote side does not change")

    async def transfer(self, action: NextAction) -> None:
        """Do as the merchant what the instructions of a refund say; the transfer is final."""
        raise NotScripted("this remote side has no merchant who transfers")

    async def sponsored(self) -> int:
        """Return how often the sponsor of fees was asked to pay for a transfer so far."""
        raise NotScripted("this remote side has no sponsor of fees")

    async def wallet_request(self, action: CryptoTransfer, amount: int, until: datetime) -> bytes:
        """Return what a wallet sends to have the fee of a transfer paid.

        The transfer is the action's with another amount, of a new account at each call, and valid
        until this time.
        """
        raise NotScripted("this remote side has no wallet")

    async def sponsor_fault(self, fault: Fault) -> None:
        """Let the sponsor of fees meet this fault, until `mend`."""
        await self.fault(fault)

    async def dispute(self, ref: PaymentRef) -> None:
        """Let the customer's bank dispute the payment."""
        raise NotScripted("the payments of this remote side cannot be disputed")

    async def expire(self, ref: PaymentRef) -> None:
        """Let the object expire unpaid."""
        raise NotScripted("this remote side cannot expire objects")

    async def later(self, by: timedelta) -> None:
        """Let time pass. The kit's clock has moved already; move the remote side's own clock."""
        if not self.follows_clock:
            raise NotScripted("the clock of this remote side cannot be moved")

    async def rest(self) -> None:
        """Wait until everything that happened has been reported."""

    async def has_read(self, cursor: str | None) -> bool | None:
        """Tell whether the watch that stored this cursor has read everything that happened.

        None where a cursor does not say it: the kit then waits until the watch is quiet, and may
        take one that a busy machine holds up for one that has nothing more to report.
        """
        return None

    def key_name(self) -> str:
        """Return the name of the credential for the API."""
        raise NotScripted("the API of this remote side needs no credential")

    def webhook(self, ref: PaymentRef, now: datetime, secret: str | None = None) -> WebhookRequest:
        """Return the newest webhook about this object, signed at `now` with the newest secret.

        Delivering an event again must not change its id.
        """
        raise NotScripted("this remote side sends no webhooks")

    def signature_headers(self) -> tuple[str, ...]:
        """Return the headers, in lower case, that a webhook needs to be authentic."""
        raise NotScripted("this remote side sends no webhooks")

    def foreign_webhook(self, now: datetime) -> WebhookRequest:
        """Return an authentic webhook about an object that payd did not create."""
        raise NotScripted("this remote side sends no webhooks about other objects")

    def secret_name(self) -> str:
        """Return the name of the credential that signs webhooks."""
        raise NotScripted("the webhooks of this remote side have no secret")


#: Opens a remote side, with the clock of the kit, for one check.
OpenRemote = Callable[[BenchClock], AbstractAsyncContextManager[Remote]]

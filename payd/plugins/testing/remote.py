"""The remote side, scripted by the provider's author: what a check tells it to do."""

import enum
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from payd.plugins import PaymentRef, WebhookRequest


class Fault(enum.Enum):
    """What happens to the provider's requests."""

    #: The connection is refused, or the request is lost: nothing was done.
    LOST_REQUEST = "lost request"
    #: It is done, and its answer is lost.
    LOST_ANSWER = "lost answer"
    #: A 5xx, or what stands for it: nobody knows what was done.
    SERVER_ERROR = "server error"
    #: An answer that cannot be read.
    GARBAGE = "garbage"
    #: The credentials are refused.
    UNAUTHORIZED = "unauthorized"
    #: Too many requests; nothing was done.
    RATE_LIMITED = "rate limited"
    #: It never answers.
    HANG = "hang"
    #: The customer's means are refused, for good.
    DECLINE = "decline"


class NotScripted(Exception):
    """This remote side cannot be told to do that: the check stays unproven, and says why."""


class CannotHappen(Exception):
    """There is no such thing at this remote side, and never will be: it need not be shown."""


class Remote:
    """One remote side, new for every check. Override what it can do; the rest stays unproven.

    Its coroutines run on trio beside the provider.
    """

    #: As under `providers.NAME` in payd.yaml.
    settings: Mapping[str, Any] = {}
    #: Logical credential name → values, newest first.
    secrets: Mapping[str, tuple[str, ...]] = {}
    #: The amounts that the kit asks for, in minor units: at least one, all of which it takes.
    amounts: tuple[int, ...] = (14_900, 101, 1_234_567, 99_999_999)
    #: The kit's clock stands still unless it is told; False: this remote side has its own.
    follows_clock: bool = True
    #: It keeps what it was asked for; False where creating leaves nothing there, as on a chain.
    remembers: bool = True
    #: Money is told by the watch alone, which has to run for anything to be created.
    needs_watch: bool = False

    async def requests(self) -> int:
        """How many requests have arrived so far, of whatever kind."""
        raise NotScripted("its requests are not counted")

    async def objects(self, payment_id: UUID) -> int:
        """How many payable objects it has for this payment."""
        raise NotScripted("its objects are not counted")

    def metadata(self, fault: Fault | None) -> Mapping[str, str]:
        """For the operation that is to meet this fault; None: one that stays open until `pay`."""
        return {}

    async def fault(self, fault: Fault) -> None:
        """From now on, every request meets it."""
        raise NotScripted(f"{fault.value} is not scripted")

    async def mend(self) -> None:
        """All is well again."""

    async def pay(self, ref: PaymentRef, amount: int) -> None:
        """The customer pays so much, in the asset's own units: all that is due; and it is final."""
        raise NotScripted("nobody pays here")

    async def refund(self, ref: PaymentRef, amount: int) -> None:
        """So much of what was paid goes back to the customer."""
        raise NotScripted("nothing goes back here")

    async def expire(self, ref: PaymentRef) -> None:
        """The object ends unpaid."""
        raise NotScripted("its objects do not expire")

    async def later(self, by: timedelta) -> None:
        """Time has passed by the kit's clock; a remote side with its own lets it pass there, too."""
        if not self.follows_clock:
            raise NotScripted("its time cannot be moved")

    async def rest(self) -> None:
        """Time in which what was told is told to everybody."""

    def key_name(self) -> str:
        """The credential that opens its API."""
        raise NotScripted("no credential opens its API")

    def webhook(self, ref: PaymentRef, now: datetime, secret: str | None = None) -> WebhookRequest:
        """The newest webhook about this object, signed at `now`, with the newest secret.

        As it was sent: delivered again, an event has the id that it had.
        """
        raise NotScripted("it sends no webhooks")

    def signature_headers(self) -> tuple[str, ...]:
        """The headers, in lower case, without which a webhook is worth nothing."""
        raise NotScripted("it sends no webhooks")

    def foreign_webhook(self, now: datetime) -> WebhookRequest:
        """An authentic one about an object that is none of payd's."""
        raise NotScripted("it sends no webhooks of others")

    def secret_name(self) -> str:
        """The credential that webhooks are signed with."""
        raise NotScripted("its webhooks have no secret")

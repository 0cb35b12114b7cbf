"""What the callers saw: every payment that they wanted, every answer, every failed call."""

import threading
import time
from collections import Counter, defaultdict
from typing import Any

import attrs
from payd_client.proto import payment_pb2 as pb


@attrs.define(kw_only=True)
class Deal:
    """One payment that a buyer wants."""

    key: str
    kind: str
    request: Any = attrs.field(repr=False)
    #: Ids that calls with this key were answered with: one, by I15.
    ids: set[str] = attrs.field(factory=set)
    #: The newest answer.
    payment: Any = attrs.field(default=None, repr=False)
    #: Names it on the chain; empty for others.
    memo: str = ""
    #: Key → minor units of refunds that were granted.
    refunds: dict[str, int] = attrs.field(factory=dict)
    #: Whether everything was done that the buyer meant to do.
    is_done: bool = False

    @property
    def id(self) -> str:
        """The payment's id; empty until a call was answered."""
        return min(self.ids, default="")

    def __str__(self) -> str:
        """For the list of problems."""
        return f"{self.id or self.key} ({self.kind})"


@attrs.define
class Record:
    """The callers' side of the history. Its methods may be called from any thread."""

    deals: list[Deal] = attrs.field(factory=list)
    #: Answered and failed calls.
    calls: Counter[str] = attrs.field(factory=Counter)
    #: When an InitiatePayment succeeded, in seconds of the monotonic clock.
    successes: list[float] = attrs.field(factory=list)
    #: What a caller must never see.
    problems: list[str] = attrs.field(factory=list)
    #: Payment → version → statuses that answers gave it.
    versions: dict[str, dict[int, set[str]]] = attrs.field(
        factory=lambda: defaultdict(lambda: defaultdict(set))
    )
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def begin(self, deal: Deal) -> None:
        """Write down what a buyer wants, before anything is sent."""
        with self._lock:
            self.deals.append(deal)

    def newest_version(self, deal: Deal) -> int:
        """The highest version that any answer about this payment had."""
        with self._lock:
            return max(self.versions[deal.id], default=0) if deal.ids else 0

    def answered(self, deal: Deal, payment: Any, seen_before: int) -> None:
        """Write down an answer; `seen_before` is the newest version when the call was made."""
        status = status_of(payment)
        with self._lock:
            deal.ids.add(payment.id)
            deal.payment = payment
            deal.memo = deal.memo or payment.next_action.crypto_transfer.memo
            self.versions[payment.id][payment.version].add(status)
            if payment.version < seen_before:
                self.problems.append(
                    f"{payment.id} went back from version {seen_before} to {payment.version}"
                )

    def called(self, method: str, outcome: str) -> None:
        """Count a call."""
        with self._lock:
            self.calls[f"{method} {outcome}"] += 1
            if (method, outcome) == ("InitiatePayment", "OK"):
                self.successes.append(time.monotonic())

    def complain(self, problem: str) -> None:
        """Write down what must not have happened."""
        with self._lock:
            self.problems.append(problem)


def status_of(payment: Any) -> str:
    """The status without its prefix."""
    return pb.PaymentStatus.Name(payment.status).removeprefix("PAYMENT_STATUS_")

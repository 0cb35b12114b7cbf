"""The payments of one check: what happened to each, and all that was reported, by channel."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import attrs

from payd.domain.decide import Rules, decide
from payd.domain.errors import PaydError
from payd.domain.evidence import RefundAnswered, RefundRequested
from payd.domain.outcome import Asking
from payd.domain.payment import Payment
from payd.domain.refund import Refund, RefundStatus, RefundTerms
from payd.plugins import (
    Created,
    CreateOperation,
    Dispute,
    Observation,
    PaymentRef,
    ProviderEvent,
    RefundOperation,
    RefundSnapshot,
    Snapshot,
    SupportsScan,
    SupportsWatch,
    SupportsWebhooks,
    WebhookRefused,
)
from payd.plugins.testing.bench import CLOCKS_APART, Bench
from payd.plugins.testing.checks.scan import read
from payd.plugins.testing.checks.watch import confirmed, watch_until_quiet
from payd.plugins.testing.folding import Piece, Truth, compare, fold, orders, rules_of, stored
from payd.plugins.testing.given import BenchSink
from payd.plugins.testing.operations import due, names
from payd.plugins.testing.registry import Failed
from payd.plugins.testing.remote import CannotHappen, NotScripted
from payd.providers import answers
from payd.providers.calls import describe

WEBHOOK, SCAN, WATCH, LOOK = "the webhook", "the scan", "the watch", "fetch"


@attrs.frozen
class _Span:
    """The time between whose ends something happened."""

    begin: datetime
    end: datetime


@attrs.define(kw_only=True)
class Followed:
    """A payment of a check."""

    operation: CreateOperation
    ref: PaymentRef
    created: Created
    #: The payment as payd has it before the reports that are compared.
    payment: Payment
    truth: Truth
    #: When money moved, by the clock of the check.
    spans: list[_Span] = attrs.field(factory=list)
    #: When money went back, likewise.
    refund_spans: list[_Span] = attrs.field(factory=list)
    looks: list[Piece] = attrs.field(factory=list)
    #: Answers to calls about its refunds.
    answers: list[Piece] = attrs.field(factory=list)
    #: Whether something happened to it of which no webhook was sent.
    has_unsent: bool = False
    refund_ids: set[str] = attrs.field(factory=set)

    @property
    def due(self) -> int:
        """What is due, in units of the asset."""
        return due(self.operation)

    def happened(self, **changes: Any) -> None:
        """Note what the check has caused."""
        self.truth = attrs.evolve(self.truth, **changes)

    def has_refunded(self, begin: datetime, end: datetime) -> None:
        """Note that a refund was made between two times."""
        self.refund_spans.append(_Span(begin, end))


@attrs.define(kw_only=True)
class Following:
    """All payments of a check, and the reports so far, as payd's inbox keeps them."""

    bench: Bench
    #: The cursor of the scan before anything happened; None without a scan.
    cursor: str | None
    payments: list[Followed] = attrs.field(factory=list)
    #: The channels that were read last.
    _channels: list[str] = attrs.field(factory=list)
    #: That of a watch which need not run all the time.
    _sink: BenchSink | None = None
    _events: dict[str, ProviderEvent] = attrs.field(factory=dict)
    _reports: list[tuple[str, Observation]] = attrs.field(factory=list)

    # -- what happens ----------------------------------------------------------------------------

    async def open(self, **fields: Any) -> Followed:
        """Create an object, and follow its payment."""
        operation, ref, created = await self.bench.opened(**fields)
        payment = stored(operation, self.bench.manifest.name)
        answer = Piece(channel="create", evidence=created)
        followed = Followed(
            operation=operation,
            ref=ref,
            created=created,
            payment=fold(payment, [answer], operation.create_time, Rules()),
            truth=Truth(due=due(operation)),
        )
        self.payments.append(followed)
        return followed

    async def pay(self, followed: Followed, amount: int) -> None:
        """Let the customer pay an amount, which is final; `gather` waits until it is reported."""
        begin = self.bench.clock.now()
        await self.bench.remote.pay(followed.ref, amount)
        self.has_moved(followed, amount, begin)
        self.read_webhook(followed)

    def has_moved(self, followed: Followed, amount: int, begin: datetime) -> None:
        """Note money that moved since `begin`, and how much of it is final and in what is due."""
        followed.spans.append(_Span(begin, self.bench.clock.now()))
        followed.happened(confirmed=followed.truth.confirmed + amount)

    async def pay_in_parts(self, followed: Followed, *parts: int) -> None:
        """Pay parts, and compare after each; then the rest of what is due.

        A remote side that takes no parts is paid at once.
        """
        with suppress(NotScripted, CannotHappen):
            for part in parts:
                await self.pay(followed, part)
                await self.gather()
                self.compare()
        await self.pay(followed, followed.due - followed.truth.confirmed)

    async def refund_outside(self, followed: Followed, amount: int) -> None:
        """Refund an amount without payd, as in the provider's dashboard."""
        begin = self.bench.clock.now()
        await self.bench.remote.refund(followed.ref, amount)
        followed.has_refunded(begin, self.bench.clock.now())
        done = (amount, RefundStatus.SUCCEEDED)
        followed.happened(refunds=(*followed.truth.refunds, done))
        self.read_webhook(followed)

    def request_refund(self, followed: Followed, refund: RefundOperation) -> None:
        """Let payd grant a refund, as before it sends it."""
        able = self.bench.manifest.capabilities.refunds
        assert able is not None
        now = self.bench.clock.now()
        draft = Refund(
            id=refund.refund_id,
            status=RefundStatus.CREATING,
            amount=refund.amount,
            destination=refund.destination,
            create_time=now,
            update_time=now,
            asking=Asking.ASKING,
        )
        terms = RefundTerms(partial=able.partial, several=able.several)
        asked = RefundRequested(refund=draft, terms=terms)
        self._take_over(followed)
        try:
            decision = decide(followed.payment, asked, now)
        except PaydError as error:
            raise Failed(
                f"{followed.truth.confirmed} of {followed.due} were paid, expected to be"
                f" refundable; but by all reports payd's payment is"
                f" {followed.payment.status.value}, with confirmed {followed.payment.confirmed},"
                f" and payd refuses to refund {refund.amount} ({describe(error)})"
            ) from error
        if decision is not None:
            followed.payment = decision.payment
        followed.refund_ids.add(str(refund.refund_id))

    def answered(self, followed: Followed, said: RefundSnapshot, refund: RefundOperation) -> None:
        """Note the answer to a refund that payd has requested."""
        answer = RefundAnswered(refund_id=refund.refund_id, answer=said)
        followed.answers.append(Piece(channel="refund", evidence=answer))

    # -- what is reported ------------------------------------------------------------------------

    async def gather(self, *, last: bool = False) -> None:
        """Read every channel. A watch that need not run all the time is read only the last time."""
        await self.bench.settled(self._is_reported)
        provider = self.bench.provider
        self._channels = [LOOK]
        if isinstance(provider, SupportsWebhooks):
            self._channels.append(WEBHOOK)
            for followed in self.payments:
                self.read_webhook(followed)
        if isinstance(provider, SupportsScan):
            self._channels.append(SCAN)
            await self.read_scan()
        if isinstance(provider, SupportsWatch):
            await self._read_watch(last=last)
        for followed in self.payments:
            await self.look(followed)

    def _is_reported(self, sink: BenchSink) -> bool:
        """Whether a watch has reported all money that has moved, and all that went back."""
        for one in self.payments:
            called = names(one.operation, one.created) | one.refund_ids
            back = {
                seen.id
                for seen in sink.stored
                if isinstance(seen.fact, RefundSnapshot) and seen.reference in called
            }
            missing = one.truth.confirmed - confirmed(sink, called)
            if missing > 0 or len(back) < len(one.truth.refunds):
                return False
        return True

    async def look(self, followed: Followed) -> None:
        """Fetch the object of one payment."""
        lookup = self.bench.manifest.capabilities.lookup
        found = await self.bench.found(followed.ref)
        evidence = answers.answer_to_fetch(lookup, followed.ref.reference, found).evidence
        followed.looks += [Piece(channel=LOOK, evidence=one) for one in evidence]

    def read_webhook(self, followed: Followed) -> None:
        """Read the newest webhook about a payment; each replaces the one before it."""
        provider, now = self.bench.provider, self.bench.clock.now()
        if not isinstance(provider, SupportsWebhooks):
            return
        try:
            request = self.bench.remote.webhook(followed.ref, now)
        except (NotScripted, CannotHappen):
            followed.has_unsent = followed.has_unsent or followed.truth.confirmed > 0
            return
        try:
            said: Any = provider.verify(request, self.bench.secrets, now)
        except WebhookRefused as error:
            raise Failed(f"an authentic webhook was refused: {error}") from error
        for event in said if isinstance(said, Sequence) else (said,):
            self._store(WEBHOOK, self.bench.expect(ProviderEvent, event, "verify"))

    async def read_scan(self) -> None:
        """Read all events of the scan since the beginning."""
        events, _ = await read(self.bench, self.cursor)
        for event in events.values():
            self._store(SCAN, event)

    async def _read_watch(self, *, last: bool) -> None:
        if self.bench.remote.needs_watch:
            sink = self.bench.sinks[0]
        elif last:
            sink = self._sink = self._sink or self.bench.sink()
            await watch_until_quiet(self.bench, sink, self._names())
        else:
            return
        self._channels.append(WATCH)
        known = dict[str, Observation]()
        for one in sink.stored:
            if known.setdefault(one.id, one) != one:
                raise Failed(f"the watch reported {one.id} with two contents")
            if (WATCH, one) not in self._reports:
                self._reports.append((WATCH, one))

    def _store(self, channel: str, event: ProviderEvent) -> None:
        """Keep an event as the inbox does: by its id, as JSON."""
        content = json.loads(json.dumps(event.content, default=dict))
        kept = attrs.evolve(event, content=content)
        if self._events.setdefault(event.id, kept) != kept:
            raise Failed(
                f"event {event.id} came with two contents, by {channel} and before:"
                " payd cannot tell which is true"
            )
        translated = self.bench.translated(kept)
        new = [(channel, one) for one in translated if (channel, one) not in self._reports]
        self._reports += new

    # -- what payd makes of it -------------------------------------------------------------------

    def pieces(self, followed: Followed) -> Sequence[Piece]:
        """Everything that was reported about a payment, as payd finds it by its names."""
        known, more = names(followed.operation, followed.created) | followed.refund_ids, True
        for piece in followed.looks:
            known |= {*getattr(piece.evidence, "aliases", ())}
        while more:
            mine = [(channel, one) for channel, one in self._reports if one.reference in known]
            aliases = {name for _, one in mine for name in getattr(one.fact, "aliases", ())}
            more, known = not aliases <= known, known | aliases
        reported = [Piece(channel=channel, evidence=one.fact) for channel, one in mine]
        return [*reported, *followed.looks]

    def compare(self) -> None:
        """Compare each payment with what happened to it: by each channel, and by all of them."""
        for followed in self.payments:
            for how, payment, rest in self.folded(followed):
                compare(payment, followed.truth, how, **rest)
        self.compare_times()
        self._compare_ids()

    def compare_times(self) -> None:
        """Compare the times in all reports with when it happened."""
        for followed in self.payments:
            self._compare_times(followed)

    def folded(self, followed: Followed) -> Iterator[tuple[str, Payment, dict[str, bool]]]:
        """The payments that payd makes: by all channels in every order, and by each alone."""
        now, rules = self.bench.clock.now(), self.rules(followed)
        pieces = self.pieces(followed)
        for channel in self._channels:
            mine = [piece for piece in pieces if piece.channel == channel]
            payment = fold(followed.payment, [*followed.answers, *mine], now, rules)
            is_part = {LOOK: self.bench.remote.needs_watch, WEBHOOK: followed.has_unsent}
            rest = {"partial": is_part.get(channel, False), "one_channel": True}
            yield f"by {channel} alone", payment, rest
        channels = ", ".join(dict.fromkeys(piece.channel for piece in pieces))
        for order, ordered, batch in orders([*followed.answers, *pieces]):
            payment = fold(followed.payment, ordered, now, rules, batch)
            yield f"by {channels} ({order})", payment, {}

    def _compare_times(self, followed: Followed) -> None:
        """Money that moved has its time, and no report comes from the future."""
        slack, now = CLOCKS_APART + self.bench.remote.time_resolution, self.bench.clock.now()
        for piece in (*self.pieces(followed), *followed.answers):
            for what, time in _receipt_times(piece.evidence):
                _is_within(time, followed.spans, slack, f"the receipt {what} of {piece.channel}")
            for what, time in _refund_times(piece.evidence):
                name = f"the refund {what} of {piece.channel}"
                _is_within(time, followed.refund_spans, slack, name)
            if isinstance(piece.evidence, Snapshot):
                begin, end = followed.operation.create_time - slack, now + CLOCKS_APART
                if not begin <= piece.evidence.as_of <= end:
                    raise Failed(
                        f"as_of of {piece.channel} is {piece.evidence.as_of.isoformat()}, which is"
                        f" not between {begin.isoformat()} and {end.isoformat()}"
                    )

    def _compare_ids(self) -> None:
        """No receipt, refund or dispute belongs to two payments: payd refuses the second."""
        owners = dict[tuple[str, str], Followed]()
        for followed in self.payments:
            for piece in self.pieces(followed):
                for what, name in _ids(piece.evidence):
                    if owners.setdefault((what, name), followed) is not followed:
                        raise Failed(f"the {what} {name} is reported for two payments")

    def _take_over(self, followed: Followed) -> None:
        """Decide on all reports so far."""
        now, rules = self.bench.clock.now(), self.rules(followed)
        followed.payment = fold(followed.payment, self.pieces(followed), now, rules)

    def rules(self, followed: Followed) -> Rules:
        """The rules for late money of a payment."""
        key = followed.operation.method
        return rules_of(next(one for one in self.bench.methods if one.key == key))

    def _names(self) -> set[str]:
        return {name for one in self.payments for name in names(one.operation, one.created)}


async def follow(bench: Bench) -> Following:
    """Begin to follow the payments of a check."""
    cursor = (await read(bench, None))[1] if isinstance(bench.provider, SupportsScan) else None
    return Following(bench=bench, cursor=cursor)


def _is_within(time: datetime, spans: Sequence[_Span], slack: timedelta, what: str) -> None:
    """Raise Failed if the time lies in none of the spans."""
    if not any(one.begin - slack <= time <= one.end + slack for one in spans):
        moved = " and ".join(one.begin.isoformat() for one in spans)
        raise Failed(
            f"money moved at {moved or 'no time'}, but {what} has the time {time.isoformat()}"
        )


def _receipt_times(evidence: object) -> Iterator[tuple[str, datetime]]:
    """The id of each receipt, and the time at which its money moved."""
    match evidence:
        case tuple():
            yield from ((one.id, one.time) for one in evidence)


def _refund_times(evidence: object) -> Iterator[tuple[str, datetime]]:
    """The reference of each refund, and the time at which it was made."""
    match evidence:
        case RefundAnswered(answer=RefundSnapshot() as one) | (RefundSnapshot() as one):
            yield one.reference, one.time
        case Snapshot():
            yield from ((one.reference, one.time) for one in evidence.refunds)


def _ids(evidence: object) -> Iterator[tuple[str, str]]:
    match evidence:
        case tuple():
            yield from (("receipt", one.id) for one in evidence)
        case RefundSnapshot():
            yield "refund", evidence.reference
        case Dispute():
            yield "dispute", evidence.id
        case Snapshot():
            yield from (("refund", one.reference) for one in evidence.refunds)
            yield from (("dispute", one.id) for one in evidence.disputes)

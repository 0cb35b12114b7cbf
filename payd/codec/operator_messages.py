"""What operators look at beside payments → protobuf messages."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from payd_client.proto import payment_pb2 as pb

from payd.codec.marks import MarkedPage, mark_token
from payd.codec.operator_requests import RepublishRequest
from payd.codec.parts import money_message, time_message
from payd.codec.receipts import RECEIPT_STATE
from payd.domain.ledger import (
    ReceiptFilter,
    ReceiptPosition,
    Reconciliation,
    ReconciliationPosition,
    StoredReceipt,
)
from payd.domain.money import currency_exponent
from payd.domain.overview import Overview, TrailState
from payd.domain.payment import Status
from payd.domain.published import DeadLetter, DeadLetters, Republished
from payd.domain.running import Running
from payd.domain.stored_rows import StoredTable

#: Token address in lower case → its code and decimals.
Tokens = Mapping[str, tuple[str, int]]

_STATUS: dict[Status, Any] = {
    status: pb.PaymentStatus.Value(f"PAYMENT_STATUS_{status.value}") for status in Status
}


def receipts_response(
    found: Sequence[StoredReceipt],
    page: MarkedPage[ReceiptFilter, ReceiptPosition],
    tokens: Tokens,
) -> pb.ListReceiptsResponse:
    """Build the answer of ListReceipts; one receipt more than the page has says that it goes on."""
    mark = None
    if len(found) > page.size:
        last = found[page.size - 1].position
        mark = last.time.isoformat(), last.provider, last.id
    return pb.ListReceiptsResponse(
        receipts=[receipt_message(one, tokens) for one in found[: page.size]],
        next_page_token=page.token_of(mark),
    )


def receipt_message(stored: StoredReceipt, tokens: Tokens) -> pb.Receipt:
    """Build the message of a receipt."""
    receipt = stored.receipt
    currency, decimals = _unit(receipt.asset, tokens)
    return pb.Receipt(
        id=receipt.id,
        provider=stored.provider,
        payment_id=str(stored.payment_id) if stored.payment_id else "",
        asset=receipt.asset,
        amount_base_units=str(receipt.amount),
        currency=currency,
        decimals=decimals,
        state=RECEIPT_STATE[receipt.state],
        time=time_message(receipt.time),
        reference=stored.reference,
        details=receipt.details,
    )


def _unit(asset: str, tokens: Tokens) -> tuple[str, int]:
    if asset.lower() in tokens:
        return tokens[asset.lower()]
    return ("", 0) if asset.startswith("0x") else (asset, currency_exponent(asset))


def republished_response(
    result: Republished, request: RepublishRequest
) -> pb.RepublishEventsResponse:
    """Build the answer of RepublishEvents."""
    token = ""
    if (last := result.next) is not None:
        token = mark_token((last.publish_time.isoformat(), str(last.id)), request.meaning)
    return pb.RepublishEventsResponse(
        stored=result.stored, duplicates=result.duplicates, next_page_token=token
    )


def dead_letters_response(
    found: DeadLetters, page: MarkedPage[None, int]
) -> pb.ListDeadLettersResponse:
    """Build the answer of ListDeadLetters."""
    return pb.ListDeadLettersResponse(
        dead_letters=map(_dead_letter, found.letters),
        next_page_token=page.token_of((str(found.next),) if found.next is not None else None),
        total=found.total,
    )


def _dead_letter(letter: DeadLetter) -> pb.DeadLetter:
    return pb.DeadLetter(
        sequence=letter.sequence,
        subject=_text(letter.subject),
        event_id=_text(letter.event_id),
        reason=_text(letter.reason),
        time=time_message(letter.time),
        deliveries=letter.deliveries,
        headers={_text(name): _text(value) for name, value in letter.headers.items()},
        data=letter.data,
        payment_id=str(letter.payment_id or ""),
    )


def _text(value: str) -> str:
    """Replace what UTF-8 cannot encode: any program may have written the message."""
    return value.encode(errors="replace").decode()


def stored_rows_response(tables: Sequence[StoredTable]) -> pb.GetStoredRowsResponse:
    """Build the answer of GetStoredRows."""
    return pb.GetStoredRowsResponse(
        tables=[
            pb.StoredTable(name=one.name, rows=one.rows, has_more=one.has_more) for one in tables
        ]
    )


def reconciliations_response(
    found: Sequence[Reconciliation], page: MarkedPage[str, ReconciliationPosition]
) -> pb.ListReconciliationsResponse:
    """Build the answer of ListReconciliations, as `receipts_response`."""
    mark = None
    if len(found) > page.size:
        last = found[page.size - 1].position
        mark = last.end_time.isoformat(), str(last.id)
    return pb.ListReconciliationsResponse(
        reconciliations=map(_reconciliation, found[: page.size]),
        next_page_token=page.token_of(mark),
    )


def _reconciliation(result: Reconciliation) -> pb.Reconciliation:
    times = ("since", "until", "start_time", "end_time")
    return pb.Reconciliation(
        provider=result.provider,
        objects=result.objects,
        payments=result.payments,
        findings=[
            pb.ReconciliationFinding(
                kind=one.get("kind", ""),
                reference=one.get("reference", ""),
                payment_id=one.get("payment_id", ""),
                detail=one.get("detail", ""),
            )
            for one in result.findings
        ],
        **{name: time_message(getattr(result, name)) for name in times},
    )


def overview_message(overview: Overview) -> pb.Overview:
    """Build the message of an overview."""
    backlog, health = overview.backlog, overview.health
    return pb.Overview(
        time=time_message(overview.time),
        sums=[
            pb.DailySum(
                day=one.day.isoformat(),
                method=one.method,
                status=_STATUS[one.status],
                payments=one.payments,
                amount=money_message(one.amount),
            )
            for one in overview.sums
        ],
        attention=[
            pb.OpenAttention(
                reason=one.reason.value,
                payments=one.payments,
                since=time_message(overview.time - one.oldest_age),
            )
            for one in overview.attention
        ],
        checks=[
            pb.HealthCheck(name=one.name, ok=one.ok, required=one.required, detail=one.detail)
            for one in health.checks
        ],
        loops=[
            pb.LoopHealth(name=one.name, restarts=one.restarts, failures=one.failures)
            for one in health.loops
        ],
        backlog=pb.Backlog(
            events=backlog.events,
            oldest_event_age=_duration(backlog.oldest_event_age),
            reports=backlog.reports,
            unmatched_receipts=backlog.unmatched_receipts,
        ),
        trail=_trail_message(overview.trail),
    )


def _trail_message(trail: TrailState) -> pb.TrailState:
    return pb.TrailState(
        checkpoint=trail.checkpoint,
        checkpoint_time=trail.checkpoint_time and time_message(trail.checkpoint_time),
        unsigned_rows=trail.unsigned_rows,
        unsigned_payments=trail.unsigned_payments,
        unchained_rows=trail.unchained_rows,
    )


def _duration(span: timedelta) -> Duration:
    message = Duration()
    message.FromTimedelta(span)
    return message


def configuration_message(running: Running) -> pb.Configuration:
    """Build the message of what runs."""
    return pb.Configuration(
        version=running.version,
        environment=running.environment,
        pricing_version=running.pricing_version,
        providers=[
            pb.ProviderVersion(
                name=one.name, version=one.version, methods=one.methods, problem=one.problem
            )
            for one in running.providers
        ],
        settings=[
            pb.Setting(key=one.key, value=one.value, variable=one.variable, source=one.source)
            for one in running.settings
        ],
    )

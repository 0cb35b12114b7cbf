"""Requests about refunds → domain values. An invalid field raises InvalidField with its path."""

from collections.abc import Iterable
from uuid import UUID

from payd_client.proto import payment_pb2 as pb

from payd.codec.fields import a_uuid, idempotency_key, money, text
from payd.codec.page_tokens import PageRequest, page_request
from payd.domain.errors import InvalidField
from payd.domain.money import Money
from payd.domain.refund import RefundStatus
from payd.domain.request import RefundFilter, RefundRequest, SettleRequest
from payd.domain.text import NAME_MAX

REASON_LENGTH_MAX = 500
DESTINATION_LENGTH_MAX = 512

_STATUSES = {
    pb.RefundStatus.Value(f"REFUND_STATUS_{status.value}"): status for status in RefundStatus
}


def refund_request(message: pb.RefundPaymentRequest) -> RefundRequest:
    """Parse the request of RefundPayment. Raises InvalidField."""
    return RefundRequest(
        payment_id=a_uuid("payment_id", message.payment_id),
        idempotency_key=idempotency_key(message.idempotency_key),
        amount=_amount(message.amount) if message.HasField("amount") else None,
        reason=text("reason", message.reason, REASON_LENGTH_MAX, required=False),
        destination=text(
            "destination", message.destination, DESTINATION_LENGTH_MAX, required=False
        ),
    )


def refund_id(value: str) -> UUID:
    """Parse a refund id. Raises InvalidField."""
    return a_uuid("refund_id", value)


def settle_request(message: pb.SettleRefundRequest) -> SettleRequest:
    """Parse the request of SettleRefund. Raises InvalidField."""
    outcome = _STATUSES.get(message.outcome)
    if outcome not in (RefundStatus.SUCCEEDED, RefundStatus.FAILED):
        raise InvalidField("outcome", "must be SUCCEEDED or FAILED")
    return SettleRequest(
        refund_id=refund_id(message.refund_id),
        has_succeeded=outcome is RefundStatus.SUCCEEDED,
        reference=text("reference", message.reference, NAME_MAX, required=False),
        note=note(message.note),
    )


def note(value: str) -> str:
    """Check the note of a decision. Raises InvalidField."""
    return text("note", value, REASON_LENGTH_MAX, required=False)


def list_request(message: pb.ListRefundsRequest) -> PageRequest[RefundFilter]:
    """Parse the request of ListRefunds. Raises InvalidField and InvalidPageToken."""
    wanted = RefundFilter(
        payment_id=a_uuid("payment_id", message.payment_id) if message.payment_id else None,
        statuses=_statuses(message.statuses),
    )
    statuses = sorted(status.value for status in wanted.statuses)
    return page_request(message, wanted, str(wanted.payment_id), statuses)


def _amount(message: pb.Money) -> Money:
    amount = money("amount", message)
    if amount.minor_units == 0:
        raise InvalidField("amount.minor_units", "must be at least 1")
    return amount


def _statuses(values: Iterable[int]) -> frozenset[RefundStatus]:
    found = set()
    for number, value in enumerate(values):
        if value not in _STATUSES:
            raise InvalidField(f"statuses[{number}]", f"{value} is not a status of refunds")
        found.add(_STATUSES[value])
    return frozenset(found)

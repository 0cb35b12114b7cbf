"""Requests about attention → domain values. An invalid field raises InvalidField with its path."""

from collections.abc import Iterable

from payd_client.proto import payment_pb2 as pb

from payd.codec.fields import a_uuid, text
from payd.domain.attention import Attention
from payd.domain.errors import InvalidField
from payd.domain.request import ResolveRequest

NOTE_LENGTH_MAX = 500

_REASONS = {reason.value: reason for reason in Attention}


def resolve_request(message: pb.ResolveAttentionRequest) -> ResolveRequest:
    """Parse the request of ResolveAttention. Raises InvalidField."""
    if message.expected_version < 0:
        raise InvalidField("expected_version", f"must be at least 0, is {message.expected_version}")
    return ResolveRequest(
        payment_id=a_uuid("payment_id", message.payment_id),
        reasons=reasons("reasons", message.reasons),
        note=text("note", message.note, NOTE_LENGTH_MAX, required=False),
        expected_version=message.expected_version or None,
    )


def reasons(field: str, values: Iterable[str]) -> frozenset[Attention]:
    """Parse reasons for attention. Raises InvalidField."""
    found = set()
    for number, value in enumerate(values):
        if value not in _REASONS:
            raise InvalidField(f"{field}[{number}]", f"must be one of {', '.join(_REASONS)}")
        found.add(_REASONS[value])
    return frozenset(found)

"""The request of WatchPayment → domain value. An invalid field raises InvalidField."""

from datetime import timedelta

from payd_client.proto import payment_pb2 as pb

from payd.codec.fields import a_uuid
from payd.domain.errors import InvalidField
from payd.domain.request import WatchRequest

LINGER_MAX = timedelta(hours=1)


def watch_request(message: pb.WatchPaymentRequest) -> WatchRequest:
    """Parse the request. Raises InvalidField."""
    if message.after_version < 0:
        raise InvalidField("after_version", "must be at least 0")
    # Seconds and nanoseconds by themselves: a duration may exceed what a timedelta can hold.
    given = message.linger
    seconds = given.seconds + given.nanos / 1e9
    if not 0 <= seconds <= LINGER_MAX.total_seconds():
        raise InvalidField("linger", f"must be 0 to {LINGER_MAX.total_seconds():g} s")
    return WatchRequest(
        payment_id=a_uuid("payment_id", message.payment_id),
        after_version=message.after_version,
        linger=timedelta(seconds=seconds),
    )

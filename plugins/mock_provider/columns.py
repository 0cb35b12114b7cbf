"""Times as the columns of the mock's file: microseconds since 1970."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(time: datetime) -> int:
    """Convert a time to its column."""
    return (time - _EPOCH) // _MICROSECOND


def time_of(column: int) -> datetime:
    """Convert a column to its time."""
    return _EPOCH + column * _MICROSECOND

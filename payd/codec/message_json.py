"""Protobuf messages → proto3 JSON with the proto's field names, several times faster than protobuf.

`MessageToDict` asks for the type of every field of every message. Here each type of message gets a
table of conversions once, and only the fields that are set are read.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

_Convert = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: JavaScript's numbers are exact up to 2⁵³ only, so proto3 JSON has these as text.
_TEXT = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)


def message_json(message: Message) -> dict[str, Any]:
    """Convert a message to values for `json.dumps`, which must not be changed.

    A field that is not set is left out if the proto can tell this, and otherwise has its default.
    """
    defaults, conversions = _table(message.DESCRIPTOR)
    values = defaults.copy()
    for field, value in message.ListFields():
        name = field.name
        values[name] = conversions[name](value) if name in conversions else value
    return values


@cache
def _table(of: Descriptor) -> tuple[dict[str, Any], dict[str, _Convert]]:
    """The values of fields that are not set, and the conversions of those that need one."""
    conversions = {field.name: convert for field in of.fields if (convert := _conversion(field))}
    defaults = {
        field.name: conversions.get(field.name, _same)(field.default_value)
        for field in of.fields
        if not field.has_presence
    }
    return defaults, conversions


def _conversion(field: FieldDescriptor) -> _Convert | None:
    if field.message_type and field.message_type.GetOptions().map_entry:
        return lambda entries: dict(entries or ())
    one = _conversion_of_one(field)
    if field.is_repeated:
        return lambda values: [(one or _same)(value) for value in values]
    return one


def _conversion_of_one(field: FieldDescriptor) -> _Convert | None:
    if field.message_type:
        return _time if field.message_type is Timestamp.DESCRIPTOR else message_json
    if field.enum_type:
        names = {value.number: value.name for value in field.enum_type.values}
        # A newer daemon may have sent a value that this version has no name for.
        return lambda number: names.get(number, number)
    return str if field.cpp_type in _TEXT else None


def _same(value: Any) -> Any:
    return value


def _time(time: Timestamp) -> str:
    """RFC 3339 in UTC with 0, 3 or 6 decimal places; payd has no finer times."""
    nanos = time.nanos
    precision = "microseconds" if nanos % 1_000_000 else "milliseconds" if nanos else "seconds"
    moment = _EPOCH + timedelta(0, time.seconds, nanos // 1000)
    return moment.isoformat(timespec=precision).removesuffix("+00:00") + "Z"

"""The HTTP/2 stream of a unary call: one message in, one answer out.

grpclib's stream serves calls with any number of messages, each read and written by itself. Most
calls have one of each, which has arrived as a whole when its task starts: it needs no queue, and
its answer, three frames whose headers are always the same, is one write.
"""

import asyncio
import struct
from functools import partial
from typing import Any

from grpclib.const import Status
from grpclib.encoding.proto import ProtoStatusDetailsCodec
from grpclib.exceptions import GRPCError
from grpclib.metadata import encode_bin_value, encode_grpc_message
from grpclib.protocol import Connection, Stream
from h2.connection import ConnectionState
from h2.exceptions import StreamClosedError
from h2.stream import StreamInputs, StreamState

from payd.domain.errors import InvalidField
from payd.transport.problems import grpc_error, protocol_error

__all__ = ["Message", "UnaryStream"]

_CONTENT_TYPE = "application/grpc+proto"
_PREFIX = struct.Struct(">BI")
#: Length and type of a frame in one word, its flags, its stream.
_FRAME = struct.Struct(">IBI")
_DATA, _HEADERS = 0, 1
_END_STREAM, _END_HEADERS = 1, 4
#: HPACK's integers of one byte with a prefix of seven bits end here.
_SHORT = 127


def _literal(name: str, value: str) -> bytes:
    """Encode a header that changes no state of HPACK: a literal that is never indexed.

    So an answer's headers are the same bytes at any time, whatever h2's own encoder has sent.
    """
    return b"\x00" + _string(name) + _string(value)


def _string(text: str) -> bytes:
    length = len(text)
    if length < _SHORT:
        return bytes((length,)) + text.encode("ascii")
    if length - _SHORT > _SHORT:
        raise ValueError("too long for an answer's header")
    return bytes((_SHORT, length - _SHORT)) + text.encode("ascii")


#: `:status: 200` is entry 8 of HPACK's static table.
_FIRST_BLOCK = b"\x88" + _literal("content-type", _CONTENT_TYPE)
_LAST_BLOCK = _literal("grpc-status", "0")


class Message:
    """The message of a call, as its DATA frames arrive. Takes the place of grpclib's buffer.

    Its bytes are acknowledged at once, so that a message may be longer than the stream's window;
    bytes beyond its announced length, or of a message that is too long, only at the call's end.
    """

    def __init__(self, acknowledge: Any, bytes_max: int) -> None:
        self._acknowledge = acknowledge
        self._bytes_max = bytes_max
        self._bytes = bytearray()
        self._end = _PREFIX.size
        self._is_refused = False
        self._has_ended = False
        self._unacknowledged = 0
        self._arrived: asyncio.Future[None] | None = None

    @property
    def is_complete(self) -> bool:
        """Whether nothing more is needed to read it."""
        return self._is_refused or self._has_ended or len(self._bytes) >= self._end

    def add(self, data: bytes, ack_size: int) -> None:
        """Add the content of a DATA frame."""
        if self._is_refused or (self._end > _PREFIX.size and len(self._bytes) >= self._end):
            self._unacknowledged += ack_size
            return
        self._bytes += data
        if self._end == _PREFIX.size and len(self._bytes) >= self._end:
            compressed, length = _PREFIX.unpack_from(self._bytes)
            self._is_refused = bool(compressed) or length > self._bytes_max
            self._end += length
        if self._is_refused:
            self._unacknowledged += ack_size
        else:
            self._acknowledge(ack_size)
        self._note_arrival()

    def eof(self) -> None:
        """Note the end of the client's stream."""
        self._has_ended = True
        self._note_arrival()

    def unacked_size(self) -> int:
        """Return the bytes to acknowledge at the call's end."""
        size, self._unacknowledged = self._unacknowledged, 0
        return size

    async def wait(self) -> None:
        """Wait until it is complete."""
        if not self.is_complete:
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived

    def content(self) -> bytes | None:
        """Return the content of a complete message; None when the client sent nothing."""
        if not self._bytes:
            return None
        if len(self._bytes) < _PREFIX.size:
            raise InvalidField("request", "ended within a message")
        compressed, length = _PREFIX.unpack_from(self._bytes)
        if compressed:
            raise protocol_error(Status.UNIMPLEMENTED, "compressed messages are not supported")
        if length > self._bytes_max:
            too_long = InvalidField("request", f"has {length} bytes; {self._bytes_max} are allowed")
            raise grpc_error(too_long, Status.RESOURCE_EXHAUSTED)
        if len(self._bytes) < self._end:
            raise InvalidField("request", "ended within a message")
        return bytes(memoryview(self._bytes)[_PREFIX.size : self._end])

    def _note_arrival(self) -> None:
        if self._arrived is not None and not self._arrived.done() and self.is_complete:
            self._arrived.set_result(None)


class UnaryStream(Stream):
    """The stream of one unary call."""

    id: int
    buffer: Message  # type: ignore[assignment]  # grpclib calls only what both have

    def __init__(self, connection: Connection, stream_id: int, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        super().__init__(
            connection, connection._connection, connection._transport, stream_id=stream_id
        )

    def init_stream(self, stream_id: int, connection: Connection) -> None:
        """Take our buffer instead of grpclib's."""
        self.id = stream_id
        self.buffer = Message(partial(connection.ack, stream_id), self._bytes_max)

    @property
    def may_write(self) -> bool:
        """Whether the peer reads what it is sent."""
        return bool(self.connection.write_ready.is_set())

    def answer_nowait(self, message: bytes, request_id: str) -> bool:
        """Write the answer at once if the peer's window has room for it; return whether it had."""
        h2, stream_id = self._h2_connection, self.id
        stream = h2.streams.get(stream_id)
        size = _PREFIX.size + len(message)
        if (
            stream is None
            or stream.state_machine.state is not StreamState.HALF_CLOSED_REMOTE
            or h2.state_machine.state is not ConnectionState.SERVER_OPEN
            or size > min(stream.outbound_flow_control_window, h2.outbound_flow_control_window)
            or size > h2.max_outbound_frame_size
            # The next block must begin with the new size of the encoder's table.
            or h2.encoder.table_size_changes
            or not self.may_write
            or self.connection.is_closing()
        ):
            return False
        # Of what was sent, nothing but its end matters to a stream that is closed.
        stream.state_machine.process_input(StreamInputs.SEND_END_STREAM)
        stream.outbound_flow_control_window -= size
        h2.outbound_flow_control_window -= size
        last = _LAST_BLOCK + _literal("x-request-id", request_id)
        self._transport.write(
            b"".join(
                (
                    h2.data_to_send(),
                    _head(len(_FIRST_BLOCK), _HEADERS, _END_HEADERS, stream_id),
                    _FIRST_BLOCK,
                    _head(size, _DATA, 0, stream_id),
                    _PREFIX.pack(0, len(message)),
                    message,
                    _head(len(last), _HEADERS, _END_HEADERS | _END_STREAM, stream_id),
                    last,
                )
            )
        )
        return True

    async def answer(self, message: bytes, request_id: str) -> None:
        """Write the answer as the peer's window has room for it."""
        await self.send_headers([(":status", "200"), ("content-type", _CONTENT_TYPE)])
        await self.send_data(_PREFIX.pack(0, len(message)) + message)
        trailers = [("grpc-status", "0"), ("x-request-id", request_id)]
        await self.send_headers(trailers, end_stream=True)

    def refuse_nowait(self, error: GRPCError, request_id: str) -> None:
        """Write an error and end the stream, whatever the client has sent so far."""
        if self.id not in self._h2_connection.streams:
            raise StreamClosedError(self.id)
        headers = _error_headers(error, request_id)
        self._h2_connection.send_headers(self.id, headers, end_stream=True)
        if self.closable:
            self.reset_nowait()
        self.connection.flush()


def _head(length: int, kind: int, flags: int, stream_id: int) -> bytes:
    return _FRAME.pack(length << 8 | kind, flags, stream_id)


def _error_headers(error: GRPCError, request_id: str) -> list[tuple[str, str]]:
    headers = [
        (":status", "200"),
        ("content-type", _CONTENT_TYPE),
        ("grpc-status", str(error.status.value)),
    ]
    if error.message is not None:
        headers.append(("grpc-message", encode_grpc_message(error.message)))
    if error.details is not None:
        details = ProtoStatusDetailsCodec().encode(error.status, error.message, error.details)
        headers.append(("grpc-status-details-bin", encode_bin_value(details).decode("ascii")))
    return [*headers, ("x-request-id", request_id)]

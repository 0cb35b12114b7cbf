"""A unary call's stream: its one message in pieces, and answers that an HTTP/2 peer understands."""

import asyncio
import struct
from typing import Any

import pytest
from grpclib.config import Configuration
from grpclib.exceptions import GRPCError
from grpclib.protocol import Connection
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, TrailersReceived
from h2.settings import SettingCodes

from payd.domain.errors import InvalidField
from payd.transport.grpc.unary import Message, UnaryStream
from payd.transport.problems import grpc_error

BYTES_MAX = 100
REQUEST = [
    *((":method", "POST"), (":path", "/x"), (":scheme", "https"), (":authority", "payd")),
    ("te", "trailers"),
]


def framed(content: bytes) -> bytes:
    return struct.pack(">BI", 0, len(content)) + content


class TestMessage:
    def setup_method(self) -> None:
        self.acknowledged: list[int] = []
        self.message = Message(self.acknowledged.append, BYTES_MAX)

    def test_it_may_come_byte_by_byte(self) -> None:
        for byte in framed(b"abc"):
            assert not self.message.is_complete
            self.message.add(bytes((byte,)), 1)
        assert self.message.is_complete
        assert self.message.content() == b"abc"
        assert sum(self.acknowledged) == 8

    def test_an_empty_message_is_one(self) -> None:
        self.message.add(framed(b""), 5)
        assert self.message.is_complete
        assert self.message.content() == b""

    def test_nothing_is_no_message(self) -> None:
        self.message.eof()
        assert self.message.is_complete
        assert self.message.content() is None

    @pytest.mark.parametrize("sent", [b"\0", framed(b"abc")[:-1]])
    def test_an_early_end_is_an_error(self, sent: bytes) -> None:
        self.message.add(sent, len(sent))
        self.message.eof()
        with pytest.raises(InvalidField, match="ended within a message"):
            self.message.content()

    @pytest.mark.parametrize(
        ("head", "why"),
        [(struct.pack(">BI", 0, BYTES_MAX + 1), "101 bytes"), (b"\1\0\0\0\1", "compressed")],
    )
    def test_a_refused_message_is_not_waited_for_nor_kept(self, head: bytes, why: str) -> None:
        self.message.add(head, 5)
        assert self.message.is_complete
        self.message.add(b"x" * 50, 50)
        with pytest.raises(GRPCError, match=why):
            self.message.content()
        assert self.acknowledged == []
        assert self.message.unacked_size() == 55

    def test_bytes_beyond_its_end_are_not_asked_for(self) -> None:
        self.message.add(framed(b"abc"), 8)
        self.message.add(b"more", 4)
        assert self.message.content() == b"abc"
        assert (self.acknowledged, self.message.unacked_size()) == ([8], 4)

    def test_waiting_ends_with_the_last_byte(self) -> None:
        async def wait() -> None:
            waiting = asyncio.create_task(self.message.wait())
            for byte in framed(b"abc"):
                await asyncio.sleep(0)
                assert not waiting.done()
                self.message.add(bytes((byte,)), 1)
            await waiting

        asyncio.run(wait())


class Wire:
    """Both ends of a connection, without a network."""

    def __init__(self) -> None:
        self.client = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.server = H2Connection(H2Configuration(client_side=False))
        self.client.initiate_connection()
        self.server.initiate_connection()
        writes_and_is_open: Any = self
        config = Configuration().__for_server__()
        self.connection = Connection(self.server, writes_and_is_open, config=config)
        self.written: list[bytes] = []
        self.exchange()

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return False

    def exchange(self) -> list[Any]:
        """Give each end what the other has sent; return the client's events."""
        self.server.receive_data(self.client.data_to_send())
        self.connection.flush()
        events = self.client.receive_data(b"".join(self.written))
        self.written.clear()
        return list(events)

    def call(self, *, has_ended: bool = True) -> UnaryStream:
        stream_id = self.client.get_next_available_stream_id()
        self.client.send_headers(stream_id, REQUEST, end_stream=has_ended)
        self.exchange()
        return UnaryStream(self.connection, stream_id, BYTES_MAX)

    def answer(self) -> tuple[Any, bytes, Any, bool]:
        """Return what the client received: headers, data, trailers, whether the stream ended."""
        headers: Any = {}
        trailers: Any = {}
        data, has_ended = b"", False
        for event in self.exchange():
            match event:
                case ResponseReceived():
                    headers = dict(event.headers)
                case DataReceived():
                    data += event.data
                case TrailersReceived():
                    trailers = dict(event.headers)
                case StreamEnded():
                    has_ended = True
        return headers, data, trailers, has_ended


def expected(request_id: str) -> tuple[dict[str, str], bytes, dict[str, str], bool]:
    return (
        {":status": "200", "content-type": "application/grpc+proto"},
        framed(b"hello"),
        {"grpc-status": "0", "x-request-id": request_id},
        True,
    )


@pytest.mark.parametrize("request_id", ["a", "b" * 126, "c" * 127, "d" * 128])
def test_an_answer_is_one_write_that_the_peer_understands(request_id: str) -> None:
    wire = Wire()
    stream = wire.call()
    assert stream.answer_nowait(b"hello", request_id)
    assert len(wire.written) == 1
    assert wire.answer() == expected(request_id)
    assert stream.closable is False


def test_cached_headers_and_encoded_ones_may_alternate() -> None:
    async def alternate() -> None:
        wire = Wire()
        for number in range(6):
            stream = wire.call()
            if number % 2:
                await stream.answer(b"hello", f"id-{number}")
            else:
                assert stream.answer_nowait(b"hello", f"id-{number}")
            assert wire.answer() == expected(f"id-{number}")

    asyncio.run(alternate())


def test_an_answer_waits_where_the_peers_window_has_no_room() -> None:
    wire = Wire()
    wire.client.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 9})
    wire.exchange()
    stream = wire.call()
    assert not stream.answer_nowait(b"hello", "id")
    assert wire.answer() == ({}, b"", {}, False)


def test_the_windows_shrink_by_what_was_sent() -> None:
    wire = Wire()
    before = wire.server.outbound_flow_control_window
    assert wire.call().answer_nowait(b"hello", "id")
    assert wire.server.outbound_flow_control_window == before - 10


def test_a_new_size_of_the_peers_table_is_acknowledged_by_the_next_headers() -> None:
    async def answer() -> None:
        wire = Wire()
        wire.client.update_settings({SettingCodes.HEADER_TABLE_SIZE: 0})
        wire.exchange()
        stream = wire.call()
        assert not stream.answer_nowait(b"hello", "id")
        await stream.answer(b"hello", "id")
        assert wire.answer() == expected("id")
        assert wire.call().answer_nowait(b"hello", "id")
        assert wire.answer() == expected("id")

    asyncio.run(answer())


@pytest.mark.parametrize("state", ["reset", "open", "paused"])
def test_a_stream_in_another_state_is_left_to_h2(state: str) -> None:
    wire = Wire()
    stream = wire.call(has_ended=state != "open")
    if state == "reset":
        wire.client.reset_stream(stream.id)
    if state == "paused":
        wire.connection.pause_writing()
    wire.exchange()
    assert not stream.answer_nowait(b"hello", "id")


def test_an_error_ends_the_stream_and_names_its_reason() -> None:
    wire = Wire()
    wire.call(has_ended=False).refuse_nowait(grpc_error(InvalidField("request", "is odd")), "id")
    headers, data, trailers, has_ended = wire.answer()
    assert (headers["grpc-status"], headers["x-request-id"]) == ("3", "id")
    assert "is odd" in headers["grpc-message"]
    assert headers["grpc-status-details-bin"]
    assert (data, trailers, has_ended) == (b"", {}, True)

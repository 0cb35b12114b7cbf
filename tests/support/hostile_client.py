"""Hostile clients: sockets that send invalid or excessive TLS and HTTP/2."""

import contextlib
import random
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived, TrailersReceived
from hpack import Encoder

from support import plain_http

METHOD = "/payd.v1.PaymentService/GetQuote"
HEADERS = [
    (":method", "POST"),
    (":scheme", "https"),
    (":path", METHOD),
    (":authority", "localhost"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEAD, PRIORITY, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = (
    0,
    1,
    2,
    3,
    4,
    6,
    7,
    8,
    9,
)
END_STREAM, END_HEADERS = 1, 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Build one frame with arbitrary content."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


@attrs.define
class Hostile:
    """One TLS connection to which the test writes bytes."""

    stream: ssl.SSLSocket
    encoder: Encoder = attrs.field(factory=Encoder)

    def send(self, data: bytes) -> None:
        """Send everything. Raises OSError when the server has closed the connection."""
        self.stream.sendall(data)

    def begin(self) -> None:
        """Send preface and settings."""
        self.send(PREFACE + frame(SETTINGS, 0, 0))

    def head(self, stream: int, flags: int = END_HEADERS, extra: Any = ()) -> bytes:
        """Build the HEADERS frame of a call."""
        return frame(HEAD, flags, stream, self.encoder.encode([*HEADERS, *extra]))

    def flood(self, chunks: Iterator[bytes]) -> None:
        """Send as fast as the socket allows, to the end or a disconnect; drop responses."""
        for chunk in chunks:
            self.send(chunk)
            self.drain()

    def drain(self) -> None:
        """Read what has arrived, without waiting. Raises OSError at the end."""
        self.stream.setblocking(False)
        try:
            while True:
                if not self.stream.recv(65536):
                    raise ConnectionResetError("the end")
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        finally:
            self.stream.settimeout(20)

    def frames(self, patience_s: float) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield kind, flags, stream and payload of each frame until the server disconnects."""
        self.stream.settimeout(patience_s)
        waiting = b""
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
            while data := self.stream.recv(65536):
                waiting += data
                while len(waiting) >= 9 and len(waiting) >= (end := 9 + _length(waiting)):
                    kind, flags, stream = struct.unpack(">BBI", waiting[3:9])
                    yield kind, flags, stream, waiting[9:end]
                    waiting = waiting[end:]

    def wait_cut(self, patience_s: float) -> float:
        """Return the seconds until the server disconnected; fail if it does not."""
        began = time.monotonic()
        self.stream.settimeout(patience_s)
        try:
            while self.stream.recv(65536):
                assert time.monotonic() - began < patience_s, "it goes on and on"
        except TimeoutError:
            raise AssertionError("not cut") from None
        except OSError:
            pass
        return time.monotonic() - began


@contextlib.contextmanager
def intruder(target: str, pki: Path, name: str = "client", alpn: str = "h2") -> Iterator[Hostile]:
    """Connect through TLS with one of the development certificates."""
    with (
        socket_to(target) as plain,
        client_context(pki, name, alpn).wrap_socket(plain, server_hostname="localhost") as stream,
    ):
        yield Hostile(stream)


def client_context(pki: Path, name: str = "client", alpn: str = "h2") -> ssl.SSLContext:
    """TLS context with one of the development certificates."""
    context = ssl.create_default_context(cafile=pki / "ca.crt")
    context.load_cert_chain(pki / f"{name}.crt", pki / f"{name}.key")
    context.set_alpn_protocols([alpn])
    return context


def socket_to(target: str, source: str = "") -> socket.socket:
    """Open a TCP connection and send nothing; optionally from another local address."""
    host, _, port = target.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20, source_address=(source, 0))


def cut(metrics: str, reason: str) -> float:
    """Read from the metrics how many connections a daemon has cut for this reason."""
    text = plain_http.get(f"http://{metrics}/metrics").text
    wanted = f'payd_grpc_cut_total{{reason="{reason}"}}'
    found = [line for line in text.splitlines() if line.startswith(wanted)]
    return float(found[0].split()[-1]) if found else 0.0


def _length(waiting: bytes) -> int:
    return int.from_bytes(waiting[:3], "big")


# -- floods: chunks of bytes, each worth some frames ----------------------------------------------


def rapid_reset(hostile: Hostile, times: int) -> Iterator[bytes]:
    """Rapid reset, CVE-2023-44487."""
    for first in range(0, times, 50):
        yield b"".join(
            hostile.head(2 * number + 1) + frame(RESET, 0, 2 * number + 1, b"\0\0\0\x08")
            for number in range(first, min(first + 50, times))
        )


def made_you_reset(hostile: Hostile, times: int) -> Iterator[bytes]:
    """CERT VU#767506: invalid frames make the server reset its own streams."""
    for first in range(0, times, 50):
        yield b"".join(
            hostile.head(2 * number + 1, END_HEADERS | END_STREAM)
            + frame(DATA, 0, 2 * number + 1, b"x")
            for number in range(first, min(first + 50, times))
        )


def repeated(one: bytes, times: int, a_chunk: int = 200) -> Iterator[bytes]:
    """Repeat the same frame."""
    for _ in range(0, times, a_chunk):
        yield one * a_chunk


def spoilt(hostile: Hostile, spoil: Callable[[int], bytes], times: int = 5_000) -> Iterator[bytes]:
    """Send calls that the server has to reset."""
    for number in range(times):
        stream = 2 * number + 1
        yield hostile.head(stream) + spoil(stream)


FLOODS: dict[str, Callable[[Hostile], Iterator[bytes]]] = {
    "pings": lambda h: repeated(frame(PING, 0, 0, b"12345678"), 100_000),
    "settings": lambda h: repeated(frame(SETTINGS, 0, 0), 100_000),
    "large settings": lambda h: repeated(
        frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64" * 100), 20_000, 20
    ),
    "priorities": lambda h: repeated(frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"), 100_000),
    "unknown frames": lambda h: repeated(frame(0xEE, 0, 0, b"x" * 8), 100_000),
    "window updates": lambda h: repeated(frame(WINDOW, 0, 0, b"\0\0\0\x01"), 100_000),
    "empty data": lambda h: _after(h.head(1), repeated(frame(DATA, 0, 1), 100_000)),
    "data for nobody": lambda h: _after(
        h.head(1, END_HEADERS | END_STREAM) + frame(RESET, 0, 1, b"\0\0\0\x08"),
        repeated(frame(DATA, 0, 1, b"x" * 16_000), 2_000, 4),
    ),
    "continuations": lambda h: _after(
        frame(HEAD, 0, 1, h.encoder.encode(HEADERS)),
        repeated(frame(CONTINUATION, 0, 1), 100_000),
    ),
    "large continuations": lambda h: _after(
        frame(HEAD, 0, 1, h.encoder.encode(HEADERS)),
        repeated(frame(CONTINUATION, 0, 1, b"\x40\x01a\x7e" + b"b" * 16_000), 1_000, 2),
    ),
    "a huge header": lambda h: iter(
        [
            frame(HEAD, 0, 1, h.encoder.encode([*HEADERS, ("x-bomb", "b" * 15_000)])),
            *(frame(CONTINUATION, 0, 1, b"\x00\x01a\x7f" + b"b" * 100),) * 60,
            frame(CONTINUATION, END_HEADERS, 1),
        ]
    ),
    "a table bomb": lambda h: _after(
        h.head(1, extra=[("x-bomb", "b" * 4000)]),
        (frame(HEAD, END_HEADERS, 2 * n + 3, b"\x82" + b"\xbe" * 4000) for n in range(1000)),
    ),
    "ten thousand headers": lambda h: iter(
        [
            frame(HEAD, 0, 1, h.encoder.encode(HEADERS)),
            *(frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 3000),) * 10,
            frame(CONTINUATION, END_HEADERS, 1),
        ]
    ),
    "a frame too large": lambda h: repeated(frame(DATA, 0, 1, b"x" * 100_000), 100, 1),
    "window overflows": lambda h: spoilt(
        h, lambda stream: frame(WINDOW, 0, stream, b"\x7f\xff\xff\xff")
    ),
    "headers after the end": lambda h: (
        h.head(2 * n + 1, END_HEADERS | END_STREAM) + h.head(2 * n + 1) for n in range(1000)
    ),
    "a shorter body than announced": lambda h: (
        h.head(2 * n + 1, extra=[("content-length", "1")]) + frame(DATA, 0, 2 * n + 1, b"x" * 5)
        for n in range(1000)
    ),
    "a priority of its own": lambda h: repeated(frame(PRIORITY, 0, 1, b"\0\0\0\x01\x10"), 5_000),
    "windows that overflow by settings": lambda h: _after(
        h.head(1) + frame(WINDOW, 0, 1, b"\x7f\xff\0\0"),
        repeated(frame(SETTINGS, 0, 0, b"\0\x04\x7f\xff\xff\xff"), 5_000),
    ),
    "two hundred calls at once": lambda h: (h.head(2 * n + 1) for n in range(200)),
    "window of nothing": lambda h: _after(
        h.head(1), repeated(frame(WINDOW, 0, 1, b"\0\0\0\0"), 200, 1)
    ),
}


def _after(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def garbage(seed: int) -> bytes:
    """Random bytes or frames; some frames are almost valid."""
    seeded = random.Random(seed)
    if seeded.random() < 0.3:
        return seeded.randbytes(seeded.randrange(1, 5000))
    frames = []
    for _ in range(seeded.randrange(1, 40)):
        payload = seeded.randbytes(seeded.choice((0, 1, 4, 5, 6, 8, 50, 500)))
        stream = seeded.choice((0, 1, 2, 3, 5, 2**31 - 1, 2**32 - 1))
        frames.append(frame(seeded.randrange(12), seeded.randrange(256), stream, payload))
    return b"".join(frames)


# -- unfinished calls -------------------------------------------------------------------------


def open_call(hostile: Hostile, body: bytes) -> H2Connection:
    """Start a call with this part of its message."""
    connection = H2Connection(H2Configuration(client_side=True))
    connection.initiate_connection()
    connection.send_headers(1, HEADERS)
    if body:
        connection.send_data(1, body)
    hostile.send(connection.data_to_send())
    return connection


def status_of(hostile: Hostile, connection: H2Connection, patience_s: float) -> tuple[str, float]:
    """Return the grpc-status and the seconds until it arrived."""
    began = time.monotonic()
    hostile.stream.settimeout(patience_s)
    while data := hostile.stream.recv(65536):
        for event in connection.receive_data(data):
            if isinstance(event, ResponseReceived | TrailersReceived):
                fields = dict(event.headers)
                if b"grpc-status" in fields:
                    return fields[b"grpc-status"].decode(), time.monotonic() - began
    raise AssertionError("no answer")

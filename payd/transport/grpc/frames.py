"""Incoming HTTP/2 frames: a few in each turn, and a budget for those that serve no call.

A peer that sends resets, pings, settings and the like without calls costs work for nothing: beyond
its budget the connection is cut. Frames are counted before HTTP/2 is parsed, so that a flood costs
nine bytes of reading for each frame. See CVE-2023-44487 (rapid reset) and CERT VU#767506
(MadeYouReset).
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

_HEAD = 9
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM = 0, 1, 3
#: The size that every peer may send; we announce no other.
_FRAME_BYTES_MAX = 16_384
#: Processed in one turn of the loop, which delays other connections by some 10 ms at most.
FRAMES_A_TURN = 32
_WINDOW_S = 30.0
#: Frames that serve no call, in a window; and how many more each call allows.
_NOISE_MAX = 1000
_NOISE_A_CALL = 8
#: Data for ended calls: what a client had already sent when it was refused, several times over.
_STRAY_BYTES_MAX = 2 * 1024 * 1024


class Cut(Exception):
    """The peer exceeded its budget; the reason labels the metric."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@attrs.define
class Frames:
    """The incoming bytes of one connection, cut into frames and counted."""

    max_resets: int
    clock: Callable[[], float]
    _waiting: bytearray = attrs.field(factory=bytearray, init=False)
    _preface_left: int = attrs.field(default=len(_PREFACE), init=False)
    _began: float = attrs.field(default=0.0, init=False)
    _resets: int = attrs.field(default=0, init=False)
    _noise: int = attrs.field(default=0, init=False)
    _stray_bytes: int = attrs.field(default=0, init=False)

    @property
    def is_waiting(self) -> bool:
        """Whether a whole frame is left for the next turn."""
        return self._end_of_frame(0) is not None

    def add(self, data: bytes) -> None:
        """Add received bytes."""
        self._waiting += data

    def take(self, open_streams: Mapping[int, Any]) -> bytes:
        """Return the frames of this turn. Raises Cut. Takes grpclib's streams by their ids."""
        self._renew()
        end = taken = 0
        opened: set[int] = set()
        if self._preface_left:
            if not _PREFACE.startswith(bytes(self._waiting[: len(_PREFACE)])):
                raise Cut("protocol")
            if len(self._waiting) < len(_PREFACE):
                return b""
            self._preface_left, end = 0, len(_PREFACE)
        while taken < FRAMES_A_TURN and (after := self._end_of_frame(end)) is not None:
            self._count(end, open_streams, opened)
            end, taken = after, taken + 1
        frames = bytes(self._waiting[:end])
        del self._waiting[:end]
        return frames

    def sent_reset(self, count: int) -> None:
        """Count resets that the peer provoked like its own. Raises Cut."""
        self._resets += count
        if self._resets > self.max_resets:
            raise Cut("resets")

    def _end_of_frame(self, start: int) -> int | None:
        if self._preface_left and not start:
            whole = len(self._waiting) >= len(_PREFACE)
            return len(_PREFACE) if whole else None
        if len(self._waiting) < start + _HEAD:
            return None
        length = int.from_bytes(self._waiting[start : start + 3], "big")
        if length > _FRAME_BYTES_MAX:
            raise Cut("protocol")
        end = start + _HEAD + length
        return end if len(self._waiting) >= end else None

    def _count(self, start: int, open_streams: Mapping[int, Any], opened: set[int]) -> None:
        head = self._waiting[start : start + _HEAD]
        length, kind = int.from_bytes(head[:3], "big"), head[3]
        stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
        if kind == _HEADERS:
            self._noise -= _NOISE_A_CALL
            opened.add(stream)
        elif kind == _RST_STREAM:
            # The usual end of a watch: its client leaves a stream that has had an answer.
            if not getattr(open_streams.get(stream), "data_sent", 0):
                self.sent_reset(1)
        elif kind == _DATA and length:
            is_known = stream in open_streams or stream in opened
            self._stray_bytes += 0 if is_known else length
        else:
            self._noise += 1
        if self._noise > _NOISE_MAX or self._stray_bytes > _STRAY_BYTES_MAX:
            raise Cut("noise")

    def _renew(self) -> None:
        now = self.clock()
        if now - self._began > _WINDOW_S:
            self._began, self._resets, self._noise, self._stray_bytes = now, 0, 0, 0

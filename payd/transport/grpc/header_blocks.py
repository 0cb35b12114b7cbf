"""Header blocks of HTTP/2: those that name only what was sent before are decoded at once.

A client sends the headers of its first call as text and, from then on, one byte for each that is
the same. hpack reads every byte as the beginning of anything; that takes three times as long.
"""

from collections.abc import Iterable

from hpack import Decoder, HeaderTuple

#: A byte between these is a whole field: the index of a header in the table.
_TEXT, _LONG_INDEX = 0x80, 0xFF
_INDEX = 0x7F
#: What HPACK counts for a header beside its bytes.
_OVERHEAD = 32


class BlockDecoder(Decoder):
    """hpack's decoder, with a short way for blocks of indexed headers, which change no table."""

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:
        """Decode as hpack does; it also raises hpack's error for a block that is too long."""
        # hpack stops at the first header beyond the limit: no list of a million is made here.
        is_long = len(data) * _OVERHEAD > self.max_header_list_size
        if is_long or not raw or not data or min(data) <= _TEXT or max(data) == _LONG_INDEX:
            return super().decode(data, raw)
        by_index = self.header_table.get_by_index
        headers = [HeaderTuple(*by_index(byte & _INDEX)) for byte in data]
        size = sum(len(name) + len(value) + _OVERHEAD for name, value in headers)
        return headers if size <= self.max_header_list_size else super().decode(data, raw)

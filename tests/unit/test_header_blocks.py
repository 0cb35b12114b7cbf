"""Header blocks mean the same to the short way and to hpack's own decoder."""

from collections.abc import Sequence

import pytest
from hpack import Decoder, Encoder, HPACKDecodingError, InvalidTableIndex, OversizedHeaderListError
from hypothesis import given
from hypothesis import strategies as st

from payd.transport.grpc.header_blocks import BlockDecoder

Headers = Sequence[tuple[bytes, bytes]]

names = st.sampled_from([b":path", b":method", b"te", b"grpc-timeout", b"x-request-id", b"custom"])
values = st.one_of(st.sampled_from([b"POST", b"/a", b"trailers", b"29999m", b""]), st.binary())
calls = st.lists(st.lists(st.tuples(names, values), max_size=12), max_size=12)

CALL = [(b":method", b"POST"), (b":path", b"/payd.v1.PaymentService/GetPayment"), (b"a", b"b")]


@given(calls)
def test_every_call_of_a_connection_has_the_headers_that_were_sent(calls: list[Headers]) -> None:
    encoder, ours, theirs = Encoder(), BlockDecoder(), Decoder()
    for sent in [*calls, *calls]:
        block = encoder.encode(sent)
        decoded = ours.decode(block, raw=True)
        expected = theirs.decode(block, raw=True)
        assert decoded == expected == list(sent)
        assert list(map(type, decoded)) == list(map(type, expected))
    assert ours.header_table.dynamic_entries == theirs.header_table.dynamic_entries


@given(st.binary(max_size=40))
def test_any_bytes_end_as_with_hpack(block: bytes) -> None:
    def outcome(decoder: Decoder) -> object:
        decoder.decode(Encoder().encode(CALL), raw=True)
        try:
            return list(decoder.decode(block, raw=True))
        except HPACKDecodingError as error:
            return type(error), str(error)

    assert outcome(BlockDecoder()) == outcome(Decoder())


def test_a_repeated_block_that_is_too_long_is_refused() -> None:
    encoder, decoder = Encoder(), BlockDecoder(max_header_list_size=150)
    decoder.decode(encoder.encode(CALL), raw=True)
    block = encoder.encode(CALL)
    assert len(block) == len(CALL)
    with pytest.raises(OversizedHeaderListError):
        decoder.decode(block * 3, raw=True)


def test_of_an_endless_block_no_more_is_built_than_the_limit_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoder = BlockDecoder(max_header_list_size=4096)
    asked: list[int] = []
    by_index = decoder.header_table.get_by_index

    def counted(index: int) -> object:
        asked.append(index)
        return by_index(index)

    monkeypatch.setattr(decoder.header_table, "get_by_index", counted)
    with pytest.raises(OversizedHeaderListError):
        decoder.decode(b"\x82" * 2**20, raw=True)

    assert len(asked) <= 4096 / 32


def test_an_index_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidTableIndex):
        BlockDecoder().decode(b"\xfe", raw=True)

"""Tags: each number of 48 bits has its own, and their order cannot be guessed."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from payd.domain.tag import TAG_BITS, tag_of

NUMBERS = st.integers(0, 2**TAG_BITS - 1)
KEYS = st.binary(min_size=16, max_size=16)


@given(NUMBERS, KEYS)
def test_a_tag_has_48_bits_and_is_always_the_same(number: int, key: bytes) -> None:
    assert 0 <= tag_of(number, key) < 2**48
    assert tag_of(number, key) == tag_of(number, key)


@given(NUMBERS, NUMBERS, KEYS)
def test_two_numbers_never_share_a_tag(one: int, other: int, key: bytes) -> None:
    assert (tag_of(one, key) == tag_of(other, key)) == (one == other)


def test_the_tags_of_a_sequence_are_all_different_and_look_random() -> None:
    tags = [tag_of(number, b"k" * 16) for number in range(20_000)]

    assert len(set(tags)) == len(tags)
    ones = sum(tag.bit_count() for tag in tags) / len(tags)
    assert 23.8 < ones < 24.2
    rising = sum(one < other for one, other in pairwise(tags))
    assert 0.45 < rising / len(tags) < 0.55


@given(NUMBERS)
def test_another_key_makes_other_tags(number: int) -> None:
    assert tag_of(number, b"a" * 16) != tag_of(number, b"b" * 16)


def test_the_tag_of_a_number_is_the_same_in_every_version_of_payd() -> None:
    tags = [tag_of(number, b"k" * 16) for number in (0, 1, 2**TAG_BITS - 1)]
    assert tags == [109658861708324, 42954451782639, 160863513847374]

"""New ids: time-ordered UUIDs as RFC 9562 defines them."""

import time
from uuid import RFC_4122

from payd.adapters.system import OrderedIds


def test_a_new_id_is_a_uuid_of_version_7_with_the_present_time() -> None:
    before = time.time_ns() // 1_000_000
    made = OrderedIds().new()
    after = time.time_ns() // 1_000_000
    assert made.version == 7
    assert made.variant == RFC_4122
    assert before <= made.int >> 80 <= after


def test_ids_of_one_millisecond_differ() -> None:
    ids = OrderedIds()
    assert len({ids.new() for _ in range(10_000)}) == 10_000

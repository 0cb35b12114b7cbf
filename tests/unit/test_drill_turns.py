"""The order of a drill of peers."""

import pytest

from payd.drills.peers import is_killed_in


@pytest.mark.parametrize("daemons", range(2, 9))
def test_each_daemon_is_killed_and_frozen_in_two_rounds(daemons: int) -> None:
    for place in range(daemons):
        first, second = is_killed_in(place, daemons), is_killed_in(daemons + place, daemons)
        assert {first, second} == {True, False}

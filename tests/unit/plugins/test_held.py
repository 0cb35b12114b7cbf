"""When the kit interrupts a step of a provider: it waits, or it computes, for too long."""

import pytest

from payd.plugins.testing.held import HELD_MAX_S, is_stuck


@pytest.mark.parametrize(
    ("held_s", "computed_s", "stuck"),
    [
        pytest.param(HELD_MAX_S, 0.0, True, id="it waits without await"),
        pytest.param(HELD_MAX_S + 1, HELD_MAX_S, True, id="it computes without end"),
        pytest.param(HELD_MAX_S - 1, 0.0, False, id="it may still end"),
        pytest.param(3 * HELD_MAX_S, 0.1 * HELD_MAX_S, False, id="the machine is busy"),
        pytest.param(6 * HELD_MAX_S, HELD_MAX_S / 2, True, id="no machine is so busy"),
    ],
)
def test_a_step_is_stuck(held_s: float, computed_s: float, *, stuck: bool) -> None:
    assert is_stuck(held_s, computed_s) is stuck

"""Asking: what each answer says about a request that may have arrived."""

import pytest
from unit.domain.builders import at

from payd.domain.asking import after_answer
from payd.domain.evidence import Absent, AskAgain, Declined, NotAttempted, OutcomeUnknown
from payd.domain.outcome import Asking

UNSENT, ASKING, UNKNOWN = Asking.NOT_ATTEMPTED, Asking.ASKING, Asking.UNKNOWN


@pytest.mark.parametrize("asking", [UNSENT, ASKING, UNKNOWN])
def test_an_answer_settles_what_is_known(asking: Asking) -> None:
    assert after_answer(asking, Declined(code="no", message="No.")) is Asking.ANSWERED
    assert after_answer(asking, OutcomeUnknown()) is UNKNOWN
    assert after_answer(asking, Absent()) is UNSENT


def test_what_was_not_sent_says_nothing_about_an_earlier_attempt() -> None:
    assert after_answer(UNKNOWN, NotAttempted()) is UNKNOWN
    assert after_answer(ASKING, NotAttempted()) is UNSENT
    assert after_answer(UNSENT, NotAttempted()) is UNSENT


def test_asking_again_after_a_cut_attempt_leaves_the_outcome_unknown() -> None:
    again = AskAgain(deadline=at(1))
    assert after_answer(UNSENT, again) is ASKING
    assert after_answer(ASKING, again) is UNKNOWN
    assert after_answer(UNKNOWN, again) is UNKNOWN

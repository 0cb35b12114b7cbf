"""Explain a payment: from what is stored, by the functions that decide. Pure."""

from payd.domain.explain.advice import advice_of
from payd.domain.explain.steps import steps_of
from payd.domain.explain.summary import summary
from payd.domain.explain.waiting import next_look_time, waiting_for
from payd.domain.explanation import Explanation
from payd.domain.history import Circumstances, History


def explain(history: History, around: Circumstances) -> Explanation:
    """Say what happened to a payment, why, and what now."""
    payment = history.payment
    return Explanation(
        payment_id=payment.id,
        time=around.now,
        summary=summary(history, around),
        status=payment.status,
        waiting_for=waiting_for(history, around),
        next_look_time=next_look_time(payment, around),
        steps=steps_of(history),
        steps_left_out=history.left_out,
        advice=advice_of(history, around),
    )

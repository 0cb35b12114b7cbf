"""How often payd has asked, counted in the audit trail."""

from payd.domain.history import History
from payd.domain.outcome import Asking
from payd.domain.payment import Status


def attempts(history: History) -> str:
    """How often the request to create the payment was made: `20 attempts`."""
    made = [
        change.payment.ask_deadline
        for change in history.changes
        if change.payment.status is Status.CREATING and change.payment.asking is Asking.ASKING
    ]
    number = max(1, len(dict.fromkeys(made)))
    least = "at least " if history.left_out else ""
    return f"{least}{number} {'attempt' if number == 1 else 'attempts'}"


def status_checks(count: int) -> str:
    """`1 status check`, `3 status checks`."""
    return f"{count} status {'check' if count == 1 else 'checks'}"

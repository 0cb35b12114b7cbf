"""What one more answer says about a request: whether it may have arrived at the provider."""

from payd.domain.evidence import Absent, AskAgain, Declined, NotAttempted, OutcomeUnknown
from payd.domain.outcome import Asking


def after_answer(
    asking: Asking, answer: OutcomeUnknown | NotAttempted | Absent | AskAgain | Declined
) -> Asking:
    """What is known after the answer.

    An attempt that was cut short may have arrived; no later attempt can disprove that.
    """
    unknown = asking is not Asking.NOT_ATTEMPTED
    match answer:
        case AskAgain():
            return Asking.UNKNOWN if unknown else Asking.ASKING
        case Declined():
            return Asking.ANSWERED
        case OutcomeUnknown():
            return Asking.UNKNOWN
        case NotAttempted() if asking is Asking.UNKNOWN:
            return Asking.UNKNOWN
        case _:
            return Asking.NOT_ATTEMPTED

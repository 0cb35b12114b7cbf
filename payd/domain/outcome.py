"""What became of a request to the provider, such as to create an object or to refund."""

import enum

import attrs


class Asking(enum.Enum):
    """What is known about the request that creates an object or a refund at the provider."""

    #: A daemon is calling, until `ask_deadline`; after that the outcome counts as UNKNOWN.
    ASKING = "ASKING"
    #: Provably nothing was sent: the operation may be sent again.
    NOT_ATTEMPTED = "NOT_ATTEMPTED"
    #: The object may exist. Only a lookup, or the same operation again, can find out.
    UNKNOWN = "UNKNOWN"
    ANSWERED = "ANSWERED"


@attrs.frozen(kw_only=True)
class Failure:
    """Why a payment or a refund FAILED: a short code for programs, a sentence for people."""

    code: str
    message: str

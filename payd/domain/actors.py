"""Names under which payd itself acts in the audit trail; a caller may not use them."""

#: Checks open payments with their provider when no report has come.
RECOVERY = "recovery"
#: Ends a reason for attention that is no longer true.
PAYD = "payd"
#: Compares payments with the provider's list of its objects.
RECONCILIATION = "reconciliation"
#: Stands before the name of an operator who works in the console.
CONSOLE = "console"

#: First words of payd's own names; `payd` is reserved for work without a narrower name.
_OWN = frozenset({PAYD, "provider", "operator", RECOVERY, RECONCILIATION})


def provider_actor(name: str) -> str:
    """The actor of a report from a provider, be it by webhook, watch or scan."""
    return f"provider:{name}"


def operator_actor(user: str) -> str:
    """The actor of a person: the operating system or a certificate has verified the name."""
    return f"operator:{user}"


def is_reserved(actor: str) -> bool:
    """Whether a name could be mistaken for one of payd's own.

    Only the part before the first colon or slash counts; letter case and white space are ignored.
    """
    first, *_ = "".join(actor.split()).casefold().replace("/", ":").split(":")
    return first in _OWN

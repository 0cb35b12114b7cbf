"""Names under which payd itself acts in the audit trail. No caller may claim one."""

#: Looks at payments whose provider has been silent.
RECOVERY = "recovery"
#: Compares payments with what the provider holds.
RECONCILIATION = "reconciliation"

#: The first words of payd's own names; `payd` is kept for what has no narrower name.
_OWN = frozenset({"payd", "provider", "operator", RECOVERY, RECONCILIATION})


def provider_actor(name: str) -> str:
    """What a provider reported: a webhook, a watch or a scan."""
    return f"provider:{name}"


def operator_actor(user: str) -> str:
    """A person at the command line, by the user name that the operating system verified."""
    return f"operator:{user}"


def is_reserved(actor: str) -> bool:
    """Whether a name reads as one of payd's own.

    Letter case and white space do not tell two names apart, nor does what follows the first
    colon or slash.
    """
    first, *_ = "".join(actor.split()).casefold().replace("/", ":").split(":")
    return first in _OWN

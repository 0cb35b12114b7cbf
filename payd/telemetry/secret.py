"""A value that must not be seen: whatever prints, logs or formats it gets nothing."""

import hmac
from typing import NoReturn

#: For people, where they must see that something is set.
REDACTED = "**********"


class Secret:
    """Holds one credential. Only `reveal()` gives it, at the place that needs it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the plain text. Never store or log what comes back."""
        return self._value

    def __repr__(self) -> str:
        return ""

    def __format__(self, spec: str) -> str:
        return format("", spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not copied out of the process")

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

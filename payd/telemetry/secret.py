"""Secret: a value that prints, logs and formats as nothing."""

import hmac
from typing import NoReturn

#: Shown to people instead of a secret, to show that it is set.
REDACTED = "**********"


class Secret:
    """A credential. Only `reveal` returns it; call it where the value is needed."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the plain text. Never store or log it."""
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
        raise TypeError("a Secret cannot be pickled")

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

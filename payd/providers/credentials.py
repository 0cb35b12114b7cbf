"""Credentials of a provider: exactly the values that are in the file or the vault now."""

from collections.abc import Iterator, Mapping


class Credentials(Mapping[str, tuple[str, ...]]):
    """Logical name → values, newest first. Its repr shows no value.

    A replaced value is invalid at once: it may have been replaced because it leaked. For an
    overlap, an operator lists both values.
    """

    def __init__(self, values: Mapping[str, tuple[str, ...]]) -> None:
        self._values = dict(values)

    def replace(self, values: Mapping[str, tuple[str, ...]]) -> None:
        """Replace the values of these names."""
        self._values |= values

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Credentials({', '.join(self._values)})"

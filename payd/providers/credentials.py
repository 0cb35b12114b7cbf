"""A provider's credentials: exactly the values that the file or the vault holds now."""

from collections.abc import Iterator, Mapping


class Credentials(Mapping[str, tuple[str, ...]]):
    """Logical name → values, newest first. Shows none of them.

    A value that was replaced is bad at once: it may have been replaced because it leaked. An
    operator who wants an overlap lists both values.
    """

    def __init__(self, values: Mapping[str, tuple[str, ...]]) -> None:
        self._values = dict(values)

    def replace(self, values: Mapping[str, tuple[str, ...]]) -> None:
        """Put these values in force in place of those of the same names."""
        self._values |= values

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Credentials({', '.join(self._values)})"

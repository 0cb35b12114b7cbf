"""A provider's credentials as they stand now: a rotated one is seen by whoever asks again."""

from collections.abc import Iterator, Mapping

import attrs

#: How long a value that was replaced is kept beside its successor: Stripe signs with both for as
#: long as 24 hours (docs.stripe.com/webhooks, "Roll endpoint signing secrets").
OVERLAP_S = 86_400.0


@attrs.define
class _Value:
    text: str = attrs.field(repr=False)
    #: None while it is in force.
    replaced_time: float | None = None


def _age_s(value: _Value, now: float) -> float:
    """Since it was replaced."""
    return 0.0 if value.replaced_time is None else now - value.replaced_time


class Credentials(Mapping[str, tuple[str, ...]]):
    """Logical name → values, newest first. Shows nothing of them."""

    def __init__(self, values: Mapping[str, tuple[str, ...]]) -> None:
        self._values = {name: [_Value(text) for text in texts] for name, texts in values.items()}

    def replace(self, values: Mapping[str, tuple[str, ...]], now: float) -> None:
        """Put these in force; what they replace stays beside them for a day. `now`: any clock, s."""
        for name, texts in values.items():
            kept = [value for value in self._values.get(name, ()) if value.text not in texts]
            for value in kept:
                value.replaced_time = now if value.replaced_time is None else value.replaced_time
            fresh = [value for value in kept if _age_s(value, now) < OVERLAP_S]
            self._values[name] = [*(_Value(text) for text in texts), *fresh]

    def in_force(self) -> Mapping[str, tuple[str, ...]]:
        """Without those that were replaced."""
        return {
            name: tuple(value.text for value in values if value.replaced_time is None)
            for name, values in self._values.items()
        }

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return tuple(value.text for value in self._values[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Credentials({', '.join(self._values)})"

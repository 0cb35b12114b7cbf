"""The method → provider map: which provider takes a payment method."""

from collections.abc import Callable, Iterable, Sequence

import attrs

from payd.ports.provider import ProviderPort, Registered


class MethodMap:
    """`Providers` over what was loaded. The loader refuses two providers for one method."""

    def __init__(self, registered: Iterable[Registered]) -> None:
        ordered = sorted(registered, key=lambda entry: entry.method.key)
        self._by_method = {entry.method.key: entry for entry in ordered}
        self._by_name = {entry.provider.name: entry.provider for entry in ordered}

    def by_method(self, method: str) -> Registered | None:
        """Return the entry of this method; None when no provider takes it."""
        return self._by_method.get(method)

    def by_name(self, provider: str) -> ProviderPort | None:
        """Return the provider of this name; None when it does not serve."""
        return self._by_name.get(provider)

    def registered(self) -> Sequence[Registered]:
        """Return every entry, ordered by method key."""
        return tuple(self._by_method.values())

    def wrapped(self, wrap: Callable[[ProviderPort], ProviderPort]) -> "MethodMap":
        """Return the same map with each provider wrapped, as for callers on another event loop."""
        return MethodMap(
            attrs.evolve(entry, provider=wrap(entry.provider)) for entry in self.registered()
        )

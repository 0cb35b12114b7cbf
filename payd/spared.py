"""Imports without an optional dependency of a library that payd does not use."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(name: str) -> Iterator[None]:
    """Within the block, importing `name` fails as where it is not installed.

    A library that was made for this does without it. Afterwards others can import it.
    """
    if name in sys.modules:
        yield
        return
    # What Python documents for a module that must not be found.
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]

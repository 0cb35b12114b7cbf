"""Check that an optional dependency is installed, and name the extra that brings it."""

from importlib.util import find_spec


class MissingExtra(ImportError):
    """A feature needs a library that is not installed."""


def require(module: str, extra: str, feature: str) -> None:
    """Raise MissingExtra when `module` cannot be imported."""
    if find_spec(module) is None:
        raise MissingExtra(
            f"{feature} needs {module}: install the wheel's file with its extra,"
            f" pip install 'payd_client-….whl[{extra}]'",
            name=module,
        )

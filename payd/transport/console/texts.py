"""The texts of the console."""

from collections.abc import Mapping
from pathlib import Path

from payd.transport.page_files import texts_of


def texts() -> Mapping[str, str]:
    """Name → text."""
    return texts_of(Path(__file__).parent)

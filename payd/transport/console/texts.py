"""All texts of the console, from one file: a translation is another file with the same names."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

_FILE = Path(__file__).with_name("en.json")


@cache
def texts() -> Mapping[str, str]:
    """Name → text. `{name}` in a text stands for a value."""
    read: dict[str, str] = json.loads(_FILE.read_text(encoding="utf-8"))
    return MappingProxyType(read)

"""The folders that ship with payd beside its code: migrations, default configuration, examples."""

from pathlib import Path

#: Folder of a checkout → its name in the wheel, where `payd/config` is code.
_IN_WHEEL = {"migrations": "migrations", "config": "defaults", "examples": "examples"}


def shipped(folder: str) -> Path:
    """The folder, as it lies in an installed wheel or beside the package in a checkout."""
    package = Path(__file__).parent
    inside = package / _IN_WHEEL[folder]
    return inside if inside.is_dir() else package.parent / folder

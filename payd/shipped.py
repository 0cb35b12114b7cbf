"""Find the folders that ship beside payd's code: migrations, default configuration, examples."""

from pathlib import Path

#: Folder in a checkout → folder in the wheel, where `config` is a package of code.
_IN_WHEEL = {"migrations": "migrations", "config": "defaults", "examples": "examples"}


def shipped(folder: str) -> Path:
    """Return the folder's path in the installed wheel, else in the checkout."""
    package = Path(__file__).parent
    inside = package / _IN_WHEEL[folder]
    return inside if inside.is_dir() else package.parent / folder

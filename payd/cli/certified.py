"""What `payd plugin check` found, kept for `payd providers`: one file a provider."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def _folder() -> Path:
    """The user's state directory (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "payd" / "conformance"


def keep(report: Mapping[str, Any]) -> None:
    """Instead of the last one of this provider. Raises OSError."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{report['provider']}.tmp"
    draft.write_text(json.dumps(report, indent=2) + "\n")
    draft.replace(folder / f"{report['provider']}.json")


def told(name: str, version: str) -> str:
    """In a few words, for a table: how the provider's kit run ended, of this version."""
    try:
        report = json.loads((_folder() / f"{name}.json").read_text())
        levels = {level: said for level, said in report["levels"].items() if said != "not claimed"}
        of_version, day, passed = report["version"], report["time"][:10], report["passed"]
    except (OSError, ValueError, LookupError, AttributeError):
        return "not run"
    if of_version != version:
        return f"not run (last: {of_version})"
    worst = [f"{level} {said}" for level, said in levels.items() if said != "passed"]
    if passed and not worst:
        return f"passed {', '.join(levels)} on {day}"
    return f"{', '.join(worst)} on {day}"

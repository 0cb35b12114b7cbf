"""`payd` whose clock another process steps: by the seconds in the file that TORTURE_CLOCK names."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from payd.__main__ import main
from payd.adapters.system import SystemClock

_FILE = Path(os.environ["TORTURE_CLOCK"])


def _now(_: SystemClock) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=float(_FILE.read_text()))


if __name__ == "__main__":
    setattr(SystemClock, "now", _now)  # noqa: B010 - a method of a class that is typed
    main()

"""The screens of customers, and where `make pictures` keeps what the tests saw."""

import os
from pathlib import Path

from playwright.sync_api import ViewportSize

SCREENS: dict[str, ViewportSize] = {
    "phone": {"width": 390, "height": 844},
    "desktop": {"width": 1280, "height": 800},
}
#: What people saw, to look at. Pictures cost a third of these tests, so that others keep none.
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
KEEPS_PICTURES = "PAYD_KEEP_PICTURES" in os.environ

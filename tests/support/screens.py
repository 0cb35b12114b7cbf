"""The screens of customers, and where the tests keep what they saw."""

from pathlib import Path

from playwright.sync_api import ViewportSize

SCREENS: dict[str, ViewportSize] = {
    "phone": {"width": 390, "height": 844},
    "desktop": {"width": 1280, "height": 800},
}
#: Kept: what a customer saw, for people to look at.
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"

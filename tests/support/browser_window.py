"""A window of the headless browser: its errors, its pictures, and what axe finds in it."""

import contextlib
from collections.abc import Iterator
from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from support.screens import KEEPS_PICTURES, SCREENS, SCREENSHOTS

SOON_MS = 30_000
#: By day and by night.
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@contextlib.contextmanager
def opened(
    browser: Browser, screen: str = "phone", *, may_fail: bool = False, **context: object
) -> Iterator[Page]:
    """A window of its own: an error of its script, or of the content security policy, fails.

    With `may_fail` requests of the page may fail; an error of its script still may not happen.
    """
    settings = {"viewport": SCREENS[screen], **context}
    with contextlib.closing(browser.new_context(**settings)) as window:  # type: ignore[arg-type]
        page = window.new_page()
        page.set_default_timeout(SOON_MS)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda message: (
                errors.append(message.text) if message.type == "error" and not may_fail else None
            ),
        )
        yield page
        assert errors == []


def keep_picture(page: Page, name: str, *, full_page: bool = True) -> None:
    """Keep what is seen, if pictures are kept."""
    if KEEPS_PICTURES:
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full_page)


def keep_pictures(page: Page, name: str) -> None:
    """Keep the whole page in both schemes, if pictures are kept."""
    for scheme in SCHEMES if KEEPS_PICTURES else ():
        page.emulate_media(color_scheme=scheme)
        keep_picture(page, f"{name}-{scheme}")


def assert_fit(page: Page, name: str) -> None:
    """Nothing is wider than the screen, and axe finds nothing in either scheme."""
    page.emulate_media(color_scheme="light")
    found = Axe().run(page)
    assert found.violations_count == 0, f"{name}: {found.generate_report()}"
    # Nothing but colours depends on the scheme.
    page.emulate_media(color_scheme="dark")
    others = page.evaluate("axe.run({ runOnly: ['color-contrast'] })")
    assert others["violations"] == [], f"{name}, dark"
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width, name

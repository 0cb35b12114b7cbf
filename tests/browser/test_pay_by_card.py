"""Paying by card as a person does: `payd pay`, its page in a browser, and how `payd pay` ends."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import attrs
import pytest
from playwright.sync_api import Browser, Page, expect
from support.browser_window import opened
from support.dev_process import (
    ITEM,
    PATIENCE_S,
    payd,
    payd_json,
    wait_for_end,
)
from support.dev_site import DevSite


@attrs.frozen(kw_only=True)
class Shop:
    """A running `payd dev`."""

    state: Path
    stripe: str

    @property
    def where(self) -> tuple[str, str]:
        """For `payd …`."""
        return "--state-dir", str(self.state)

    def status(self, payment_id: str) -> str:
        """As `payd get` says."""
        status: str = payd_json("get", payment_id, *self.where)["status"]
        return status.removeprefix("PAYMENT_STATUS_")

    def events(self, payment_id: str) -> list[str]:
        """The subjects of its events, once it has ended."""
        wait_for_end(payment_id, self.state)
        tail = payd("events", "tail", "--no-follow", *self.where)
        assert tail.returncode == 0, tail.stderr
        subjects = ("payment.completed", "payment.canceled")
        lines = [line for line in tail.stdout.splitlines() if payment_id in line]
        return [subject for line in lines for subject in subjects if subject in line]


@attrs.define
class Paying:
    """A `payd pay --method card` that waits for the customer."""

    process: "subprocess.Popen[str]"
    lines: list[str] = attrs.Factory(list)
    payment_id: str = ""
    url: str = ""

    def read_until_asked(self) -> None:
        """Until it has said which payment it is and where to pay."""
        for line in self._output:
            self.lines.append(line)
            name, _, value = line.strip().partition("  ")
            if name == "payment":
                self.payment_id = value.strip()
            if name == "pay at":
                self.url = value.strip()
            if self.payment_id and self.url:
                return
        raise AssertionError("".join(self.lines))

    def end(self) -> tuple[int, str]:
        """Its exit code, and all that it printed."""
        rest, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, "".join(self.lines) + rest

    @property
    def _output(self) -> IO[str]:
        assert self.process.stdout
        return self.process.stdout


@pytest.fixture(scope="module")
def shop(dev: DevSite) -> Shop:
    return Shop(state=dev.state, stripe=dev.addresses["stripe_api"])


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with opened(browser, "desktop", may_fail=True) as page:
        yield page


@contextlib.contextmanager
def paying(shop: Shop) -> Iterator[Paying]:
    """Started, and waiting for a customer to open its page."""
    command = [sys.executable, "-m", "payd", "pay", *ITEM, "--method", "card", *shop.where]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            paying = Paying(process)
            paying.read_until_asked()
            yield paying
        finally:
            process.kill()


def test_a_customer_pays_on_the_page(shop: Shop, page: Page) -> None:
    with paying(shop) as started:
        page.goto(started.url)
        expect(page.locator("#items")).to_contain_text("ethereum-mainnet full, 30d")
        page.click("#pay")
        expect(page).to_have_url(f"{shop.stripe}/shop/paid?session_id={session_of(started)}")
        code, printed = started.end()
    assert (code, "COMPLETED" in printed) == (0, True), printed
    assert shop.events(started.payment_id) == ["payment.completed"]
    page.goto(started.url)
    expect(page.locator("#status")).to_have_text("This payment is complete.")
    expect(page.locator("#pay")).to_have_count(0)


def test_a_declined_card_leaves_the_page_open_to_another(shop: Shop, page: Page) -> None:
    with paying(shop) as started:
        page.goto(started.url)
        page.click("#decline")
        expect(page.locator("#notice")).to_contain_text("declined")
        assert shop.status(started.payment_id) == "PENDING"
        page.click("#pay")
        assert started.end()[0] == 0
    assert shop.events(started.payment_id) == ["payment.completed"]


def test_a_customer_walks_away(shop: Shop, page: Page) -> None:
    with paying(shop) as started:
        page.goto(started.url)
        page.click("#walk-away")
        expect(page.locator("#status")).to_contain_text("expired")
        code, printed = started.end()
    assert (code, "EXPIRED" in printed) == (1, True), printed
    assert shop.events(started.payment_id) == ["payment.canceled"]


def test_a_payment_canceled_while_its_page_is_open_cannot_be_paid(shop: Shop, page: Page) -> None:
    with paying(shop) as started:
        page.goto(started.url)
        expect(page.locator("#pay")).to_be_visible()
        canceled = payd("cancel", started.payment_id, *shop.where)
        assert canceled.returncode == 0, canceled.stderr
        code, printed = started.end()
        assert (code, "CANCELED" in printed) == (1, True), printed
        page.click("#pay")
        expect(page).to_have_url(started.url)
        expect(page.locator("#status")).to_contain_text("Nothing was charged")
        expect(page.locator("#pay")).to_have_count(0)
    assert shop.status(started.payment_id) == "CANCELED"
    assert shop.events(started.payment_id) == ["payment.canceled"]


@pytest.mark.parametrize("way", ["paid", "back"])
def test_opening_the_page_to_return_to_changes_nothing(shop: Shop, page: Page, way: str) -> None:
    with paying(shop) as started:
        before = payd_json("get", started.payment_id, *shop.where)
        page.goto(f"{shop.stripe}/shop/{way}?session_id={session_of(started)}")
        expect(page.locator("#status")).to_be_visible()
        after = payd_json("get", started.payment_id, *shop.where)
        assert after["status"] == "PAYMENT_STATUS_PENDING"
        assert after == before
        assert started.process.poll() is None
        page.goto(started.url)
        page.click("#pay")
        assert started.end()[0] == 0


def session_of(started: Paying) -> str:
    """Stripe's name for it: the end of the page's address."""
    return started.url.rpartition("/")[2]

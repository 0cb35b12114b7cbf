"""The console in a browser: readable on a phone and a desk, by day and night, without a mouse."""

import contextlib
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect
from support.browser_window import SOON_MS, assert_fit, keep_picture, keep_pictures, opened
from support.console import COOKIE, Operator, fields_of
from support.daemon import Client
from support.dead_letter import give_up
from support.dev_site import DevSite
from support.plain_http import NO_TLS
from support.screens import SCREENS

#: As long as a payment of the mock is open that is not paid in full.
LATER_MS = 180_000
AGENT = "an operator's browser"


@attrs.frozen(kw_only=True)
class Site:
    """A running `payd dev`, with one session of its operator: logins are limited."""

    state: Path
    url: str
    grpc: str
    user: str
    password: str
    session: str
    nats: str

    def client(self) -> Client:
        """The main app."""
        return Client(self.grpc, self.state / "pki", "client")

    @contextlib.contextmanager
    def operator(self) -> Iterator[Operator]:
        """The operator without a screen."""
        with httpx.Client(
            verify=NO_TLS,
            base_url=self.url,
            timeout=60,
            headers={"user-agent": AGENT},
            cookies={COOKIE: self.session},
        ) as client:
            yield Operator(client)


@pytest.fixture(scope="module")
def site(dev: DevSite) -> Site:
    found = dev.addresses
    login = {"name": found["console_user"], "password": found["console_password"]}
    headers = {"user-agent": AGENT}
    answer = httpx.post(f"{found['console']}/login", data=login, headers=headers, timeout=60)
    return Site(
        state=dev.state,
        url=found["console"],
        grpc=found["grpc"],
        user=login["name"],
        password=login["password"],
        session=answer.cookies[COOKIE],
        nats=found["nats"],
    )


@pytest.fixture(scope="module")
def payments(site: Site) -> dict[str, str]:
    """Payments in several states by name, one of them with a refund that waits."""
    with site.client() as client:
        started = {
            name: client.initiate(scenario=name)
            for name in ("complete", "pending", "decline", "underpay", "pay_twice")
        }
        client.wait_for(started["complete"].id, "COMPLETED")
        client.wait_for(started["underpay"].id, "EXPIRED")
    refund(site, started["complete"].id, "120", "slow for a week")
    declined = started["decline"].id
    give_up(site.nats, declined, str(uuid.uuid4()), b'{"status": "PAYMENT_STATUS_FAILED"}')
    return {name: payment.id for name, payment in started.items()}


def refund(site: Site, payment_id: str, amount: str, reason: str) -> None:
    """Refund with the console, in both steps."""
    with site.operator() as operator:
        form = f"/payments/{payment_id}/refund"
        values = {"amount": amount, "destination": "", "reason": reason}
        looked = operator.send(form, f"{form}/review", **values)
        operator.client.post(form, data=fields_of(looked.text))


@contextlib.contextmanager
def visiting(
    browser: Browser, site: Site, screen: str = "desktop", *, is_in: bool = True, **window: Any
) -> Iterator[Page]:
    """A window of the operator's browser, with the session unless `is_in` is false."""
    with opened(browser, screen, user_agent=AGENT, base_url=site.url, **window) as page:
        if is_in:
            page.context.add_cookies([{"name": COOKIE, "value": site.session, "url": site.url}])
        yield page


def pages_of(payments: dict[str, str]) -> dict[str, str]:
    """Each kind of page by name."""
    return {
        "overview": "/",
        "attention": "/attention",
        "payments": "/payments?status=COMPLETED",
        "payment": f"/payments/{payments['complete']}",
        "payment-underpaid": f"/payments/{payments['underpay']}",
        "payment-waiting": f"/payments/{payments['pending']}",
        "cancel": f"/payments/{payments['pending']}/cancel",
        "resolve": f"/payments/{payments['underpay']}/resolve",
        "attach": f"/payments/{payments['pending']}/attach",
        "refund": f"/payments/{payments['complete']}/refund",
        "refunds": "/refunds",
        "receipts": "/receipts?all=1",
        "reconciliations": "/reconciliations",
        "dead-letters": "/dead-letters",
        "replay": "/dead-letters/1/replay",
        "configuration": "/configuration",
    }


@pytest.mark.parametrize("screen", SCREENS)
def test_every_page_is_accessible_and_fits_the_screen(
    browser: Browser,
    site: Site,
    payments: dict[str, str],
    screen: str,
) -> None:
    with visiting(browser, site, screen) as page:
        page.goto("/")
        keep_picture(page, f"console-front-{screen}-light", full_page=False)
        for name, path in pages_of(payments).items():
            page.goto(path)
            check(page, f"{name}-{screen}")
        page.goto(f"/payments/{payments['complete']}/refund")
        page.get_by_role("textbox", name="Amount in USD").fill("1.50")
        page.get_by_role("button", name="Look at it once more").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Is this right?", timeout=SOON_MS)
        check(page, f"refund-review-{screen}")
        page.context.clear_cookies()
        page.goto("/")
        check(page, f"login-{screen}")


#: Number of lines that the head of a page takes, and whether the page's own name in it is in sight.
HEAD = """() => {
  const tops = [...document.querySelectorAll(".brand, .logout, nav a")]
    .map((one) => one.getBoundingClientRect()).map((box) => (box.top + box.bottom) / 2)
    .sort((one, other) => one - other);
  const lines = tops.filter((top, number) => number === 0 || top - tops[number - 1] > 10).length;
  const here = document.querySelector("nav [aria-current]")?.getBoundingClientRect();
  return [lines, !here || (here.left >= 0 && here.right <= innerWidth)];
}"""


def check(page: Page, name: str) -> None:
    """Keep pictures; the page fits the screen, and its head takes two lines."""
    keep_pictures(page, f"console-{name}")
    # What is folded has to be readable, too.
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert_fit(page, name)
    lines, is_in_sight = page.evaluate(HEAD)
    assert (lines <= 2, is_in_sight) == (True, True), f"{name}: {lines} lines"


def test_an_operator_needs_no_mouse(browser: Browser, site: Site, payments: dict[str, str]) -> None:
    """From the login to a canceled payment with the keyboard alone."""
    payment = payments["pending"]
    with visiting(browser, site, is_in=False) as page:
        page.goto(f"/payments?reference={payment}")
        press_until(page, "name")
        page.keyboard.type(site.user)
        press_until(page, "password")
        page.keyboard.type(site.password)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Payments", timeout=SOON_MS)
        follow(page, payment)
        expect(page.get_by_role("heading", level=1)).to_contain_text(payment, timeout=SOON_MS)
        follow(page, "Cancel the payment")
        expect(page.get_by_role("heading", level=1)).to_have_text(
            "Cancel the payment", timeout=SOON_MS
        )
        press_until(page, "reason")
        page.keyboard.type("no mouse")
        follow(page, "Cancel the payment")
        expect(page.get_by_role("status").first).to_have_text(
            "The payment is being canceled.", timeout=SOON_MS
        )
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_text("Skip to the content")


def press_until(page: Page, field: str) -> None:
    """Press Tab until the field has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == field:
            return
    raise AssertionError(f"Tab does not lead to {field}")


def follow(page: Page, text: str) -> None:
    """Press Tab until this link or button has the focus, then Enter."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").strip() == text:
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"Tab does not lead to {text}")


def test_a_payments_page_shows_by_itself_what_happens(browser: Browser, site: Site) -> None:
    with site.client() as client:
        payment = client.initiate(scenario="pending").id
    with visiting(browser, site) as page:
        # The stream alone has to bring the news.
        page.add_init_script("window.setInterval = () => 0")
        page.goto(f"/payments/{payment}")
        expect(page.locator(".status").first).to_have_text("PENDING")
        raw, first = page.locator("details[data-key=raw]"), page.locator("details").first
        for fold in (raw, first):
            fold.locator("summary").first.click()
        with site.operator() as operator:
            operator.send(f"/payments/{payment}/cancel", reason="elsewhere")
        expect(page.locator(".status").first).to_have_text("CANCELED", timeout=SOON_MS)
        expect(page.locator("#said")).to_have_text("CANCELED")
        # What was open is open, and the keyboard stands where it stood.
        for fold in (raw, first):
            expect(fold).to_have_attribute("open", "")
        expect(first.locator("summary").first).to_be_focused()


def test_what_happens_while_a_page_is_loaded_again_is_shown_as_well(
    browser: Browser, site: Site
) -> None:
    with site.client() as client:
        payment = client.initiate(scenario="pending").id
    with visiting(browser, site) as page:
        # Events come when the test says so.
        page.add_init_script(
            "window.setInterval = () => 0;"
            "window.EventSource = class extends EventTarget {"
            "  constructor() { super(); window.events = this; } close() {} };"
        )
        page.goto(f"/payments/{payment}")
        loads: list[str] = []

        def hold_back_the_first(route: Route) -> None:
            loads.append(route.request.url)
            answer = route.fetch()
            if len(loads) == 1:
                with site.operator() as operator, site.client() as client:
                    operator.send(f"/payments/{payment}/cancel", reason="elsewhere")
                    client.wait_for(payment, "CANCELED")
                page.evaluate("window.events.dispatchEvent(new Event('change'))")
            route.fulfill(response=answer)

        page.route(f"**/payments/{payment}", hold_back_the_first)
        page.evaluate("window.events.dispatchEvent(new Event('change'))")
        expect(page.locator(".status").first).to_have_text("CANCELED", timeout=SOON_MS)
        assert len(loads) == 2


def test_the_overview_and_the_queue_show_by_themselves_what_happens(
    browser: Browser, site: Site
) -> None:
    with visiting(browser, site) as overview, visiting(browser, site) as queue:
        for page, path in ((overview, "/"), (queue, "/attention")):
            page.add_init_script("window.setInterval = () => 0")
            page.goto(path)
        total = overview.locator("figcaption p").first
        before = total.text_content() or ""
        with site.client() as client:
            payment = client.initiate(scenario="underpay").id
        expect(total).not_to_have_text(before, timeout=SOON_MS)
        expect(queue.locator(f'section[aria-label="{payment}"]')).to_be_visible(timeout=LATER_MS)


#: Counts the changes that the page receives, and keeps what it does every few seconds.
COUNTING = """
window.setInterval = (act) => { window.look = act; };
window.EventSource = class extends EventSource {
  constructor(url) {
    super(url);
    const { dataset } = document.documentElement;
    this.addEventListener("change", () => { dataset.news = Number(dataset.news ?? 0) + 1; });
  }
};
"""


def test_a_list_shows_what_happens_but_takes_nothing_away_that_is_typed(
    browser: Browser, site: Site, payments: dict[str, str]
) -> None:
    with visiting(browser, site) as page:
        page.add_init_script(COUNTING)
        page.goto("/refunds")
        shown = page.locator("#live")
        refund(site, payments["complete"], "1", "the first")
        first = shown.locator("article").filter(has_text="the first")
        expect(first).to_contain_text("SUCCEEDED", timeout=SOON_MS)
        shown.evaluate("list => list.insertAdjacentHTML('beforeend', '<input id=typed>')")
        page.locator("#typed").fill("an id")
        page.locator("#typed").blur()
        received = page.locator("html").get_attribute("data-news") or ""
        refund(site, payments["complete"], "1", "the second")
        expect(page.locator("html")).not_to_have_attribute("data-news", received, timeout=SOON_MS)
        expect(page.locator("#typed")).to_have_value("an id")
        expect(shown).not_to_contain_text("the second")
        page.locator("#typed").fill("")
        page.locator("#typed").blur()
        page.evaluate("look()")
        expect(shown).to_contain_text("the second", timeout=SOON_MS)


def test_a_page_that_gets_no_answer_says_so_and_goes_on_trying(
    browser: Browser, site: Site
) -> None:
    with site.client() as client:
        payment = client.initiate(scenario="pending").id
    with visiting(browser, site, may_fail=True) as page:
        page.route("**/events*", lambda route: route.abort())
        page.goto(f"/payments/{payment}")
        stale = page.locator("#stale")
        expect(stale).to_be_hidden()
        page.route(f"**/payments/{payment}", lambda route: route.abort())
        expect(stale).to_be_visible(timeout=SOON_MS)
        expect(stale).to_have_text(re.compile(r"Not up to date: .* [0-9-]{10} [0-9:]{8} UTC\."))
        keep_picture(page, "console-not-up-to-date", full_page=False)
        with site.operator() as operator:
            operator.send(f"/payments/{payment}/cancel", reason="elsewhere")
        # Without events the page asks by itself.
        page.unroute(f"**/payments/{payment}")
        expect(page.locator(".status").first).to_have_text("CANCELED", timeout=SOON_MS)
        expect(stale).to_be_hidden()


def test_a_live_page_whose_session_has_ended_leads_to_the_login(
    browser: Browser, site: Site, payments: dict[str, str]
) -> None:
    with visiting(browser, site, may_fail=True) as page:
        page.goto(f"/payments/{payments['pending']}")
        page.context.clear_cookies()
        # As when a person comes back to the tab.
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(page.get_by_role("heading", level=1)).to_have_text("Log in", timeout=SOON_MS)


def test_hostile_values_are_text(browser: Browser, site: Site) -> None:
    with site.client() as client:
        payment = client.initiate(scenario="pending", metadata={"note": "<i>too slow</i>"}).id
    with visiting(browser, site) as page:
        page.goto(f"/payments/{payment}")
        expect(page.get_by_text("<i>too slow</i>").first).to_be_visible()
        page.goto("/payments?reference=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
        expect(page.get_by_role("textbox", name="Find a payment")).to_have_value(
            '"><script>alert(1)</script>'
        )

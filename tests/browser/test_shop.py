"""The example's shop for a customer: on a phone and on a desk, to each end of a payment."""

import contextlib
import json
import re
import signal
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect
from support import plain_http
from support.browser_wallet import a_wallet
from support.browser_window import SOON_MS, keep_picture, opened
from support.dev_process import payd
from support.dev_site import DevSite
from support.forks import Fork
from support.screens import SCREENS
from support.tempo import transfer_data

PAID = "Paid. Your subscription is active."
AWAY = "Payments are not available now. Nothing is lost: try again, you cannot pay twice."


@attrs.frozen(kw_only=True)
class Shop:
    """A running `payd dev --with-example`."""

    state: Path
    url: str
    #: The node of the local chain; empty without one.
    chain_url: str
    #: payd, and what plays Stripe; the servers and the shop are processes of their own.
    process: Fork

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let payd keep its connections and answer nothing, until the end of the block."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="module")
def shop(dev: DevSite) -> Shop:
    return Shop(
        state=dev.state,
        url=dev.addresses["example"],
        chain_url=dev.addresses.get("tempo_rpc", ""),
        process=dev.process,
    )


@pytest.fixture(params=SCREENS)
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A customer nobody knows yet, on one of the screens."""
    with opened(browser, request.param, may_fail=True) as page:
        yield page


def keep(page: Page, request: pytest.FixtureRequest, what: str) -> None:
    """A picture; and nothing is wider than the screen, or closed to a screen reader."""
    keep_picture(page, f"{what}-{request.node.callspec.params['page']}")
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page)
    assert found.violations_count == 0, f"{what}: {found.generate_report()}"


def choose(page: Page, shop: Shop, *, node: str = "Full node", method: str = "Card") -> None:
    page.goto(shop.url)
    page.get_by_label("Chain").select_option("Base")
    page.get_by_label("Node type").select_option(node)
    page.get_by_label("Duration").select_option("7 days")
    page.get_by_label(method).check()
    expect(page.locator("#pay")).to_be_enabled(timeout=SOON_MS)


def subscriptions(page: Page) -> list[str]:
    return page.locator("#subscriptions li").all_inner_texts()


def test_a_card_is_paid(page: Page, shop: Shop, request: pytest.FixtureRequest) -> None:
    choose(page, shop, node="Archive node")
    expect(page.locator("#price")).to_have_text("$97.70")
    keep(page, request, "choose")
    page.get_by_role("button", name="Pay $97.70").click()
    expect(page.locator("#items")).to_contain_text("base-mainnet archive, 7d")
    keep(page, request, "card-checkout")
    page.click("#pay")
    expect(page.get_by_role("status")).to_have_text(PAID, timeout=SOON_MS)
    keep(page, request, "card-paid")
    [subscription] = subscriptions(page)
    assert subscription.split("\n")[:2] == ["Base, Archive node, 7 days", "active"]
    page.get_by_role("button", name="Back to the shop").click()
    expect(page.locator("#choose")).to_be_visible()


def test_half_of_the_money_goes_back_and_then_the_rest(
    page: Page, shop: Shop, request: pytest.FixtureRequest
) -> None:
    choose(page, shop, node="Archive node")
    page.locator("#pay").click()
    page.click("#pay")
    expect(page.get_by_role("status")).to_have_text(PAID, timeout=SOON_MS)
    payment_id = page.url.rpartition("payment=")[2]
    half = ("refund", payment_id, "--amount", "48.85", "--reason", "slow for a week")
    refunded = payd(*half, "--state-dir", str(shop.state))
    assert refunded.returncode == 0, refunded.stderr
    page.reload()
    expect(page.locator("#explanation")).to_contain_text("$48.85 went back", timeout=SOON_MS)
    expect(page.locator("#subscriptions li").first).to_contain_text("active", timeout=SOON_MS)

    page.get_by_role("button", name="Request a refund").click()
    mine = page.locator("#subscriptions")
    expect(mine).to_contain_text("a refund is requested", timeout=SOON_MS)
    keep(page, request, "refund-requested")
    grant(page, shop, payment_id, request)
    expect(mine).to_contain_text("ended, the money went back", timeout=SOON_MS)
    page.reload()
    ended = "The money went back. Your subscription has ended."
    expect(page.get_by_role("status")).to_have_text(ended, timeout=SOON_MS)
    expect(page.locator("#explanation")).to_contain_text("$97.70 went back")
    keep(page, request, "refund-ended")
    shown = payd("get", payment_id, "--state-dir", str(shop.state)).stdout
    assert shown.count("SUCCEEDED 48.85 USD") == 2


def grant(page: Page, shop: Shop, payment_id: str, request: pytest.FixtureRequest) -> None:
    """An employee's part, in a tab of its own."""
    staff = page.context.new_page()
    staff.set_default_timeout(SOON_MS)
    staff.goto(f"{shop.url}/staff")
    staff.get_by_label("Your token").fill("carol-token")
    staff.get_by_role("button", name="Sign in").click()
    row = staff.locator("#list li").filter(has_text=payment_id)
    expect(row).to_be_visible()
    keep(staff, request, "refund-staff")
    row.get_by_role("button", name="Grant").click()
    expect(row).to_have_count(0, timeout=SOON_MS)
    staff.close()


def test_a_price_that_is_too_old_is_renewed_before_anything_is_paid(page: Page, shop: Shop) -> None:
    choose(page, shop)
    price = page.locator("#price").inner_text()
    # As if the page had been open for an hour.
    page.route(
        "**/api/v1/payments",
        lambda route: route.fulfill(
            status=409,
            content_type="application/problem+json",
            body=json.dumps({"detail": "the quote expired", "reason": "QUOTE_EXPIRED"}),
        ),
        times=1,
    )
    page.locator("#pay").click()
    expect(page.get_by_role("alert")).to_contain_text("has been renewed", timeout=SOON_MS)
    expect(page.locator("#pay")).to_be_enabled()
    page.get_by_role("button", name=f"Pay {price}").click()
    page.click("#pay")
    expect(page.get_by_role("status")).to_have_text(PAID, timeout=SOON_MS)


def test_a_card_payment_is_abandoned(
    page: Page, shop: Shop, request: pytest.FixtureRequest
) -> None:
    choose(page, shop)
    page.locator("#pay").click()
    page.click("#walk-away")
    page.click("#back")
    expect(page.get_by_role("status")).to_have_text(re.compile("Not paid in time"), timeout=SOON_MS)
    expect(page.get_by_role("link", name="See the payment")).to_be_visible()
    keep(page, request, "card-abandoned")
    expect(page.locator("#subscriptions li").first).to_contain_text("canceled", timeout=SOON_MS)


def test_a_customer_turns_back_pays_after_all_or_cancels(
    page: Page, shop: Shop, request: pytest.FixtureRequest
) -> None:
    choose(page, shop)
    page.locator("#pay").click()
    page.click("#back")
    expect(page.get_by_role("status")).to_have_text("Waiting for your payment", timeout=SOON_MS)
    expect(page.get_by_role("link", name="Go to the payment page")).to_be_visible()
    keep(page, request, "card-turned-back")
    page.get_by_role("button", name="Cancel the payment").click()
    expect(page.get_by_role("status")).to_have_text(re.compile("Canceled"), timeout=SOON_MS)
    keep(page, request, "card-canceled")


def test_a_transfer_on_the_chain_is_paid_on_the_payment_page(
    page: Page, shop: Shop, request: pytest.FixtureRequest, anvil: Path
) -> None:
    choose(page, shop, method="USDC")
    page.locator("#pay").click()
    expect(page.locator("#value-amount")).to_have_text("36.10 USDC", timeout=SOON_MS)
    expect(page.get_by_role("img", name=re.compile("QR code: 36.10 USDC"))).to_be_visible()
    # Each payment has an address of its own on the local chain.
    expect(page.locator("#value-address")).not_to_be_empty()
    expect(page.locator("#value-memo")).to_have_count(0)
    keep(page, request, "crypto-waiting")
    payment_id = page.locator(".facts code").inner_text()
    paid = payd("tempo", "pay", payment_id, "--state-dir", str(shop.state))
    assert paid.returncode == 0, paid.stderr
    expect(page.get_by_role("heading", level=1)).to_have_text("Paid", timeout=SOON_MS)
    keep(page, request, "crypto-paid")
    page.get_by_role("link", name="Back to the shop").click()
    expect(page.get_by_role("status")).to_have_text(PAID, timeout=SOON_MS)
    expect(page.locator("#number")).to_have_text(payment_id)
    expect(page.locator("#subscriptions li").first).to_contain_text("active", timeout=SOON_MS)
    page.get_by_role("link", name="See the receipt").click()
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()


def test_a_stablecoin_payment_takes_two_clicks_and_two_more_lead_to_its_receipt(
    page: Page, shop: Shop, anvil: Path
) -> None:
    """As a newcomer does it: the offer as it stands, and `payd tempo pay` as the wallet."""
    clicks: list[str] = []

    def note(text: str) -> None:
        clicks.append(text)

    page.expose_function("noteClick", note)
    page.add_init_script(
        "addEventListener('pointerdown', ({ target }) => noteClick(target.textContent.trim()))"
    )
    page.goto(shop.url)
    page.get_by_text("USDC", exact=True).click()
    expect(page.locator("#pay")).to_be_enabled(timeout=SOON_MS)
    page.locator("#pay").click()
    expect(page.get_by_role("img", name=re.compile("QR code"))).to_be_visible(timeout=SOON_MS)
    payment_id = page.locator(".facts code").inner_text()
    paid = payd("tempo", "pay", payment_id, "--state-dir", str(shop.state))
    assert paid.returncode == 0, paid.stderr
    expect(page.get_by_role("heading", level=1)).to_have_text("Paid", timeout=SOON_MS)
    assert clicks == ["USDC", "Pay $149.00"]
    page.get_by_role("link", name="Back to the shop").click()
    expect(page.get_by_role("status")).to_have_text(PAID, timeout=SOON_MS)
    page.get_by_role("link", name="See the receipt").click()
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()
    assert clicks[2:] == ["Back to the shop", "See the receipt"]


@pytest.mark.parametrize("way", ["wallet_transfer", "eth_sendTransaction"])
def test_a_wallet_in_the_browser_pays_on_the_chain(
    page: Page, shop: Shop, anvil: Path, way: str
) -> None:
    """By the network's own request, or by a call where the wallet does not know that."""

    def call_node(method: str, *parameters: Any) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        answer = plain_http.post(shop.chain_url, json=request, timeout=30).json()
        return answer["result"]

    # The first account receives the money.
    payer = call_node("eth_accounts")[1]

    def send(parameters: Any) -> Any:
        return call_node("eth_sendTransaction", *parameters)

    def transfer(parameters: Any) -> Any:
        [asked] = parameters
        units = int(Decimal(asked["amount"]) * 10**6)
        memo = "0x" + asked["memo"].encode().hex() if "memo" in asked else None
        data = transfer_data(asked["to"], units, memo)
        return send([{"from": payer, "to": asked["token"], "data": data}])

    wallet = a_wallet(
        int(call_node("eth_chainId"), 16),
        {way: transfer if way == "wallet_transfer" else send},
        payer,
    )
    wallet.inject(page)
    choose(page, shop, method="USDC")
    page.locator("#pay").click()
    page.get_by_role("button", name="Pay with your wallet").click()
    expect(page.locator("#wallet-status")).to_contain_text("has sent", timeout=SOON_MS)
    expect(page.get_by_role("heading", level=1)).to_have_text("Paid", timeout=SOON_MS)
    assert len(wallet.parameters_of(way)) == 1


def test_a_browser_of_2021_shows_prices_too(page: Page, shop: Shop) -> None:
    """Safari before 16, Chrome before 103 and Firefox before 100 have no AbortSignal.timeout."""
    page.add_init_script("delete AbortSignal.timeout")
    choose(page, shop)
    expect(page.locator("#problem")).to_be_hidden()


def test_an_unknown_payment_says_so(page: Page, shop: Shop) -> None:
    page.goto(f"{shop.url}/?payment=00000000-0000-7000-8000-000000000000")
    expect(page.get_by_role("status")).to_have_text("There is no such payment.", timeout=SOON_MS)
    page.get_by_role("button", name="Back to the shop").click()
    expect(page.locator("#choose")).to_be_visible()


def test_while_payd_does_not_answer_the_shop_says_so_and_offers_to_try_again(
    page: Page, shop: Shop
) -> None:
    choose(page, shop)
    page.route(
        "**/api/v1/payments",
        lambda route: route.fulfill(
            status=503,
            headers={"Retry-After": "2"},
            content_type="application/problem+json",
            body=json.dumps({"detail": "Payments are not available now."}),
        ),
        times=1,
    )
    page.locator("#pay").click()
    expect(page.get_by_role("alert")).to_have_text("Payments are not available now.")
    page.get_by_role("button", name="Try again now").click()
    page.click("#pay")
    expect(page.get_by_role("status")).to_have_text(PAID, timeout=SOON_MS)


def test_a_frozen_payd_is_admitted_and_paying_goes_on_when_it_is_back(
    page: Page, shop: Shop, request: pytest.FixtureRequest
) -> None:
    choose(page, shop)
    with shop.frozen():
        page.locator("#pay").click()
        expect(page.locator("#pay")).to_have_text("One moment …")
        expect(page.get_by_role("alert")).to_have_text(AWAY, timeout=SOON_MS)
        keep(page, request, "payd-frozen")
    page.get_by_role("button", name="Try again now").click()
    page.click("#decline")
    page.click("#back")
    expect(page.get_by_role("status")).to_have_text("Waiting for your payment", timeout=SOON_MS)
    with shop.frozen():
        expect(page.get_by_role("alert")).to_have_text(AWAY, timeout=SOON_MS)
        expect(page.get_by_role("button", name="Try again now")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden(timeout=SOON_MS)
    page.get_by_role("button", name="Cancel the payment").click()
    expect(page.get_by_role("status")).to_have_text(re.compile("Canceled"), timeout=SOON_MS)


def test_while_payd_starts_the_shop_says_so_and_goes_on_by_itself(
    page: Page, shop: Shop, request: pytest.FixtureRequest
) -> None:
    starting = {"detail": "The payment service has not answered yet."}
    page.route(
        "**/api/v1/payment-methods",
        lambda route: route.fulfill(
            status=503,
            headers={"Retry-After": "1"},
            content_type="application/problem+json",
            body=json.dumps(starting),
        ),
    )
    page.goto(shop.url)
    expect(page.get_by_role("alert")).to_have_text(starting["detail"])
    expect(page.get_by_role("button", name="Try again now")).to_be_visible()
    keep(page, request, "payd-starting")
    page.unroute("**/api/v1/payment-methods")
    expect(page.locator("#pay")).to_be_enabled(timeout=SOON_MS)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_paid_order_never_shows_that_it_waits(page: Page, shop: Shop) -> None:
    """The payment's status may be known before its event has reached the shop."""
    choose(page, shop)
    page.locator("#pay").click()
    page.click("#pay")
    expect(page.get_by_role("status")).to_have_text(PAID, timeout=SOON_MS)

    without_events(page)
    page.reload()
    expect(page.get_by_role("status")).to_have_text(re.compile("Paid"), timeout=SOON_MS)
    expect(page.locator("#subscriptions")).to_contain_text("paid, being started")
    expect(page.locator("#subscriptions")).not_to_contain_text("waiting")


def without_events(page: Page) -> None:
    """Let the shop see each subscription as it was before any event."""

    def behind(route: Route) -> None:
        answer = route.fetch()
        changed = answer.json()
        for one in changed["subscriptions"]:
            one["status"] = "pending_payment"
        route.fulfill(response=answer, json=changed)

    page.route(re.compile(r"/api/v1/(subscriptions|payments/[^/]+(/cancel)?)$"), behind)


#: Counts the moments at which the page says that a payment was canceled and is waited for.
CONTRADICTIONS = """() => {
  window.contradictions = 0;
  new MutationObserver(() => {
    const isCanceled = document.getElementById("status").textContent.startsWith("Canceled");
    const waits = document.getElementById("subscriptions").textContent.includes("waiting");
    if (isCanceled && waits) window.contradictions += 1;
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


def test_a_canceled_order_never_shows_that_it_waits(page: Page, shop: Shop) -> None:
    choose(page, shop)
    page.locator("#pay").click()
    page.click("#back")
    expect(page.locator("#subscriptions")).to_contain_text("waiting for payment", timeout=SOON_MS)
    page.evaluate(CONTRADICTIONS)
    without_events(page)
    page.get_by_role("button", name="Cancel the payment").click()
    expect(page.get_by_role("status")).to_have_text(re.compile("Canceled"), timeout=SOON_MS)
    expect(page.locator("#subscriptions li").first).to_contain_text("canceled")
    assert page.evaluate("contradictions") == 0


def test_the_page_can_be_used_with_a_keyboard_alone(page: Page, shop: Shop) -> None:
    page.goto(shop.url)
    expect(page.locator("#pay")).to_be_enabled(timeout=SOON_MS)
    seen = []
    for _ in range(8):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert [one for one in seen if one][:4] == ["skip", "chain", "node-type", "duration"]
    assert "pay" in seen
    assert page.locator("select:not(label select), input:not(label input)").count() == 0

"""The payment page for a customer: every state, on a phone and on a desk, by day and by night."""

import contextlib
import io
import re
from collections.abc import Callable, Iterator

import attrs
import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import APIResponse, Browser, Locator, Page, Route, expect
from support.browser_wallet import ACCOUNT, Wallet, a_wallet, refuse
from support.browser_window import (
    SCHEMES,
    SOON_MS,
    assert_fit,
    keep_picture,
    keep_pictures,
    opened,
)
from support.page_gallery import (
    CHAIN_ID,
    DUE,
    GALLERY,
    HASH,
    NOW,
    RECEIVER,
    TEXT_MEMO,
    TOKEN,
    a_payment,
    a_transfer,
)
from support.page_server import PageServer, page_server
from support.screens import SCREENS
from support.tempo import transfer_data

from payd.domain.errors import StoreUnavailable
from payd.domain.next_action import CryptoTransfer
from payd.domain.payment import Payment, Status
from payd.service.show_payment import Shown


@pytest.fixture(scope="module")
def pages() -> Iterator[PageServer]:
    with page_server(GALLERY) as running:
        yield running


@pytest.mark.parametrize("screen", SCREENS)
def test_every_state_is_accessible_and_fits_the_screen(
    browser: Browser, pages: PageServer, screen: str
) -> None:
    with opened(browser, screen) as page:
        for name, shown in GALLERY.items():
            page.goto(pages.page(shown.payment.id))
            keep_pictures(page, f"pay-{name}-{screen}")
            assert_fit(page, name)


HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'></code>{{7*7}}"


def test_hostile_names_are_text_and_run_nothing(browser: Browser) -> None:
    item = attrs.evolve(
        a_payment(1).items[0], chain_profile_id=HOSTILE, node_type=HOSTILE, duration=HOSTILE
    )
    payment = a_payment(
        1,
        items=(item,),
        method=HOSTILE,
        metadata={HOSTILE: HOSTILE},
        next_action=attrs.evolve(a_transfer(), receiver_address=HOSTILE, currency=HOSTILE),
        return_url="javascript:alert(3)",
        cancel_url='https://shop.example/?a="><script>alert(4)</script>',
    )
    with (
        page_server({"one": Shown(payment=payment, receipts=())}) as running,
        opened(browser) as page,
    ):
        page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
        page.goto(running.page(payment.id))
        expect(page.locator("#value-address")).to_have_text(HOSTILE)
        expect(page.get_by_role("row").first).to_contain_text(HOSTILE)
        assert page.locator("main img, main script").count() == 0
        assert page.locator('a[href^="javascript"]').count() == 0
        put(running, payment, "partly")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Partly paid")


def test_another_site_can_put_the_page_into_no_frame(browser: Browser, pages: PageServer) -> None:
    refusals: list[str] = []
    with contextlib.closing(browser.new_page()) as page:
        page.on("console", lambda message: refusals.append(message.text))
        inside = pages.page(GALLERY["waiting"].payment.id)
        page.set_content(f'<iframe src="{inside}"></iframe>')
        expect(page.frame_locator("iframe").get_by_role("heading", level=1)).to_have_count(0)
        assert "Waiting for your payment" not in page.frames[-1].content()
    assert any("frame" in text for text in refusals), refusals


@pytest.mark.parametrize("screen", SCREENS)
def test_the_code_on_the_screen_is_read_as_the_transfer_that_is_left(
    browser: Browser, pages: PageServer, screen: str
) -> None:
    with opened(browser, screen) as page:
        for name in ("waiting", "waiting-without-memo", "partly"):
            payment = GALLERY[name].payment
            action = payment.next_action
            assert isinstance(action, CryptoTransfer)
            left = f"uint256={payment.due - payment.received}"
            page.goto(pages.page(payment.id))
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
                [code] = zxingcpp.read_barcodes(picture)
                asked = action.payment_uri.replace(f"uint256={DUE}", left)
                assert code.text == asked, f"{name}, {scheme}"


def test_the_page_shows_by_itself_what_happens(browser: Browser) -> None:
    payment = a_payment(1)
    with (
        page_server({"one": Shown(payment=payment, receipts=())}) as running,
        opened(browser) as page,
    ):
        page.goto(running.page(payment.id))
        expect(page.get_by_role("heading", level=1)).to_have_text("Waiting for your payment")
        for name, title in (
            ("partly", "Partly paid: 74.50 USDC to go"),
            ("seen", "Your payment was seen"),
            ("paid", "Paid"),
        ):
            put(running, payment, name)
            expect(page.get_by_role("heading", level=1)).to_have_text(title)
            expect(page.get_by_role("status")).to_have_text(title)
        expect(page.get_by_role("img")).to_have_count(0)
        expect(page.get_by_role("link", name="See the transaction")).to_be_visible()
    assert running.prepared.watched >= 3


def test_a_browser_of_2021_shows_it_by_itself_too(browser: Browser) -> None:
    """Safari before 16, Chrome before 103 and Firefox before 100 have no AbortSignal.timeout."""
    payment = a_payment(1)
    with (
        page_server({"one": Shown(payment=payment, receipts=())}) as running,
        opened(browser) as page,
    ):
        page.add_init_script("delete AbortSignal.timeout")
        page.goto(running.page(payment.id))
        put(running, payment, "paid")
        expect(page.get_by_role("heading", level=1)).to_have_text("Paid")


def put(running: PageServer, payment: Payment, name: str) -> None:
    """Let the payment become one of the gallery's."""
    shown = GALLERY[name]
    version = running.prepared.payments[payment.id].payment.version + 1
    became = attrs.evolve(shown.payment, id=payment.id, version=version)
    running.prepared.payments[payment.id] = attrs.evolve(shown, payment=became)


def test_without_live_status_the_page_asks(browser: Browser) -> None:
    """As behind a limit, or a proxy that lets no event through."""
    payment = a_payment(1)
    with (
        page_server({"one": Shown(payment=payment, receipts=())}, live_max=0) as running,
        opened(browser, may_fail=True) as page,
    ):
        page.goto(running.page(payment.id))
        put(running, payment, "paid")
        expect(page.get_by_role("heading", level=1)).to_have_text("Paid", timeout=SOON_MS)
    assert running.prepared.watched == 0


def test_the_focus_stays_on_its_button_while_the_page_changes(browser: Browser) -> None:
    payment = a_payment(1)
    with (
        page_server({"one": Shown(payment=payment, receipts=())}) as running,
        opened(browser) as page,
    ):
        page.goto(running.page(payment.id))
        page.locator("#copy-address").focus()
        put(running, payment, "partly")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Partly paid")
        assert page.evaluate("document.activeElement.id") == "copy-address"


def test_without_javascript_the_page_says_so_and_a_reload_shows_the_status(
    browser: Browser,
) -> None:
    payment = a_payment(1)
    with (
        page_server({"one": Shown(payment=payment, receipts=())}) as running,
        opened(browser, java_script_enabled=False) as page,
    ):
        page.goto(running.page(payment.id))
        expect(page.get_by_text("This page reloads itself")).to_be_visible()
        expect(page.get_by_role("button")).to_have_count(0)
        expect(page.locator("#value-address")).to_be_visible()
        put(running, payment, "paid")
        page.get_by_role("link", name="Check again").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Paid")


def test_a_keyboard_alone_reaches_and_copies_everything(
    browser: Browser, pages: PageServer
) -> None:
    with opened(browser, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto(pages.page(GALLERY["waiting"].payment.id))
        reached = []
        for _ in range(7):
            page.keyboard.press("Tab")
            reached.append(
                page.evaluate("document.activeElement.id || document.activeElement.textContent")
            )
            if reached[-1] == "copy-memo":
                page.keyboard.press("Enter")
                expect(page.locator("#copy-memo")).to_have_text("Copied")
        assert reached == [
            "Skip to the payment",
            "wallet",
            "copy-amount",
            "copy-address",
            "copy-memo",
            "copy-token",
            "back",
        ]
        assert page.evaluate("navigator.clipboard.readText()") == "01JDZQ8XW5T3M7K9A2B4C6D8E0"
        expect(page.get_by_role("status")).to_have_text("Copied")


def test_what_is_selected_by_hand_has_no_gaps(browser: Browser, pages: PageServer) -> None:
    with opened(browser) as page:
        page.goto(pages.page(GALLERY["waiting"].payment.id))
        selected = page.evaluate(
            "getSelection().selectAllChildren(document.getElementById('value-address')),"
            " getSelection().toString()"
        )
    assert selected == RECEIVER


def test_the_clock_runs_and_asks_again_at_its_end(browser: Browser) -> None:
    payment = attrs.evolve(a_payment(1), expire_time=NOW.replace(second=3))
    with (
        page_server({"one": Shown(payment=payment, receipts=())}) as running,
        opened(browser) as page,
    ):
        page.goto(running.page(payment.id))
        expect(page.locator("#countdown")).to_have_text("0:03")
        expect(page.locator("#countdown")).to_have_text("0:00")
        ended = attrs.evolve(payment, status=Status.EXPIRED)
        running.prepared.payments[payment.id] = Shown(payment=ended, receipts=())
        expect(page.get_by_role("heading", level=1)).to_have_text("This payment has expired")


LOST = re.compile(r"^Not up to date: last heard at 12:00 PM UTC. Trying again …$")


def test_a_lost_connection_is_mentioned_until_it_is_back(browser: Browser) -> None:
    payment = a_payment(1)
    with (
        page_server({"one": Shown(payment=payment, receipts=())}) as running,
        opened(browser, may_fail=True, timezone_id="UTC") as page,
    ):
        page.goto(running.page(payment.id))
        page.context.set_offline(True)
        put(running, payment, "partly")
        reloaded(page)
        expect(page.get_by_role("alert")).to_have_text(LOST)
        page.context.set_offline(False)
        reloaded(page)
        expect(page.get_by_role("alert")).to_be_hidden()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Partly paid")


def cut(route: Route) -> None:
    route.abort("connectionrefused")


def hang(route: Route) -> None:
    """Answer nothing."""


def fail(route: Route) -> None:
    route.fulfill(status=502, body="bad gateway")


@pytest.mark.parametrize("fault", [cut, hang, fail])
def test_a_page_without_any_answer_says_so_and_goes_on_with_the_next(
    browser: Browser, fault: Callable[[Route], None]
) -> None:
    """The stream and the questions behind it fail, with the page in sight all the time."""
    payment = a_payment(1)
    with (
        page_server({"one": Shown(payment=payment, receipts=())}) as running,
        opened(browser, may_fail=True, timezone_id="UTC") as page,
    ):
        page.clock.install(time=NOW)
        page.route("**/events*", fault)
        page.goto(running.page(payment.id))
        page.route(running.page(payment.id), fault)
        put(running, payment, "partly")
        passes(page, page.get_by_role("alert"))
        expect(page.get_by_role("alert")).to_have_text(LOST)
        expect(page.get_by_role("heading", level=1)).to_have_text("Waiting for your payment")
        page.unroute_all()
        passes(page, page.get_by_role("alert"), is_shown=False)
        expect(page.get_by_role("heading", level=1)).to_contain_text("Partly paid")
        expect(page.locator("#as-of")).to_have_text("Nov 30, 2026, 12:00 PM UTC")


def passes(page: Page, wanted: Locator, *, is_shown: bool = True) -> None:
    """Let minutes pass, until the page shows what is wanted or no longer shows it."""
    for _ in range(60):
        page.clock.run_for(5_000)
        try:
            expect(wanted).to_be_visible(visible=is_shown, timeout=1_000)
        except AssertionError:
            continue
        return
    pytest.fail("five minutes passed, and nothing happened")


def test_a_stream_that_opens_is_no_answer_while_the_payment_cannot_be_read(
    browser: Browser,
) -> None:
    """As with a database that is away: the events need it only for what is newer."""
    payment = a_payment(1)
    with (
        page_server({"one": Shown(payment=payment, receipts=())}) as running,
        opened(browser, may_fail=True, timezone_id="UTC") as page,
    ):
        # Each answer ends at once, as when the time of a stream is over.
        page.route(
            "**/events*",
            lambda route: route.fulfill(content_type="text/event-stream", body="retry: 500\n\n"),
        )

        page.goto(running.page(payment.id))
        running.prepared.error = StoreUnavailable("the database is away")
        expect(page.get_by_role("alert")).to_have_text(LOST, timeout=SOON_MS)
        running.prepared.error = None
        expect(page.get_by_role("alert")).to_be_hidden(timeout=SOON_MS)


def test_an_answer_that_a_newer_one_has_overtaken_changes_nothing(browser: Browser) -> None:
    payment = a_payment(1)
    held: list[tuple[Route, APIResponse]] = []

    def hold_back_the_first(route: Route) -> None:
        answer = route.fetch()
        if held:
            route.fulfill(response=answer)
        else:
            held.append((route, answer))
            put(running, payment, "paid")

    with (
        page_server({"one": Shown(payment=payment, receipts=())}) as running,
        opened(browser) as page,
    ):
        page.goto(running.page(payment.id))
        page.route(running.page(payment.id), hold_back_the_first)
        put(running, payment, "partly")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Paid", timeout=SOON_MS)
        [(route, answer)] = held
        with page.expect_request_finished():
            route.fulfill(response=answer)
        page.evaluate("new Promise(drawn => setTimeout(drawn, 500))")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Paid")


def test_times_have_the_zone_of_the_customer(browser: Browser, pages: PageServer) -> None:
    with opened(browser, timezone_id="Asia/Tokyo") as page:
        page.goto(pages.page(GALLERY["waiting"].payment.id))
        expect(page.locator("#as-of")).to_have_text("Nov 30, 2026, 9:00 PM GMT+9")
        expect(page.locator(".clock time")).to_have_text("9:20 PM GMT+9")


def reloaded(page: Page) -> None:
    """As when a customer comes back to the page from the wallet."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_on_a_phone_the_code_is_seen_without_scrolling(browser: Browser, pages: PageServer) -> None:
    with opened(browser) as page:
        page.goto(pages.page(GALLERY["waiting"].payment.id))
        code = page.locator(".qr svg").bounding_box()
        button = page.locator("#wallet").bounding_box()
    assert code is not None
    assert button is not None
    assert code["y"] <= SCREENS["phone"]["height"] / 3
    assert button["y"] + button["height"] <= SCREENS["phone"]["height"]


def test_a_transaction_without_an_explorer_is_copied_whole(browser: Browser) -> None:
    shown = GALLERY["paid"]
    payment = attrs.evolve(shown.payment, method="another")
    with (
        page_server({"one": attrs.evolve(shown, payment=payment)}) as running,
        opened(browser, permissions=["clipboard-read", "clipboard-write"]) as page,
    ):
        page.goto(running.page(payment.id))
        expect(page.locator("#value-transaction-1")).to_have_text(HASH)
        page.get_by_role("button", name="Copy Transaction").click()
        expect(page.get_by_role("status")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == HASH
        expect(page.get_by_role("link", name="See the transaction")).to_have_count(0)
        keep_picture(page, "pay-paid-without-explorer")


WALLET_PAYMENT = a_payment(1, next_action=a_transfer(TEXT_MEMO))


@contextlib.contextmanager
def with_wallet(browser: Browser, wallet: Wallet, screen: str = "phone") -> Iterator[Page]:
    """A payment's page in a browser that has this wallet."""
    with (
        page_server({"one": Shown(payment=WALLET_PAYMENT, receipts=())}) as running,
        opened(browser, screen) as page,
    ):
        wallet.inject(page)
        page.goto(running.page(WALLET_PAYMENT.id))
        yield page


@pytest.mark.parametrize("screen", SCREENS)
def test_a_wallet_in_the_browser_is_asked_for_the_transfer_once(
    browser: Browser, screen: str
) -> None:
    wallet = a_wallet(CHAIN_ID, {"wallet_transfer": lambda parameters: HASH})
    with with_wallet(browser, wallet, screen) as page:
        button = page.get_by_role("button", name="Pay with your wallet")
        keep_pictures(page, f"pay-wallet-{screen}")
        button.click()
        expect(page.locator("#wallet-status")).to_contain_text("Your wallet has sent the transfer")
        keep_pictures(page, f"pay-wallet-sent-{screen}")
        assert_fit(page, "wallet-sent")
        page.reload()
        expect(button).to_be_disabled()
    assert wallet.parameters_of("wallet_transfer") == [
        [
            {
                "amount": "149.000000",
                "chainId": CHAIN_ID,
                "memo": bytes.fromhex(TEXT_MEMO[2:]).decode(),
                "to": RECEIVER,
                "token": TOKEN,
            }
        ]
    ]
    assert wallet.parameters_of("eth_sendTransaction") == []


def test_a_wallet_on_another_chain_is_asked_to_change_and_then_sends_the_call(
    browser: Browser,
) -> None:
    wallet = a_wallet(1, {"eth_sendTransaction": lambda parameters: HASH})
    with with_wallet(browser, wallet) as page:
        page.get_by_role("button", name="Pay with your wallet").click()
        expect(page.locator("#wallet-status")).to_contain_text("Your wallet has sent the transfer")
    assert wallet.parameters_of("wallet_switchEthereumChain") == [[{"chainId": hex(CHAIN_ID)}]]
    data = transfer_data(RECEIVER, DUE, TEXT_MEMO)
    assert wallet.parameters_of("eth_sendTransaction") == [
        [
            {
                "from": ACCOUNT,
                "to": TOKEN,
                "data": data,
                "value": "0x0",
                "chainId": hex(CHAIN_ID),
            }
        ]
    ]


@pytest.mark.parametrize(
    ("method", "code", "words"),
    [
        ("eth_requestAccounts", 4001, "You refused in the wallet. Nothing was sent."),
        ("wallet_transfer", 4001, "You refused in the wallet. Nothing was sent."),
        ("wallet_switchEthereumChain", 4902, "Your wallet is not on this network."),
        ("wallet_transfer", 4901, "Your wallet is not on this network."),
        ("wallet_transfer", -32603, "Your wallet reported an error. Look there"),
    ],
)
def test_what_a_wallet_refuses_is_said_and_may_be_tried_again(
    browser: Browser, method: str, code: int, words: str
) -> None:
    chain_id = 1 if method == "wallet_switchEthereumChain" else CHAIN_ID
    wallet = a_wallet(chain_id, {method: refuse(code)})
    with with_wallet(browser, wallet) as page:
        button = page.get_by_role("button", name="Pay with your wallet")
        button.click()
        expect(page.locator("#wallet-status")).to_contain_text(words)
        expect(button).to_be_enabled()
    assert wallet.parameters_of("eth_sendTransaction") == []


def test_a_wallet_that_stays_on_another_chain_is_asked_for_no_transfer(browser: Browser) -> None:
    """As one that says that it has changed, or whose owner changes back."""
    wallet = a_wallet(
        1,
        {
            "wallet_switchEthereumChain": lambda parameters: None,
            "wallet_transfer": lambda parameters: HASH,
            "eth_sendTransaction": lambda parameters: HASH,
        },
    )
    with with_wallet(browser, wallet) as page:
        button = page.get_by_role("button", name="Pay with your wallet")
        button.click()
        expect(page.locator("#wallet-status")).to_contain_text("is not on this network")
        expect(button).to_be_enabled()
    assert wallet.parameters_of("wallet_transfer") == []
    assert wallet.parameters_of("eth_sendTransaction") == []


BLOCKED = """
for (const name of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, name, {
    get() { throw new DOMException("Access is denied for this document.", "SecurityError"); },
  });
}
"""
FULL = """
Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); };
"""


@pytest.mark.parametrize("storage", [BLOCKED, FULL], ids=["blocked", "full"])
def test_without_storage_the_page_works_and_a_sent_transfer_stays_sent(
    browser: Browser, storage: str
) -> None:
    wallet = a_wallet(CHAIN_ID, {"wallet_transfer": lambda parameters: HASH})
    with (
        page_server({"one": Shown(payment=WALLET_PAYMENT, receipts=())}) as running,
        opened(browser) as page,
    ):
        page.add_init_script(storage)
        wallet.inject(page)
        page.goto(running.page(WALLET_PAYMENT.id))
        button = page.get_by_role("button", name="Pay with your wallet")
        button.click()
        expect(page.locator("#wallet-status")).to_contain_text("Your wallet has sent the transfer")
        expect(button).to_be_disabled()
        put(running, WALLET_PAYMENT, "paid")
        expect(page.get_by_role("heading", level=1)).to_have_text("Paid")
    assert len(wallet.parameters_of("wallet_transfer")) == 1


def test_another_tab_does_not_offer_a_sent_transfer_again(browser: Browser) -> None:
    """Neither one that was open before nor one that is opened afterwards."""
    wallets = [a_wallet(CHAIN_ID, {"wallet_transfer": lambda parameters: HASH}) for _ in range(3)]
    with (
        page_server({"one": Shown(payment=WALLET_PAYMENT, receipts=())}) as running,
        opened(browser) as page,
    ):
        tabs = [page, page.context.new_page(), page.context.new_page()]
        for wallet, tab in zip(wallets, tabs, strict=True):
            wallet.inject(tab)
        for tab in tabs[:2]:
            tab.goto(running.page(WALLET_PAYMENT.id))
        page.get_by_role("button", name="Pay with your wallet").click()
        expect(page.locator("#wallet-status")).to_contain_text("Your wallet has sent the transfer")
        tabs[2].goto(running.page(WALLET_PAYMENT.id))
        for tab in tabs[1:]:
            expect(tab.get_by_role("button", name="Pay with your wallet")).to_be_disabled()
            expect(tab.locator("#wallet-status")).to_contain_text("Do not send it again")


def test_without_a_wallet_in_the_browser_there_is_no_button_for_it(browser: Browser) -> None:
    with (
        page_server({"one": Shown(payment=WALLET_PAYMENT, receipts=())}) as running,
        opened(browser) as page,
    ):
        page.goto(running.page(WALLET_PAYMENT.id))
        expect(page.get_by_role("button", name="Copy Amount to send")).to_be_visible()
        expect(page.get_by_role("button", name="Pay with your wallet")).to_have_count(0)


def test_on_paper_there_are_no_buttons(browser: Browser, pages: PageServer) -> None:
    with opened(browser, "desktop") as page:
        page.goto(pages.page(GALLERY["paid"].payment.id))
        page.emulate_media(media="print")
        keep_picture(page, "pay-paid-on-paper")
        expect(page.get_by_role("button")).to_have_count(0)
        expect(page.get_by_text(HASH)).to_be_visible()
        expect(page.get_by_role("heading", name="Receipt")).to_be_visible()


def test_a_wrong_link_and_the_root_have_the_same_design(
    browser: Browser, pages: PageServer
) -> None:
    with contextlib.closing(browser.new_page(viewport=SCREENS["phone"])) as page:
        for name, path in (("missing", "/pay/" + "A" * 43), ("home", "/")):
            page.goto(pages.url + path)
            keep_pictures(page, f"pay-{name}-phone")
            assert_fit(page, name)

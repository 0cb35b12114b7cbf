"""The console lets in who logs in, from its own pages only, for as long as the session lasts."""

import signal
import uuid

import httpx
import pytest
from support.console import (
    COOKIE,
    PASSWORD,
    PROXY_SECRET,
    Operator,
    RunningConsole,
    entries,
    fields_of,
    running_console,
)
from support.daemon import Place, rows
from support.waiting import wait_until

BEHIND_PROXY = {
    "PAYD_CONSOLE_PROXY_USER_HEADER": "X-Forwarded-User",
    "PAYD_CONSOLE_PROXY_SECRET": PROXY_SECRET,
}
HEADERS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def test_the_session_is_in_a_cookie_that_no_script_and_no_other_site_gets(
    console: RunningConsole,
) -> None:
    with console.browser() as browser:
        answer = browser.post("/login", data={"name": "alice", "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert answer.headers["location"] == "/"
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


def test_no_answer_may_be_framed_kept_or_extended(console: RunningConsole) -> None:
    with console.operator() as alice:
        for path in ("/", "/login", "/payments/x", "/nothing"):
            headers = alice.client.get(path).headers
            assert {name: headers.get(name) for name in HEADERS} == HEADERS
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8086", "127.0.0.1.evil.example", "[", "", "0.0.0.0"]
)
def test_another_host_is_refused(console: RunningConsole, host: str) -> None:
    """As of a page whose name was made to lead to this address."""
    with console.operator() as alice:
        answer = alice.client.get("/", headers={"host": host})
    assert answer.status_code in (400, 421)
    assert "Open attention" not in answer.text


def test_a_form_of_another_site_is_refused(console: RunningConsole) -> None:
    foreign = (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    )
    with console.operator() as alice:
        for headers in foreign:
            data = {"name": "alice", "password": PASSWORD}
            assert alice.client.post("/login", data=data, headers=headers).status_code == 403
            assert alice.client.post("/logout", data={}, headers=headers).status_code == 403
        alice.read("/")
        own = {"origin": console.url, "sec-fetch-site": "same-origin"}
        assert alice.client.get("/", headers=own).status_code == 200


def test_nothing_of_another_site_reads_a_page(console: RunningConsole) -> None:
    with console.operator() as alice:
        headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
        assert alice.client.get("/", headers=headers).status_code == 403


def test_a_form_without_this_sessions_token_does_nothing(console: RunningConsole) -> None:
    with console.operator() as alice, console.operator("bob") as bob:
        theirs = {"form_token": _token(bob.read("/"))}
        for data in ({}, {"form_token": "x"}, theirs):
            assert alice.client.post("/logout", data=data).status_code == 403
        alice.read("/")


def test_a_session_ends_at_the_logout_also_for_a_copy_of_its_cookie(
    console: RunningConsole,
) -> None:
    with console.operator(is_fresh=True) as alice:
        copied = alice.client.cookies[COOKIE]
        assert alice.send("/", "/logout").status_code == 303
        alice.client.cookies.set(COOKIE, copied)
        assert alice.client.get("/").headers["location"].startswith("/login")


def test_a_stolen_session_ends_for_both(console: RunningConsole) -> None:
    with (
        console.operator(is_fresh=True) as alice,
        console.browser(**{"user-agent": "thief"}) as thief,
    ):
        thief.cookies.set(COOKIE, alice.client.cookies[COOKIE])
        assert thief.get("/").status_code == 303
        assert alice.client.get("/").status_code == 303


def test_a_login_leads_to_a_page_of_the_console_only(console: RunningConsole) -> None:
    for target, led in (
        ("/payments", "/payments"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
    ):
        with console.browser() as browser:
            data = {"name": "bob", "password": PASSWORD, "next": target}
            answer = browser.post("/login", data=data)
            if answer.status_code == 303:
                assert answer.headers["location"] == led


def test_a_wrong_password_keeps_the_page_that_was_asked_for(console: RunningConsole) -> None:
    with console.browser() as browser:
        data = {"name": "mallory", "password": "wrong", "next": "/payments?status=FAILED"}
        answer = browser.post("/login", data=data)
    assert answer.status_code == 403
    assert fields_of(answer.text)["next"] == "/payments?status=FAILED"


def test_guessing_has_to_wait(place: Place) -> None:
    with running_console(place) as console, console.browser() as browser:
        statuses = [_log_in(browser, "alice", f"guess {number}") for number in range(40)]
        assert set(statuses) == {403, 429}
        refused = browser.post("/login", data={"name": "alice", "password": PASSWORD})
        wait_s = int(refused.headers["retry-after"])
        assert wait_s >= 1
        assert f"Try again in {wait_s} s." in refused.text
        # Guesses of one name leave the logins of the others.
        assert _log_in(browser, "nobody", PASSWORD) == 403
        assert _log_in(browser, "bob", PASSWORD) == 303
        failed = [line for line in console.daemon.lines if line["event"] == "console_login_failed"]
        assert [line["operator"] for line in failed].count("alice") >= statuses.count(403) > 0


def test_a_trusted_proxy_names_the_operator_in_every_request(place: Place) -> None:
    settings = {**BEHIND_PROXY, "PAYD_CONSOLE_ALLOWED_HOSTS": "console.example.org"}
    named = {"x-forwarded-user": "carol", "x-console-secret": PROXY_SECRET}
    with running_console(place, **settings) as console:
        with console.browser(**named, host="console.example.org") as carol:
            page = carol.get("/")
            assert page.status_code == 200
            assert "carol" in page.text
            assert "Secure" in page.headers["set-cookie"]
            # The way back from the proxy's own login is a link of another site.
            assert "SameSite=Lax" in page.headers["set-cookie"]
            cookie = page.cookies[COOKIE]
            assert "Go on as carol" in carol.get("/login").text
        for headers in (
            {},
            {"x-forwarded-user": "carol"},
            {"x-forwarded-user": "carol", "x-console-secret": "wrong"},
            {**named, "x-forwarded-user": "not a name"},
        ):
            with console.browser(**headers, cookie=f"{COOKIE}={cookie}") as stranger:
                assert stranger.get("/").status_code == 303
        refused = "console_proxy_refused"
        wait_until(
            lambda: [line["event"] for line in console.daemon.lines].count(refused) == 2, refused
        )


def test_behind_a_proxy_a_page_that_asks_by_itself_begins_no_session(place: Place) -> None:
    named = {"x-forwarded-user": "carol", "x-console-secret": PROXY_SECRET}
    with (
        running_console(place, **BEHIND_PROXY) as console,
        console.browser(**named) as carol,
    ):
        alone = carol.get("/", headers={"x-console-live": "1"})
        assert alone.status_code == 303
        assert "set-cookie" not in alone.headers
        _keep_cookie(carol)
        assert carol.get("/", headers={"x-console-live": "1"}).status_code == 200


def test_the_audit_trail_has_the_address_that_a_proved_proxy_names(place: Place) -> None:
    named = {"x-forwarded-user": "carol", "x-console-secret": PROXY_SECRET}
    forwarded = {"x-forwarded-for": "192.0.2.1, 203.0.113.9"}
    with running_console(place, **BEHIND_PROXY) as console, console.daemon.client() as client:
        proved, unproved = (client.initiate(scenario="pending") for _ in range(2))
        with console.browser(**named, **forwarded) as browser:
            _keep_cookie(browser)
            Operator(browser).send(f"/payments/{proved.id}/cancel", reason="she called")
        with console.operator() as alice:
            alice.client.headers.update(forwarded)
            alice.send(f"/payments/{unproved.id}/cancel", reason="she called")
        for payment, ip in ((proved, "203.0.113.9"), (unproved, "127.0.0.1")):
            found = rows(
                place,
                "SELECT ip, peer FROM payment_events"
                " WHERE payment_id = $1 AND actor LIKE 'operator:console/%'",
                uuid.UUID(payment.id),
            )
            assert {(str(row["ip"]), str(row["peer"])) for row in found} == {(ip, "127.0.0.1")}


def test_an_operator_whose_line_is_gone_is_out(place: Place) -> None:
    file = place.data / "operators"
    file.write_text(entries())
    settings = {"PAYD_CONSOLE_USERS": "", "PAYD_CONSOLE_USERS_FILE": str(file)}
    with (
        running_console(place, **settings) as console,
        console.operator() as alice,
        console.operator("bob") as bob,
    ):
        alice.read("/")
        file.write_text(entries().splitlines()[1])
        console.daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: alice.client.get("/").status_code == 303, "alice is out")
        assert _log_in(alice.client, "alice", PASSWORD) == 403
        bob.read("/")


def test_a_daemon_without_a_console_does_not_listen(place: Place) -> None:
    with running_console(place, PAYD_CONSOLE_ENABLED="false") as console:
        assert console.url == "http://"


def _token(page: str) -> str:
    return page.partition('name="form_token" value="')[2].partition('"')[0]


def _keep_cookie(browser: httpx.Client) -> None:
    """Take a session as behind a proxy, with a cookie that is for TLS only."""
    browser.headers["cookie"] = f"{COOKIE}={browser.get('/').cookies[COOKIE]}"


def _log_in(browser: httpx.Client, name: str, password: str) -> int:
    return browser.post("/login", data={"name": name, "password": password}).status_code

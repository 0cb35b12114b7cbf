"""Caddy with the shipped Caddyfile, in front of a real daemon: a few paths, and nothing else."""

import http.client
import ssl
import uuid
from collections.abc import Callable, Iterator

import pytest
from support import plain_http
from support.caddy import Caddy, running_caddy
from support.daemon import Place, running_daemon
from support.relay import relayed

#: A header that names one request, so that no other one is taken for it.
MARK = "X-Mark"
#: In the form of a payment page's token.
TOKEN = "Ab-_" * 10 + "xyz"


@pytest.fixture(scope="module")
def forwarded() -> list[bytes]:
    """What Caddy has sent to the daemon, from the first request of the module on."""
    return []


@pytest.fixture(scope="module")
def caddy(
    module_place: Place,
    forwarded: list[bytes],
    free_port: Callable[[], int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Caddy]:
    folder = tmp_path_factory.mktemp("caddy")
    with (
        running_daemon(module_place.without_forks()) as daemon,
        relayed(f"http://{daemon.http}", forwarded.append) as relay,
        running_caddy(folder, f"127.0.0.1:{relay.port}", free_port(), free_port()) as caddy,
    ):
        yield caddy


def raw(caddy: Caddy, method: str, target: str, mark: str) -> int:
    """The status of a request whose target nobody has tidied up."""
    context = ssl.create_default_context(cafile=caddy.ca)
    connection = http.client.HTTPSConnection("localhost", caddy.https, context=context, timeout=20)
    connection.putrequest(method, target, skip_accept_encoding=True)
    connection.putheader("Content-Length", "0")
    connection.putheader(MARK, mark)
    connection.endheaders()
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_payment_methods_and_webhooks_come_through(caddy: Caddy) -> None:
    with caddy.client() as client:
        methods = client.get("/api/v1/payment-methods")
        assert {method["method"] for method in methods.json()["methods"]} == {"mock", "card"}

        refused = client.post("/webhooks/nobody", content=b"{}")
        assert refused.status_code == 404
        assert refused.headers["content-type"] == "application/problem+json"
        assert "server" not in refused.headers


def test_payment_pages_come_through_with_their_headers(caddy: Caddy) -> None:
    with caddy.client() as client:
        for path in (f"/pay/{TOKEN}", f"/pay/{TOKEN}/events"):
            unknown = client.get(path)
            assert unknown.status_code == 404
            assert "There is no such payment" in unknown.text
            assert "frame-ancestors 'none'" in unknown.headers["content-security-policy"]
        assert (
            client.get("/pay/assets/pay.js").headers["content-type"].startswith("text/javascript")
        )


def test_a_wallet_may_send_a_transaction_from_any_origin(caddy: Caddy) -> None:
    with caddy.client() as client:
        allowed = client.options(f"/pay/{TOKEN}/fee")
        unknown = client.post(f"/pay/{TOKEN}/fee", content=b"{}")
        long = client.post(f"/pay/{TOKEN}/fee", content=b" " * 20_000)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, "*")
    assert (unknown.status_code, unknown.json()["title"]) == (404, "PAYMENT_NOT_FOUND")
    assert long.status_code in (404, 413), "payd looks at the address first"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"),
        ("GET", "/pay/"),
        ("GET", f"/pay/{TOKEN}x"),
        ("POST", f"/pay/{TOKEN}"),
        ("GET", f"/pay/{TOKEN}/more"),
        ("GET", f"/pay/{TOKEN}/fee"),
        ("POST", f"/pay/{TOKEN}/fee/more"),
        ("GET", "/pay/assets/en.json"),
        ("GET", "/pay/../readyz"),
        # Paths of the operator console, which has a port of its own.
        ("GET", "/login"),
        ("POST", "/login"),
        ("GET", "/payments"),
        ("GET", "/configuration"),
        ("GET", "/assets/console.js"),
        ("GET", "/readyz"),
        ("GET", "/healthz"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/payments"),
        ("GET", "/api/v1/payment-methods/"),
        ("POST", "/api/v1/payment-methods"),
        ("GET", "/webhooks/stripe"),
        ("POST", "/webhooks/"),
        ("POST", "/webhooks/stripe/more"),
        ("GET", "/webhooks/../readyz"),
        ("POST", "/webhooks/../readyz"),
        ("POST", "/webhooks/..%2freadyz"),
        ("POST", "/webhooks/%2e%2e/readyz"),
        ("POST", "//webhooks/stripe"),
        ("GET", "//readyz"),
        ("GET", "/api/v1/payment-methods/../../../readyz"),
        ("GET", "/api/v1/payment-methods%2f..%2freadyz"),
        ("GET", "/./readyz"),
        ("GET", "/webhooks\\..\\readyz"),
    ],
)
def test_nothing_else_reaches_the_daemon(
    caddy: Caddy, forwarded: list[bytes], method: str, target: str
) -> None:
    mark = uuid.uuid4().hex

    assert raw(caddy, method, target, mark) in (400, 404)

    assert mark.encode() not in b"".join(forwarded)


def test_a_request_that_reaches_the_daemon_would_be_noticed(
    caddy: Caddy, forwarded: list[bytes]
) -> None:
    mark = uuid.uuid4().hex

    assert raw(caddy, "GET", "/api/v1/payment-methods", mark) == 200

    assert mark.encode() in b"".join(forwarded)


@pytest.mark.parametrize(
    "content", [b"x" * (300 * 1024), [b"x" * (300 * 1024)]], ids=["length", "chunks"]
)
def test_a_body_above_the_limit_is_refused(caddy: Caddy, content: bytes | list[bytes]) -> None:
    """Whether the request declares its length, or comes in chunks."""
    with caddy.client() as client:
        answer = client.post("/webhooks/stripe", content=content)
    assert answer.status_code == 413


def test_only_caddy_sets_the_request_id(caddy: Caddy) -> None:
    with caddy.client(headers={"X-Request-Id": "mine", "X-Forwarded-For": "203.0.113.9"}) as client:
        answer = client.get("/api/v1/payment-methods")
    assert answer.headers["x-request-id"] != "mine"


def test_plain_http_is_sent_to_https(caddy: Caddy) -> None:
    answer = plain_http.get(f"http://localhost:{caddy.http}/api/v1/payment-methods")
    assert answer.status_code in (301, 308)
    assert answer.headers["location"].startswith("https://localhost")

"""A stand-in for Acme: its API, its payment page and its webhooks, with failures on demand.

For tests, and for development: `python -m acme_provider.fake_api --webhook-url …`.
"""

import argparse
import json
import secrets
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from acme_provider.webhooks import SIGNATURE, sign

Json = dict[str, Any]

#: What can go wrong. Those after "lost_answer" do what was asked before.
FAULTS = ("lost_request", "unauthorized", "rate_limited", "decline", "hang")
FAULTS_AFTER = ("lost_answer", "server_error", "garbage")
_HANG_S = 30.0


class FakeAcme:
    """What the remote side knows. Its methods may be called from any thread."""

    def __init__(
        self,
        *,
        api_key: str,
        webhook_secret: str,
        webhook_url: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = ""
        self.api_key = api_key
        self.webhook_secret = webhook_secret
        self.webhook_url = webhook_url
        self.requests = 0
        self.charges: dict[str, Json] = {}
        #: What every request meets: one of FAULTS or FAULTS_AFTER; None while all is well.
        self.fault: str | None = None
        self._clock = clock
        self._events: list[Json] = []
        self._by_key: dict[str, tuple[Json, str]] = {}
        self._lock = threading.RLock()

    # -- what the API does -------------------------------------------------------------------

    def create(self, order: Json, key: str) -> tuple[int, Json]:
        """A charge, once a key; 409 for other parameters under the same key."""
        with self._lock:
            known, charge_id = self._by_key.get(key, (order, ""))
            if known != order:
                return 409, {"code": "conflict", "message": "the key was used already"}
            if not charge_id:
                charge_id = f"ch_{secrets.token_hex(8)}"
                self._by_key[key] = (order, charge_id)
                self.charges[charge_id] = {
                    **order,
                    "id": charge_id,
                    "url": f"{self.url}/pay/{charge_id}",
                    "status": "open",
                    "received": 0,
                }
            return 200, self.shown(charge_id)

    def shown(self, charge_id: str) -> Json:
        """The charge as it stands now. Raises KeyError."""
        with self._lock:
            charge, now = self.charges[charge_id], self._clock()
            if charge["status"] == "open" and now >= charge["expire_time"]:
                charge["status"] = "expired"
            return {**charge, "as_of": now}

    def of_payment(self, payment_id: str) -> list[Json]:
        """The charges that name it."""
        with self._lock:
            return [self.shown(c) for c, v in self.charges.items() if v["payment_id"] == payment_id]

    def cancel(self, charge_id: str) -> Json:
        """Close it if it is open."""
        with self._lock:
            if self.shown(charge_id)["status"] == "open":
                self.charges[charge_id]["status"] = "canceled"
                self._report("charge.canceled", charge_id)
            return self.shown(charge_id)

    def pay(self, charge_id: str, amount: int | None = None) -> Json:
        """As the customer does: all that is due; nothing where it is no longer open."""
        with self._lock:
            charge = self.shown(charge_id)
            if charge["status"] == "open":
                received = charge["amount"] if amount is None else amount
                paid = received >= charge["amount"]
                self.charges[charge_id] |= {"received": received, **({"status": "paid"} if paid else {})}
                self._report("charge.paid", charge_id)
            return self.shown(charge_id)

    def expire(self, charge_id: str) -> None:
        """Its time is over."""
        with self._lock:
            self.charges[charge_id]["expire_time"] = self._clock()

    def events(self, after: int, limit: int) -> Json:
        """A page of all that was reported."""
        with self._lock:
            page = self._events[after : after + limit]
            cursor = after + len(page)
            return {"events": page, "cursor": cursor, "more": cursor < len(self._events)}

    def signed(self, event: Json, at: float, secret: str | None = None) -> tuple[bytes, str]:
        """A webhook's body and its signature."""
        body = json.dumps(event).encode()
        return body, f"t={int(at)},v1={sign(body, int(at), secret or self.webhook_secret)}"

    def event(self, kind: str, charge: Json) -> Json:
        """Something to report about a charge."""
        return {"id": f"ev_{secrets.token_hex(8)}", "type": kind, "charge": charge}

    def _report(self, kind: str, charge_id: str) -> None:
        event = self.event(kind, self.shown(charge_id))
        self._events.append(event)
        if self.webhook_url:
            threading.Thread(target=self._send, args=(event,), daemon=True).start()

    def _send(self, event: Json) -> None:
        """Until it is taken; whoever is away for long has the scan."""
        for pause_s in (0.0, 1.0, 5.0, 30.0):
            time.sleep(pause_s)
            body, signature = self.signed(event, self._clock())
            request = urllib.request.Request(  # noqa: S310 - the operator's own URL
                self.webhook_url, body, {SIGNATURE: signature, "Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - as above
                    return
            except (urllib.error.URLError, OSError):
                continue


@contextmanager
def serving(acme: FakeAcme, port: int = 0) -> Iterator[FakeAcme]:
    """Its HTTP server on this machine, in threads, until the end of the block; sets `acme.url`."""
    server = _Server(("127.0.0.1", port), _handler(acme))
    acme.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield acme
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _handler(acme: FakeAcme) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:  # noqa: N802 - named by http.server
            self._serve()

        def do_POST(self) -> None:  # noqa: N802 - named by http.server
            self._serve()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _serve(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            if len(body) < size:
                # Who asked is gone.
                self.close_connection = True
                return
            url = urlsplit(self.path)
            if url.path.startswith("/pay/"):
                self._page(url.path.removeprefix("/pay/"))
                return
            with acme._lock:
                acme.requests += 1
            fault = acme.fault
            if fault in ("lost_request", "hang"):
                time.sleep(_HANG_S if fault == "hang" else 0)
                self.close_connection = True
                return
            status, document = _refused(fault) or self._do(url.path, parse_qs(url.query), body)
            if fault == "lost_answer":
                self.close_connection = True
            elif fault == "server_error":
                self._answer(500, b"{}")
            elif fault == "garbage":
                self._answer(200, b"<html>it works")
            else:
                self._answer(status, json.dumps(document).encode())

        def _do(self, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Json]:
            if self.headers["Authorization"] != f"Bearer {acme.api_key}":
                return 401, {"code": "unauthorized", "message": "no such key"}
            try:
                return _routed(acme, self.command, path, query, body, self.headers)
            except KeyError:
                return 404, {"code": "not_found", "message": "no such thing"}

        def _page(self, charge_id: str) -> None:
            try:
                charge = acme.pay(charge_id) if self.command == "POST" else acme.shown(charge_id)
            except KeyError:
                self._answer(404, b"no such charge", "text/plain")
                return
            what = f"{charge['amount']} {charge['currency']} (minor units): {charge['status']}"
            button = '<form method="post"><button>Pay</button></form>'
            page = f"<!doctype html><title>Acme</title><p>{what}</p>{button}"
            self._answer(200, page.encode(), "text/html")

        def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if status == 429:
                self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _refused(fault: str | None) -> tuple[int, Json] | None:
    """What is answered instead of doing it."""
    return {
        "unauthorized": (401, {"code": "unauthorized", "message": "no such key"}),
        "rate_limited": (429, {"code": "rate_limited", "message": "too many requests"}),
        "decline": (402, {"code": "refused", "message": "Acme takes nothing from this customer."}),
    }.get(fault or "")


def _routed(
    acme: FakeAcme, method: str, path: str, query: dict[str, list[str]], body: bytes, headers: Any
) -> tuple[int, Json]:
    """Raises KeyError for what is not there."""
    match method, path.strip("/").split("/"):
        case "POST", ["charges"]:
            return acme.create(json.loads(body), headers["Idempotency-Key"])
        case "GET", ["charges"]:
            return 200, {"charges": acme.of_payment(query["payment_id"][0])}
        case "GET", ["charges", charge_id]:
            return 200, acme.shown(charge_id)
        case "POST", ["charges", charge_id, "cancel"]:
            return 200, acme.cancel(charge_id)
        case "GET", ["events"]:
            return 200, acme.events(int(query["after"][0]), int(query["limit"][0]))
        case "GET", ["ping"]:
            return 200, {}
    raise KeyError(path)


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--api-key", default="test-key")
    parser.add_argument("--webhook-secret", default="test-secret")
    parser.add_argument("--webhook-url", default="http://127.0.0.1:8085/webhooks/acme")
    told = parser.parse_args()
    acme = FakeAcme(
        api_key=told.api_key, webhook_secret=told.webhook_secret, webhook_url=told.webhook_url
    )
    with serving(acme, told.port):
        print(json.dumps({"url": acme.url}), flush=True)  # noqa: T201 - how a caller learns it
        threading.Event().wait()


if __name__ == "__main__":
    main()

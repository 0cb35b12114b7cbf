"""HTTP server for the fake API, with a payment page for customers; for tests and `payd dev`."""

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from acme_provider.fake_api import FakeAcme, Json

#: Responses of the faults that act instead of the request.
_REFUSALS: Mapping[str | None, tuple[int, Json]] = {
    "unauthorized": (401, {"code": "unauthorized", "message": "no such key"}),
    "forbidden": (403, {"code": "forbidden", "message": "the key has no right to do this"}),
    "rate_limited": (429, {"code": "rate_limited", "message": "too many requests"}),
    "decline": (402, {"code": "refused", "message": "Acme takes nothing from this customer."}),
}
_HANG_S = 30.0


@contextmanager
def serving(acme: FakeAcme, port: int = 0) -> Iterator[FakeAcme]:
    """Serve on the loopback address, in threads, until the end of the block; set `acme.url`."""
    server = _Server(("127.0.0.1", port), _Handler)
    server.acme = acme
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
    acme: FakeAcme

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def _serve(self) -> None:
        acme, size = self.server.acme, int(self.headers.get("Content-Length") or 0)
        body, url = self.rfile.read(size), urlsplit(self.path)
        if len(body) < size:
            # The client has disconnected.
            self.close_connection = True
        elif url.path.startswith("/pay/"):
            self._page(acme, url.path.removeprefix("/pay/"))
        else:
            acme.requests += 1
            self._answer_as(acme, acme.fault, url.path, parse_qs(url.query), body)

    def _answer_as(
        self, acme: FakeAcme, fault: str | None, path: str, query: Any, body: bytes
    ) -> None:
        if fault in ("lost_request", "hang"):
            time.sleep(_HANG_S if fault == "hang" else 0)
            self.close_connection = True
            return
        status, document = _REFUSALS.get(fault) or self._done(acme, path, query, body)
        match fault:
            case "lost_answer":
                self.close_connection = True
            case "server_error":
                self._answer(500, b"{}")
            case "garbage":
                self._answer(200, b"<html>it works")
            case _:
                self._answer(status, json.dumps(document).encode())

    def _done(self, acme: FakeAcme, path: str, query: Any, body: bytes) -> tuple[int, Json]:
        if self.headers["Authorization"] != f"Bearer {acme.api_key}":
            return _REFUSALS["unauthorized"]
        key = self.headers.get("Idempotency-Key", "")
        try:
            return _routed(acme, self.command, path.strip("/").split("/"), query, body, key)
        except KeyError:
            return 404, {"code": "not_found", "message": "no such thing"}

    def _page(self, acme: FakeAcme, charge_id: str) -> None:
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
            self.send_header("Retry-After", str(self.server.acme.retry_after_s))
        self.end_headers()
        self.wfile.write(body)


def _routed(
    acme: FakeAcme, method: str, path: list[str], query: Any, body: bytes, key: str
) -> tuple[int, Json]:
    """Return status and document. Raises KeyError for an unknown path, charge or refund."""
    match method, path:
        case "POST", ["charges"]:
            return acme.create(json.loads(body), key)
        case "GET", ["charges"]:
            return 200, {"charges": acme.of_payment(query["payment_id"][0])}
        case "GET", ["charges", charge_id]:
            return 200, acme.shown(charge_id)
        case "POST", ["charges", charge_id, "cancel"]:
            return 200, acme.cancel(charge_id)
        case "POST", ["refunds"]:
            return acme.refund(json.loads(body), key)
        case "GET", ["refunds"]:
            return 200, {"refunds": acme.refunds_of(query["refund_id"][0])}
        case "GET", ["refunds", refund_id]:
            return 200, dict(acme.refunds[refund_id])
        case "GET", ["events"]:
            return 200, acme.events(int(query["after"][0]), int(query["limit"][0]))
        case "GET", ["ping"]:
            return 200, {}
    raise KeyError(path)

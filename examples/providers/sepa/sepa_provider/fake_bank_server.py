"""The fake bank behind HTTP: a page that shows what to transfer, and a button that transfers it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from payd.plugins import parse_units
from sepa_provider.fake_bank import Booking, drop, statement


@contextmanager
def serving(statements: Path, iban: str, port: int = 0) -> Iterator[str]:
    """Serve on the loopback address until the end of the block; yield the URL."""
    server = _Server(("127.0.0.1", port), _Handler)
    server.statements, server.iban = statements, iban
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    statements: Path
    iban: str


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._page("")

    def do_POST(self) -> None:
        reference, amount = self._order()
        try:
            cents = parse_units(amount, 2)
        except ValueError:
            self._answer(400, f"invalid amount {amount!r}: write it like 149.00")
            return
        booking = Booking(reference=reference, cents=cents)
        drop(self.server.statements, statement(self.server.iban, [booking], datetime.now(UTC)))
        self._page("The transfer is in the bank's next statement.")

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def _order(self) -> tuple[str, str]:
        query = parse_qs(urlsplit(self.path).query)
        return query.get("reference", [""])[0], query.get("amount", [""])[0]

    def _page(self, notice: str) -> None:
        reference, amount = self._order()
        what = f"{amount} EUR to {self.server.iban}, reference {reference}"
        self._answer(
            200,
            f"<!doctype html><title>Bank</title><p>Transfer {escape(what)}</p><p>{notice}</p>"
            '<form method="post"><button>Transfer</button></form>',
        )

    def _answer(self, status: int, page: str) -> None:
        body = page.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

"""The fake bank behind HTTP: a page on which a customer makes a transfer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from payd.plugins import Clock, parse_units
from sepa_provider.fake_bank import Booking, drop, statement


@contextmanager
def serving(statements: Path, iban: str, port: int, clock: Clock) -> Iterator[str]:
    """Serve on the loopback address until the end of the block; yield the URL."""
    server = _Server(("127.0.0.1", port), _Handler)
    server.statements, server.iban, server.clock = statements, iban, clock
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
    clock: Clock


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._page("")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        form = parse_qs(self.rfile.read(length).decode(errors="replace"))
        reference, amount = (form.get(name, [""])[0].strip() for name in ("reference", "amount"))
        try:
            cents = parse_units(amount, 2)
        except ValueError:
            self._answer(400, f"invalid amount {amount!r}: write it like 149.00")
            return
        booking = Booking(reference=reference, cents=cents)
        drop(
            self.server.statements,
            statement(self.server.iban, [booking], self.server.clock.now()),
        )
        self._page(f"The transfer of {amount} EUR is in the bank's next statement.")

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def _page(self, notice: str) -> None:
        self._answer(
            200,
            f"<!doctype html><title>Bank</title><p>Transfer to {escape(self.server.iban)}</p>"
            f'<p role="status">{escape(notice)}</p><form method="post">'
            '<p><label>Reference <input name="reference" required></label></p>'
            '<p><label>Amount in EUR <input name="amount" required></label></p>'
            "<button>Transfer</button></form>",
        )

    def _answer(self, status: int, page: str) -> None:
        body = page.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
